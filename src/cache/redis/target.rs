//! Where Redis is, from one URL: a server, a group watched by Sentinel, or a Cluster.
//!
//! | form | what |
//! |---|---|
//! | `redis://[user[:password]@]host[:port][/db]` | one server |
//! | `redis+unix:///path[?db=n&user=…&pass=…]` | one server, by its socket |
//! | `redis+sentinel://[user[:password]@]host[:port],…/name[/db]` | the primary of the group `name`; the hosts are Sentinels, port 26379 unless given |
//! | `redis+cluster://[user[:password]@]host[:port],…` | a Cluster; the hosts are any of its nodes |
//!
//! With `rediss` in place of `redis` every connection, to Sentinels too, is under TLS. User and password
//! are those of the Redis servers.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult,
    TlsCertificates, TlsMode, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

use super::options::{CONNECT_TIMEOUT, RedisOpenError};

/// See the module.
pub(super) enum Target {
    One(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster { all: Box<ClusterClient>, nodes: Vec<Client> },
}

/// A connection to a server or a Cluster. Clones share it.
#[derive(Clone)]
pub(super) enum RedisConnection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl RedisConnection {
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }
}

/// The parts of a URL that names several hosts.
struct Hosts<'a> {
    tls: bool,
    /// `user:password@`, still encoded.
    login: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
}

impl Target {
    /// Reads a URL; no connection is made. `roots`: certificates in PEM to trust in place of the system's.
    pub(super) fn new(url: &str, roots: Option<Vec<u8>>, timeout: Duration) -> Result<Self, RedisOpenError> {
        let certificates = roots.map(|roots| TlsCertificates { client_tls: None, root_cert: Some(roots) });
        match url.split_once("://") {
            Some(("redis+sentinel", rest)) => sentinel(Hosts::read(false, rest)?, certificates),
            Some(("rediss+sentinel", rest)) => sentinel(Hosts::read(true, rest)?, certificates),
            Some(("redis+cluster", rest)) => cluster(Hosts::read(false, rest)?, certificates, timeout),
            Some(("rediss+cluster", rest)) => cluster(Hosts::read(true, rest)?, certificates, timeout),
            Some(("redis" | "rediss" | "redis+unix", _)) => Ok(Self::One(client(url, certificates)?.into())),
            _ => Err(RedisOpenError::Url("it must begin with redis://, rediss:// or redis+unix://, or one of these with +sentinel or +cluster".into())),
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<RedisConnection> {
        Ok(match self {
            Self::One(client) => {
                RedisConnection::One(client.get_multiplexed_async_connection_with_config(config).await?)
            }
            Self::Sentinel(client) => {
                RedisConnection::One(client.lock().await.get_async_connection_with_config(config).await?)
            }
            Self::Cluster { all, .. } => RedisConnection::Cluster(all.get_async_connection().await?),
        })
    }

    /// A new connection for subscriptions. In a Cluster any node will do: what is published on one is
    /// passed to all.
    pub(super) async fn subscriber(&self) -> RedisResult<PubSub> {
        match self {
            Self::One(client) => client.get_async_pubsub().await,
            Self::Sentinel(client) => {
                let primary = client.lock().await.async_get_client().await?;
                primary.get_async_pubsub().await
            }
            Self::Cluster { nodes, .. } => {
                let mut last = None;
                for node in nodes {
                    match node.get_async_pubsub().await {
                        Ok(subscriber) => return Ok(subscriber),
                        Err(error) => last = Some(error),
                    }
                }
                Err(last.expect("a URL without a host is refused"))
            }
        }
    }
}

impl<'a> Hosts<'a> {
    fn read(tls: bool, rest: &'a str) -> Result<Self, RedisOpenError> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (&authority[..=login.len()], hosts),
            None => ("", authority),
        };
        let hosts: Vec<_> = hosts.split(',').map(str::trim).collect();
        if hosts.contains(&"") {
            return Err(RedisOpenError::Url("a host is missing".into()));
        }
        if !query.is_empty() {
            return Err(RedisOpenError::Url("it takes no parameters after a question mark".into()));
        }
        let path = path.split('/').filter(|part| !part.is_empty()).collect();
        Ok(Self { tls, login, hosts, path })
    }

    /// What the Redis crate makes of each host.
    fn nodes(&self, default_port: u16) -> Result<Vec<ConnectionInfo>, RedisOpenError> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let node = |host: &&str| {
            // An IPv6 address is in brackets.
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port { String::new() } else { format!(":{default_port}") };
            info(&format!("{scheme}://{}{host}{port}", self.login))
        };
        self.hosts.iter().map(node).collect()
    }
}

