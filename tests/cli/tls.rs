//! TLS of the public listener, as clients meet it: the real binary, and curl, openssl and bytes made by hand.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
};

use crate::{
    cli::{
        process::{DEADLINE, Place, Said, Server, eventually, http, terminate},
        server::credentials,
    },
    servers::Authority,
};

/// A place with a certificate for `localhost`.
fn place(authority: &Authority) -> Place {
    Place::new()
        .with("CHANCERY_TLS_CERT", &authority.file("server.crt").display().to_string())
        .with("CHANCERY_TLS_KEY", &authority.file("server.key").display().to_string())
        .with("CHANCERY_SERVER_ISSUER", "https://localhost:8443")
}

/// Its address, without the scheme.
fn address(server: &Server) -> &str {
    server.listen.strip_prefix("https://").unwrap_or_else(|| panic!("{} is no https", server.listen))
}

/// Asks as a client that trusts the authority and checks the name.
fn curl(authority: &Authority, server: &Server, path: &str, more: &[&str]) -> Said {
    let port = address(server).rsplit(':').next().expect("a port");
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--write-out",
            "\n%{http_version} %{http_code}",
        ])
        .args(["--cacert", authority.file("root.crt").to_str().expect("text")])
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .args(more)
        .arg(format!("https://localhost:{port}{path}"))
        .output()
        .expect("Missing: curl. Install it; the tests of TLS use it.");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn http_1_and_2_are_spoken_under_tls_and_the_health_check_works() {
    let authority = Authority::new();
    let place = place(&authority);
    let app = format!("{}&grant_type=client_credentials", credentials(&place, "app", &[]));
    let mut server = place.serve();
    for (more, version) in
        [(["--http1.1"].as_slice(), "1.1"), (&["--http2"], "2"), (&["--tls-max", "1.2"], "2")]
    {
        let said = curl(&authority, &server, "/.well-known/openid-configuration", more).with_code(0);
        assert!(said.out.ends_with(&format!("\n{version} 200")), "{said:?}");
        assert!(said.out.contains("\"issuer\":\"https://localhost:8443\""), "{said:?}");
        let said =
            curl(&authority, &server, "/oauth/token", &[more, &["--data", &app]].concat()).with_code(0);
        assert!(said.out.ends_with(&format!("\n{version} 200")) && said.out.contains("chy_at_"), "{said:?}");
    }
    let mut check = place.command(&["healthcheck", "--json"]);
    check.env("CHANCERY_SERVER_OPS_LISTEN", &server.operations);
    check.env("CHANCERY_SERVER_LISTEN", address(&server));
    let check = check.output().expect("the binary runs");
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    // Nothing is answered in the clear.
    let mut plain = TcpStream::connect(address(&server)).expect("it listens");
    plain.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").expect("it takes bytes");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    terminate(&server.child);
    assert_eq!(server.child.wait().expect("it ends").code(), Some(0));
}

/// A ClientHello (RFC 5246 §7.4.1.2) that offers one version and one cipher suite.
fn client_hello(version: u16, suite: u16) -> Vec<u8> {
    let extension = |kind: u16, content: &[u8]| {
        [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat()
    };
    // P-256 and X25519; ECDSA and RSA with SHA-256 and SHA-1; uncompressed points.
    let extensions = [
        extension(10, &[0, 4, 0, 23, 0, 29]),
        extension(13, &[0, 8, 4, 3, 4, 1, 2, 3, 2, 1]),
        extension(11, &[1, 0]),
    ]
    .concat();
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, 2]);
    body.extend(suite.to_be_bytes());
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let length = (body.len() as u32).to_be_bytes();
    let handshake = [&[1], &length[1..], &body].concat();
    [&[22, 3, 1], &(handshake.len() as u16).to_be_bytes()[..], &handshake].concat()
}

/// The first record of the answer: its type, and an alert's description.
fn first_record(address: &str, hello: &[u8]) -> (u8, u8) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream.write_all(hello).expect("it takes bytes");
    let mut record = [0; 7];
    stream.read_exact(&mut record).expect("a record");
    (record[0], record[6])
}

/// T41
#[test]
fn old_versions_and_weak_ciphers_are_refused() {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    let authority = Authority::new();
    let server = place(&authority).serve();
    let at = address(&server);
    // ECDHE-ECDSA-AES128-GCM-SHA256 proves that the bytes are right.
    assert_eq!(first_record(at, &client_hello(0x0303, 0xC02B)).0, HANDSHAKE);
    for version in [0x0300, 0x0301, 0x0302] {
        let (record, alert) = first_record(at, &client_hello(version, 0xC02B));
        assert_eq!((record, alert), (ALERT, 70), "protocol_version for {version:#06x}");
    }
    let weak = [
        ("RC4", 0x0005),
        ("3DES", 0x000A),
        ("RSA-AES128-CBC", 0x002F),
        ("RSA-AES128-GCM", 0x009C),
        ("DHE-RSA-AES128-GCM", 0x009E),
        ("ECDHE-ECDSA-3DES", 0xC008),
        ("ECDHE-ECDSA-AES128-CBC", 0xC009),
        ("ECDHE-ECDSA-AES128-CBC-SHA256", 0xC023),
        ("NULL", 0xC006),
        ("anonymous", 0xC018),
        ("export", 0x0003),
    ];
    for (name, suite) in weak {
        let (record, alert) = first_record(at, &client_hello(0x0303, suite));
        assert_eq!((record, alert), (ALERT, 40), "handshake_failure for {name}");
    }
}

