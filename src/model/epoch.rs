//! Epochs: numbers on users and clients, raised to end everything that was issued under a lower one.

/// Whether what was issued under one epoch is valid under the present one. No clock is compared: a raised
/// epoch ends what came before it, whenever that was.
///
/// A higher epoch than the present one is valid: the present one may come from a cache that is a moment old.
pub const fn is_current_epoch(issued_under: u32, present: u32) -> bool {
    issued_under >= present
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_below_the_present_epoch_is_invalid() {
        let valid = [(0, 0), (1, 0), (7, 7), (8, 7), (u32::MAX, u32::MAX)];
        let invalid = [(0, 1), (6, 7), (0, u32::MAX)];
        assert!(valid.iter().all(|(issued, present)| is_current_epoch(*issued, *present)));
        assert!(!invalid.iter().any(|(issued, present)| is_current_epoch(*issued, *present)));
    }
}
