//! Requests that are made anew while they are sent, before the tokens in them expire.

use std::{
    io::{Write as _, stderr},
    sync::{
        Arc, PoisonError, RwLock,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use crate::failure::Failure;

/// Whole requests that are alike.
type Requests = Vec<Vec<u8>>;

/// The requests of a kind as they are now.
#[derive(Clone, Debug, Default)]
pub struct Variants(Arc<RwLock<Arc<Requests>>>);

impl Variants {
    /// These, until others take their place.
    pub fn new(requests: Requests) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(requests))))
    }

    /// Those of now; they stay good for whoever is sending one.
    pub fn now(&self) -> Arc<Requests> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, requests: Arc<Requests>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = requests;
    }
}

/// How requests are made anew.
pub struct Renewal {
    /// So often.
    pub every: Duration,
    /// Whose: each kind of request gets those that `make` gives in its place.
    pub variants: Vec<Variants>,
    /// Makes them.
    pub make: Box<dyn Fn() -> Result<Vec<Variants>, Failure> + Send>,
}

impl Renewal {
    /// Goes on until what is returned is dropped. A renewal that fails is told; the requests stay as they are.
    pub fn begin(self) -> Sender<()> {
        let (goes_on, ended) = channel();
        thread::spawn(move || {
            while ended.recv_timeout(self.every) == Err(RecvTimeoutError::Timeout) {
                match (self.make)() {
                    Ok(made) => self.variants.iter().zip(made).for_each(|(held, made)| held.set(made.now())),
                    // Where nobody listens, the errors of the run have to do.
                    Err(failure) => _ = writeln!(stderr(), "tokens are not renewed: {failure}"),
                }
            }
        });
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[test]
    fn requests_are_replaced_until_the_run_is_over() {
        let held = Variants::new(vec![vec![0]]);
        let sending = held.now();
        let count = AtomicU8::new(0);
        let (made, told) = channel();
        let make = move || {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            // Whoever listened may be content.
            let _ = made.send(number);
            Ok(vec![Variants::new(vec![vec![number]])])
        };
        let renewal =
            Renewal { every: Duration::from_millis(1), variants: vec![held.clone()], make: Box::new(make) };
        let goes_on = renewal.begin();
        // When the third is made the second is in its place.
        for number in 1..=3 {
            assert_eq!(told.recv(), Ok(number));
        }
        assert!(held.now()[0][0] >= 2);
        assert_eq!(sending[0], [0], "what is being sent stays as it is");
        drop(goes_on);
        // The thread has ended, and let go of the other end.
        while told.recv().is_ok() {}
    }
}
