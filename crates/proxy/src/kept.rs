//! A session that keeps its server waits for its client: either may speak.

use std::task::Context;

use crate::error::{Cause, Lost};
use crate::noticed::Noticed;
use crate::relay::{Event, Relay};
use crate::session::{Ending, LastWord, Session};
use crate::settle::Unsettled;

impl Session {
    /// Waits for the client while the session keeps a server, which may speak too: the answers of
    /// a group that is open, a notification, its end.
    pub(crate) async fn relay_kept(&mut self) -> Result<(), Ending> {
        let stage = self.must_go_from();
        let Some(lease) = self.lease.as_mut() else { return self.read_more().await };
        let open = self.group.open;
        let mut aside = Noticed::default();
        if open {
            self.peer.runs_on(lease.server().running.clone());
        }
        let mut relay = Relay::new(
            &mut self.stream,
            (&mut self.inbound, &mut self.held, &mut self.outbound),
            lease.server(),
            (&mut self.statements, &mut self.told, self.database.schema.newest()),
            &self.worker,
            if open { &mut self.noticed } else { &mut aside },
        );
        relay.looked_at = relay.inbound.len();
        let (worker, peer) = (&self.worker, &self.peer);
        let must_go = |cx: &Context<'_>, _| {
            peer.waits(cx);
            peer.must_go(worker, stage)
        };
        let event = match relay.run(&mut Unsettled, must_go).await {
            Ok(event) => event,
            Err(cause) => return Err(self.interrupted(cause, &aside)),
        };
        self.kept_event(&event, aside)
    }

    /// Draws the consequences of what ended the wait.
    fn kept_event(&mut self, event: &Event, aside: Noticed) -> Result<(), Ending> {
        let open = self.group.open;
        match event {
            Event::More => Ok(()),
            // Without a group only Weir's own question can have been answered.
            Event::Ended if !open => {
                self.asked(&aside);
                Ok(())
            }
            Event::ClientGone => {
                if open {
                    self.abandon();
                }
                Err(Ending::Left)
            }
            Event::Ended | Event::Refused(_) | Event::ServerLost | Event::Garbled(_) => {
                let node =
                    self.server().map(|server| server.address.name.to_string()).unwrap_or_default();
                let noticed = if open { std::mem::take(&mut self.noticed) } else { aside };
                let word = self.last_word(&noticed);
                self.server_lost();
                if word == LastWord::Impossible {
                    return Err(Ending::Left);
                }
                // Without a group under way nothing was asked that could have taken effect.
                let during = if open { Lost::Write } else { Lost::Read };
                Err(Cause::ServerLost { node, during }.into())
            }
        }
    }
}
