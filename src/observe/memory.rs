//! How much memory this process may use: cgroups(7), proc(5).

use std::{fs::read_to_string, path::Path};

/// The least of what the control groups above this process allow and what the machine has, in bytes.
pub(super) fn limit() -> Option<u64> {
    limit_under(Path::new("/"))
}

/// The same for a file system that begins at `root`.
fn limit_under(root: &Path) -> Option<u64> {
    let groups = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let allowed = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        // Version 2 has one tree for everything, version 1 one for each controller.
        match controllers {
            "" => least(&root.join("sys/fs/cgroup"), group, "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                least(&root.join("sys/fs/cgroup/memory"), group, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    allowed.chain(machine(root)).min()
}

/// The least limit of a group and those it is in. A container may not see the upper ones, and may be told
/// the path of one that it does not see.
fn least(tree: &Path, group: &str, file: &str) -> Option<u64> {
    let group = tree.join(group.trim_start_matches('/'));
    let above = group.ancestors().take_while(|folder| folder.starts_with(tree));
    // "max" is no number.
    above.filter_map(|folder| read_to_string(folder.join(file)).ok()?.trim().parse().ok()).min()
}

fn machine(root: &Path) -> Option<u64> {
    let text = read_to_string(root.join("proc/meminfo")).ok()?;
    super::process::kibibytes(&text, "MemTotal:")
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};

    use super::*;

    fn machine_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in
            [("proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\n")].iter().chain(files)
        {
            let path = root.path().join(path);
            create_dir_all(path.parent().expect("a folder")).expect("it is made");
            write(path, text).expect("it is written");
        }
        root
    }

    fn limit_of(files: &[(&str, &str)]) -> Option<u64> {
        limit_under(machine_with(files).path())
    }

    #[test]
    fn without_a_limit_it_is_the_machines_memory() {
        assert_eq!(limit_of(&[]), Some(8 << 30));
        let none = [("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")];
        assert_eq!(limit_of(&none), Some(8 << 30));
        // What version 1 writes when there is none.
        let none = [
            ("proc/self/cgroup", "5:cpu:/\n4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limit_of(&none), Some(8 << 30));
    }

    #[test]
    fn the_least_limit_of_the_groups_above_counts() {
        let groups = [
            ("proc/self/cgroup", "0::/system.slice/chancery.service\n"),
            ("sys/fs/cgroup/system.slice/chancery.service/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "1073741824\n"),
        ];
        assert_eq!(limit_of(&groups), Some(1 << 30));
    }

    #[test]
    fn a_container_that_sees_only_its_own_group_is_limited_by_it() {
        let two = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "536870912\n")];
        assert_eq!(limit_of(&two), Some(512 << 20));
        let one = [
            ("proc/self/cgroup", "9:hugetlb,memory:/docker/0123\n0::/x\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
        ];
        assert_eq!(limit_of(&one), Some(256 << 20));
    }

    #[test]
    fn this_machine_has_some() {
        assert!(limit().is_some_and(|bytes| bytes > 1 << 20));
    }
}
