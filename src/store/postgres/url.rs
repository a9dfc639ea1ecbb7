//! The URL of a Postgres: `postgres://user:password@host:port/database?sslmode=…`.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>. The driver
//! reads all but what concerns TLS, of which it does not know the modes that verify.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_postgres::{
    Config,
    config::{Host, SslMode as DriverSslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    OpenError,
    tls::{self, SslMode},
};

/// What was sent must be acknowledged within that, else the line is dead.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// An idle line is tried after that.
const SILENCE: Duration = Duration::from_secs(30);

/// Where a Postgres is, and how to talk to it.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: Option<MakeRustlsConnect>,
    /// Host, port and database, for messages.
    pub(super) place: String,
}

/// Whose URL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that takes writes. A server that takes none is refused, so that after a failover the
    /// former primary is not taken for the new one, and of several hosts the right one is found.
    Primary,
    Replica,
}

/// Reads a URL. What is wrong with it is said without quoting it: it holds a password.
pub(super) fn parse(
    (name, role): (&'static str, Role),
    url: &str,
    root_file: Option<&Path>,
    connect_timeout: Duration,
) -> Result<Address, OpenError> {
    let refused = |problem: &'static str| OpenError::Url { name, problem };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(refused("does not begin with postgres://"));
    }
    let (url, options) = take_tls(url);
    let mut config: Config = url.parse().map_err(|_| {
        refused(
            "cannot be understood; it is postgres://user:password@host:port/database, in which other \
             signs than letters and digits in the password are written as % and two digits",
        )
    })?;
    if config.get_hosts().is_empty() {
        return Err(refused("names no host"));
    }
    if config.get_application_name().is_none() {
        config.application_name("chancery");
    }
    if role == Role::Primary && config.get_target_session_attrs() == TargetSessionAttrs::Any {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(connect_timeout);
    }
    config.tcp_user_timeout(UNACKNOWLEDGED).keepalives_idle(SILENCE);

    let mode = options.mode.as_deref().unwrap_or("prefer");
    let mode = SslMode::parse(mode).ok_or_else(|| {
        refused("has an sslmode that is none of disable, prefer, require, verify-ca, verify-full")
    })?;
    // A Unix socket leads nowhere else, and Postgres does not speak TLS on it.
    let unix = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    let mode = if unix { SslMode::Disable } else { mode };
    let tls = tls::connector(mode, options.root_file.as_deref().or(root_file))?;
    config.ssl_mode(match mode {
        SslMode::Disable => DriverSslMode::Disable,
        SslMode::Prefer => DriverSslMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => DriverSslMode::Require,
    });
    Ok(Address { place: place(&config), config, tls })
}

/// What a URL says about TLS.
#[derive(Default)]
struct Tls {
    mode: Option<String>,
    root_file: Option<PathBuf>,
}

/// Takes `sslmode` and `sslrootcert` out of a URL; everything else stays as it is.
fn take_tls(url: &str) -> (String, Tls) {
    let mut tls = Tls::default();
    // As the driver does: a question mark before the @ belongs to the password.
    let host = url.find('@').unwrap_or_default();
    let Some(mark) = url[host..].find('?') else { return (url.to_owned(), tls) };
    let (start, query) = (&url[..host + mark], &url[host + mark + 1..]);
    let mut rest = Vec::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "sslmode" => tls.mode = Some(value.to_owned()),
            "sslrootcert" => tls.root_file = Some(decoded(value).into()),
            _ => rest.push(pair),
        }
    }
    let mark = if rest.is_empty() { "" } else { "?" };
    (format!("{start}{mark}{}", rest.join("&")), tls)
}

/// Percent-decoded. In these URLs, unlike in forms, a plus sign is a plus sign.
fn decoded(value: &str) -> String {
    let value = format!("={}", value.replace('+', "%2B"));
    form_urlencoded::parse(value.as_bytes()).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
}

fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("{hosts}/{}", config.get_dbname().or(config.get_user()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Address, OpenError> {
        parse(("store", Role::Primary), url, None, Duration::from_secs(1))
    }

    #[test]
    fn the_modes_of_tls_are_taken_out_of_the_url() {
        for (url, tls) in [
            ("postgres://me:it@db.example/chancery", true),
            ("postgres://me:it@db.example/chancery?sslmode=disable", false),
            ("postgres://me:i?t@db.example/chancery?sslmode=disable", false),
            ("postgres://me:it@db.example/chancery?sslmode=require&application_name=x", true),
            ("postgres://me:it@%2Frun%2Fpostgresql/chancery?sslmode=verify-full", false),
        ] {
            let address = read(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(address.tls.is_some(), tls, "{url}");
        }
    }

    #[test]
    fn a_place_has_no_password() {
        let address = read("postgres://me:sesame@a.example,b.example:7777/chancery").expect("a URL");
        assert_eq!(address.place, "a.example:5432,b.example:7777/chancery");
    }

    /// R72
    #[test]
    fn what_is_wrong_with_a_url_is_said_without_the_password() {
        for (url, said) in [
            ("mysql://me:sesame@db/chancery", "does not begin"),
            ("postgres://me:sesame@db/chancery?sslmode=sesame", "sslmode"),
            ("postgres://me:it@db/chancery?sesame=1", "cannot be understood"),
            ("postgres://me:sesame%@db:port/chancery", "cannot be understood"),
            ("postgres://", "names no host"),
        ] {
            let error = read(url).err().unwrap_or_else(|| panic!("{url}"));
            assert!(error.to_string().contains(said), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
        }
    }

    #[test]
    fn a_file_of_roots_is_decoded_and_must_hold_some() {
        let (url, tls) = take_tls("postgres://db/x?sslrootcert=%2Fa%20b+c&sslmode=verify-ca&port=1");
        assert_eq!(url, "postgres://db/x?port=1");
        assert_eq!(tls.root_file, Some("/a b+c".into()));
        let error =
            read("postgres://db/x?sslmode=verify-full&sslrootcert=/dev/null").err().expect("no roots");
        assert_eq!(error.to_string(), "cannot read certificates from /dev/null: there are none");
    }
}
