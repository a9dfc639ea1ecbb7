//! Chance, for spreading moments: those who failed together must not come back together.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A number from 0 up to 1. Good enough to spread moments, never for what must be secret.
pub fn draw() -> f64 {
    // Each state has keys of its own, so the hash of nothing is different each time.
    let bits = RandomState::new().hash_one(()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// Between half of a duration and all of it, by a number from 0 up to 1.
pub fn spread(most: Duration, draw: f64) -> Duration {
    most.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_fill_the_range_from_zero_to_one() {
        let mut tenths = [0_u32; 10];
        for _ in 0..10_000 {
            let drawn = draw();
            assert!((0.0..1.0).contains(&drawn), "{drawn}");
            tenths[(drawn * 10.0) as usize] += 1;
        }
        // A thousand are expected in each; the chance of fewer than 700 is nil.
        assert!(tenths.iter().all(|count| *count > 700), "{tenths:?}");
    }

    #[test]
    fn half_to_all_of_a_duration_is_left() {
        let most = Duration::from_millis(200);
        assert_eq!(spread(most, 0.0), most / 2);
        assert_eq!(spread(most, 1.0), most);
    }
}
