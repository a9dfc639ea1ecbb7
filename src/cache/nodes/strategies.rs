//! Every way to reach Redis, against real servers.

use std::time::Duration;

use super::{servers::until, *};
use crate::cache::{ConnectionStrategy, RedisCommands, RedisFailure, RedisOpenError};

/// Adds to a number and gives the sum.
const ADD: &str = "return {redis.call('INCRBY', KEYS[1], ARGV[1]), #ARGV}";

async fn works(options: &RedisOptions) {
    let redis = RedisClient::open(options, breaker()).expect("good options");
    // A Cluster answers before it is one.
    until("Redis to answer", async || redis.probe().await.is_ok() && answers(&redis).await.is_ok()).await;
    let redis: Arc<dyn RedisCommands> = redis;
    let minute = Duration::from_secs(60);
    let key = format!("chancery:{}", Random::os().id(0));
    assert_eq!(redis.set_if_absent(&key, b"40", minute).await, Ok(true));
    assert_eq!(redis.set_if_absent(&key, b"50", minute).await, Ok(false));
    assert_eq!(redis.script(ADD, &[&key], &[2, 7]).await, Ok(vec![42, 2]));
    let brief = format!("{key}:brief");
    assert_eq!(redis.set_if_absent(&brief, b"1", Duration::from_millis(1)).await, Ok(true));
    let again = async || redis.set_if_absent(&brief, b"1", minute).await == Ok(true);
    until("the value to have expired", again).await;
    let refused = redis.script("return redis.error_reply('no')", &[&key], &[]).await;
    assert_eq!(refused, Err(RedisFailure::Refused));
    redis.publish("chancery:channel", "message").await.expect("it is published");
}

/// A command that changes nothing. It names a key, which a Cluster answers only once it is one.
async fn answers(redis: &RedisClient) -> Result<Vec<i64>, RedisFailure> {
    redis.script("return {}", &["chancery:any"], &[]).await
}

