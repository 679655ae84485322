//! How many servers may there be? The limits that workers share.
//!
//! Workers share no server, only counts: whoever opens one takes a permit, whoever closes one
//! gives it back. A permit counts three times: in its pool, for its database and for its user. A
//! pool that finds a count full is hungry: others close idle servers for it, and it is sent a mail
//! when a permit is free. All of this is off the cycle's path.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use policy::{NodeId, Sweep};
use tokio::sync::{Notify, mpsc};

use crate::config::Sizes;

/// A pool's name: whose servers, of which database, on which node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    pub(crate) cluster: Arc<str>,
    pub(crate) node: NodeId,
    pub(crate) user: Arc<str>,
    pub(crate) database: Arc<str>,
}

/// Which count of a pool's three; also which of them is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    /// The pool's own.
    Pool,
    /// All pools of its database on its node.
    Database,
    /// All pools of its user on its node.
    User,
}

impl Which {
    /// All of them, the narrowest first.
    const ALL: [Self; 3] = [Self::Pool, Self::Database, Self::User];

    /// How many servers it allows.
    pub(crate) fn limit(self, sizes: &Sizes) -> u32 {
        match self {
            Self::Pool => sizes.pool,
            Self::Database => sizes.database,
            Self::User => sizes.user,
        }
    }
}

/// What one worker tells another, or itself.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A permit of this count is free: let your first waiters try.
    Free(Arc<Count>),
    /// A pool starves at this count: close an idle server of another one.
    Yield(Arc<Count>),
    /// A client wants to cancel what its session, which is yours, is doing.
    Cancel(wire::CancelKey),
    /// A client that logs in to a database that lives with you.
    Login(Box<crate::handshake::Moved>),
}

/// Servers over all workers, and how many pools wait for one of them to be closed.
#[derive(Debug)]
pub(crate) struct Count {
    which: Which,
    /// A pool that it covers; of a database's count, any.
    key: Arc<PoolKey>,
    used: AtomicU32,
    hungry: AtomicU32,
}

impl Count {
    fn new(which: Which, key: &Arc<PoolKey>) -> Arc<Self> {
        let (used, hungry) = (AtomicU32::new(0), AtomicU32::new(0));
        Arc::new(Self { which, key: Arc::clone(key), used, hungry })
    }

    /// Whether the servers of the pool of this name count here.
    pub(crate) fn covers(&self, key: &PoolKey) -> bool {
        let mine = &*self.key;
        let same_node = (mine.node, &mine.cluster) == (key.node, &key.cluster);
        same_node
            && match self.which {
                Which::Pool => (&mine.user, &mine.database) == (&key.user, &key.database),
                Which::Database => mine.database == key.database,
                Which::User => mine.user == key.user,
            }
    }

    fn try_take(&self, limit: u32) -> bool {
        let take = |used: u32| (used < limit).then(|| used.saturating_add(1));
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }
}

/// One pool's rights, over all workers.
#[derive(Debug)]
pub(crate) struct Permits {
    pub(crate) key: Arc<PoolKey>,
    counts: [Arc<Count>; 3],
    fallen: Arc<Fallen>,
    mailboxes: Arc<[mpsc::UnboundedSender<Mail>]>,
}

impl Permits {
    /// Takes a permit, or says which count is full.
    pub(crate) fn try_take(self: &Arc<Self>, sizes: &Sizes) -> Result<Permit, Which> {
        for (taken, count) in self.counts.iter().enumerate() {
            if !count.try_take(count.which.limit(sizes)) {
                self.counts.iter().take(taken).for_each(|count| self.put(count));
                return Err(count.which);
            }
        }
        Ok(Permit { permits: Arc::clone(self) })
    }

    /// Those of its reads that fell back.
    pub(crate) fn fallen(&self) -> &Arc<Fallen> {
        &self.fallen
    }

    /// How many servers the pool has over all workers.
    pub(crate) fn used(&self) -> u32 {
        self.count(Which::Pool).used.load(Ordering::Relaxed)
    }

    /// Which count has no room, if any.
    pub(crate) fn full(&self, sizes: &Sizes) -> Option<Which> {
        let full =
            |count: &&Arc<Count>| count.used.load(Ordering::Relaxed) >= count.which.limit(sizes);
        self.counts.iter().find(full).map(|count| count.which)
    }

