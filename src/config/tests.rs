//! The configuration as a whole: file, environment, faults, and its page in the documentation.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use super::*;
use crate::model::SigningAlg;

const FILE: &str = "chancery.toml";
const PAGE: &str = include_str!("../../docs/configuration.md");

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    Config::load(Some((Path::new(FILE), file)), &vars(env))
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

/// The only fault of a configuration.
fn fault(file: &str, env: &[(&str, &str)]) -> String {
    let faults = load(file, env).expect_err("there is a fault");
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.into_iter().next().unwrap()
}

#[test]
fn the_defaults_serve() {
    let config = Config::load(None, &vars(&[])).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.issuer.as_str(), "http://127.0.0.1:8080");
    assert_eq!(config.store.location().shown(), "./chancery-data/chancery.db");
    assert!(config.redis.url.is_none() && !config.store.is_postgres());
    assert_eq!(config.keys.algorithms, SigningAlg::ALL);
    assert_eq!(config.feed.max_staleness, Duration::from_secs(2));
    assert_eq!(config.cache.max_memory, 64 << 20);
    assert!(config.session.logout_revokes && !config.log.requests);
    assert!(config.resources.is_empty() && config.pages.templates.is_none());
}

/// R21, R29
#[test]
fn default_lifetimes_are_within_the_bounds_of_the_security_bar() {
    let config = Config::load(None, &vars(&[])).unwrap();
    assert!(config.tokens.access_lifetime <= 3600);
    assert!(config.tokens.code_lifetime <= 60);
    assert!(fault("[tokens]\ncode_lifetime = \"61s\"", &[]).contains("from 5s to 1m"));
}

#[test]
fn every_key_of_the_table_is_read_and_has_a_valid_default() {
    let mut reader = SettingReader::default();
    Config::read(&mut reader, Vec::new());
    let keys: BTreeSet<_> = KEYS.iter().map(|key| (key.section, key.name)).collect();
    assert_eq!(reader.asked(), &keys);
    assert_eq!(reader.into_faults(), []);
}

#[test]
fn values_come_from_the_file_and_the_environment_wins() {
    let file = "[server]\nworkers = 3\nkeep_alive = \"1m\"\n[log]\nrequests = true\n";
    let config = load(file, &[("CHANCERY_SERVER_WORKERS", "5")]).unwrap();
    assert_eq!(config.server.workers, 5);
    assert_eq!(config.server.keep_alive, Duration::from_secs(60));
    assert!(config.log.requests);
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        // Its section must have an effect.
        let used = match key.section {
            "postgres" => ("DATABASE_URL", "postgres://db/chancery"),
            "redis" => ("REDIS_URL", "redis://cache"),
            "tracing" => ("CHANCERY_TRACING_ENDPOINT", "http://collector:4318"),
            _ => ("REDIS_URL", ""),
        };
        let faults = load("", &[used, (&key.variable(), key.default)]);
        assert!(faults.is_ok(), "{}: {faults:?}", key.variable());
        let faults = load("", &[used, (&key.variable(), "\u{7}?!")]);
        if key.name != "data_dir" {
            assert!(faults.is_err_and(|faults| faults[0].starts_with(&key.variable())), "{}", key.variable());
        }
    }
}

#[test]
fn an_empty_variable_is_not_set() {
    assert_eq!(load("[server]\nworkers = 3", &[("CHANCERY_SERVER_WORKERS", "")]).unwrap().server.workers, 3);
    assert!(load("", &[("REDIS_URL", "")]).is_ok());
}

