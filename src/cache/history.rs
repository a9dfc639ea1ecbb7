//! The part of the feed that this node has followed, and whether a value was read in the same history.
//!
//! A place in the feed is a number, and after a failover that lost its last commits the same numbers
//! come again for other changes. So a [`Stamp`] also carries a mark of the change at its place: a value
//! from before the failover, put beside the numbers of after it, does not fit.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::{Change, FeedPosition};

/// Places whose marks are kept: 1 MiB.
const KEPT: usize = 65_536;

/// The place at which a value was read, and a mark of the change that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) mark: u64,
}

/// The mark of a place whose change was swept before this node could read it.
const SWEPT: u64 = 0;

/// A digest of a change, the same in every process of the same version. Nothing hangs on its strength:
/// who can choose changes can commit.
pub(super) fn mark(change: &Change) -> u64 {
    let mut hasher = DefaultHasher::new();
    change.hash(&mut hasher);
    hasher.finish().max(SWEPT + 1)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Followed>);

#[derive(Debug, Default)]
struct Followed {
    /// Everything up to here is applied; `None` while the index is loaded.
    at: Option<FeedPosition>,
    /// Places and marks, ascending.
    marks: VecDeque<(u64, u64)>,
}

impl History {
    /// What this node followed is no longer the history; nothing is believed until [`History::begin`].
    pub(super) fn forget(&self) {
        *self.lock() = Followed::default();
    }

    /// Everything up to `at` was loaded from rows; what comes after is followed change by change.
    pub(super) fn begin(&self, at: FeedPosition) {
        *self.lock() = Followed { at: Some(at), marks: VecDeque::from([(at.seq, SWEPT)]) };
    }

    /// The change at the very place where this node stands, read once more; `false` if it is another
    /// than before.
    pub(super) fn confirms(&self, seq: u64, change: &Change) -> bool {
        let mut followed = self.lock();
        match followed.marks.back_mut() {
            Some((last, known)) if *last == seq => {
                let now = mark(change);
                let same = *known == SWEPT || *known == now;
                *known = now;
                same
            }
            _ => true,
        }
    }

    /// Changes were applied, with the places they have; the last is `at`.
    pub(super) fn follow(&self, changes: &[(u64, Change)], at: FeedPosition) {
        let mut followed = self.lock();
        if followed.at.is_none() {
            return;
        }
        followed.at = Some(at);
        followed.marks.extend(changes.iter().map(|(seq, change)| (*seq, mark(change))));
        let surplus = followed.marks.len().saturating_sub(KEPT);
        followed.marks.drain(..surplus);
    }

    /// What a row read from now on is stamped with: it is at least as new.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let followed = self.lock();
        let at = followed.at?;
        let (seq, mark) = *followed.marks.back()?;
        (seq == at.seq).then_some(Stamp { epoch: at.epoch, seq, mark })
    }

    /// Whether a stamp is of a place this node has followed, in the same history.
    pub(super) fn holds(&self, stamp: Stamp) -> bool {
        let followed = self.lock();
        let place = followed.marks.binary_search_by_key(&stamp.seq, |(seq, _)| *seq);
        followed.at.is_some_and(|at| at.epoch == stamp.epoch)
            && place.is_ok_and(|place| followed.marks[place].1 == stamp.mark)
    }

    /// A panic elsewhere leaves it usable: every change to it is complete in itself.
    fn lock(&self) -> MutexGuard<'_, Followed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, UserId};

    fn change(n: u8) -> Change {
        Change::User { id: UserId(Id([n; 16])) }
    }

    fn position(seq: u64) -> FeedPosition {
        FeedPosition { epoch: 1, seq }
    }

    #[test]
    fn only_places_that_were_followed_in_this_history_are_held() {
        let history = History::default();
        assert_eq!(history.stamp(), None);
        history.begin(position(5));
        let loaded = history.stamp().expect("it has begun");
        assert!(history.holds(loaded));
        history.follow(&[(6, change(6)), (7, change(7))], position(7));
        let now = history.stamp().expect("it goes on");
        assert_eq!(now, Stamp { epoch: 1, seq: 7, mark: mark(&change(7)) });
        let six = Stamp { seq: 6, mark: mark(&change(6)), ..now };
        assert!(history.holds(now) && history.holds(six) && history.holds(loaded));
        for other in [
            Stamp { epoch: 2, ..now },
            Stamp { seq: 4, ..now },
            Stamp { seq: 8, ..now },
            Stamp { seq: 6, ..now },
        ] {
            assert!(!history.holds(other), "{other:?}");
        }
        history.forget();
        assert!(!history.holds(now));
    }

    #[test]
    fn another_change_at_the_same_place_is_noticed() {
        let history = History::default();
        history.begin(position(5));
        assert!(history.confirms(5, &change(5)), "it was not known until now");
        assert!(history.confirms(5, &change(5)));
        assert!(!history.confirms(5, &change(6)));
    }

    #[test]
    fn old_places_are_let_go() {
        let history = History::default();
        history.begin(position(0));
        let changes: Vec<_> = (1..=KEPT as u64 + 10).map(|seq| (seq, change(1))).collect();
        history.follow(&changes, position(KEPT as u64 + 10));
        let stamp = |seq| Stamp { epoch: 1, seq, mark: mark(&change(1)) };
        assert!(!history.holds(stamp(10)) && history.holds(stamp(11)));
    }
}
