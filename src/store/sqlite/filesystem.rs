//! Where a store lies: whether this process may and should keep one there.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::OpenError;

/// The folder a file lies in; the current one for a bare name.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the folder if it is missing, for this user only, and refuses one that will not do.
pub(super) fn prepare_folder(folder: &Path) -> Result<(), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| OpenError::io("make the folder", folder, source))?;
    refuse_network(folder)?;
    // Another user's folder may be open to this one by group; root alone would get in anywhere, and
    // leave files behind that the server cannot open.
    let (owner, me) = (owner(folder)?, rustix::process::geteuid().as_raw());
    if me == 0 { refuse_stranger(folder, owner, me) } else { Ok(()) }
}

/// Makes the file if it is missing, for this user only; refuses another user's.
///
/// A file that is there is not opened: closing it again would drop the POSIX locks that SQLite may
/// hold on it elsewhere in this process (<https://www.sqlite.org/howtocorrupt.html> §2.2).
pub(super) fn prepare_file(path: &Path) -> Result<(), OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            refuse_stranger(path, owner(path)?, rustix::process::geteuid().as_raw())
        }
        Err(source) => Err(OpenError::io("make", path, source)),
    }
}

/// Opens a file for this user only, making it if it is missing.
pub(super) fn open_private(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::io("open", path, source))
}

fn owner(path: &Path) -> Result<u32, OpenError> {
    let metadata = std::fs::metadata(path);
    metadata.map(|metadata| metadata.uid()).map_err(|source| OpenError::io("look at", path, source))
}

fn refuse_stranger(path: &Path, owner: u32, me: u32) -> Result<(), OpenError> {
    if owner == me {
        return Ok(());
    }
    Err(OpenError::NotOwner { path: path.to_owned(), owner: user_name(owner), uid: owner })
}

/// The name in `/etc/passwd`; users that live elsewhere go by their number.
fn user_name(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("number {uid}"))
}

/// SQLite's write-ahead log needs locks and shared memory that network file systems do not give
/// (<https://www.sqlite.org/wal.html>, "all processes must be on the same host").
#[cfg(target_os = "linux")]
fn refuse_network(folder: &Path) -> Result<(), OpenError> {
    let statistics = rustix::fs::statfs(folder)
        .map_err(|error| OpenError::io("look at the file system of", folder, error.into()))?;
    // The magic number has 32 bits; some platforms sign-extend it.
    let kind = match statistics.f_type as u64 & 0xffff_ffff {
        FUSE => network_fuse(folder),
        magic => NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned()),
    };
    match kind {
        Some(kind) => Err(OpenError::NetworkFileSystem { path: folder.to_owned(), kind }),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path) -> Result<(), OpenError> {
    Ok(())
}

#[cfg(target_os = "linux")]
const FUSE: u64 = 0x6573_5546;

/// `statfs(2)`, field `f_type`. 9P is not among them: sandboxes use it for local files too.
#[cfg(target_os = "linux")]
const NETWORK: [(u64, &str); 9] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x564c, "NCP"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
];

/// FUSE carries local and remote file systems alike; the table of mounts names them.
#[cfg(target_os = "linux")]
fn network_fuse(folder: &Path) -> Option<String> {
    let device = std::fs::metadata(folder).ok()?.dev();
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    remote_fuse(&mounts, &device)
}

/// proc(5): `id parent major:minor root mount-point options … - type source options`.
#[cfg(target_os = "linux")]
fn remote_fuse(mounts: &str, device: &str) -> Option<String> {
    const REMOTE: [&str; 7] = ["sshfs", "s3fs", "rclone", "glusterfs", "gcsfuse", "davfs", "ceph"];
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(device))?;
    let (_, tail) = mount.split_once(" - ")?;
    let kind = tail.split(' ').next()?;
    REMOTE.iter().any(|remote| kind.contains(remote)).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_is_told_whom_to_be() {
        let refused = refuse_stranger(Path::new("/data/chancery.db"), 0, 1000).expect_err("another user");
        let sentence = refused.to_string();
        assert!(sentence.contains("run this as user root (uid 0)"), "{sentence}");
        assert!(refuse_stranger(Path::new("/data"), 7, 7).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn remote_fuse_mounts_are_told_from_local_ones() {
        let mounts = "36 35 0:45 / /mnt rw,noatime shared:1 - fuse.sshfs host:/srv rw\n\
                      37 35 0:46 / /home rw - fuse.gocryptfs /crypt rw\n";
        assert_eq!(remote_fuse(mounts, "0:45").as_deref(), Some("fuse.sshfs"));
        assert_eq!(remote_fuse(mounts, "0:46"), None);
        assert_eq!(remote_fuse(mounts, "0:47"), None);
    }

    #[test]
    fn a_bare_file_name_lies_in_the_current_folder() {
        assert_eq!(folder(Path::new("chancery.db")), Path::new("."));
        assert_eq!(folder(Path::new("/data/chancery.db")), Path::new("/data"));
    }
}
