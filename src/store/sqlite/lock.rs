//! File locks: one server per data folder, one migration at a time. The system drops them when
//! their process ends, however it ends.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use super::{OpenError, filesystem};

/// Held by `serve` for as long as it runs.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

/// Takes the lock of a data folder, or says that another server has it.
pub(super) fn for_serving(data_dir: &Path) -> Result<ServeLock, OpenError> {
    filesystem::prepare_folder(data_dir)?;
    let path = data_dir.join("serve.lock");
    filesystem::prepare_file(&path)?;
    let file = filesystem::open_private(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(ServeLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::Served { path: data_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::io("lock", &path, source)),
    }
}

/// Waits until no other process prepares a store in this folder; unlocked when dropped.
pub(super) fn for_migrating(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("migrate.lock");
    let file = filesystem::open_private(&path)?;
    file.lock().map_err(|source| OpenError::io("lock", &path, source))?;
    Ok(file)
}
