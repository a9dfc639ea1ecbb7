//! How fast it is: `cargo bench --bench performance_suite [-- NAME]`. Each module of `suite/` measures one
//! thing against its alternatives within one run, and prints the ratio: rates differ from machine to
//! machine, ratios much less.

#[path = "../tests/servers/mod.rs"]
mod servers;
mod site;
mod suite;
mod turns;

criterion::criterion_group!(
    performance,
    suite::requests::measure,
    suite::decisions::measure,
    suite::parameters::measure,
    suite::answers::measure,
    suite::memory::measure,
    suite::revocations::measure,
    suite::change_feed::measure,
    suite::metrics::measure,
    suite::group_commit::measure,
    suite::postgres_reads::measure,
    suite::redis_strategies::measure,
    suite::second_tier::measure
);
criterion::criterion_main!(performance);
