//! `[keys]`: the master keys and the signing keys.

use std::path::{Path, PathBuf};

use super::{
    Fault,
    master_key::{self, read_master_keys},
    reader::SettingReader,
    value::{DAY, HOUR, path, seconds},
};
use crate::model::{Secret, SigningAlg};

/// What seals, and what signs. Times are in seconds.
#[derive(Clone, Debug)]
pub struct KeysConfig {
    /// Master keys from the configuration itself; the first seals, all open. Default none.
    pub master: Vec<Secret<[u8; 32]>>,
    /// The file with master keys. Default `master.key` in the data folder, see [`KeysConfig::master_path`].
    pub master_file: Option<PathBuf>,
    /// Algorithms to keep signing keys for. Default all.
    pub algorithms: Vec<SigningAlg>,
    /// Age at which the signing key is replaced. Default 90 d.
    pub rotation: u64,
    /// How long others may cache the key set. Default 1 h.
    pub jwks_max_age: u64,
}

impl KeysConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let read = Self {
            master: reader.list(("keys", "master"), master_key::parse),
            master_file: reader.optional(("keys", "master_file"), path),
            algorithms: reader.list(("keys", "algorithms"), |name| {
                SigningAlg::parse(name).ok_or_else(|| "must be one of RS256, ES256, PS256, EdDSA".to_owned())
            }),
            rotation: reader.get(("keys", "rotation"), seconds(HOUR..=1000 * DAY)),
            jwks_max_age: reader.get(("keys", "jwks_max_age"), seconds(5..=7 * DAY)),
        };
        let algorithms = ("keys", "algorithms");
        if read.algorithms.is_empty() {
            reader.refuse(algorithms, "must name at least one algorithm");
        }
        if (1..read.algorithms.len()).any(|at| read.algorithms[..at].contains(&read.algorithms[at])) {
            reader.refuse(algorithms, "must name each algorithm once");
        }
        reader.agree(
            ("keys", "master_file"),
            ("keys", "master"),
            read.master.is_empty() || read.master_file.is_none(),
            "cannot be set together with `master`; keep one of them",
        );
        read
    }

    /// The key file: the configured one, else `master.key` in the data folder.
    pub fn master_path(&self, data_dir: &Path) -> PathBuf {
        self.master_file.clone().unwrap_or_else(|| data_dir.join("master.key"))
    }

    /// The master keys, from the configuration or the file. `None` if nothing was configured and the
    /// data folder holds no key file yet: one has to be made, with [`super::create_master_key`].
    pub fn master_keys(&self, data_dir: &Path) -> Result<Option<Vec<Secret<[u8; 32]>>>, Fault> {
        if !self.master.is_empty() {
            return Ok(Some(self.master.clone()));
        }
        let path = self.master_path(data_dir);
        // Only "not there" leads to a new key; a file that cannot be examined must not be passed over.
        let missing =
            matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound);
        if missing && self.master_file.is_none() {
            return Ok(None);
        }
        read_master_keys(&path).map(Some)
    }
}
