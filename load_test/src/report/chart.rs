//! Charts as SVG, drawn here: no script, nothing from elsewhere.

use std::fmt::Write;

/// One line of a chart.
pub struct Line<'a> {
    /// What it is.
    pub name: &'a str,
    /// Its class in the page's style.
    pub class: &'a str,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// An axis.
pub struct Axis {
    /// What it counts.
    pub name: &'static str,
    /// Places of its marks, and what stands there.
    pub marks: Vec<(f64, String)>,
    /// Where it ends; it begins at its first mark.
    pub end: f64,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 28.0;
const RIGHT: f64 = 16.0;

/// A chart with its legend.
pub fn draw(title: &str, x: &Axis, y: &Axis, lines: &[Line<'_>]) -> String {
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n<title>{}</title>\n",
        escape(title),
        escape(title)
    );
    marks(&mut out, x, y);
    for (at, line) in lines.iter().enumerate() {
        let points = line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", across(x, *px), up(y, *py)));
        let points = points.collect::<Vec<_>>().join(" ");
        let left = LEFT + 150.0 * at as f64;
        let (class, name) = (escape(line.class), escape(line.name));
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<polyline class=\"line {class}\" points=\"{points}\"/>\n\
             <rect class=\"key {class}\" x=\"{left}\" y=\"8\" width=\"12\" height=\"4\"/>\
             <text x=\"{}\" y=\"14\">{name}</text>",
            left + 18.0
        );
    }
    out.push_str("</svg>\n");
    out
}

fn marks(out: &mut String, x: &Axis, y: &Axis) {
    let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (place, text) in &y.marks {
        let at = up(y, *place);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            escape(text)
        );
    }
    for (place, text) in &x.marks {
        let _ = writeln!(
            out,
            "<text class=\"middle\" x=\"{:.1}\" y=\"{}\">{}</text>",
            across(x, *place),
            floor + 16.0,
            escape(text)
        );
    }
    let _ =
        writeln!(out, "<text class=\"end\" x=\"{right}\" y=\"{}\">{}</text>", HEIGHT - 6.0, escape(x.name));
    let _ = writeln!(out, "<text class=\"end\" x=\"{right}\" y=\"14\">{}</text>", escape(y.name));
}

fn begin(axis: &Axis) -> f64 {
    axis.marks.first().map_or(0.0, |(place, _)| *place)
}

fn part(axis: &Axis, value: f64) -> f64 {
    let (begin, end) = (begin(axis), axis.end);
    if end > begin { ((value - begin) / (end - begin)).clamp(0.0, 1.0) } else { 0.0 }
}

fn across(axis: &Axis, value: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * part(axis, value)
}

fn up(axis: &Axis, value: f64) -> f64 {
    let floor = HEIGHT - BOTTOM;
    floor - (floor - TOP) * part(axis, value)
}

/// An axis from zero to a round number above a value.
pub fn linear(name: &'static str, most: f64, text: impl Fn(f64) -> String) -> Axis {
    let rough = most.max(1.0) / 4.0;
    let size = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|times| times * size).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let count = (most.max(1.0) / step).ceil() as u32;
    let marks = (0..=count).map(|at| (f64::from(at) * step, text(f64::from(at) * step)));
    Axis { name, marks: marks.collect(), end: f64::from(count) * step }
}

/// Text within markup.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let ends = [0.0, 7.0, 130_000.0, 99.0].map(|most| linear("", most, |value| value.to_string()).end);
        assert_eq!(ends, [1.0, 8.0, 150_000.0, 100.0]);
    }

    #[test]
    fn points_lie_within_the_axes() {
        let axis = || linear("n", 10.0, |value| value.to_string());
        let points = vec![(0.0, 0.0), (10.0, 10.0), (99.0, -5.0)];
        let drawn = draw("a < b", &axis(), &axis(), &[Line { name: "one & two", class: "server", points }]);
        assert!(drawn.contains("a &lt; b") && drawn.contains("one &amp; two"));
        assert!(drawn.contains("points=\"64.0,240.0 744.0,28.0 744.0,240.0\""), "{drawn}");
    }
}
