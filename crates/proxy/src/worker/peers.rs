//! The sessions of one worker, in parts, so that going through all of them never takes long at once.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::peer::Peer;

/// Into so many parts: a hundred thousand sessions make parts of four hundred.
const PARTS: usize = 256;

/// Sessions that are looked at before others have their turn, but for the rest of a part: some 50 µs.
const AT_ONCE: usize = 1024;

/// How long others have their turn.
const BREATH: Duration = Duration::from_millis(1);

/// Sessions by the process ID that their clients were told.
#[derive(Debug)]
pub(crate) struct Peers {
    parts: Vec<Part>,
    count: usize,
    /// Which part was looked at longest ago.
    next: usize,
}

#[derive(Debug, Default)]
struct Part {
    peers: HashMap<i32, Rc<Peer>>,
    /// When its sessions were last looked at, all at the same time.
    walked: Option<Instant>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Part::default()).collect(), count: 0, next: 0 }
    }
}

impl Peers {
    /// The session of this process ID.
    pub(crate) fn get(&self, pid: i32) -> Option<&Rc<Peer>> {
        self.parts.get(part_of(pid))?.peers.get(&pid)
    }

    /// Makes a session known.
    pub(crate) fn insert(&mut self, peer: &Rc<Peer>) {
        let pid = peer.pid();
        let Some(part) = self.parts.get_mut(part_of(pid)) else { return };
        if part.peers.insert(pid, Rc::clone(peer)).is_none() {
            self.count = self.count.saturating_add(1);
        }
    }

    /// Forgets a session.
    pub(crate) fn remove(&mut self, pid: i32) {
        let Some(part) = self.parts.get_mut(part_of(pid)) else { return };
        if part.peers.remove(&pid).is_some() {
            self.count = self.count.saturating_sub(1);
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All sessions, in any order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rc<Peer>> {
        self.parts.iter().flat_map(|part| part.peers.values())
    }

    /// Goes through those sessions that were last looked at `pace` ago, with how long that is exactly, but
    /// through no more than take some 50 µs; says when to go on.
    ///
    /// More sessions than can be gone through in `pace` are gone through as fast as that.
    pub(crate) fn walk(
        &mut self,
        now: Instant,
        pace: Duration,
        mut look: impl FnMut(&Rc<Peer>, Duration),
    ) -> Duration {
        let mut looked = 0_usize;
        for _ in 0..self.parts.len() {
            let Some(part) = self.parts.get_mut(self.next) else { break };
            let passed = part.walked.map(|walked| now.saturating_duration_since(walked));
            if let Some(rest) = pace.checked_sub(passed.unwrap_or(pace)).filter(|it| !it.is_zero())
            {
                return rest.max(BREATH);
            }
            if looked >= AT_ONCE {
                return BREATH;
            }
            part.walked = Some(now);
            part.peers.values().for_each(|peer| look(peer, passed.unwrap_or_default()));
            looked = looked.saturating_add(part.peers.len());
            self.next = self.next.saturating_add(1).checked_rem(PARTS).unwrap_or(0);
        }
        pace
    }

    /// Lets the time until `now` not count for anybody.
    pub(crate) fn skip(&mut self, now: Instant) {
        self.parts.iter_mut().for_each(|part| part.walked = Some(now));
    }
}

/// Where a session is: its process ID is random.
fn part_of(pid: i32) -> usize {
    usize::try_from(pid.unsigned_abs()).unwrap_or(0).checked_rem(PARTS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::LONG;

    fn peers(count: i32) -> Peers {
        let mut peers = Peers::default();
        (1..=count).for_each(|pid| peers.insert(&Rc::new(Peer::new(pid, [0; LONG]))));
        peers
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_session_is_found_until_it_is_removed() {
        let mut peers = peers(1000);
        assert!((1..=1000).all(|pid| peers.get(pid).is_some_and(|peer| peer.pid() == pid)));
        assert_eq!(peers.all().count(), 1000);
        let again = Rc::clone(peers.get(7).unwrap());
        peers.insert(&again);
        (1..=999).for_each(|pid| peers.remove(pid));
        peers.remove(7);
        assert!(peers.get(7).is_none() && !peers.is_empty());
        peers.remove(1000);
        assert!(peers.is_empty());
    }

    #[test]
    fn few_sessions_are_gone_through_at_once_and_again_after_the_pace() {
        let (mut peers, start, pace) = (peers(1000), start(), Duration::from_millis(100));
        let walk = |peers: &mut Peers, after: Duration| {
            let mut seen = Vec::new();
            let pause = peers.walk(start + after, pace, |_, passed| seen.push(passed));
            (seen.len(), seen.into_iter().max().unwrap_or_default(), pause)
        };
        assert_eq!(walk(&mut peers, Duration::ZERO), (1000, Duration::ZERO, pace));
        let early = Duration::from_micros(99_900);
        assert_eq!(walk(&mut peers, early), (0, Duration::ZERO, BREATH));
        let late = Duration::from_millis(103);
        assert_eq!(walk(&mut peers, late), (1000, late, pace));
        peers.skip(start + Duration::from_secs(10));
        let next = Duration::from_millis(10_100);
        assert_eq!(walk(&mut peers, next), (1000, pace, pace));
    }

    #[test]
    fn no_more_sessions_than_one_part_above_the_bound_are_looked_at_before_others_have_their_turn()
    {
        let (mut peers, start, pace) = (peers(100_000), start(), Duration::from_secs(1));
        let (mut now, mut rounds) = (start, 0);
        let mut seen: HashMap<i32, (Instant, u32)> = HashMap::new();
        while now < start + Duration::from_secs(5) {
            let mut looked = 0;
            let pause = peers.walk(now, pace, |peer, passed| {
                looked += 1;
                let (last, times) = seen.entry(peer.pid()).or_insert((now, 0));
                assert_eq!(now - *last, passed, "exactly since it was last looked at");
                assert!(passed <= pace + 2 * BREATH);
                (*last, *times) = (now, *times + 1);
            });
            assert!(looked <= AT_ONCE + 100_000 / PARTS + 1, "{looked}");
            assert!(pause >= BREATH);
            now += pause;
            rounds += 1;
        }
        assert_eq!(seen.len(), 100_000);
        assert!(seen.values().all(|(_, times)| (4..=5).contains(times)));
        assert!(rounds > 300, "{rounds}");
    }
}
