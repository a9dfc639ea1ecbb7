//! The master key's file: who may own it, what it looks like, how it is made.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::{Zeroize, Zeroizing};

use super::{Fault, value::Reading};
use crate::model::Secret;

/// Far more keys than anybody keeps; a larger file is not a key file.
const MAX_FILE: u64 = 64 * 1024;

/// Reads a key file: one base64 key of 32 bytes on each line; empty lines and lines that begin with `#` are
/// skipped. The first key seals, all open.
///
/// Refuses files that others than the effective user could read or have written.
pub fn read_master_keys(path: &Path) -> Result<Vec<Secret<[u8; 32]>>, Fault> {
    let fault = |message: String| Fault::new(path.display().to_string(), message);
    let mut file = File::open(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    // Of the open file, so that it cannot be exchanged between the check and the reading.
    let metadata = file.metadata().map_err(|error| fault(format!("cannot be examined: {error}")))?;
    check_custody(&metadata).map_err(fault)?;
    // One buffer of the final size: a growing one would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
    (&mut file)
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    if text.len() as u64 > MAX_FILE {
        return Err(fault("is too large to be a key file".to_owned()));
    }
    let mut keys = Vec::new();
    for (at, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        keys.push(parse(line).map_err(|why| fault(format!("line {} {why}", at + 1)))?);
    }
    if keys.is_empty() {
        return Err(fault("holds no key; put a 32-byte key in base64 on its first line".to_owned()));
    }
    Ok(keys)
}

/// Writes a new key file with mode 0600, durably and all or nothing; refuses to replace one.
pub fn create_master_key(path: &Path, key: &Secret<[u8; 32]>) -> Result<(), Fault> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = folder.join(format!(".master-key-{}.tmp", std::process::id()));
    // One that a killed process of the same number left; in a container that number is always 1.
    let _ = fs::remove_file(&draft);
    let written = write_draft(&draft, key)
        // A link fails if the name is taken, a rename would replace it.
        .and_then(|()| fs::hard_link(&draft, path));
    // The draft may be missing if it could not be made; the link is what counts.
    let _ = fs::remove_file(&draft);
    written
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|error| Fault::new(path.display().to_string(), format!("cannot be created: {error}")))
}

fn write_draft(path: &Path, key: &Secret<[u8; 32]>) -> io::Result<()> {
    let mut line = Zeroizing::new(STANDARD.encode(key.expose()));
    line.push('\n');
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Reads one key. The error is a predicate and never repeats the text.
pub(super) fn parse(text: &str) -> Reading<Secret<[u8; 32]>> {
    let wrong = || "must be a key of 32 bytes in base64, such as `openssl rand -base64 32` prints".to_owned();
    let mut key = Zeroizing::new([0; 33]);
    match STANDARD.decode_slice(text.as_bytes(), key.as_mut()) {
        Ok(32) => {}
        _ => return Err(wrong()),
    }
    let mut exact = [0; 32];
    exact.copy_from_slice(&key[..32]);
    let secret = Secret::new(exact);
    exact.zeroize();
    if secret.expose() == &[0; 32] {
        return Err("must be a random key, not zeros".to_owned());
    }
    Ok(secret)
}

fn check_custody(metadata: &fs::Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(format!(
            "belongs to the user with id {}, but Chancery runs as {user}; run `chown {user}` on it",
            metadata.uid()
        ));
    }
    let mode = metadata.mode() & 0o7777;
    if mode != 0o600 && mode != 0o400 {
        return Err(format!("has mode {mode:04o}, so that others may reach it; run `chmod 600` on it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(mode: u32, text: &str) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file.into_temp_path()
    }

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    #[test]
    fn the_first_line_seals_and_comments_are_skipped() {
        let path = write(0o600, &format!("# new\n{}\n\n  {}\n", key(1), key(2)));
        let keys = read_master_keys(&path).unwrap();
        assert_eq!(keys.iter().map(|key| key.expose()[0]).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_file_that_others_may_reach_is_refused() {
        for mode in [0o644, 0o640, 0o604, 0o660, 0o700, 0o500, 0o4600] {
            let fault = read_master_keys(&write(mode, &key(1))).unwrap_err();
            assert!(fault.message.contains("chmod 600"), "{mode:o}: {fault}");
        }
        assert!(read_master_keys(&write(0o400, &key(1))).is_ok());
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let ours = rustix::process::geteuid();
        let foreign = write(0o600, &key(1));
        // Only root can give files away; for everybody else a file of root stands in.
        let path = if ours.is_root() {
            std::os::unix::fs::chown(&foreign, Some(12_345), None).unwrap();
            foreign.to_path_buf()
        } else {
            "/proc/1/status".into()
        };
        if let Err(error) = File::open(&path) {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            return;
        }
        assert!(read_master_keys(&path).unwrap_err().message.contains("chown"));
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_repeating_it() {
        for text in
            ["hunter2hunter2", "", "# only a comment", &STANDARD.encode([1; 31]), &STANDARD.encode([1; 33])]
        {
            let fault = read_master_keys(&write(0o600, text)).unwrap_err();
            assert!(text.is_empty() || !fault.to_string().contains(text), "{fault}");
        }
        assert!(read_master_keys(&write(0o600, &key(0))).unwrap_err().message.contains("zeros"));
        assert!(
            read_master_keys(Path::new("/nowhere/master.key"))
                .unwrap_err()
                .message
                .contains("cannot be read")
        );
        assert!(read_master_keys(&std::env::temp_dir()).is_err());
    }

    #[test]
    fn a_created_key_reads_back_and_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let left_behind = folder.path().join(format!(".master-key-{}.tmp", std::process::id()));
        fs::write(left_behind, "half a k").unwrap();
        create_master_key(&path, &Secret::new([7; 32])).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(read_master_keys(&path).unwrap()[0].expose(), &[7; 32]);

        create_master_key(&path, &Secret::new([8; 32])).unwrap_err();
        assert_eq!(read_master_keys(&path).unwrap()[0].expose(), &[7; 32]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
    }
}
