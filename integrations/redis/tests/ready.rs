//! What `ready` says about servers that work, and about those that do not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use gemini_webhooks::replay::ReplayGuard as _;
use gemini_webhooks_harness::RedisServer;
use gemini_webhooks_redis::RedisGuard;

async fn concerns(url: &str) -> Vec<String> {
    let guard = RedisGuard::connect(url).await.unwrap();
    guard.ready().await.unwrap()
}

/// Asserts that there are these concerns, in this order, and no others.
#[track_caller]
fn assert_concerns(concerns: &[String], expected: &[&str]) {
    assert_eq!(concerns.len(), expected.len(), "{concerns:#?}");
    for (concern, text) in concerns.iter().zip(expected) {
        assert!(concern.contains(text), "no {text:?} in: {concern}");
    }
}

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

#[tokio::test]
async fn servers_with_their_settings() {
    for (arguments, expected) in [
        (&DURABLE[..], &[][..]),
        (
            &["--appendonly", "yes"],
            &["once a second (appendfsync is everysec)"],
        ),
        (
            &["--appendonly", "yes", "--appendfsync", "no"],
            &["leaves to the system"],
        ),
        (&["--save", ""], &["in memory only"]),
        (
            &["--save", "60 1000"],
            &["snapshots to the disk only (appendonly is no, save is 60 1000)"],
        ),
        (
            &[
                "--save",
                "",
                "--maxmemory",
                "50mb",
                "--maxmemory-policy",
                "allkeys-lru",
            ],
            &["maxmemory-policy is allkeys-lru", "in memory only"],
        ),
    ] {
        let server = RedisServer::start_with(arguments);
        let concerns = concerns(&server.url()).await;
        assert_concerns(&concerns, expected);
        let address = format!("Redis at 127.0.0.1:{} ", server.port());
        assert!(concerns.iter().all(|concern| concern.starts_with(&address)));
        assert_eq!(server.cli(&["DBSIZE"]), "0", "it leaves nothing behind");
    }
}

#[tokio::test]
async fn a_master_with_a_replica() {
    let master = RedisServer::start_with(&DURABLE);
    let _replica = RedisServer::replica_of(&master);
    assert_concerns(&concerns(&master.url()).await, &["has 1 replica,"]);
}

#[tokio::test]
async fn what_may_not_be_asked_is_said() {
    let server = RedisServer::start_with(&["--appendonly", "yes"]);
    let needed = ["+eval", "+evalsha", "+get", "+set", "+del", "+pttl"];
    for (more, expected) in [
        (&[][..], &["refuses INFO (NOPERM"][..]),
        (&["+info"], &["refuses CONFIG GET appendfsync (NOPERM"]),
        (&["+info", "+config|get"], &["appendfsync is everysec"]),
    ] {
        let user = ["ACL", "SETUSER", "bob", "reset", "on", ">open"];
        let command = [&user[..], &["~gemini-webhooks:*"], &needed, more].concat();
        server.cli(&command);
        let url = format!("redis://bob:open@127.0.0.1:{}", server.port());
        assert_concerns(&concerns(&url).await, expected);
    }
}

/// A replica that takes writes throws them away when it hears from its master.
#[tokio::test]
async fn a_replica_that_takes_writes_is_not_ready() {
    let master = RedisServer::start();
    let replica = RedisServer::replica_of(&master);
    replica.cli(&["CONFIG", "SET", "replica-read-only", "no"]);
    let guard = RedisGuard::connect(&replica.url()).await.unwrap();
    let error = guard.ready().await.unwrap_err().to_string();
    assert!(error.contains("is a replica"), "{error}");
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn each_master_of_a_cluster() {
    use gemini_webhooks_harness::RedisCluster;
    use gemini_webhooks_redis::redis::cluster::ClusterClientBuilder;

    let cluster = RedisCluster::start();
    let client = ClusterClientBuilder::new(cluster.urls())
        .retries(3)
        .min_retry_wait(10)
        .max_retry_wait(100)
        .build()
        .unwrap();
    let guard = RedisGuard::from(client.get_async_connection().await.unwrap());
    for (number, node) in cluster.nodes().iter().enumerate() {
        let policy = ["volatile-ttl", "noeviction", "allkeys-random"][number];
        node.cli(&["CONFIG", "SET", "maxmemory-policy", policy]);
        let log = if number == 1 { "yes" } else { "no" };
        node.cli(&["CONFIG", "SET", "appendonly", log]);
    }
    let concerns = guard.ready().await.unwrap();
    let about = |number: usize| -> Vec<String> {
        let server = format!("Redis at 127.0.0.1:{} ", cluster.nodes()[number].port());
        let about = concerns
            .iter()
            .filter(|concern| concern.starts_with(&server));
        about.cloned().collect()
    };
    assert_concerns(&about(0), &["volatile-ttl", "snapshots"]);
    assert_concerns(&about(1), &["once a second"]);
    assert_concerns(&about(2), &["allkeys-random", "snapshots"]);
    assert_eq!(concerns.len(), 5);

    cluster.nodes()[1].kill();
    let error = loop {
        // The driver asks on its old connection first.
        if let Err(error) = guard.ready().await {
            break error.to_string();
        }
    };
    assert!(error.contains("Redis Cluster"), "{error}");
    // Also when it has noticed that.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    guard.ready().await.unwrap_err();
    cluster.nodes()[1].start_again();
    let back = async {
        while guard.ready().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let minute = std::time::Duration::from_secs(60);
    tokio::time::timeout(minute, back).await.unwrap();
}
