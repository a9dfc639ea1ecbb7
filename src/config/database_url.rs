//! URLs of databases and caches: which store they name, and how they are shown without their secrets.

use std::path::PathBuf;

use url::Url;

use super::value::{Reading, path};
use crate::model::Secret;

/// Where a store is.
#[derive(Clone, Debug)]
pub enum Location {
    /// The embedded store, in a file.
    File(PathBuf),
    /// Postgres, or what speaks its protocol.
    Postgres(SecretUrl),
}

impl Location {
    /// Reads `sqlite:path` or `postgres://…`; what is wrong with it, without repeating it, otherwise.
    pub fn parse(url: &str) -> Result<Self, String> {
        location(url)
    }

    /// For messages: without user, password and parameters.
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Postgres(url) => url.shown(),
        }
    }
}

/// A URL that may hold a password.
#[derive(Clone, Debug)]
pub struct SecretUrl(Secret<String>);

impl SecretUrl {
    /// All of it, for the driver. Never show what this returns.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Scheme, host, port and path. Of a URL that lists several hosts only the scheme, because it is not
    /// told apart what in it is secret.
    pub fn shown(&self) -> String {
        let text = self.expose();
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let Ok(url) = Url::parse(text) else { return format!("{scheme}://…") };
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{}", url.path())
    }
}

/// Reads `sqlite:path`, `sqlite:///absolute/path`, `sqlite://relative/path` and `postgres://…`. The error
/// does not repeat the URL, which may hold a password.
pub(super) fn location(url: &str) -> Reading<Location> {
    let form = "must be of the form sqlite:path or postgres://user:password@host/database";
    match url.split_once(':').ok_or_else(|| form.to_owned())? {
        ("sqlite", rest) => sqlite_path(rest).map(Location::File),
        ("postgres" | "postgresql", _) => postgres(url).map(Location::Postgres),
        _ => Err("names a database that is not supported; use sqlite:path or postgres://…".to_owned()),
    }
}

/// Reads the URL of a Postgres server: its parameters have names that are known, and TLS is as asked for.
/// What the others are worth is the driver's business.
pub(super) fn postgres(url: &str) -> Reading<SecretUrl> {
    let read = checked(url, &["postgres", "postgresql"], "postgres://user:password@host/database")?;
    // A question mark before the @ belongs to the password.
    let place = url.split_once('@').map_or(url, |(_, place)| place);
    let query = place.split_once('?').map_or("", |(_, query)| query);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        // The value may be secret. So may what stands where a name should: it is shown if it looks like one.
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == "sslmode" && !SSL_MODES.contains(&value) {
            return Err(format!("has an sslmode that is none of {}", SSL_MODES.join(", ")));
        }
        if !PARAMETERS.contains(&name) {
            let shown =
                pair.contains('=') && name.chars().all(|sign| sign.is_ascii_lowercase() || sign == '_');
            let name = if shown { format!(", {name}") } else { String::new() };
            return Err(format!(
                "has a parameter that is not known{name}; those known are {}",
                PARAMETERS.join(", ")
            ));
        }
    }
    Ok(read)
}

/// As libpq's, but for `allow`, which promises nothing.
const SSL_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// Parameters of the URL that are understood.
const PARAMETERS: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Reads the URL of a Redis server, its sentinels, or a cluster.
pub(super) fn redis(url: &str) -> Reading<SecretUrl> {
    const SCHEMES: [&str; 7] = [
        "redis",
        "rediss",
        "redis+sentinel",
        "rediss+sentinel",
        "redis+cluster",
        "rediss+cluster",
        "redis+unix",
    ];
    checked(
        url,
        &SCHEMES,
        "redis://user:password@host:6379/0, with rediss for TLS and +sentinel or +cluster for several hosts",
    )
}

