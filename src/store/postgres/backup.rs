//! Backup: Postgres has its own tools for it, which do it better than a node could.

use std::path::Path;

use crate::store::{StoreError, StoreErrorKind};

/// Refuses, and says what to do instead.
pub(super) fn refusal(to: &Path) -> StoreError {
    let message = format!(
        "nothing was written to {}: a store in Postgres is backed up with Postgres's own tools, \
         `pg_dump --format=custom` for a copy of the moment, `pg_basebackup` and archived WAL to go back to \
         any moment. Keep a copy of the master key (`keys.master`) elsewhere: it is not in the database, and \
         without it the signing keys cannot be opened. After restoring it, run `chancery restored`",
        to.display()
    );
    StoreError::new(StoreErrorKind::Other, message)
}
