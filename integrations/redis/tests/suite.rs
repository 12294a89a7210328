//! The guard does what a guard must, over each kind of connection, and for several processes at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails loudly"
)]

use std::time::Duration;

use gemini_webhooks::Scheme;
use gemini_webhooks::replay::{ClaimKey, ClaimToken, Claimed, ReplayGuard as _, Settled};
use gemini_webhooks::testing::{RealTime, replay_suite};
use gemini_webhooks_harness::redis_url;
use gemini_webhooks_redis::RedisGuard;
use gemini_webhooks_redis::redis::{Client, aio::ConnectionManager};
use tokio::process::Command;
use tokio::task::JoinSet;

async fn manager() -> ConnectionManager {
    let client = Client::open(redis_url()).unwrap();
    ConnectionManager::new(client).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_url() {
    let guard = RedisGuard::connect(&redis_url()).await.unwrap();
    replay_suite(guard, RealTime).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_url_in_resp2() {
    let url = format!("{}?protocol=resp2", redis_url());
    let guard = RedisGuard::connect(&url).await.unwrap();
    replay_suite(guard, RealTime).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_manager() {
    replay_suite(RedisGuard::from(manager().await), RealTime).await;
}

#[cfg(feature = "cluster")]
#[tokio::test(flavor = "multi_thread")]
async fn over_a_cluster() {
    use gemini_webhooks_harness::RedisCluster;
    use gemini_webhooks_redis::redis::cluster::ClusterClient;

    let cluster = RedisCluster::start();
    let client = ClusterClient::new(cluster.urls()).unwrap();
    let connection = client.get_async_connection().await.unwrap();
    let guard = RedisGuard::from(connection);
    for number in 0..100 {
        let key = ClaimKey::new("spread", Scheme::V1, &number.to_string());
        let claim = guard.claim(&key, ClaimToken::generate(), Duration::MAX);
        assert_eq!(claim.await.unwrap(), Claimed::Claimed);
    }
    for node in cluster.nodes() {
        let keys: u64 = node.cli(&["DBSIZE"]).parse().unwrap();
        assert!(
            keys > 10,
            "each node has its share, and one has {keys} keys"
        );
    }
    replay_suite(guard, RealTime).await;
}

const PROCESSES: usize = 3;
const EVENTS: usize = 300;
const NAMESPACE: &str = "SUITE_NAMESPACE";

/// Handles all events, together with the other processes, and prints those that it handled.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "each_event_once_over_processes runs it, several times at once"]
async fn one_of_the_processes() {
    let namespace = std::env::var(NAMESPACE).unwrap();
    let guard = RedisGuard::connect(&redis_url()).await.unwrap();
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let (guard, namespace) = (guard.clone(), namespace.clone());
        workers.spawn(async move {
            let mut handled = Vec::new();
            for number in 0..EVENTS {
                let event = (number + worker * EVENTS / 8) % EVENTS;
                let key = ClaimKey::new(&namespace, Scheme::V1, &event.to_string());
                let token = ClaimToken::generate();
                let lease = Duration::from_secs(60);
                loop {
                    match guard.claim(&key, token, lease).await.unwrap() {
                        // Some runs fail, and another delivery runs it again.
                        Claimed::Claimed if fails() => {
                            guard.release(&key, token).await.unwrap();
                        }
                        Claimed::Claimed => {
                            handled.push(event);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            let settled = guard.settle(&key, token, lease).await.unwrap();
                            assert_eq!(settled, Settled::Settled);
                        }
                        Claimed::Settled => break,
                        _ => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                }
            }
            handled
        });
    }
    for event in workers.join_all().await.concat() {
        println!("handled {event}");
    }
}

/// One time in six.
fn fails() -> bool {
    ClaimToken::generate().to_bytes()[0] < 40
}

#[tokio::test]
async fn each_event_once_over_processes() {
    let namespace = format!("{:x?}", ClaimToken::generate().to_bytes());
    let this = std::env::current_exe().unwrap();
    let mut processes = JoinSet::new();
    for _ in 0..PROCESSES {
        let mut command = Command::new(&this);
        command
            .args([
                "one_of_the_processes",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(NAMESPACE, &namespace)
            .kill_on_drop(true);
        processes.spawn(async move { command.output().await.unwrap() });
    }
    let mut handled = Vec::new();
    for output in processes.join_all().await {
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        let before = handled.len();
        handled.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("handled "))
                .map(|event| event.parse::<usize>().unwrap()),
        );
        assert!(handled.len() > before, "each process has handled some");
    }
    handled.sort_unstable();
    assert_eq!(handled, (0..EVENTS).collect::<Vec<_>>());
}
