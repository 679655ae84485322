//! The statements that one server has prepared, and which of them was used least recently.
//!
//! A list through the slots of a table, the most recently used at its head: to use one, to add one and to find the
//! one to close cost the same however many there are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::StatementId;

/// A slot's place in the table.
type Place = usize;

/// The statements that one server has prepared, least recently used first to go.
#[derive(Debug, Default)]
pub struct ServerStatements {
    places: HashMap<StatementId, Place, BuildHasherDefault<Spread>>,
    slots: Vec<Slot>,
    free: Vec<Place>,
    newest: Option<Place>,
    oldest: Option<Place>,
}

/// One statement between its neighbours in time of use.
#[derive(Debug, Clone, Copy)]
struct Slot {
    id: StatementId,
    newer: Option<Place>,
    older: Option<Place>,
}

/// A hasher for numbers of Weir's own, which no client chooses: one multiplication spreads them.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // The golden ratio's digits; the table takes its bits from both ends.
        let spread = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }
}

impl ServerStatements {
    /// Whether the statement is prepared; marks it as used.
    pub fn touch(&mut self, id: StatementId) -> bool {
        let Some(place) = self.places.get(&id).copied() else { return false };
        if self.newest != Some(place) {
            self.unlink(place);
            self.link(place);
        }
        true
    }

    /// Whether the statement is prepared.
    #[must_use]
    pub fn has(&self, id: StatementId) -> bool {
        self.places.contains_key(&id)
    }

    /// Records a statement whose `ParseComplete` arrived; it counts as used.
    pub fn insert(&mut self, id: StatementId) {
        if self.touch(id) {
            return;
        }
        let slot = Slot { id, newer: None, older: None };
        let place = if let Some(place) = self.free.pop() {
            self.change(place, |free| *free = slot);
            place
        } else {
            self.slots.push(slot);
            self.slots.len().saturating_sub(1)
        };
        self.places.insert(id, place);
        self.link(place);
    }

    /// Forgets a statement.
    pub fn remove(&mut self, id: StatementId) {
        if let Some(place) = self.places.remove(&id) {
            self.unlink(place);
            self.free.push(place);
        }
    }

    /// Forgets all (`DEALLOCATE ALL`, `DISCARD ALL`).
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The least recently used statement, if there are more than `most`.
    #[must_use]
    pub fn surplus(&self, most: u32) -> Option<StatementId> {
        let many = self.places.len() > usize::try_from(most).unwrap_or(usize::MAX);
        self.slots.get(self.oldest.filter(|_| many)?).map(|slot| slot.id)
    }

    /// Puts a slot that has no neighbours to the head.
    fn link(&mut self, place: Place) {
        let second = self.newest.replace(place);
        self.change(place, |slot| (slot.newer, slot.older) = (None, second));
        match second {
            Some(second) => self.change(second, |slot| slot.newer = Some(place)),
            None => self.oldest = Some(place),
        }
    }

    /// Joins a slot's neighbours.
    fn unlink(&mut self, place: Place) {
        let Some(Slot { newer, older, .. }) = self.slots.get(place).copied() else { return };
        match newer {
            Some(newer) => self.change(newer, |slot| slot.older = older),
            None => self.newest = older,
        }
        match older {
            Some(older) => self.change(older, |slot| slot.newer = newer),
            None => self.oldest = newer,
        }
    }

    fn change(&mut self, place: Place, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.get_mut(place) {
            change(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_recently_used_statement_is_the_surplus() {
        let mut server = ServerStatements::default();
        server.insert(1);
        server.insert(2);
        assert_eq!(server.surplus(2), None);
        assert!(server.touch(1));
        server.insert(3);
        assert_eq!(server.surplus(2), Some(2));
    }

    #[test]
    fn a_million_statements_one_after_another_take_the_room_of_those_that_are_kept() {
        let mut server = ServerStatements::default();
        for id in 0..1_000_000 {
            if let Some(surplus) = server.surplus(199) {
                assert_eq!(surplus, id - 200);
                server.remove(surplus);
            }
            server.insert(id);
        }
        assert_eq!((server.places.len(), server.slots.len()), (200, 200));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Touch(StatementId),
        Insert(StatementId),
        Remove(StatementId),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 0_u64..12;
        prop_oneof![
            5 => id.clone().prop_map(Step::Touch),
            5 => id.clone().prop_map(Step::Insert),
            3 => id.prop_map(Step::Remove),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_in_the_order_of_use_does(steps in prop::collection::vec(step(), 0..200)) {
            let (mut server, mut list) = (ServerStatements::default(), Vec::new());
            for step in steps {
                match step {
                    Step::Touch(id) => {
                        let known = list.iter().position(|known| *known == id);
                        prop_assert_eq!(server.touch(id), known.is_some());
                        if let Some(known) = known {
                            list.remove(known);
                            list.push(id);
                        }
                    }
                    Step::Insert(id) => {
                        server.insert(id);
                        list.retain(|known| *known != id);
                        list.push(id);
                    }
                    Step::Remove(id) => {
                        server.remove(id);
                        list.retain(|known| *known != id);
                    }
                    Step::Clear => {
                        server.clear();
                        list.clear();
                    }
                }
                for most in 0..=u32::try_from(list.len()).unwrap() {
                    let expected = list.first().copied().filter(|_| (most as usize) < list.len());
                    prop_assert_eq!(server.surplus(most), expected);
                }
                prop_assert!((0..12).all(|id| server.has(id) == list.contains(&id)));
            }
        }
    }
}
