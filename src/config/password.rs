//! `[password]`: Argon2id (RFC 9106) and the lane it runs on.

use super::{reader::SettingReader, value::whole};

/// How passwords are hashed.
#[derive(Clone, Copy, Debug)]
pub struct PasswordConfig {
    /// Memory in KiB. Default 19,456.
    pub memory_kib: u32,
    /// Passes. Default 2.
    pub iterations: u32,
    /// Lanes. Default 1.
    pub parallelism: u32,
    /// Threads that hash; 0 is one for each core. Default 0.
    pub threads: usize,
    /// Hashes that may wait. Default 64.
    pub queue: usize,
    /// Characters a new password has at least (NIST SP 800-63B-4 §3.1.1.2). Default 15.
    pub min_length: usize,
}

/// Memory and passes that are as strong as the default (OWASP Password Storage Cheat Sheet).
const STRONG_ENOUGH: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

impl PasswordConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let read = Self {
            memory_kib: reader.get(("password", "memory_kib"), whole(7_168..=4_194_304)),
            iterations: reader.get(("password", "iterations"), whole(1..=100)),
            parallelism: reader.get(("password", "parallelism"), whole(1..=16)),
            threads: reader.get(("password", "threads"), whole(0..=256)),
            queue: reader.get(("password", "queue"), whole(1..=100_000)),
            min_length: reader.get(("password", "min_length"), whole(8..=64)),
        };
        reader.agree(
            ("password", "memory_kib"),
            ("password", "iterations"),
            STRONG_ENOUGH.iter().any(|(kib, passes)| read.memory_kib >= *kib && read.iterations >= *passes),
            "is too little for so few `iterations`; take 19456 with 2, 12288 with 3, 9216 with 4 or 7168 with 5",
        );
        read
    }
}
