//! The schema: which migrations there are, which are applied, and applying the rest.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{OpenError, filesystem, lock};
use crate::store::{
    MigrationStatus, PlannedFile,
    migration_plan::{Lock, plan},
};

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// In the header of each of our files (`PRAGMA application_id`): "Chry".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"Chry");

/// Says how far a store's schema is, without making or changing anything.
pub fn migrate_status(path: &Path) -> Result<MigrationStatus, OpenError> {
    if !path.try_exists().map_err(|error| OpenError::io("look at", path, error))? {
        return Ok(status(0));
    }
    filesystem::prepare_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| OpenError::sqlite(path, error))?;
    refuse_foreign(path, &connection)?;
    Ok(status(applied(path, &connection)?))
}

/// Says what the pending migrations would do, and who would have to wait.
pub fn migrate_plan(path: &Path) -> Result<Vec<PlannedFile>, OpenError> {
    let status = migrate_status(path)?;
    let runner = embedded::migrations::runner();
    let mut pending: Vec<_> =
        runner.get_migrations().iter().filter(|one| one.version().unsigned_abs() > status.applied).collect();
    pending.sort_by_key(|one| one.version());
    let files = pending.iter().map(|one| (one.to_string(), one.sql().unwrap_or_default().to_owned()));
    let mut planned = plan(files);
    if status.applied == 0 {
        return Ok(planned);
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|error| OpenError::sqlite(path, error))?;
    for step in planned.iter_mut().flat_map(|file| &mut file.steps) {
        if step.lock != Lock::New {
            step.lock = Lock::File;
            let count = format!("SELECT count(*) FROM \"{}\"", step.table);
            // A statement that names no table, or one that is not there: nothing to count.
            let rows = connection.query_row(&count, [], |row| row.get::<_, i64>(0)).ok();
            step.rows = rows.map(i64::unsigned_abs);
        }
    }
    Ok(planned)
}

/// Applies every pending migration, making the store if there is none. Any number of processes may
/// do this at once; one does the work.
pub fn migrate_up(path: &Path) -> Result<MigrationStatus, OpenError> {
    super::open::writing(path, &super::Options { migrate: true, ..super::Options::default() })?;
    migrate_status(path)
}

/// Brings an opened file to this version's schema, or says why not. Takes the lock of the folder.
pub(super) fn prepare(path: &Path, connection: &mut Connection, migrate: bool) -> Result<(), OpenError> {
    let failed = |error| OpenError::sqlite(path, error);
    let _lock = lock::for_migrating(filesystem::folder(path))?;
    refuse_foreign(path, connection)?;
    let have = status(applied(path, connection)?);
    if have.applied > have.known {
        return Err(OpenError::Newer { path: path.to_owned(), found: have.applied, known: have.known });
    }
    if !have.pending.is_empty() && !migrate {
        return Err(OpenError::Outdated { path: path.to_owned(), found: have.applied, known: have.known });
    }
    // A migration that a power failure undoes is made again at the next start, so none waits for the disk by
    // itself: the first commit does, for all that was logged before it.
    connection.pragma_update(None, "synchronous", "normal").map_err(failed)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(OpenError::NoWal { path: path.to_owned() });
    }
    // Before anything else is written, so that a half-made file is still known as ours.
    if have.applied == 0 {
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    }
    let migrated = embedded::migrations::runner().run(connection);
    migrated.map_err(|error| OpenError::Migration { path: path.to_owned(), message: error.to_string() })?;
    Ok(())
}

/// A file that something else made must not be touched, let alone be given our tables.
fn refuse_foreign(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let read = || {
        let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok(id == APPLICATION_ID || (id == 0 && tables == 0))
    };
    match read() {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Foreign { path: path.to_owned() }),
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == rusqlite::ErrorCode::NotADatabase => {
            Err(OpenError::Foreign { path: path.to_owned() })
        }
        Err(error) => Err(OpenError::sqlite(path, error)),
    }
}

/// The number of the last applied migration; 0 if none was.
fn applied(path: &Path, connection: &Connection) -> Result<u32, OpenError> {
    let failed = |error| OpenError::sqlite(path, error);
    let table = "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    let is_there = connection.query_row(table, [], |_| Ok(())).optional().map_err(failed)?.is_some();
    if !is_there {
        return Ok(0);
    }
    connection.query_row(LAST_APPLIED, [], |row| row.get(0)).map_err(failed)
}

/// The number of the last applied migration.
pub(super) const LAST_APPLIED: &str = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";

fn status(applied: u32) -> MigrationStatus {
    let runner = embedded::migrations::runner();
    let all = runner.get_migrations().iter().map(|one| (one.version().unsigned_abs(), one.to_string()));
    MigrationStatus::new(applied, all.collect())
}
