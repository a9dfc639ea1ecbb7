//! `migrate`: the store's schema, shown, planned and brought up to date.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CommandFailure, Output};
use crate::{
    app::schema,
    config::Config,
    store::{MigrationStatus, PlannedFile, PlannedStep},
};

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum MigrateCommand {
    /// Show which migrations are applied and which are pending; changes nothing.
    Status,
    /// Show what the pending ones would do: tables, their rows, and who has to wait; changes nothing.
    Plan,
    /// Apply those that are pending. `serve` does so at its start.
    Up,
}

pub(super) async fn run(config: Config, command: MigrateCommand, out: Output) -> Result<(), CommandFailure> {
    match command {
        MigrateCommand::Status => status(&schema::migrate_status(&config).await?, out),
        MigrateCommand::Up => status(&schema::migrate_up(&config).await?, out),
        MigrateCommand::Plan => plan(&schema::migrate_plan(&config).await?, out),
    }
    Ok(())
}

fn status(MigrationStatus { applied, known, pending }: &MigrationStatus, out: Output) {
    let value = json!({ "applied": applied, "known": known, "pending": pending });
    out.result(&value, || match (applied > known, pending.as_slice()) {
        (true, _) => format!("The store has schema {applied}, which is newer than this version ({known})."),
        (false, []) => format!("The store has schema {applied}, which is this version's."),
        (false, _) => format!(
            "The store has schema {applied}, this version needs {known}. Pending:\n  {}\n`chancery migrate plan` \
             shows what they do, `chancery migrate up` applies them.",
            pending.join("\n  ")
        ),
    });
}

fn plan(files: &[PlannedFile], out: Output) {
    let values: Vec<Value> = files.iter().map(value).collect();
    out.result(&Value::from(values), || {
        if files.is_empty() {
            return "Nothing is pending.".to_owned();
        }
        files.iter().map(text).collect::<Vec<_>>().join("\n\n")
    });
}

fn value(file: &PlannedFile) -> Value {
    let step = |step: &PlannedStep| {
        json!({
            "action": step.action,
            "index": step.index,
            "table": step.table,
            "rows": step.rows,
            "lock": step.lock.as_str(),
            "meanwhile": step.lock.meaning(),
        })
    };
    json!({ "file": file.name, "steps": file.steps.iter().map(step).collect::<Vec<_>>() })
}

/// A file with a line for each step.
fn text(file: &PlannedFile) -> String {
    let mut lines = vec![file.name.clone()];
    for step in &file.steps {
        let rows = step.rows.map(|rows| format!(" ({rows} rows)")).unwrap_or_default();
        let lock = match step.lock.as_str() {
            "none" => String::new(),
            name => format!("locks {name}: "),
        };
        let what = match &step.index {
            Some(index) if step.table.is_empty() => index.clone(),
            Some(index) => format!("{index} ON {}", step.table),
            None => step.table.clone(),
        };
        lines.push(format!("  {} {what}{rows}: {lock}{}", step.action, step.lock.meaning()));
    }
    lines.join("\n")
}
