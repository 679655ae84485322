//! Waits until the standby is where the primary is.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::link::Link;

/// Questions in a row before the standby is given up; with the steps, some 30 seconds.
const PATIENCE: u32 = 60_000;
const STEP: Duration = Duration::from_micros(300);

/// Two connections that ask for positions.
pub(crate) struct Clock {
    primary: Link,
    standby: Link,
    reached: String,
}

impl Clock {
    /// Connects to both.
    pub(crate) fn open(primary: u16, standby: u16) -> io::Result<Self> {
        let open = |port| Link::as_superuser(port, "postgres");
        Ok(Self { primary: open(primary)?, standby: open(standby)?, reached: String::new() })
    }

    /// Returns once the standby shows every commit that was acknowledged before.
    pub(crate) fn catch_up(&mut self) -> io::Result<()> {
        let position = self.primary.value("SELECT pg_current_wal_flush_lsn()")?;
        if position == self.reached {
            return Ok(());
        }
        let question = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        for _ in 0..PATIENCE {
            if self.standby.value(&question)? == "t" {
                self.reached = position;
                return Ok(());
            }
            sleep(STEP);
        }
        Err(io::Error::other("the standby does not catch up"))
    }
}
