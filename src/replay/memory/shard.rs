//! A part of the table: entries in a list without gaps, found by a hash table of their places, and
//! chained by the time at which they expire.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashTable;

use crate::replay::ClaimToken;

/// Of a key, under the guard's own key: equally spread, so that any bits of it are a hash.
pub(super) type Digest = [u8; 16];

/// Since the guard was made. 68 years fit beside a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seconds(u32);

const SETTLED: u32 = 1 << 31;

impl Seconds {
    pub(super) fn floor(time: Duration) -> Self {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        Self(seconds.min(SETTLED - 1))
    }

    pub(super) fn ceil(time: Duration) -> Self {
        Self::floor(time.saturating_add(Duration::from_nanos(999_999_999)))
    }

    /// Settled entries of one such span are chained together, and freed once all of it is over.
    fn span(self) -> u32 {
        self.0 / 16
    }
}

/// The place of an entry.
type Place = u32;

const NOWHERE: Place = Place::MAX;

/// 44 bytes; with spare room of an eighth and at most 11.5 bytes of the table, 61.
struct Entry {
    digest: Digest,
    token: [u8; 16],
    /// The second at which it expires, and [`SETTLED`].
    until: u32,
    /// Its neighbours in its chain: those in flight, or the settled ones of the same span.
    before: Place,
    after: Place,
}

/// What is known of a key.
pub(super) struct Held {
    pub(super) token: ClaimToken,
    pub(super) settled: bool,
    /// Until it expires.
    pub(super) left: Duration,
}

pub(super) struct Shard {
    table: HashTable<Place>,
    entries: Vec<Entry>,
    /// The settled entries of each span.
    spans: BTreeMap<u32, Chain>,
    /// Those in flight. Leases are of one length, so that the oldest ends first; where they are not,
    /// one may be freed later than it could.
    in_flight: Chain,
}

/// The ends of a chain of entries, in the order in which they came.
#[derive(Clone, Copy)]
struct Chain {
    latest: Place,
    oldest: Place,
}

impl Chain {
    const EMPTY: Self = Self {
        latest: NOWHERE,
        oldest: NOWHERE,
    };
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            entries: Vec::new(),
            spans: BTreeMap::new(),
            in_flight: Chain::EMPTY,
        }
    }
}

impl Shard {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is known of a key, unless it has expired.
    pub(super) fn find(&self, digest: &Digest, now: Seconds) -> Option<Held> {
        let entry = self.entry(self.place(digest)?);
        let left = entry
            .until()
            .0
            .checked_sub(now.0)
            .filter(|left| *left > 0)?;
        Some(Held {
            token: ClaimToken::from_bytes(entry.token),
            settled: entry.is_settled(),
            left: Duration::from_secs(left.into()),
        })
    }

    /// Sets what is known of a key; whether something was, perhaps until it expired.
    pub(super) fn set(
        &mut self,
        digest: Digest,
        token: ClaimToken,
        until: Seconds,
        settled: bool,
    ) -> bool {
        let until = until.0 | if settled { SETTLED } else { 0 };
        let known = self.place(&digest);
        let place = match known {
            Some(place) => {
                self.unlink(place);
                place
            }
            None => self.push(digest),
        };
        let entry = self.entry_mut(place);
        entry.token = token.to_bytes();
        entry.until = until;
        self.link(place);
        known.is_some()
    }