/// How often the changed files were put in force, and refused.
fn renewals(server: &Server) -> [u64; 2] {
    let metrics = http(&server.operations, "GET /metrics HTTP/1.1", "").1;
    ["success", "failure"].map(|outcome| {
        let name = format!("chancery_tls_renewals_total{{outcome=\"{outcome}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.expect("the metric is there").parse().expect("a number")
    })
}

/// Whether the certificate of this file is the one that is shown.
fn shows(server: &Server, file: &Path) -> bool {
    let leaf = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).stdin(std::process::Stdio::null()).output();
        let text =
            String::from_utf8_lossy(&output.expect("Missing: openssl. Install it.").stdout).into_owned();
        let from =
            text.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("no certificate: {text}"));
        text[from..text.find("-----END CERTIFICATE-----").expect("it ends")].to_owned()
    };
    leaf(&["s_client", "-connect", address(server)]) == leaf(&["x509", "-in", file.to_str().expect("text")])
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    // As Kubernetes does it: the files are links through a link that is replaced as a whole.
    for (name, from) in [("first", &authority), ("second", &other)] {
        fs::create_dir(file(name)).expect("a folder");
        from.equip(&file(name));
    }
    std::os::unix::fs::symlink("first", file("data")).expect("a link");
    for name in ["server.crt", "server.key"] {
        std::os::unix::fs::symlink(Path::new("data").join(name), file(name)).expect("a link");
    }
    let place = place(&authority)
        .with("CHANCERY_TLS_CERT", &file("server.crt").display().to_string())
        .with("CHANCERY_TLS_KEY", &file("server.key").display().to_string());
    let server = place.serve();
    assert!(shows(&server, &authority.file("server.crt")));
    std::os::unix::fs::symlink("second", file("next")).expect("a link");
    fs::rename(file("next"), file("data")).expect("the link is replaced");
    eventually(DEADLINE, "the new certificate is shown", || shows(&server, &other.file("server.crt")));
    let [renewed, refused] = renewals(&server);
    assert_eq!((renewed, refused), (1, 0));
    // Half of a pair: the key is still the other's.
    fs::copy(authority.file("server.crt"), file("second/server.crt")).expect("a copy");
    eventually(DEADLINE, "half a pair is refused", || renewals(&server) == [1, 1]);
    assert!(shows(&server, &other.file("server.crt")), "the old one stays");
    fs::copy(authority.file("server.key"), file("second/server.key")).expect("a copy");
    eventually(DEADLINE, "the whole pair is shown", || shows(&server, &authority.file("server.crt")));
    let log = server.logged();
    let told = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!((told("TLS certificate reloaded"), told("keeping the previous one")), (2, 1), "{log}");
    assert!(log.contains("is not the key of the certificate in"), "{log}");
}

#[test]
fn a_pair_that_cannot_be_used_is_told_at_the_start_with_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new());
    let place = place(&authority);
    fs::write(place.path("empty.pem"), "").expect("a file");
    let whole = fs::read(authority.file("server.crt")).expect("a certificate");
    fs::write(place.path("half.pem"), &whole[..whole.len() / 2]).expect("a file");
    let of_other = other.file("server.key").display().to_string();
    for (variable, value, part) in [
        ("CHANCERY_TLS_CERT", "missing.crt", "[tls] cert: missing.crt cannot be read"),
        ("CHANCERY_TLS_CERT", "empty.pem", "[tls] cert: empty.pem holds no certificate"),
        ("CHANCERY_TLS_CERT", "half.pem", "[tls] cert: half.pem is not PEM"),
        ("CHANCERY_TLS_CERT", "", "[tls] cert: is required with `key`"),
        ("CHANCERY_TLS_KEY", "missing.key", "[tls] key: missing.key cannot be read"),
        ("CHANCERY_TLS_KEY", "empty.pem", "[tls] key: empty.pem holds no private key"),
        ("CHANCERY_TLS_KEY", &of_other, "is not the key of the certificate in"),
        ("CHANCERY_TLS_KEY", "", "[tls] key: is required with `cert`"),
        ("CHANCERY_SERVER_ISSUER", "http://localhost:8443", "must begin with https://, since `[tls]` is set"),
    ] {
        for command in ["check-config", "serve"] {
            let mut command = place.command(&[command]);
            let output = command.env(variable, value).output().expect("the binary runs");
            let said = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let checked = place.json(&["check-config"]);
    assert_eq!((&checked["ok"], &checked["tls"]), (&true.into(), &true.into()), "{checked}");
}

#[test]
fn a_private_key_that_everybody_may_read_is_told() {
    use std::os::unix::fs::PermissionsExt;

    let authority = Authority::new();
    let place = place(&authority);
    for (mode, warned) in [(0o640, false), (0o644, true)] {
        fs::set_permissions(authority.file("server.key"), fs::Permissions::from_mode(mode))
            .expect("our file");
        let server = place.serve();
        assert_eq!(server.log.contains("readable by every user"), warned, "{mode:o}: {}", server.log);
        assert_eq!(server.terminate(), Some(0));
    }
}
