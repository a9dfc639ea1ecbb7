//! What this node has heard of a cache's keys: which values that others read may still be believed.
//!
//! A value from Redis tells at which place in the feed it was read. It is true here if no change of its
//! key came after that place. So for each slot of keys the place of the last change heard is kept. A
//! commit of this node is applied before its place is known: until a read of the feed that began after
//! it has ended well, and has brought the place, no value of that slot is believed.

use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 1024;

/// How this node learned of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// It was committed here, after so many reads of the feed had begun.
    Here(u64),
    /// It came with the feed, at this place.
    Feed(u64),
}

/// See the module.
pub(super) struct Heard(Box<[Slot]>);

#[derive(Default)]
struct Slot {
    /// The place of the last change heard.
    seq: AtomicU64,
    /// The number of the first read of the feed that can have brought what was committed here.
    awaits: AtomicU64,
}

impl Default for Heard {
    fn default() -> Self {
        Self(std::iter::repeat_with(Slot::default).take(SLOTS).collect())
    }
}

impl Heard {
    /// The least place a value of a key with this hash must have been read at, when `ended` is the
    /// number of the last read of the feed that ended well; `None` if none is believed yet.
    pub(super) fn floor(&self, hash: u64, ended: u64) -> Option<u64> {
        let slot = self.slot(hash);
        (slot.awaits.load(Ordering::SeqCst) <= ended).then(|| slot.seq.load(Ordering::SeqCst))
    }

    /// A key with this hash has changed.
    pub(super) fn raise(&self, hash: u64, how: Knowledge) {
        self.slot(hash).raise(how);
    }

    /// Any key may have changed.
    pub(super) fn raise_all(&self, how: Knowledge) {
        self.0.iter().for_each(|slot| slot.raise(how));
    }

    /// The feed begins anew: its old places mean nothing any more.
    pub(super) fn forget(&self) {
        self.0.iter().for_each(|slot| slot.seq.store(0, Ordering::SeqCst));
    }

    fn slot(&self, hash: u64) -> &Slot {
        &self.0[usize::try_from(hash % SLOTS as u64).unwrap_or(0)]
    }
}

impl Slot {
    fn raise(&self, how: Knowledge) {
        match how {
            Knowledge::Here(begun) => self.awaits.fetch_max(begun + 1, Ordering::SeqCst),
            Knowledge::Feed(seq) => self.seq.fetch_max(seq, Ordering::SeqCst),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_this_node_closes_its_slot_until_the_feed_has_brought_it() {
        let heard = Heard::default();
        assert_eq!(heard.floor(7, 0), Some(0));
        heard.raise(7, Knowledge::Here(3));
        for ended in 0..=3 {
            assert_eq!(heard.floor(7, ended), None, "read {ended} began before the commit was done");
        }
        assert_eq!(heard.floor(8, 0), Some(0), "other slots stay open");
        heard.raise(7, Knowledge::Feed(40));
        assert_eq!(heard.floor(7, 4), Some(40));
        heard.raise_all(Knowledge::Feed(41));
        assert_eq!((heard.floor(7, 4), heard.floor(8, 4)), (Some(41), Some(41)));
        heard.forget();
        assert_eq!(heard.floor(7, 4), Some(0));
    }
}