    /// Makes room for an entry, in no chain yet.
    fn push(&mut self, digest: Digest) -> Place {
        // While it is small by doubling, then by an eighth: else half of the memory would lie idle.
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries
                .reserve_exact((len / 8).max(len.min(1024)).max(8));
        }
        let place = index_to_place(self.entries.len());
        self.entries.push(Entry {
            digest,
            token: [0; 16],
            until: 0,
            before: NOWHERE,
            after: NOWHERE,
        });
        let entries = &self.entries;
        self.table.insert_unique(hash(&digest), place, |place| {
            hash(&entry_at(entries, *place).digest)
        });
        place
    }

    /// Removes the entry of a key; whether there was one.
    pub(super) fn remove(&mut self, digest: &Digest) -> bool {
        let same = |place: &Place| entry_at(&self.entries, *place).digest == *digest;
        let Ok(found) = self.table.find_entry(hash(digest), same) else {
            return false;
        };
        let (place, _) = found.remove();
        self.unlink(place);
        self.fill(place);
        true
    }

    /// Frees an entry that has expired, if there is one; whether there was. May overlook those that
    /// expired in the last 16 seconds.
    pub(super) fn free_expired(&mut self, now: Seconds) -> bool {
        let settled = self.spans.first_key_value();
        let settled = settled.filter(|(span, _)| **span < now.span());
        let expired = match settled {
            Some((_, chain)) => Some(self.entry(chain.oldest)),
            None => {
                let oldest = self.entries.get(place_to_index(self.in_flight.oldest));
                oldest.filter(|entry| entry.until() <= now)
            }
        };
        let digest = expired.map(|entry| entry.digest);
        digest.is_some_and(|digest| self.remove(&digest))
    }

    /// When the settled entry expires that does so first, or about first.
    pub(super) fn first_to_expire(&self) -> Option<Seconds> {
        Some(self.oldest_settled()?.until())
    }

    /// Frees that entry; whether there was one.
    pub(super) fn forget_first(&mut self) -> bool {
        let digest = self.oldest_settled().map(|entry| entry.digest);
        digest.is_some_and(|digest| self.remove(&digest))
    }

    fn oldest_settled(&self) -> Option<&Entry> {
        let (_, chain) = self.spans.first_key_value()?;
        Some(self.entry(chain.oldest))
    }

    fn place(&self, digest: &Digest) -> Option<Place> {
        let same = |place: &Place| self.entry(*place).digest == *digest;
        self.table.find(hash(digest), same).copied()
    }

    /// Puts the last entry where one was taken out.
    fn fill(&mut self, gap: Place) {
        let last = index_to_place(self.entries.len() - 1);
        self.entries.swap_remove(place_to_index(gap));
        if gap == last {
            return;
        }
        let moved = self.entry(gap);
        let (digest, before, after) = (moved.digest, moved.before, moved.after);
        let chain = moved.chain();
        if let Some(place) = self.table.find_mut(hash(&digest), |place| *place == last) {
            *place = gap;
        }
        self.join(chain, before, gap);
        self.join(chain, gap, after);
    }

    /// Puts an entry into its chain, as the latest.
    fn link(&mut self, place: Place) {
        let chain = match self.entry(place).chain() {
            None => &mut self.in_flight,
            Some(span) => self.spans.entry(span).or_insert(Chain::EMPTY),
        };
        let after = std::mem::replace(&mut chain.latest, place);
        if after == NOWHERE {
            chain.oldest = place;
        } else {
            self.entry_mut(after).before = place;
        }
        let entry = self.entry_mut(place);
        (entry.before, entry.after) = (NOWHERE, after);
    }

    fn unlink(&mut self, place: Place) {
        let entry = self.entry(place);
        let (chain, before, after) = (entry.chain(), entry.before, entry.after);
        match chain {
            Some(span) if before == NOWHERE && after == NOWHERE => {
                self.spans.remove(&span);
            }
            _ => self.join(chain, before, after),
        }
    }

    /// Makes two places neighbours; [`NOWHERE`] is before the latest and after the oldest.
    fn join(&mut self, chain: Option<u32>, before: Place, after: Place) {
        if before == NOWHERE || after == NOWHERE {
            let ends = match chain {
                None => Some(&mut self.in_flight),
                Some(span) => self.spans.get_mut(&span),
            };
            if let Some(ends) = ends {
                if before == NOWHERE {
                    ends.latest = after;
                }
                if after == NOWHERE {
                    ends.oldest = before;
                }
            }
        }
        if before != NOWHERE {
            self.entry_mut(before).after = after;
        }
        if after != NOWHERE {
            self.entry_mut(after).before = before;
        }
    }

    fn entry(&self, place: Place) -> &Entry {
        entry_at(&self.entries, place)
    }

    #[expect(clippy::indexing_slicing, reason = "a place is that of an entry")]
    fn entry_mut(&mut self, place: Place) -> &mut Entry {
        &mut self.entries[place_to_index(place)]
    }
}

impl Entry {
    fn until(&self) -> Seconds {
        Seconds(self.until & !SETTLED)
    }

    fn is_settled(&self) -> bool {
        self.until & SETTLED != 0
    }

    /// The span of a settled entry; none for those in flight.
    fn chain(&self) -> Option<u32> {
        self.is_settled().then(|| self.until().span())
    }
}

#[expect(clippy::indexing_slicing, reason = "a place is that of an entry")]
fn entry_at(entries: &[Entry], place: Place) -> &Entry {
    &entries[place_to_index(place)]
}

fn place_to_index(place: Place) -> usize {
    place as usize
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "four billion entries of one shard would take 176 GiB"
)]
fn index_to_place(index: usize) -> Place {
    index as Place
}