#[test]
fn familiar_names_work() {
    let config = load(
        "",
        &[
            ("DATABASE_URL", "sqlite:///srv/c.db"),
            ("RUST_LOG", "warn,chancery=debug"),
            ("CACHE_DEFAULT_TTL", "300"),
            ("CACHE_MAX_MEMORY_SIZE", "134217728"),
        ],
    )
    .unwrap();
    assert_eq!(config.store.location().shown(), "/srv/c.db");
    assert_eq!(config.log.level, "warn,chancery=debug");
    assert_eq!(config.cache.ttl, Duration::from_secs(300));
    assert_eq!(config.cache.max_memory, 128 << 20);
    let config = load(
        "",
        &[
            ("DATABASE_URL", "postgresql://chancery:hunter2@db/chancery"),
            ("DATABASE_MIGRATION_URL", "postgres://owner:hunter2@db:5432/chancery"),
            ("DATABASE_REPLICA_URLS", "postgres://one/chancery, postgres://two/chancery"),
            ("MAX_CONNECTIONS", "20"),
            ("MIN_IDLE_CONNECTIONS", "5"),
            ("CONNECTION_TIMEOUT", "2"),
            ("REDIS_URL", "rediss://:hunter2@cache:6380/1"),
        ],
    )
    .unwrap();
    assert_eq!(config.store.location().shown(), "postgresql://db/chancery");
    let replicas: Vec<_> = config.store.replica_urls.iter().map(SecretUrl::expose).collect();
    assert_eq!(replicas, ["postgres://one/chancery", "postgres://two/chancery"]);
    assert_eq!((config.postgres.max_connections, config.postgres.min_idle), (20, 5));
    assert_eq!(config.postgres.acquire_timeout, Duration::from_secs(2));
    assert_eq!(config.redis.url.as_ref().map(SecretUrl::shown).as_deref(), Some("rediss://cache:6380/1"));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn familiar_names_without_a_mechanism_are_refused_with_the_reason() {
    for (name, why) in REFUSED {
        let fault = fault("", &[(name, "hunter2")]);
        assert!(fault.starts_with(name) && fault.contains(why) && !fault.contains("hunter2"), "{fault}");
    }
}

#[test]
fn what_can_have_no_effect_is_refused() {
    let postgres = ("DATABASE_URL", "postgres://db/chancery");
    for (env, place, part) in [
        (&[("MAX_CONNECTIONS", "20")][..], "MAX_CONNECTIONS", "the store is embedded"),
        (&[("DATABASE_REPLICA_URLS", "postgres://one/c")], "DATABASE_REPLICA_URLS", "the store is embedded"),
        (
            &[("DATABASE_MIGRATION_URL", "postgres://one/c")],
            "DATABASE_MIGRATION_URL",
            "the store is embedded",
        ),
        (&[postgres, ("CHANCERY_STORE_READERS", "4")], "CHANCERY_STORE_READERS", "for the embedded store"),
        (&[("CHANCERY_REDIS_POOL_SIZE", "4")], "CHANCERY_REDIS_POOL_SIZE", "without `[redis] url`"),
    ] {
        let fault = fault("", env);
        assert!(fault.starts_with(place) && fault.contains(part), "{fault}");
    }
    // A mistyped address is one fault, not one for everything that hangs on it.
    let faults = load("", &[("DATABASE_URL", "postgre://db"), ("MAX_CONNECTIONS", "20")]).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:#?}");
}

#[test]
fn nodes_that_share_a_store_must_be_given_their_master_key() {
    let postgres = ("DATABASE_URL", "postgres://db/chancery");
    let folder = tempfile::tempdir().unwrap();
    let data_dir = ("CHANCERY_STORE_DATA_DIR", folder.path().to_str().unwrap());
    let made = folder.path().join("master.key");
    create_master_key(&made, &Secret::new([5; 32])).unwrap();
    let refused = load("", &[postgres, data_dir]).unwrap().master_keys().expect_err("it is this node's own");
    assert!(refused.message.contains("generate-master"), "{refused}");
    let named = load("", &[postgres, data_dir, ("CHANCERY_KEYS_MASTER_FILE", made.to_str().unwrap())]);
    assert_eq!(named.unwrap().master_keys().unwrap().unwrap()[0].expose(), &[5; 32]);
    let embedded = load("", &[data_dir]).unwrap();
    assert_eq!(embedded.master_keys().unwrap().unwrap()[0].expose(), &[5; 32]);
}

#[test]
fn two_names_for_one_key_may_agree_but_not_differ() {
    let agreed = [("DATABASE_URL", "sqlite:a.db"), ("CHANCERY_STORE_URL", "sqlite:a.db")];
    assert_eq!(load("", &agreed).unwrap().store.location().shown(), "a.db");
    let message = fault("", &[("DATABASE_URL", "sqlite:a.db"), ("CHANCERY_STORE_URL", "sqlite:b.db")]);
    assert_eq!(message, "CHANCERY_STORE_URL and DATABASE_URL: are both set, and differ; unset one");
}

#[test]
fn unknown_names_are_faults_with_a_suggestion() {
    for (file, expected) in [
        ("[sever]\n", "chancery.toml:1: [sever]: is not a section; did you mean [server]?"),
        (
            "\n[server]\nwrokers = 1",
            "chancery.toml:3: [server] wrokers: is not a key of [server]; did you mean `workers`?",
        ),
        (
            "[server]\nttl = 1",
            "chancery.toml:2: [server] ttl: is not a key of [server]; there is one in [cache]",
        ),
        ("[server]\ncolour = 1", "chancery.toml:2: [server] colour: is not a key of [server]"),
        ("workers = 1", "chancery.toml:1: workers: stands outside of a section; put it under its [section]"),
        ("[resource]\nuri = \"https://a\"", "chancery.toml:1: [resource]: is a list; write [[resource]]"),
        (
            "[[resourse]]",
            "chancery.toml:1: resourse: is not a list of Chancery; the only one is [[resource]]",
        ),
    ] {
        assert_eq!(fault(file, &[]), expected);
    }
    assert_eq!(
        fault("", &[("CHANCERY_SERVER_WORKER", "1")]),
        "CHANCERY_SERVER_WORKER: is not a variable of Chancery; did you mean CHANCERY_SERVER_WORKERS?"
    );
    assert_eq!(
        fault("", &[("CHANCERY_COLOUR", "1")]),
        "CHANCERY_COLOUR: is not a variable of Chancery; unset it"
    );
}

#[test]
fn what_kubernetes_injects_is_ignored() {
    let env = [
        ("CHANCERY_SERVICE_HOST", "10.0.0.1"),
        ("CHANCERY_SERVICE_PORT", "8080"),
        ("CHANCERY_SERVICE_PORT_OPS", "9464"),
        ("CHANCERY_PORT", "tcp://10.0.0.1:8080"),
        ("CHANCERY_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(load("", &env).is_ok());
    assert!(fault("", &[("CHANCERY_PORT", "8080")]).contains("not a variable"));
}

#[test]
fn all_faults_are_reported_at_once() {
    let file = "[server]\nworkers = \"many\"\nheadtimeout = 1\n[feed]\ninterval = \"1w\"\n[nothing]\n";
    let faults = load(file, &[("CHANCERY_LOG_FORMAT", "xml"), ("REDIS_URL", "http://r"), ("CHANCERY_X", "")]);
    let faults = faults.unwrap_err();
    for part in
        ["workers", "headtimeout", "interval", "nothing", "CHANCERY_LOG_FORMAT", "REDIS_URL", "CHANCERY_X"]
    {
        assert_eq!(faults.iter().filter(|fault| fault.contains(part)).count(), 1, "{part}: {faults:#?}");
    }
    assert_eq!(faults.len(), 7, "{faults:#?}");
}

#[test]
fn a_refused_value_is_shown_with_its_line_and_what_to_write() {
    assert_eq!(
        fault("[server]\nworkers = \"many\"", &[]),
        "chancery.toml:2: [server] workers: must be a whole number from 0 to 1024, not `many`"
    );
    assert_eq!(
        fault("", &[("CHANCERY_SERVER_KEEP_ALIVE", "2d")]),
        "CHANCERY_SERVER_KEEP_ALIVE: must be a duration from 1s to 1h, not `2d`"
    );
    assert!(fault("[server]\nworkers = [\"1\"]", &[]).contains("not a list"));
    assert!(fault("[server]\nworkers = { a = 1 }", &[]).contains("must be a string"));
    assert!(fault("[server]\nworkers = 0x10", &[]).contains("must be a string, a number"));
    let long = "9".repeat(500) + "\u{1b}[31m";
    let shown = fault("", &[("CHANCERY_SERVER_WORKERS", &long)]);
    assert!(shown.len() < 200 && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn values_that_do_not_go_together_are_faults() {
    for (file, part) in [
        ("[feed]\ninterval = \"2s\"", "[feed] interval: must be less than `max_staleness`"),
        ("[refresh]\nidle_lifetime = \"91d\"", "[refresh] idle_lifetime: must be at most `lifetime`"),
        ("[session]\nlifetime = \"1h\"", "[session] idle_lifetime: must be at most `lifetime`"),
        ("[keys]\nrotation = \"1h\"", "[keys] rotation: must be longer than `jwks_max_age`"),
        ("[password]\nmemory_kib = 8192", "[password] memory_kib: is too little"),
        ("[server]\nops_listen = \"127.0.0.1:8080\"", "ops_listen: must differ"),
        ("[keys]\nalgorithms = []", "at least one"),
        ("[keys]\nalgorithms = [\"ES256\", \"ES256\"]", "each algorithm once"),
        ("[keys]\nalgorithms = [\"HS256\"]", "item 1 must be one of RS256"),
        ("[tls]\ncert = \"a.crt\"", "[tls] key: is required with `cert`"),
        ("[tls]\nkey = \"a.key\"", "[tls] cert: is required with `key`"),
        (
            "[tls]\ncert = \"a.crt\"\nkey = \"a.key\"\n[server]\nissuer = \"http://127.0.0.1\"",
            "[server] issuer: must begin with https://",
        ),
        ("[pages]\ntemplates = \"/nowhere/at/all\"", "a folder that exists"),
    ] {
        assert!(fault(file, &[]).contains(part), "{}", fault(file, &[]));
    }
    let tls = load("[tls]\ncert = \"a.crt\"\nkey = \"a.key\"", &[]).unwrap();
    assert_eq!(tls.server.issuer.as_str(), "https://127.0.0.1:8080");
    let postgres = [("DATABASE_URL", "postgres://db/chancery")];
    for (file, part) in [
        ("[postgres]\nmax_connections = 4\nmin_idle = 5", "[postgres] min_idle: must be at most `max_conn"),
        (
            "[postgres]\nmax_lifetime = \"1m\"\nidle_timeout = \"2m\"",
            "idle_timeout: must be at most `max_life",
        ),
        (
            "[server]\nrequest_timeout = \"5s\"",
            "[postgres] statement_timeout: must be less than `[server] req",
        ),
        (
            "[postgres]\nacquire_timeout = \"10s\"",
            "[postgres] acquire_timeout: must be less than `[server] req",
        ),
        ("[postgres]\nroot_file = \"/nowhere/root.pem\"", "[postgres] root_file: must be a file"),
    ] {
        assert!(fault(file, &postgres).contains(part), "{}", fault(file, &postgres));
    }
    assert!(load("[postgres]\nmax_connections = 1\nmax_lifetime = \"1m\"", &postgres).is_ok());
    assert!(load("[password]\nmemory_kib = 7168\niterations = 4", &[]).is_err());
    assert!(load("[password]\nmemory_kib = 7168\niterations = 5", &[]).is_ok());
}

#[test]
fn a_refused_value_does_not_cause_a_second_fault() {
    assert!(fault("[feed]\nmax_staleness = \"never\"\ninterval = \"10s\"", &[]).contains("`never`"));
    assert!(
        fault("", &[("CHANCERY_SERVER_LISTEN", "0.0.0.0:1"), ("CHANCERY_SERVER_ISSUER", "x")])
            .contains("origin")
    );
}

#[test]
fn the_issuer_is_required_when_the_listener_is_public() {
    let fault = fault("[server]\nlisten = \"0.0.0.0:8080\"", &[]);
    assert!(fault.starts_with("[server] issuer: is required"), "{fault}");
    let config =
        load("[server]\nlisten = \"0.0.0.0:8080\"\nissuer = \"https://id.example.com\"", &[]).unwrap();
    assert!(config.server.issuer.secure());
    assert_eq!(load("[server]\nlisten = \"[::1]:80\"", &[]).unwrap().server.issuer.as_str(), "http://[::1]");
}

#[test]
fn resources_are_absolute_uris_listed_once() {
    let file = "[[resource]]\nuri = \"https://api.example.com\"\nowner = \"api\"\n[[resource]]\nuri = \"urn:example:b\"";
    let config = load(file, &[]).unwrap();
    assert_eq!(config.resources[0].owner.as_deref(), Some("api"));
    assert_eq!(config.resources[1], ResourceConfig { uri: "urn:example:b".to_owned(), owner: None });
    for (file, part) in [
        ("[[resource]]\nowner = \"api\"", "chancery.toml:1: [[resource]]: needs a `uri`"),
        ("[[resource]]\nuri = \"/api\"", "chancery.toml:2: [[resource]] uri: must be an absolute URI"),
        ("[[resource]]\nuri = \"https://a#b\"", "without fragment"),
        ("[[resource]]\nuri = \"https://a\"\n[[resource]]\nuri = \"https://a\"", "listed twice"),
        ("[[resource]]\nuri = \"https://a\"\nownr = \"b\"", "did you mean `owner`?"),
        ("[[resource]]\nuri = \"https://a\"\nowner = \"\"", "must be a client_id"),
        ("[[resource]]\nuri = \"https://a\"\nowner = 1", "must be a string"),
    ] {
        assert!(fault(file, &[]).contains(part), "{}", fault(file, &[]));
    }
}

#[test]
fn a_few_clients_may_be_counted_each() {
    let file = "[metrics]\nclients = [\"web\", \"a, b\"]\nmemory_limit = \"2GiB\"";
    let config = load(file, &[]).unwrap();
    assert_eq!(config.metrics.clients, ["web", "a, b"]);
    assert_eq!(config.metrics.memory_limit, Some(2 << 30));
    let listed = |clients: usize| (0..clients).map(|at| format!("c{at}")).collect::<Vec<_>>().join(",");
    let variable = "CHANCERY_METRICS_CLIENTS";
    assert_eq!(load("", &[(variable, &listed(50))]).unwrap().metrics.clients.len(), 50);
    assert_eq!(
        fault("", &[(variable, &listed(51))]),
        "CHANCERY_METRICS_CLIENTS: may list at most 50 clients, not 51, since each is six series"
    );
    assert!(fault("", &[(variable, "web,billing,web")]).contains("item 3 is listed before"));
    assert!(fault("", &[(variable, "web,\u{e9}")]).contains("item 2 must be a client_id"));
}

#[test]
fn syntax_errors_name_line_and_column_and_show_nothing() {
    let faults = load("[keys]\nmaster = [\"hunter2\n", &[]).unwrap_err();
    assert!(faults[0].starts_with("chancery.toml:2:"), "{faults:#?}");
    assert!(faults.iter().all(|fault| !fault.contains("hunter2")), "{faults:#?}");
    let faults = load("[keys]\nmaster = hunter2 hunter2\nhunter2\nmaster = 'x'\n", &[]).unwrap_err();
    assert!(faults.iter().all(|fault| !fault.contains("hunter2")), "{faults:#?}");
}

#[test]
fn secrets_are_in_no_message_and_no_debug_output() {
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYzE=";
    let config = load(&format!("[keys]\nmaster = [\"{secret}\"]"), &[]).unwrap();
    assert_eq!(config.keys.master[0].expose(), b"secret-secret-secret-secret-sec1");
    assert!(!format!("{config:?}").contains("secret-"));
    for env in [
        [("CHANCERY_KEYS_MASTER", "hunter2"), ("CHANCERY_KEYS_MASTER_FILE", "")],
        [("CHANCERY_KEYS_MASTER", secret), ("CHANCERY_KEYS_MASTER_FILE", "k")],
        [("CHANCERY_STORE_URL", "hunter2"), ("CHANCERY_STORE_READERS", "1")],
        [("CHANCERY_REDIS_URL", "hunter2"), ("CHANCERY_STORE_READERS", "1")],
        [("DATABASE_URL", "postgres://db/c"), ("DATABASE_REPLICA_URLS", "postgres://a/c,hunter2")],
        [("CHANCERY_SERVER_ISSUER", "https://a:hunter2@b"), ("CHANCERY_SERVER_WORKERS", "1")],
    ] {
        let fault = fault("", &env);
        assert!(!fault.contains("hunter2") && !fault.contains(secret), "{fault}");
    }
}

#[test]
fn master_keys_come_from_the_list_the_file_or_have_to_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = load("", &[]).unwrap();
    assert!(config.keys.master_keys(folder.path()).unwrap().is_none());
    create_master_key(&config.keys.master_path(folder.path()), &crate::model::Secret::new([5; 32])).unwrap();
    assert_eq!(config.keys.master_keys(folder.path()).unwrap().unwrap()[0].expose(), &[5; 32]);

    let named = load("[keys]\nmaster_file = \"/nowhere/master.key\"", &[]).unwrap();
    assert!(named.keys.master_keys(folder.path()).is_err(), "a configured file is not made up");
}

/// The tables of the page, as the code would write them.
fn documented(section: &str) -> String {
    let mut table = "| key | variable | default | meaning |\n|---|---|---|---|\n".to_owned();
    for key in KEYS.iter().filter(|key| key.section == section) {
        let familiar = key.familiar.map(|name| format!(", `{name}`")).unwrap_or_default();
        let default = if key.default.is_empty() { "–".to_owned() } else { format!("`{}`", key.default) };
        let line =
            format!("| `{}` | `{}`{familiar} | {default} | {} |\n", key.name, key.variable(), key.meaning);
        table.push_str(&line);
    }
    table
}

#[test]
fn the_page_documents_every_key_as_the_code_has_it() {
    for section in table::sections() {
        let expected = format!("### `[{section}]`\n\n{}", documented(section));
        let found = PAGE.split("### ").find(|part| part.starts_with(&format!("`[{section}]`")));
        let found = format!("### {}", found.unwrap_or_default());
        assert!(found.starts_with(&expected), "docs/configuration.md should have:\n\n{expected}");
    }
    for (name, _) in REFUSED {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_page_documents_no_key_that_does_not_exist() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `") && line.contains("`CHANCERY_")).count();
    assert_eq!(rows, KEYS.len());
    let sections = PAGE.lines().filter(|line| line.starts_with("### `[")).count();
    assert_eq!(sections, table::sections().count() + 1, "and [[resource]]");
}

#[test]
fn the_example_of_the_page_is_complete_and_shows_the_defaults() {
    let example = PAGE.split("```toml\n").last().unwrap().split("```").next().unwrap();
    let shown = load(example, &[]).unwrap();
    assert_eq!(shown.resources.len(), 1);
    let lines: Vec<&str> = example.lines().map(|line| line.trim_start_matches("# ")).collect();
    for key in KEYS {
        let line = lines.iter().find(|line| line.starts_with(&format!("{} = ", key.name)));
        assert!(line.is_some(), "{} {}", key.section, key.name);
    }
    let mut without = shown.clone();
    without.resources.clear();
    assert_eq!(format!("{without:?}"), format!("{:?}", Config::load(None, &vars(&[])).unwrap()));
}

proptest::proptest! {
    #[test]
    fn no_text_in_file_or_variable_makes_it_panic(
        file in "(\\[{0,2}(server|keys|resource|x)\\]{0,2}\n|(workers|master|uri|issuer) = ?[\"'\\[{]?.{0,12}[\"'\\]}]?\n|.{0,20}\n){0,8}",
        at in 0..KEYS.len(),
        value in "\\PC{0,20}",
    ) {
        let _ = load(&file, &[(&KEYS[at].variable(), &value)]);
    }
}
