//! Backup: a consistent copy, made while the server writes.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::filesystem;
use crate::store::{StoreError, StoreErrorKind};

/// Pages copied at a step: 1 MiB.
const STEP: i32 = 256;

/// Copies the store to a new file, checks the copy, and flushes it to disk. A copy that failed is
/// removed.
pub(super) fn copy(source: &Connection, to: &Path) -> Result<(), StoreError> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let file = new.map_err(|error| failed(to, &error))?;
    let copied = fill(source, to).and_then(|()| flush(&file, to).map_err(|error| failed(to, &error)));
    if copied.is_err() {
        // What is left of it is of no use; the error says what went wrong.
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn fill(source: &Connection, to: &Path) -> Result<(), StoreError> {
    let mut target = Connection::open(to)?;
    // The copy is of the moment this reader's transaction began. Without it each commit of the
    // writer would begin the copy anew, and under load it would never end.
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT epoch FROM feed", [], |_| Ok(()))?;
    {
        let backup = Backup::new(source, &mut target)?;
        while backup.step(STEP)? != StepResult::Done {}
    }
    source.execute_batch("COMMIT")?;
    // One file, with no log beside it.
    let mode =
        target.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0))?;
    let sound: String = target.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    target.close().map_err(|(_, error)| error)?;
    if sound != "ok" || mode != "delete" {
        return Err(StoreError::new(StoreErrorKind::Other, format!("the copy is damaged: {sound}")));
    }
    Ok(())
}

/// The file's bytes, and its name in the folder.
fn flush(file: &File, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    File::open(filesystem::folder(to))?.sync_all()
}

fn failed(to: &Path, error: &io::Error) -> StoreError {
    let advice = match error.kind() {
        io::ErrorKind::AlreadyExists => "; a backup never overwrites a file, choose another name",
        _ => "",
    };
    StoreError::new(StoreErrorKind::Io, format!("cannot write {}: {error}{advice}", to.display()))
}