    /// How many servers there are too many, which a reload may have made so.
    pub(crate) fn surplus(&self, sizes: &Sizes) -> u32 {
        let above = |count: &Arc<Count>| {
            count.used.load(Ordering::Relaxed).saturating_sub(count.which.limit(sizes))
        };
        self.counts.iter().map(above).max().unwrap_or(0)
    }

    /// How many servers the caller may keep where other pools starve, while it starves at `own`: as many as each
    /// of those who starve there. `None` if no other does.
    pub(crate) fn fair_share(&self, own: Option<Which>, sizes: &Sizes) -> Option<u32> {
        let share = |count: &Arc<Count>| {
            let hungry = count.hungry.load(Ordering::Relaxed);
            let others = hungry.saturating_sub(u32::from(own == Some(count.which)));
            let contenders = others.saturating_add(1);
            let share = count.which.limit(sizes).checked_div(contenders);
            share.filter(|_| others > 0)
        };
        self.counts.iter().filter_map(share).min()
    }

    /// Takes note that one more pool starves at this count.
    pub(crate) fn starves(&self, at: Which) {
        self.count(at).hungry.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes note that one pool less starves at this count.
    pub(crate) fn fed(&self, at: Which) {
        self.count(at).hungry.fetch_sub(1, Ordering::AcqRel);
    }

    /// Asks all workers to close an idle server that counts here.
    pub(crate) fn beg(&self, at: Which) {
        self.mail_all(|| Mail::Yield(Arc::clone(self.count(at))));
    }

    fn count(&self, which: Which) -> &Arc<Count> {
        let [pool, database, user] = &self.counts;
        match which {
            Which::Pool => pool,
            Which::Database => database,
            Which::User => user,
        }
    }

    fn put(&self, count: &Arc<Count>) {
        count.used.fetch_sub(1, Ordering::AcqRel);
        if count.hungry.load(Ordering::Acquire) > 0 {
            self.mail_all(|| Mail::Free(Arc::clone(count)));
        }
    }

    fn mail_all(&self, mail: impl Fn() -> Mail) {
        // A worker that is gone has no servers left either.
        self.mailboxes.iter().for_each(|mailbox| drop(mailbox.send(mail())));
    }
}

/// Reads on a pool's servers, over all workers, that are there for want of a fresh replica.
#[derive(Debug, Default)]
pub(crate) struct Fallen {
    reads: AtomicU32,
    fewer: Notify,
}

impl Fallen {
    /// Takes a place among at most so many, if one is free.
    pub(crate) fn try_join(self: &Arc<Self>, limit: u32) -> Option<FallBack> {
        let join = |reads: u32| (reads < limit).then(|| reads.saturating_add(1));
        let joined = self.reads.fetch_update(Ordering::AcqRel, Ordering::Acquire, join);
        joined.is_ok().then(|| FallBack(Arc::clone(self)))
    }

    /// Waits until a place was left. Cancel-safe: whoever stops waiting wakes the next.
    pub(crate) async fn fewer(&self) {
        self.fewer.notified().await;
    }

    /// Wakes the next who waits: the one that was woken needs no place any more.
    pub(crate) fn pass_on(&self) {
        self.fewer.notify_one();
    }
}

/// A place among the reads that fell back; left at drop.
#[derive(Debug)]
pub(crate) struct FallBack(Arc<Fallen>);

impl Drop for FallBack {
    fn drop(&mut self) {
        self.0.reads.fetch_sub(1, Ordering::AcqRel);
        self.0.pass_on();
    }
}

/// The right to one server; given back at drop.
#[derive(Debug)]
pub(crate) struct Permit {
    permits: Arc<Permits>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.counts.iter().for_each(|count| self.permits.put(count));
    }
}

/// Pools kept before those that no worker has any more are forgotten.
const LEAST: usize = 4096;

/// Whose count it is: the cluster, the node, and the name of a user or a database.
type Group = (Which, Arc<str>, NodeId, Arc<str>);