#[tokio::test]
async fn every_strategy_works_and_recovers_without_a_restart_of_ours() {
    for strategy in ConnectionStrategy::ALL {
        let mut server = servers::Redis::start().await;
        let options = RedisOptions { strategy, pool_size: 4, ..patient(server.url()) };
        works(&options).await;
        let redis = connected(&options).await;
        server.kill().await;
        until("the loss to be noticed", async || answers(&redis).await.is_err()).await;
        assert!(redis.probe().await.is_err() && !redis.is_up());
        server.restart().await;
        until("Redis to be used again", async || {
            redis.probe().await.is_ok() && answers(&redis).await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn a_redis_that_hangs_costs_a_command_its_deadline_and_no_more() {
    for strategy in ConnectionStrategy::ALL {
        let mut server = servers::Redis::start().await;
        let options = RedisOptions { strategy, ..RedisOptions::new(server.url()) };
        let redis = RedisClient::open(&options, breaker()).expect("good options");
        until("Redis to answer", async || redis.probe().await.is_ok()).await;
        server.signal("STOP");
        until("the silence to be noticed", async || answers(&redis).await == Err(RedisFailure::Timeout))
            .await;
        // Soon it is not even asked.
        until("the breaker to open", async || answers(&redis).await == Err(RedisFailure::Open)).await;
        assert!(redis.probe().await.is_err() && !redis.is_up());
        assert!(redis.failures().iter().any(|(kind, n)| *kind == RedisFailure::Open && *n > 0));
        server.signal("CONT");
        until("Redis to be used again", async || {
            redis.probe().await.is_ok() && answers(&redis).await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn a_login_is_given_and_a_wrong_one_is_a_failure_that_tells_nothing() {
    let acl = ["--user", "chancery", "on", ">hunter2", "~chancery:*", "&chancery:*", "+@all"];
    let server = servers::Redis::start_with(&acl).await;
    let url = |login: &str| server.url().replace("redis://", &format!("redis://{login}@"));
    let redis = connected(&patient(url("chancery:hunter2"))).await;
    redis.set_if_absent("chancery:a", b"value", Duration::from_secs(60)).await.expect("it may");
    assert_eq!(redis.set_if_absent("b", b"value", Duration::from_secs(60)).await, Err(RedisFailure::Refused));
    let wrong = RedisClient::open(&patient(url("chancery:hunter3")), breaker()).expect("a good URL");
    let failure = wrong.probe().await.expect_err("it is refused");
    assert_eq!(failure, RedisFailure::Denied);
    assert!(!format!("{failure} {failure:?} {wrong:?}").contains("hunter"));
}

#[tokio::test]
async fn tls_trusts_the_right_root_only_and_the_right_name() {
    let authority = servers::Authority::new();
    let server = servers::Redis::start_with_tls(&authority, &["--requirepass", "hunter2"]).await;
    let url = server.url().replace("rediss://", "rediss://:hunter2@");
    let with = |url: &str, root: Option<&str>| RedisOptions {
        root_file: root.map(|root| authority.file(root)),
        ..patient(url.to_owned())
    };
    let by_address = url.replace("localhost", "127.0.0.1");
    for strategy in ConnectionStrategy::ALL {
        works(&RedisOptions { strategy, ..with(&url, Some("root.crt")) }).await;
        // The system does not know the authority.
        let refused = [with(&url, Some("other.crt")), with(&url, None), with(&by_address, Some("root.crt"))];
        for options in refused {
            let redis =
                RedisClient::open(&RedisOptions { strategy, ..options }, breaker()).expect("good options");
            let failure = redis.probe().await.expect_err("it is refused");
            assert_eq!(failure, RedisFailure::Connection, "{strategy:?}");
            assert!(!redis.is_up() && answers(&redis).await.is_err());
            assert!(!format!("{failure} {failure:?} {redis:?}").contains("hunter"));
        }
    }
    // Subscriptions have a connection of their own.
    let redis = connected(&with(&url, Some("root.crt"))).await;
    let node = node_over(&store(), CacheOptions::default(), Some(redis)).await;
    let notifications = node.cached.change_notifications().expect("there is a Redis");
    tokio::spawn(Arc::clone(notifications).run(std::future::pending()));
    until("the node to be subscribed", async || notifications.is_subscribed()).await;
}

#[tokio::test]
async fn roots_that_cannot_be_used_are_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("roots.pem");
    let refusal = || {
        let url = "rediss://:hunter2@localhost".to_owned();
        let options = RedisOptions { root_file: Some(file.clone()), ..patient(url) };
        RedisClient::open(&options, breaker()).expect_err("refused").to_string()
    };
    let mut refusals = vec![refusal()];
    for text in ["none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, text).expect("our folder");
        refusals.push(refusal());
    }
    for refusal in refusals {
        assert!(refusal.contains("roots.pem") && !refusal.contains("hunter"), "{refusal}");
    }
}

#[tokio::test]
async fn a_login_that_is_missing_and_a_redis_that_is_away_are_told_apart() {
    let mut server = servers::Redis::start_with(&["--requirepass", "hunter2"]).await;
    let redis = RedisClient::open(&patient(server.url()), breaker()).expect("a good URL");
    assert_eq!(redis.probe().await, Err(RedisFailure::Denied));
    server.kill().await;
    until("it to be away", async || redis.probe().await == Err(RedisFailure::Connection)).await;
}

#[tokio::test]
async fn a_socket_a_cluster_and_sentinels_are_reached() {
    let server = servers::Redis::start().await;
    works(&patient(server.socket_url())).await;
    let cluster = servers::Redis::start_with(&["--cluster-enabled", "yes"]).await;
    let client = redis::Client::open(cluster.url()).expect("a good URL");
    let mut admin = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let all = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).exec_async(&mut admin).await;
    all.expect("the slots are free");
    let several = format!("redis+cluster://127.0.0.1:{0},localhost:{0}", cluster.port());
    works(&patient(several.clone())).await;
    let pooled = RedisOptions { strategy: ConnectionStrategy::Pooled, ..patient(several) };
    assert_eq!(RedisClient::open(&pooled, breaker()).err(), Some(RedisOpenError::Pooled));
    let sentinel = servers::Sentinel::of(&server);
    let port = sentinel.port();
    works(&patient(format!("redis+sentinel://127.0.0.1:{port},localhost:{port}/main/2"))).await;
}
