//! Ways to do one thing, measured in turns within one run, so that whatever else the machine does meanwhile
//! slows all of them alike. What is printed is the time of each, and how much faster it is than the first.

#![allow(dead_code, reason = "each benchmark uses some of it")]

use std::{
    cell::Cell,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};

/// Each way gets so many turns.
const TURNS: usize = 9;
/// A turn takes about so long.
const TURN: Duration = Duration::from_millis(40);

/// One way to do it.
pub struct Way<'a> {
    name: String,
    work: Box<dyn FnMut(u64) -> Duration + 'a>,
}

impl<'a> Way<'a> {
    /// Does `work` as often as is asked for.
    pub fn new<T>(name: impl Into<String>, mut work: impl FnMut() -> T + 'a) -> Self {
        Self::timed(name, move |rounds| {
            let begun = Instant::now();
            for _ in 0..rounds {
                black_box(work());
            }
            begun.elapsed()
        })
    }

    /// Times itself: `work` does it so many times and says how long that took.
    pub fn timed(name: impl Into<String>, work: impl FnMut(u64) -> Duration + 'a) -> Self {
        Self { name: name.into(), work: Box::new(work) }
    }
}

/// Measures every way, and prints how they compare. One round of each way does `elements` things.
pub fn compare(criterion: &mut Criterion, name: &str, elements: u64, mut ways: Vec<Way<'_>>) {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    group.throughput(Throughput::Elements(elements));
    let asked_for = Cell::new(false);
    for way in &mut ways {
        group.bench_function(&way.name, |bencher| {
            asked_for.set(true);
            bencher.iter_custom(|rounds| (way.work)(rounds));
        });
    }
    group.finish();
    // Not where a filter leaves it out, nor where each is only tried once.
    if asked_for.get() && !only_tried() {
        take_turns(name, elements, &mut ways);
    }
}

/// Options of criterion and of cargo that take no value.
const FLAGS: [&str; 8] =
    ["--bench", "--test", "--list", "--exact", "--noplot", "--quick", "--quiet", "--verbose"];

/// Whether a group may be asked for, so that no server is started in vain: its name must be part of the filter
/// on the command line, or the other way round.
pub fn wanted(group: &str) -> bool {
    let mut arguments = std::env::args().skip(1);
    let filter = loop {
        match arguments.next() {
            None => return true,
            Some(flag) if FLAGS.contains(&flag.as_str()) || flag.contains('=') => {}
            Some(option) if option.starts_with('-') => drop(arguments.next()),
            Some(filter) => break filter,
        }
    };
    let wanted = filter.contains(group) || group.contains(&filter);
    if !wanted {
        print_line(&format!("{group}: not asked for"));
    }
    wanted
}

/// Whether everything is done once only, to see that it works (`cargo test --benches`).
pub fn only_tried() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

fn take_turns(name: &str, elements: u64, ways: &mut [Way<'_>]) {
    let rounds: Vec<u64> = ways.iter_mut().map(rounds_of_a_turn).collect();
    let mut times = vec![Vec::with_capacity(TURNS); ways.len()];
    for _ in 0..TURNS {
        for ((way, rounds), times) in ways.iter_mut().zip(&rounds).zip(&mut times) {
            times.push((way.work)(*rounds).as_secs_f64() * 1e9 / (*rounds * elements) as f64);
        }
    }
    let medians = times.iter_mut().map(|times| {
        times.sort_by(f64::total_cmp);
        times[TURNS / 2]
    });
    let medians: Vec<f64> = medians.collect();
    for (way, median) in ways.iter().zip(&medians) {
        let ratio = medians[0] / median;
        print_line(&format!("{name}: {:44} {median:>12.1} ns {ratio:>7.2} ×", way.name));
    }
}

fn rounds_of_a_turn(way: &mut Way<'_>) -> u64 {
    let mut rounds = 1;
    loop {
        let took = (way.work)(rounds);
        if took * 4 >= TURN {
            let turns = TURN.as_secs_f64() / took.as_secs_f64();
            return ((rounds as f64 * turns) as u64).max(1);
        }
        rounds *= 2;
    }
}

/// Prints a result.
#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
pub fn print_line(line: &str) {
    println!("{line}");
}