#[derive(Debug)]
struct Known {
    pools: HashMap<Arc<PoolKey>, Arc<Permits>>,
    groups: HashMap<Group, Arc<Count>>,
    sweep: Sweep,
}

impl Default for Known {
    fn default() -> Self {
        Self { pools: HashMap::new(), groups: HashMap::new(), sweep: Sweep::from(LEAST) }
    }
}

impl Known {
    /// Forgets pools that no worker has, and counts that no pool has.
    fn sweep(&mut self) {
        self.pools.retain(|_, permits| Arc::strong_count(permits) > 1);
        self.groups.retain(|_, count| Arc::strong_count(count) > 1);
        self.sweep.swept(self.pools.len());
    }

    fn group(&mut self, which: Which, key: &Arc<PoolKey>) -> Arc<Count> {
        let name = if which == Which::User { &key.user } else { &key.database };
        let group = (which, Arc::clone(&key.cluster), key.node, Arc::clone(name));
        Arc::clone(self.groups.entry(group).or_insert_with(|| Count::new(which, key)))
    }
}

/// All pools' permits; locked only when a worker meets a pool for the first time.
#[derive(Debug)]
pub(crate) struct Registry {
    known: Mutex<Known>,
    mailboxes: Arc<[mpsc::UnboundedSender<Mail>]>,
}

impl Registry {
    pub(crate) fn new(mailboxes: Arc<[mpsc::UnboundedSender<Mail>]>) -> Self {
        Self { known: Mutex::default(), mailboxes }
    }

