//! Opening the store: everything that can be wrong with a file is said here, with what to do.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{checkpoints, filesystem, migrate, statements::CACHED};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Reading connections that are kept open; more are opened, and closed again, under load.
    pub readers: usize,
    /// How long to wait for another process's write lock.
    pub busy_timeout: Duration,
    /// Commits that may wait for the writer; beyond it they are refused as busy.
    pub queue: usize,
    /// Whether pending migrations are applied; otherwise a store that has some is refused.
    pub migrate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers: 8, busy_timeout: Duration::from_secs(5), queue: 4096, migrate: true }
    }
}

/// Why a store cannot be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file belongs to another user.
    #[error("{} belongs to another user; run this as user {owner} (uid {uid})", path.display())]
    NotOwner {
        /// The file or folder.
        path: PathBuf,
        /// Its owner's name.
        owner: String,
        /// Its owner's number.
        uid: u32,
    },
    /// SQLite cannot lock there.
    #[error(
        "{} is on a network file system ({kind}), where SQLite loses data; choose a data folder on a local disk",
        path.display()
    )]
    NetworkFileSystem {
        /// The folder.
        path: PathBuf,
        /// The file system's name.
        kind: String,
    },
    /// The file system has no shared memory for the write-ahead log.
    #[error("{} cannot use write-ahead logging there; choose a data folder on a local disk", path.display())]
    NoWal {
        /// The file.
        path: PathBuf,
    },
    /// Not a file of ours.
    #[error("{} was not made by Chancery; choose another path, or move that file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Made by a newer version.
    #[error(
        "{} has schema {found}, but this version knows only {known}; run the newer version, \
         or restore a backup that this one made", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest known schema.
        known: u32,
    },
    /// Made by an older version.
    #[error("{} has schema {found}, this version needs {known}; run `chancery migrate up`", path.display())]
    Outdated {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The schema needed.
        known: u32,
    },
    /// A migration failed; nothing of it was kept.
    #[error("{} cannot be migrated: {message}; the store is as it was, restore a backup or report this", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
    /// A server runs on this folder.
    #[error("another server runs on {}; stop it first, or give this one a data folder of its own", path.display())]
    Served {
        /// The data folder.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot open {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite { path: path.to_owned(), source }
    }
}

/// Checks and prepares the place, the file and its schema; gives the connection that writes.
pub(super) fn writing(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    filesystem::prepare_folder(filesystem::folder(path))?;
    filesystem::prepare_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|error| OpenError::sqlite(path, error))?;
    connection.busy_timeout(options.busy_timeout).map_err(|error| OpenError::sqlite(path, error))?;
    migrate::prepare(path, &mut connection, options.migrate)?;
    tune(&connection).map_err(|error| OpenError::sqlite(path, error))?;
    Ok(connection)
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(CACHED);
    // A commit is answered when it is on disk, not when it is in the system's memory.
    connection.pragma_update(None, "synchronous", "full")?;
    // Deleted answers and digests are overwritten where that costs no further write.
    connection.pragma_update(None, "secure_delete", "fast")?;
    // After a burst the log is cut back, in bytes.
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    // What a statement or savepoint may have to undo is kept in memory, not in a file.
    connection.pragma_update(None, "temp_store", "memory")?;
    // The log is carried over by a thread of its own.
    connection.pragma_update(None, "wal_autocheckpoint", checkpoints::TOO_LONG)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Migrations do not wait for the disk; whoever commits does.
    #[test]
    fn commits_wait_for_the_disk_and_neither_for_the_log_nor_for_what_may_be_undone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for made in ["new", "known"] {
            let opened = writing(&folder.path().join("chancery.db"), &Options::default()).expect(made);
            let set = |name| opened.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect(name);
            // https://www.sqlite.org/pragma.html: FULL, MEMORY
            assert_eq!((set("synchronous"), set("temp_store")), (2, 2), "{made}");
            assert_eq!(set("wal_autocheckpoint"), checkpoints::TOO_LONG, "{made}");
            let built =
                "SELECT count(*) FROM pragma_compile_options WHERE compile_options = 'DEFAULT_MEMSTATUS=0'";
            assert_eq!(opened.query_row(built, [], |row| row.get(0)), Ok(1));
        }
    }
}
