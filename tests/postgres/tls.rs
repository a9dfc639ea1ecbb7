//! `sslmode`: what each mode accepts and refuses, on a real server with a certificate.

use std::path::PathBuf;

use chancery::store::postgres::{Options, migrate_status};

use crate::servers::{self, Authority};

/// Whether a connection was encrypted, or why there is none.
async fn attempt(url: &str, query: &str, root_file: Option<PathBuf>) -> Result<(), String> {
    let options = Options { url: format!("{url}?{query}"), root_file, ..Options::default() };
    let outcome = migrate_status(&options).await.map(drop).map_err(|error| error.to_string());
    if let Err(error) = &outcome {
        assert!(!error.contains(servers::PASSWORD), "{error}");
    }
    outcome
}

#[tokio::test]
async fn each_mode_accepts_and_refuses_what_libpq_would() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    authority.equip(folder.path());
    let (crt, key) = (folder.path().join("server.crt"), folder.path().join("server.key"));
    let settings = [
        ("ssl", "on"),
        ("ssl_cert_file", crt.to_str().expect("text")),
        ("ssl_key_file", key.to_str().expect("text")),
    ];
    let cluster = servers::Postgres::start_with(&folder.path().join("cluster"), &settings).await;
    cluster.require_tls().await;
    let database = cluster.database_over_socket().await;
    let by_number = cluster.url(&database);
    let by_name = by_number.replace("127.0.0.1", "localhost");
    let (root, other) = (authority.file("root.crt"), authority.file("other.crt"));

    for (url, query, root_file, expected) in [
        (&by_name, "sslmode=disable", None, Err("no encryption")),
        (&by_name, "sslmode=prefer", None, Ok(())),
        (&by_name, "", Some(&other), Ok(())),
        (&by_name, "sslmode=require", None, Ok(())),
        (&by_number, "sslmode=require", Some(&root), Ok(())),
        (&by_name, "sslmode=require", Some(&other), Err("UnknownIssuer")),
        (&by_number, "sslmode=verify-ca", Some(&root), Ok(())),
        (&by_name, "sslmode=verify-ca", Some(&other), Err("UnknownIssuer")),
        (&by_name, "sslmode=verify-full", Some(&root), Ok(())),
        (&by_number, "sslmode=verify-full", Some(&root), Err("not valid for name")),
        (&by_name, "sslmode=verify-full", Some(&other), Err("UnknownIssuer; set `[postgres] root_file`")),
    ] {
        let found = attempt(url, query, root_file.cloned()).await;
        match (&found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(said), Err(expected)) if said.contains(expected) => {}
            _ => panic!("{query} with {root_file:?}: {found:?}, not {expected:?}"),
        }
    }
    // The URL's own root goes before the configured one.
    let query = format!("sslmode=verify-full&sslrootcert={}", root.display());
    attempt(&by_name, &query, Some(other)).await.expect("the URL's root signs it");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_every_mode_that_asks_for_it() {
    let authority = Authority::new();
    let database = servers::Postgres::shared().await.database().await;
    attempt(database.url(), "sslmode=prefer", None).await.expect("plain");
    for mode in ["require", "verify-full"] {
        let query = format!("sslmode={mode}");
        let said = attempt(database.url(), &query, Some(authority.file("root.crt"))).await;
        let said = said.expect_err("it asks for TLS");
        assert!(said.contains("does not support TLS"), "{mode}: {said}");
    }
}