    /// The permits of a pool.
    pub(crate) fn of(&self, key: PoolKey) -> Arc<Permits> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = known.pools.get(&key) {
            return Arc::clone(permits);
        }
        if known.sweep.is_due(known.pools.len()) {
            known.sweep();
        }
        let key = Arc::new(key);
        let counts = Which::ALL.map(|which| match which {
            Which::Pool => Count::new(which, &key),
            Which::Database | Which::User => known.group(which, &key),
        });
        let mailboxes = Arc::clone(&self.mailboxes);
        let fallen = Arc::default();
        let permits = Arc::new(Permits { key: Arc::clone(&key), counts, fallen, mailboxes });
        known.pools.insert(key, Arc::clone(&permits));
        permits
    }

    /// Sends a mail to one worker; one that is gone needs none.
    pub(crate) fn mail(&self, worker: usize, mail: Mail) {
        if let Some(mailbox) = self.mailboxes.get(worker) {
            drop(mailbox.send(mail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Sizes = Sizes { pool: 9, reserve: 0, least: 0, database: u32::MAX, user: u32::MAX };

    fn registry() -> (Registry, mpsc::UnboundedReceiver<Mail>) {
        let (mailbox, mails) = mpsc::unbounded_channel();
        (Registry::new(Arc::from([mailbox])), mails)
    }

    fn pool(registry: &Registry, user: &str, database: &str, node: u32) -> Arc<Permits> {
        registry.of(PoolKey {
            cluster: Arc::from("main"),
            node: NodeId(node),
            user: Arc::from(user),
            database: Arc::from(database),
        })
    }

    #[test]
    fn a_databases_limit_holds_over_its_users_and_for_each_node() {
        let (registry, _mails) = registry();
        let sizes = Sizes { database: 2, ..FREE };
        let (ann, bob) = (pool(&registry, "ann", "shop", 1), pool(&registry, "bob", "shop", 1));
        let first = ann.try_take(&sizes).expect("the first");
        let _second = bob.try_take(&sizes).expect("the second");
        assert_eq!(bob.try_take(&sizes).err(), Some(Which::Database));
        assert_eq!(ann.full(&sizes), Some(Which::Database));
        assert!(pool(&registry, "ann", "shop", 2).try_take(&sizes).is_ok());
        assert!(pool(&registry, "ann", "other", 1).try_take(&sizes).is_ok());
        drop(first);
        assert!(bob.try_take(&sizes).is_ok());
    }

    #[test]
    fn a_users_limit_holds_over_databases() {
        let (registry, _mails) = registry();
        let sizes = Sizes { user: 1, ..FREE };
        let _first = pool(&registry, "ann", "shop", 1).try_take(&sizes).expect("the first");
        let other = pool(&registry, "ann", "other", 1);
        assert_eq!(other.try_take(&sizes).err(), Some(Which::User));
        assert_eq!(other.used(), 0, "what was taken on the way is given back");
        assert!(pool(&registry, "bob", "shop", 1).try_take(&sizes).is_ok());
    }

    #[test]
    fn who_starves_at_a_count_may_have_an_equal_share_of_it() {
        let (registry, _mails) = registry();
        let sizes = Sizes { database: 20, user: 9, ..FREE };
        let (ann, bob) = (pool(&registry, "ann", "shop", 1), pool(&registry, "bob", "shop", 1));
        assert_eq!(ann.fair_share(None, &sizes), None, "nobody starves");
        bob.starves(Which::Database);
        assert_eq!(ann.fair_share(None, &sizes), Some(10));
        ann.starves(Which::Database);
        assert_eq!(ann.fair_share(Some(Which::Database), &sizes), Some(10));
        pool(&registry, "eve", "shop", 1).starves(Which::Database);
        assert_eq!(ann.fair_share(Some(Which::Database), &sizes), Some(6));
        pool(&registry, "ann", "other", 1).starves(Which::User);
        assert_eq!(ann.fair_share(Some(Which::Database), &sizes), Some(4), "the tightest count");
    }

    #[test]
    fn a_free_permit_is_told_to_those_who_starve_for_it_and_to_nobody_else() {
        let (registry, mut mails) = registry();
        let (ann, bob) = (pool(&registry, "ann", "shop", 1), pool(&registry, "bob", "shop", 1));
        drop(ann.try_take(&FREE));
        assert!(mails.try_recv().is_err());
        let held = ann.try_take(&FREE);
        bob.starves(Which::Database);
        assert!(ann.fair_share(None, &FREE).is_some());
        assert_eq!(bob.fair_share(Some(Which::Database), &FREE), None);
        drop(held);
        let Ok(Mail::Free(count)) = mails.try_recv() else { panic!("no mail") };
        assert!(count.covers(&bob.key) && count.covers(&ann.key));
        assert!(!count.covers(&pool(&registry, "bob", "other", 1).key));
        bob.fed(Which::Database);
        assert_eq!(ann.fair_share(None, &FREE), None);
    }

    #[tokio::test]
    async fn a_read_that_falls_back_leaves_its_place_to_the_next() {
        let (registry, _mails) = registry();
        // Two workers, one count.
        let pools = [pool(&registry, "ann", "shop", 1), pool(&registry, "ann", "shop", 1)];
        let first = pools[0].fallen().try_join(2).expect("the first");
        let _second = pools[1].fallen().try_join(2).expect("the second");
        assert!(pools[0].fallen().try_join(2).is_none());
        assert!(pool(&registry, "ann", "other", 1).fallen().try_join(2).is_some());
        drop(first);
        pools[1].fallen().fewer().await;
        assert!(pools[1].fallen().try_join(2).is_some());
    }

    #[test]
    fn what_nobody_uses_any_more_is_forgotten() {
        let (registry, _mails) = registry();
        let kept = pool(&registry, "ann", "kept", 1);
        for number in 0..LEAST {
            drop(pool(&registry, "ann", &format!("tenant_{number}"), 1));
        }
        let known = registry.known.lock().unwrap();
        assert!(known.pools.len() < 4 && known.groups.len() < 5, "{}", known.pools.len());
        assert!(known.pools.contains_key(&kept.key));
    }

    #[test]
    fn many_pools_in_use_are_not_all_looked_at_for_each_new_one() {
        let (registry, _mails) = registry();
        let sweep = || registry.known.lock().unwrap().sweep;
        let (mut used, mut sweeps, mut before) = (Vec::new(), 0, sweep());
        for number in 0..8 * LEAST {
            used.push(pool(&registry, "ann", &format!("tenant_{number}"), 1));
            sweeps += usize::from(std::mem::replace(&mut before, sweep()) != sweep());
        }
        assert_eq!(sweeps, 3, "once for each doubling");
        let again = pool(&registry, "ann", "tenant_0", 1);
        assert!(Arc::ptr_eq(&used[0], &again));
    }
}
