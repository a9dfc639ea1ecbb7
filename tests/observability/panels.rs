//! Every query of every dashboard has an answer, and one that can be true.

use std::fmt::Write as _;

use crate::{
    observability::{
        boards::{annotations, filled, panels, variables},
        live::{WINDOW, found},
    },
    servers::Prometheus,
};

/// Panels that may show nothing but zero, and why.
const QUIET: &[(&str, &str)] = &[
    (
        "Caught panics",
        "no request is known that makes the program panic; a test of the middleware counts one",
    ),
    (
        "Clients above the cap",
        "takes more revoked tokens than memory may hold; unit tests of the index in src/cache have them",
    ),
    ("Answers 429", "there are no rate limits yet"),
    ("429 by route", "there are no rate limits yet"),
];

/// A share may be above 1 by the rounding of its parts only.
const ROUNDING: f64 = 1e-6;

#[test]
fn every_query_of_every_dashboard_has_an_answer_that_can_be_true() {
    let faults = &found().panels;
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What is not as it should be, after a load that produced every kind of event.
pub async fn faults(prometheus: &Prometheus, time: (f64, f64)) -> Vec<String> {
    let window = WINDOW.as_secs_f64();
    let mut faults = Vec::new();
    let mut told =
        "| dashboard | panel | query | series | last | most |\n|---|---|---|---|---|---|\n".to_owned();
    for panel in panels() {
        let mut most = f64::NEG_INFINITY;
        for (at, expr) in panel.targets.iter().enumerate() {
            let place = format!("{}, {}, query {}", panel.board, panel.title, at + 1);
            let series = match prometheus.over(&filled(expr, window), time).await {
                Ok(series) => series,
                Err(error) => {
                    faults.push(format!("{place}: {error}"));
                    continue;
                }
            };
            let values: Vec<f64> = series.iter().flat_map(|(_, values)| values.clone()).collect();
            let numbers: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
            if numbers.is_empty() {
                faults.push(format!("{place}: no data"));
                continue;
            }
            let highest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let lowest = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            let last =
                series.iter().filter_map(|(_, values)| values.last()).copied().fold(f64::NAN, f64::max);
            let budget = panel.title.starts_with("Error budget left");
            let share = panel.unit == "percentunit";
            if (lowest < 0.0 && !budget) || !highest.is_finite() || (share && highest > 1.0 + ROUNDING) {
                faults.push(format!("{place}: from {lowest} to {highest} ({})", panel.unit));
            }
            most = most.max(if budget { highest - lowest } else { highest });
            let _ = writeln!(
                told,
                "| {} | {} | {} | {} | {last:.4} | {highest:.4} |",
                panel.board,
                panel.title,
                at + 1,
                series.len()
            );
        }
        let may_be_quiet = QUIET.iter().any(|(title, _)| *title == panel.title);
        if most <= 0.0 && !may_be_quiet {
            faults.push(format!("{}, {}: nothing but zero", panel.board, panel.title));
        }
        if most > 0.0 && may_be_quiet {
            faults.push(format!("{}: is not quiet any more; take it from the list", panel.title));
        }
    }
    tell(&told);
    for (selector, label) in variables() {
        let asked = prometheus
            .ask(&format!("label/{label}/values"), &[("match[]", &filled(&selector, window))])
            .await;
        if !asked.as_ref().is_ok_and(|values| values.as_array().is_some_and(|values| !values.is_empty())) {
            faults.push(format!("the variable {label} by {selector}: {asked:?}"));
        }
    }
    for (name, expr) in annotations() {
        match prometheus.over(&filled(&expr, window), time).await {
            Ok(marks) if !marks.is_empty() => {}
            asked => faults.push(format!("the mark {name}: {asked:?}")),
        }
    }
    faults
}

/// Leaves the values for whoever wants to read them.
fn tell(table: &str) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("observability");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("panels.md"), table).expect("a file");
    crate::say(table);
}