/// The first byte tells shards apart, so others are taken.
fn hash(digest: &Digest) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    impl Shard {
        /// Whether table, entries and chains tell the same story.
        fn check(&self) {
            assert_eq!(self.table.len(), self.entries.len());
            for (index, entry) in self.entries.iter().enumerate() {
                assert_eq!(self.place(&entry.digest).map(place_to_index), Some(index));
            }
            let mut chained = 0;
            let mut walk = |chain, first| {
                let (mut before, mut place) = (NOWHERE, first);
                while place != NOWHERE {
                    let entry = self.entry(place);
                    assert_eq!((entry.before, entry.chain()), (before, chain));
                    (before, place) = (place, entry.after);
                    chained += 1;
                }
                before
            };
            let in_flight = self.in_flight;
            assert_eq!(walk(None, in_flight.latest), in_flight.oldest);
            for (span, chain) in &self.spans {
                assert_eq!(walk(Some(*span), chain.latest), chain.oldest);
                assert_ne!(chain.oldest, NOWHERE, "no chain is empty");
            }
            assert_eq!(chained, self.entries.len());
        }
    }

    /// What the docs promise of an event's memory rests on it.
    #[test]
    fn entries_grow_by_doubling_and_then_by_an_eighth() {
        let mut shard = Shard::default();
        let mut rooms = Vec::new();
        for n in 0..40_000_u64 {
            let (len, capacity) = (shard.entries.len(), shard.entries.capacity());
            let mut digest = [0; 16];
            digest[..8].copy_from_slice(&n.to_ne_bytes());
            shard.push(digest);
            if shard.entries.capacity() != capacity {
                assert_eq!(len, capacity, "it is full before it grows");
                rooms.push((len, shard.entries.capacity() - len));
            }
        }
        assert_eq!(rooms[..4], [(0, 8), (8, 8), (16, 16), (32, 32)]);
        assert!(rooms.contains(&(1024, 1024)), "{rooms:?}");
        for (len, room) in rooms {
            if len >= 8 * 1024 {
                assert_eq!(room, len / 8, "at {len}");
            }
        }
    }

    fn digest(key: u8) -> Digest {
        // Few hashes for many keys, so that they collide.
        let mut digest = [key % 4; 16];
        digest[0] = key;
        digest
    }

    proptest! {
        /// Beside a plain map, over any operations.
        #[test]
        fn as_a_map(operations in prop::collection::vec((0_u8..5, 0_u8..24, 0_u32..100), 0..300)) {
            let mut shard = Shard::default();
            let mut model: HashMap<Digest, (u32, bool)> = HashMap::new();
            let token = ClaimToken::from_bytes([1; 16]);
            for (operation, key, time) in operations {
                let (digest, now) = (digest(key), Seconds(time));
                match operation {
                    0 | 1 => {
                        let settled = operation == 1;
                        shard.set(digest, token, now, settled);
                        model.insert(digest, (time, settled));
                    }
                    2 => prop_assert_eq!(shard.remove(&digest), model.remove(&digest).is_some()),
                    3 => {
                        let due = |(until, settled): &(u32, bool)| match settled {
                            true => until / 16 < time / 16,
                            false => *until <= time,
                        };
                        let some_settled = model.values().any(|row| row.1 && due(row));
                        let freed = shard.free_expired(now);
                        // In flight, the oldest is looked at, and that need not end first.
                        prop_assert!(freed || !some_settled);
                        let gone: Vec<_> = model.iter().filter(|(digest, _)| shard.place(digest).is_none()).map(|(digest, row)| (*digest, *row)).collect();
                        prop_assert_eq!(gone.len(), usize::from(freed));
                        for (digest, row) in gone {
                            prop_assert!(due(&row));
                            model.remove(&digest);
                        }
                    }
                    _ => {
                        let found = shard.find(&digest, now).map(|held| held.settled);
                        let known = model.get(&digest).filter(|(until, _)| time < *until);
                        prop_assert_eq!(found, known.map(|(_, settled)| *settled));
                    }
                }
                shard.check();
            }
        }
    }

    #[test]
    fn what_has_not_expired_is_not_freed_and_what_has_is() {
        let mut shard = Shard::default();
        let token = ClaimToken::generate();
        for (key, until) in [(1, 10), (2, 40), (3, 40)] {
            shard.set(digest(key), token, Seconds(until), true);
        }
        assert!(!shard.free_expired(Seconds(15)));
        assert!(shard.free_expired(Seconds(16)));
        assert!(shard.find(&digest(1), Seconds(0)).is_none());
        assert!(!shard.free_expired(Seconds(47)));
        assert!(shard.free_expired(Seconds(48)) && shard.free_expired(Seconds(48)));
        assert!(shard.entries.is_empty() && shard.spans.is_empty());
    }

    #[test]
    fn seconds_are_rounded_to_the_safe_side() {
        for (time, floor, ceil) in [
            (Duration::ZERO, 0, 0),
            (Duration::from_millis(1), 0, 1),
            (Duration::from_millis(1999), 1, 2),
            (Duration::from_secs(2), 2, 2),
            (Duration::MAX, SETTLED - 1, SETTLED - 1),
        ] {
            assert_eq!(
                (Seconds::floor(time), Seconds::ceil(time)),
                (Seconds(floor), Seconds(ceil))
            );
        }
    }

    #[test]
    fn an_entry_has_44_bytes() {
        assert_eq!(size_of::<Entry>(), 44);
    }
}
