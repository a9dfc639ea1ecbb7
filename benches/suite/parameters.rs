//! Form bodies into parameters: ours, which refuses what is repeated and borrows what it can, against the
//! usual map of strings.

use std::{collections::HashMap, hint::black_box};

use chancery::protocol::Params;
use criterion::Criterion;

use crate::turns::{Way, compare};

const BODIES: [(&str, &[u8]); 3] = [
    ("introspection", b"token=chy_at_AY7dvF218Encb9IyJYJ7k2CnGRF3kLcTxgbE8F5gx8DihHGyh0wwf_4-TtCyctMXAQRuTF_oQg"),
    ("client_credentials", b"grant_type=client_credentials&scope=read"),
    (
        "code",
        b"grant_type=authorization_code&code=chy_ac_hIqMwEwXYnAYrJv0yedS6jdlMhSAKtdG7YF1mlwmG5UmqjFxGP-7eA&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ),
];

/// Parses each body.
pub fn measure(criterion: &mut Criterion) {
    for (name, body) in BODIES {
        let map =
            || -> HashMap<String, String> { form_urlencoded::parse(black_box(body)).into_owned().collect() };
        assert_eq!(map().len(), Params::parse(body).expect("a form").iter().count());
        let ways = vec![
            Way::new("a map of strings", map),
            Way::new("ours", || Params::parse(black_box(body)).expect("a form")),
        ];
        compare(criterion, &format!("parameters of {name}"), 1, ways);
    }
}
