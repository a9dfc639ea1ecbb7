//! Certificates for the servers of the tests, made by the command line of openssl.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::Account;

/// A root, another root, and a server whose certificate names `localhost` only.
pub struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().expect("a folder") };
        for root in ["root", "other"] {
            authority.openssl(&format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout {root}.key \
                 -out {root}.crt -subj /CN={root} -addext basicConstraints=critical,CA:TRUE"
            ));
        }
        authority.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr \
             -subj /CN=localhost",
        );
        std::fs::write(authority.file("names"), "subjectAltName=DNS:localhost\n").expect("a file");
        authority.openssl(
            "x509 -req -in server.csr -CA root.crt -CAkey root.key -CAcreateserial -days 2 \
             -extfile names -out server.crt",
        );
        authority
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let made = command.args(arguments.split_whitespace()).current_dir(self.folder.path()).output();
        let made = made.expect("Missing: openssl. Install it; it makes the certificates of this test.");
        assert!(made.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&made.stderr));
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Copies the server's certificate and key to where the server may read them.
    pub fn equip(&self, folder: &Path) {
        for name in ["server.crt", "server.key"] {
            let to = folder.join(name);
            std::fs::copy(self.file(name), &to).expect("a copy");
            Account::give_file(&to);
        }
    }
}
