//! The mix of a workload: `token:30,introspect:60,userinfo:10`.

use std::str::FromStr;

/// What can be mixed: requests whose bytes are known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `POST /oauth/token`, client_credentials.
    Token,
    /// `POST /oauth/introspect`.
    Introspect,
    /// `GET /oauth/userinfo`.
    Userinfo,
    /// `GET /.well-known/openid-configuration`.
    Discovery,
    /// `GET /.well-known/jwks.json`.
    Jwks,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Token, Self::Introspect, Self::Userinfo, Self::Discovery, Self::Jwks];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Introspect => "introspect",
            Self::Userinfo => "userinfo",
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
        }
    }
}

/// Kinds with their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution(pub Vec<(Kind, u32)>);

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let form = || format!("`{part}` is no part of a mix; write NAME:WEIGHT, such as token:30");
            let (name, weight) = part.split_once(':').ok_or_else(form)?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim()).ok_or_else(|| {
                let names = Kind::ALL.map(Kind::name).join(", ");
                format!("`{name}` cannot be mixed; choose from {names}")
            })?;
            if parts.iter().any(|(held, _)| *held == kind) {
                return Err(format!("`{name}` is there twice; add its weights"));
            }
            let weight = weight.trim().parse().ok().filter(|weight| (1..=10_000).contains(weight));
            parts.push((kind, weight.ok_or_else(|| format!("the weight in `{part}` is not 1 to 10000"))?));
        }
        Ok(Self(parts))
    }
}

/// One turn of the mix: each index as often as its weight says, as evenly spread as can be, so that any
/// stretch of it has nearly the right shares.
pub fn turn(weights: &[u32]) -> Vec<usize> {
    let divisor = weights.iter().fold(0, |a, b| greatest_common_divisor(a, *b)).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0i64; weights.len()];
    let mut next = || {
        credit.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
        let most = (0..credit.len()).rev().max_by_key(|at| credit[*at]).unwrap_or(0);
        credit[most] -= total;
        most
    };
    (0..total).map(|_| next()).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_in_its_order() {
        let mix: Distribution = "token:30, introspect:60,userinfo:10".parse().expect("a mix");
        assert_eq!(mix.0, [(Kind::Token, 30), (Kind::Introspect, 60), (Kind::Userinfo, 10)]);
    }

    #[test]
    fn what_is_no_mix_is_refused_with_the_reason() {
        for (wrong, part) in [
            ("", "NAME:WEIGHT"),
            ("token", "NAME:WEIGHT"),
            ("tokens:3", "choose from token"),
            ("token:0", "1 to 10000"),
            ("token:-1", "1 to 10000"),
            ("token:1,token:2", "twice"),
            ("token:1,", "NAME:WEIGHT"),
        ] {
            let error = wrong.parse::<Distribution>().expect_err(wrong);
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_turn_has_the_exact_shares_and_spreads_them() {
        let turn = turn(&[30, 60, 10]);
        let count = |index| turn.iter().filter(|held| **held == index).count();
        assert_eq!((turn.len(), count(0), count(1), count(2)), (10, 3, 6, 1));
        assert!(turn.windows(3).all(|three| three.contains(&1)), "{turn:?}");
        assert_eq!(super::turn(&[7]), [0]);
    }
}