fn sentinel(hosts: Hosts<'_>, certificates: Option<TlsCertificates>) -> Result<Target, RedisOpenError> {
    let (name, db) = match hosts.path[..] {
        [name] => (name, 0),
        [name, db] => {
            (name, db.parse().map_err(|_| RedisOpenError::Url("the database is no number".into()))?)
        }
        _ => return Err(RedisOpenError::Url("after the Sentinels comes /name or /name/db".into())),
    };
    let nodes = hosts.nodes(26_379)?;
    let addresses: Vec<ConnectionAddr> = nodes.iter().map(|node| node.addr().clone()).collect();
    let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)
        .map_err(RedisOpenError::from)?
        .set_client_to_redis_db(db);
    let login = nodes.first().map(ConnectionInfo::redis_settings);
    if let Some(user) = login.and_then(|login| login.username()) {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = login.and_then(|login| login.password()) {
        builder = builder.set_client_to_redis_password(password);
    }
    if hosts.tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        if let Some(certificates) = certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
    }
    Ok(Target::Sentinel(Box::new(Mutex::new(builder.build()?))))
}

fn cluster(
    hosts: Hosts<'_>,
    certificates: Option<TlsCertificates>,
    timeout: Duration,
) -> Result<Target, RedisOpenError> {
    if !hosts.path.is_empty() {
        return Err(RedisOpenError::Url("a Cluster has no databases".into()));
    }
    let infos = hosts.nodes(6_379)?;
    let mut builder = ClusterClient::builder(infos.clone())
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(timeout)
        // The breaker is what gives Redis time; a request has none.
        .retries(1);
    if let Some(certificates) = &certificates {
        builder = builder.certs(certificates.clone());
    }
    let nodes = infos.into_iter().map(|info| open(info, certificates.clone()));
    Ok(Target::Cluster { nodes: nodes.collect::<Result<_, _>>()?, all: Box::new(builder.build()?) })
}

fn client(url: &str, certificates: Option<TlsCertificates>) -> Result<Client, RedisOpenError> {
    open(info(url)?, certificates)
}

fn open(info: ConnectionInfo, certificates: Option<TlsCertificates>) -> Result<Client, RedisOpenError> {
    let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    Ok(match certificates.filter(|_| tls) {
        Some(certificates) => Client::build_with_tls(info, certificates)?,
        None => Client::open(info)?,
    })
}

fn info(url: &str) -> Result<ConnectionInfo, RedisOpenError> {
    // The crate's own message may repeat parts of the URL.
    url.into_connection_info()
        .map_err(|_| RedisOpenError::Url("host, port, database or login cannot be read".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, RedisOpenError> {
        Target::new(url, None, Duration::from_millis(50))
    }

    #[test]
    fn every_form_of_url_is_read() {
        for url in [
            "redis://localhost",
            "redis://user:p%40ss@localhost:6380/3",
            "rediss://:secret@redis.example",
            "redis+unix:///run/redis.sock?db=2",
        ] {
            assert!(matches!(target(url), Ok(Target::One(_))), "{url}");
        }
        for url in [
            "redis+sentinel://a,b:26380,[::1]/chancery",
            "redis+sentinel://user:p%40ss@a:1,b:2/chancery/4",
            "rediss+sentinel://a/chancery",
        ] {
            assert!(matches!(target(url), Ok(Target::Sentinel(_))), "{url}");
        }
        for url in ["redis+cluster://a:7000,b:7001", "rediss+cluster://user:secret@a"] {
            assert!(matches!(target(url), Ok(Target::Cluster { .. })), "{url}");
        }
    }

    #[test]
    fn hosts_get_their_ports_and_the_login_is_decoded() {
        let nodes = Hosts::read(false, "user:p%40ss@a,b:1,[::1],[::1]:2/name").expect("good").nodes(26_379);
        let nodes = nodes.expect("good");
        let ports: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(ports, ["a:26379", "b:1", "::1:26379", "::1:2"]);
        assert_eq!(nodes[1].redis_settings().password(), Some("p@ss"));
        assert_eq!(nodes[1].redis_settings().username(), Some("user"));
    }

    #[test]
    fn a_bad_url_is_refused_without_being_repeated() {
        for url in [
            "",
            "localhost:6379",
            "postgres://user:secret@a",
            "redis://user:secret@a:port",
            "redis://user:secret@a/secret",
            "redis+sentinel://user:secret@a",
            "redis+sentinel://user:secret@a/name/secret",
            "redis+sentinel://user:secret@/name",
            "redis+cluster://user:secret@a,,b",
            "redis+cluster://user:secret@a/1",
            "redis+cluster://user:secret@a?secret",
        ] {
            let error = target(url).err().unwrap_or_else(|| panic!("{url} was read")).to_string();
            assert!(!error.contains("secret") && !error.contains("user:"), "{url}: {error}");
        }
    }
}
