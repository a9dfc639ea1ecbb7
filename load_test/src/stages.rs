//! Ramps: `30s:100,2m:100,30s:0` goes to 100 clients in 30 s, stays for 2 m, and goes back to none.

use std::{str::FromStr, time::Duration};

use crate::span;

/// How many clients are active at each moment; linear between the corners.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages(Vec<(Duration, usize)>);

impl Stages {
    /// How long all of it takes.
    pub fn duration(&self) -> Duration {
        self.0.iter().map(|(length, _)| *length).sum()
    }

    /// The most clients at any moment.
    pub fn most(&self) -> usize {
        self.0.iter().map(|(_, clients)| *clients).max().unwrap_or(0)
    }

    /// The clients at a moment. Nobody is there before the beginning.
    pub fn clients(&self, at: Duration) -> usize {
        let (mut begin, mut from) = (Duration::ZERO, 0usize);
        for (length, to) in &self.0 {
            if at < begin + *length {
                let part = (at - begin).as_secs_f64() / length.as_secs_f64();
                let clients = from as f64 + (*to as f64 - from as f64) * part;
                return clients.round() as usize;
            }
            (begin, from) = (begin + *length, *to);
        }
        from
    }
}

impl FromStr for Stages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let stage = |text: &str| {
            let form = || format!("`{text}` is no stage; write DURATION:CLIENTS, such as 30s:100");
            let (length, clients) = text.split_once(':').ok_or_else(form)?;
            Ok((span::parse(length.trim())?, clients.trim().parse().map_err(|_| form())?))
        };
        let stages = Self(text.split(',').map(|text| stage(text.trim())).collect::<Result<_, String>>()?);
        if stages.most() == 0 {
            return Err("no stage has any clients".into());
        }
        Ok(stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_linear_between_its_corners() {
        let stages: Stages = "30s:100, 2m:100,30s:0".parse().expect("stages");
        assert_eq!(stages.duration(), Duration::from_secs(180));
        assert_eq!(stages.most(), 100);
        let at = |seconds| stages.clients(Duration::from_secs(seconds));
        assert_eq!([0, 3, 15, 30, 90, 149].map(at), [0, 10, 50, 100, 100, 100]);
        assert_eq!([150, 165, 180, 999].map(at), [100, 50, 0, 0]);
    }

    #[test]
    fn a_stage_of_no_length_is_a_jump() {
        let stages: Stages = "0s:8,1s:8".parse().expect("stages");
        assert_eq!(stages.clients(Duration::ZERO), 8);
    }

    #[test]
    fn what_is_no_stage_is_refused() {
        for wrong in ["", "30s", "30s:", "30s:many", ":5", "1x:5", "1s:5,", "5s:0"] {
            assert!(wrong.parse::<Stages>().is_err(), "{wrong}");
        }
    }
}
