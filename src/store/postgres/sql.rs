//! The texts of the statements: each is named in the table of its file, so that a test can have the
//! planner explain every one of them, and none is forgotten.

/// Names statements, and lists them in a table `STATEMENTS`.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)+) => {
        $($(#[$doc])* pub(super) const $name: &str = $text;)+

        /// Every statement of this file, with its name.
        pub(super) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

pub(super) use statements;

use super::{batch, clients, feed, grants, keys, outcome, rotations, sessions, timeline, upkeep, users};

/// Every statement that a request or the sweeper runs: file, name, text.
pub fn statements_of_the_request_path() -> Vec<(&'static str, &'static str, &'static str)> {
    let files = [
        ("clients", clients::STATEMENTS),
        ("feed", feed::STATEMENTS),
        ("grants", grants::STATEMENTS),
        ("keys", keys::STATEMENTS),
        ("outcome", outcome::STATEMENTS),
        ("rotations", rotations::STATEMENTS),
        ("sessions", sessions::STATEMENTS),
        ("timeline", timeline::STATEMENTS),
        ("upkeep", upkeep::STATEMENTS),
        ("users", users::STATEMENTS),
    ];
    let all = files
        .into_iter()
        .chain(batch::FILES)
        .flat_map(|(file, statements)| statements.iter().map(move |(name, text)| (file, *name, *text)));
    all.collect()
}

#[cfg(test)]
mod tests {
    /// There is no text of a statement outside the tables, so that whatever runs is in one. (What
    /// reads whole tables on purpose has a module of its own.)
    #[test]
    fn every_statement_is_in_its_files_table() {
        for (file, source) in [
            ("apply", include_str!("apply.rs")),
            ("batch", include_str!("batch.rs")),
            ("batch/rows", include_str!("batch/rows.rs")),
            ("batch/spends", include_str!("batch/spends.rs")),
            ("clients", include_str!("clients.rs")),
            ("feed", include_str!("feed.rs")),
            ("grants", include_str!("grants.rs")),
            ("keys", include_str!("keys.rs")),
            ("outcome", include_str!("outcome.rs")),
            ("rotations", include_str!("rotations.rs")),
            ("sessions", include_str!("sessions.rs")),
            ("timeline", include_str!("timeline.rs")),
            ("upkeep", include_str!("upkeep.rs")),
            ("users", include_str!("users.rs")),
        ] {
            let mut outside = source.to_owned();
            for table in ["statements! {", "mod whole {"] {
                while let Some(begin) = outside.find(table) {
                    let end = outside[begin..].find("\n}\n").expect("a table ends at the margin");
                    outside.replace_range(begin..begin + end, "");
                }
            }
            for verb in ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"] {
                let text = format!("\"{verb} ");
                assert!(!outside.contains(&text), "{file}.rs: a statement with {verb} is in no table");
            }
        }
    }
}