fn checked(url: &str, schemes: &[&str], form: &str) -> Reading<SecretUrl> {
    let rest = url.split_once("://").filter(|(scheme, _)| schemes.contains(scheme)).map(|(_, rest)| rest);
    let rest = rest.ok_or_else(|| format!("must be of the form {form}"))?;
    if rest.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err("must not contain white space; write a space as %20".to_owned());
    }
    // What comes after the host is shown in messages. A `/` inside a password would put its rest there.
    let place = rest.split_once('?').map_or(rest, |(place, _)| place);
    if place.split_once('/').is_some_and(|(_, path)| path.contains('@')) || place.matches('@').count() > 1 {
        return Err("has an @ or / in its user name or password; write them as %40 and %2F".to_owned());
    }
    Ok(SecretUrl(Secret::new(url.to_owned())))
}

fn sqlite_path(rest: &str) -> Reading<PathBuf> {
    if rest.contains(":memory:") {
        return Err("names a store in memory, which would forget revocations; use a file".to_owned());
    }
    if rest.contains(['?', '#']) {
        return Err("must not have parameters after the path".to_owned());
    }
    path(rest.strip_prefix("//").unwrap_or(rest)).map_err(|_| "must name a file: sqlite:path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_urls_name_files() {
        for (url, expected) in [
            ("sqlite:chancery.db", "chancery.db"),
            ("sqlite:/srv/chancery.db", "/srv/chancery.db"),
            ("sqlite:///srv/chancery.db", "/srv/chancery.db"),
            ("sqlite://data/chancery.db", "data/chancery.db"),
            ("sqlite:./a b.db", "./a b.db"),
        ] {
            let Ok(Location::File(path)) = location(url) else { panic!("{url}") };
            assert_eq!(path, PathBuf::from(expected), "{url}");
        }
    }

    #[test]
    fn a_postgres_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("postgres://chancery:hunter2@db/chancery", "postgres://db/chancery"),
            ("postgresql://chancery:hunter2@db:6432/c?sslmode=verify-full", "postgresql://db:6432/c"),
            ("postgres://db/c?user=chancery&password=hunter2", "postgres://db/c"),
            ("postgres:///c?host=/run/postgresql&password=hunter2", "postgres:///c"),
            ("postgres://chancery:hunter2@one:5432,two:5432/c", "postgres://…"),
            ("postgres://chancery:a%40hunter2@db/c", "postgres://db/c"),
            ("postgres://db/c?sslmode=verify-ca&sslrootcert=%2Froot.crt&password=hunter2", "postgres://db/c"),
            ("postgres://chancery:hunter2?ssl_mode=x@db/c", "postgres://…"),
        ] {
            let location = location(url).expect(url);
            assert_eq!(location.shown(), shown, "{url}");
            assert!(!format!("{location:?}").contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_reason_and_without_the_password() {
        for (url, reason) in [
            ("mysql://chancery:hunter2@db/chancery", "not supported"),
            ("hunter2", "sqlite:path"),
            ("sqlite:", "name a file"),
            ("sqlite://", "name a file"),
            ("sqlite::memory:", "memory"),
            ("sqlite:a.db?mode=rwc&key=hunter2", "parameters"),
            ("postgres:hunter2", "postgres://user"),
            ("postgres://chancery:hunter2/x@db/chancery", "%2F"),
            ("postgres://chancery:hun@ter2@db/chancery", "%40"),
            ("postgres://chancery:hunter 2@db/chancery", "%20"),
            ("postgres://chancery:it@db/chancery?sslmode=hunter2", "verify-full"),
            ("postgres://chancery:it@db/chancery?ssl_mode=hunter2", "not known, ssl_mode"),
            ("postgres://chancery:it@db/chancery?sslmode=require&hunter2", "not known;"),
        ] {
            let why = location(url).expect_err(url);
            assert!(why.contains(reason) && !why.contains("hunter2"), "{url}: {why}");
        }
        for url in ["redis:hunter2", "http://hunter2@cache", "hunter2"] {
            let why = redis(url).expect_err(url);
            assert!(why.contains("redis://") && !why.contains("hunter2"), "{url}: {why}");
        }
    }
}
