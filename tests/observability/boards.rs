//! The dashboards as they are shipped, read.

use serde_json::Value;

use crate::servers::shipped;

pub const BOARDS: [&str; 5] = ["performance", "security", "resources", "cache", "rate-limiting"];

pub struct Panel {
    pub board: &'static str,
    pub title: String,
    pub unit: String,
    /// Expressions, with variables in them.
    pub targets: Vec<String>,
}

pub fn board(name: &str) -> Value {
    serde_json::from_str(&shipped(&format!("grafana/dashboards/{name}.json"))).expect("JSON")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Every panel that shows something.
pub fn panels() -> Vec<Panel> {
    let of = |board: &'static str, value: &Value| {
        let panels = list(&value["panels"]).filter(|panel| panel["type"] != "row");
        let read = panels.map(|panel| Panel {
            board,
            title: text(&panel["title"]),
            unit: text(&panel["fieldConfig"]["defaults"]["unit"]),
            targets: list(&panel["targets"]).map(|target| text(&target["expr"])).collect(),
        });
        read.collect::<Vec<_>>()
    };
    BOARDS.into_iter().flat_map(|name| of(name, &board(name))).collect()
}

pub fn panel(board: &str, title: &str) -> Panel {
    let mut panels = panels().into_iter().filter(|panel| panel.board == board && panel.title == title);
    panels.next().unwrap_or_else(|| panic!("{board} has no panel {title}"))
}

/// What fills a variable: a metric with matchers, and the label whose values are offered.
pub fn variables() -> Vec<(String, String)> {
    let of = |board: Value| {
        let queries = list(&board["templating"]["list"]).map(|one| text(&one["query"]["query"]));
        let asked = queries.filter_map(|query| {
            let inside = query.strip_prefix("label_values(")?.strip_suffix(')')?;
            let (selector, label) = inside.rsplit_once(',')?;
            Some((selector.trim().to_owned(), label.trim().to_owned()))
        });
        asked.collect::<Vec<_>>()
    };
    BOARDS.into_iter().flat_map(|name| of(board(name))).collect()
}

/// What is marked on every panel: a name and an expression.
pub fn annotations() -> Vec<(String, String)> {
    let of = |board: Value| {
        let marks = list(&board["annotations"]["list"]);
        marks.map(|one| (text(&one["name"]), text(&one["expr"]))).collect::<Vec<_>>()
    };
    BOARDS.into_iter().flat_map(|name| of(board(name))).collect()
}

/// An expression as Grafana sends it, with everything chosen, and rates over so many seconds.
pub fn filled(expr: &str, window: f64) -> String {
    let window = format!("{window}s");
    let mut filled = expr.replace("$__rate_interval", &window).replace("$job", "(chancery)");
    for variable in ["$instance", "$route", "$cache"] {
        filled = filled.replace(variable, ".+");
    }
    assert!(!filled.contains('$'), "a variable that nobody fills: {filled}");
    filled
}
