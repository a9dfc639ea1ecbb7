//! How fast the cryptography is: `cargo bench --bench security_performance_bench [-- NAME]`. Each module of
//! `security/` measures one thing against its alternatives within one run, and prints the ratio.

mod security;
mod turns;

criterion::criterion_group!(
    engine,
    security::seals::measure,
    security::signatures::measure,
    security::digests::measure,
    security::passwords::measure
);
criterion::criterion_main!(engine);
