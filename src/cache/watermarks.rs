//! Watermarks: the place in the feed of the last change of each slot of keys, which decides whether a value
//! that another node read is current.
//!
//! A value from Redis carries the place in the feed at which it was read. It is current here if no change of
//! its key came after that place. A commit of this node is applied before its place is known: until a read of
//! the feed that began after it has ended well, and has brought the place, no value of that slot is used.

use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 1024;

/// How this node learned of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeOrigin {
    /// It was committed here, after so many reads of the feed had begun.
    Local(u64),
    /// It came with the feed, at this place.
    Feed(u64),
}

/// See the module.
pub(super) struct Watermarks(Box<[Watermark]>);

#[derive(Default)]
struct Watermark {
    /// The place of the last change watermarks.
    seq: AtomicU64,
    /// The number of the first read of the feed that can have brought what was committed here.
    awaits: AtomicU64,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self(std::iter::repeat_with(Watermark::default).take(SLOTS).collect())
    }
}

impl Watermarks {
    /// The least place a value of a key with this hash must have been read at, when `ended` is the
    /// number of the last read of the feed that ended well; `None` if none is believed yet.
    pub(super) fn floor(&self, hash: u64, ended: u64) -> Option<u64> {
        let slot = self.slot(hash);
        (slot.awaits.load(Ordering::SeqCst) <= ended).then(|| slot.seq.load(Ordering::SeqCst))
    }

    /// A key with this hash has changed.
    pub(super) fn raise(&self, hash: u64, origin: ChangeOrigin) {
        self.slot(hash).raise(origin);
    }

    /// Any key may have changed.
    pub(super) fn raise_all(&self, origin: ChangeOrigin) {
        self.0.iter().for_each(|slot| slot.raise(origin));
    }

    /// The feed begins anew: its old places mean nothing any more.
    pub(super) fn forget(&self) {
        self.0.iter().for_each(|slot| slot.seq.store(0, Ordering::SeqCst));
    }

    fn slot(&self, hash: u64) -> &Watermark {
        &self.0[usize::try_from(hash % SLOTS as u64).unwrap_or(0)]
    }
}

impl Watermark {
    fn raise(&self, origin: ChangeOrigin) {
        match origin {
            ChangeOrigin::Local(begun) => self.awaits.fetch_max(begun + 1, Ordering::SeqCst),
            ChangeOrigin::Feed(seq) => self.seq.fetch_max(seq, Ordering::SeqCst),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_this_node_closes_its_slot_until_the_feed_has_brought_it() {
        let watermarks = Watermarks::default();
        assert_eq!(watermarks.floor(7, 0), Some(0));
        watermarks.raise(7, ChangeOrigin::Local(3));
        for ended in 0..=3 {
            assert_eq!(watermarks.floor(7, ended), None, "read {ended} began before the commit was done");
        }
        assert_eq!(watermarks.floor(8, 0), Some(0), "other slots stay open");
        watermarks.raise(7, ChangeOrigin::Feed(40));
        assert_eq!(watermarks.floor(7, 4), Some(40));
        watermarks.raise_all(ChangeOrigin::Feed(41));
        assert_eq!((watermarks.floor(7, 4), watermarks.floor(8, 4)), (Some(41), Some(41)));
        watermarks.forget();
        assert_eq!(watermarks.floor(7, 4), Some(0));
    }
}
