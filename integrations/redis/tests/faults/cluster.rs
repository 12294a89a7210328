//! A cluster whose slots move, and whose nodes fail.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use gemini_webhooks::Scheme;
use gemini_webhooks::replay::{ClaimKey, GuardErrorKind, ReplayGuard as _};
use gemini_webhooks_harness::{RedisCluster, RedisServer};
use gemini_webhooks_redis::RedisGuard;
use gemini_webhooks_redis::redis::cluster::ClusterClientBuilder;
use tokio::task::JoinSet;

use crate::common::{App, until};

async fn guard(cluster: &RedisCluster) -> RedisGuard {
    // As the README advises.
    let client = ClusterClientBuilder::new(cluster.urls())
        .retries(5)
        .min_retry_wait(50)
        .max_retry_wait(500)
        .build()
        .unwrap();
    RedisGuard::from(client.get_async_connection().await.unwrap())
}

fn key(id: &str) -> Vec<u8> {
    let key = ClaimKey::new("faults", Scheme::V1, id).to_bytes();
    [b"gemini-webhooks:", &key[..]].concat()
}

/// Moves a slot once the nodes have told each other of all former moves. A node that has not heard of a
/// later epoch may take an older table for a newer one, and give a slot back that it was given.
fn move_slot(cluster: &RedisCluster, key: &[u8]) {
    let epoch = |node: &RedisServer, whose: &str| {
        let info = node.cli(&["CLUSTER", "INFO"]);
        let mut epochs = info.lines().filter_map(|line| line.strip_prefix(whose));
        epochs.next().unwrap().trim().to_owned()
    };
    let agreed = (0..6000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let nodes = cluster.nodes();
        let current: HashSet<_> = nodes
            .iter()
            .map(|node| epoch(node, "cluster_current_epoch:"))
            .collect();
        let own: HashSet<_> = nodes
            .iter()
            .map(|node| epoch(node, "cluster_my_epoch:"))
            .collect();
        current.len() == 1 && own.len() == nodes.len()
    });
    assert!(agreed, "the nodes agree on their epochs within a minute");
    cluster.move_slot_of(key);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move() {
    let cluster = RedisCluster::start();
    let app = App::new(guard(&cluster).await);
    for round in 0..3 {
        for id in ["a", "b", "c"] {
            let runs_before = app.runs(id);
            assert_eq!(app.status(id).await, 200);
            assert_eq!(app.runs(id), 1.max(runs_before), "{id}, round {round}");
            // Half moved: the old node answers ASK.
            cluster.half_move_slot_of(&key(id));
            assert_eq!(app.status(id).await, 200, "half moved");
            // Moved: it answers MOVED.
            move_slot(&cluster, &key(id));
            assert_eq!(app.status(id).await, 200, "moved");
            assert_eq!(app.runs(id), 1, "{id}, round {round}");
        }
        // New events in a slot that is half moved.
        let id = format!("new_{round}");
        cluster.half_move_slot_of(&key(&id));
        app.work(|_| 500);
        assert_eq!(app.status(&id).await, 500);
        app.work(|_| 200);
        assert_eq!(app.status(&id).await, 200, "it was released");
        assert_eq!(app.status(&id).await, 200);
        move_slot(&cluster, &key(&id));
        assert_eq!(app.status(&id).await, 200);
        assert_eq!(app.runs(&id), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_while_events_come() {
    let cluster = RedisCluster::start();
    let app = App::new(guard(&cluster).await);
    let moved = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let (app, moved) = (app.clone(), Arc::clone(&moved));
        senders.spawn(async move {
            let mut number = 0;
            while !moved.load(Relaxed) {
                app.deliver_until_done(&format!("{sender}/{number}")).await;
                number += 1;
            }
            (sender, number)
        });
    }
    let mover = tokio::task::spawn_blocking(move || {
        for number in 0..8 {
            let id = key(&format!("{number}/{}", 50 * number));
            cluster.half_move_slot_of(&id);
            move_slot(&cluster, &id);
        }
        moved.store(true, Relaxed);
        cluster
    });
    let _cluster = mover.await.unwrap();
    for (sender, count) in senders.join_all().await {
        assert!(count > 5, "{count} events of {sender} came meanwhile");
        for number in 0..count {
            let id = format!("{sender}/{number}");
            assert_eq!(app.deliver(&id).await, (200, String::new()), "{id}");
            assert_eq!(app.runs(&id), 1, "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_and_comes_back() {
    let cluster = RedisCluster::start();
    let app = App::new(guard(&cluster).await);
    assert_eq!(app.status("a").await, 200);
    let owner = cluster.owner_of(&key("a"));
    owner.kill();
    app.assert_unavailable("a", &[]).await;
    // After the time-out of the nodes all slots are down.
    let survivors = || {
        cluster
            .nodes()
            .iter()
            .filter(|node| node.port() != owner.port())
    };
    until("the cluster is down", async || {
        survivors().all(|node| {
            let info = node.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:fail")
        })
    })
    .await;
    app.assert_unavailable("b", &[]).await;
    owner.start_again();
    app.deliver_until_done("a").await;
    app.deliver_until_done("b").await;
    assert_eq!(app.runs("b"), 1);
    assert!(app.runs("a") <= 2, "the node keeps no log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_paused_makes_late_claims_that_are_given_up() {
    let cluster = RedisCluster::start();
    let app = App::new(guard(&cluster).await);
    assert_eq!(app.status("a").await, 200);
    let owner = cluster.owner_of(&key("late"));
    owner.pause();
    app.assert_unavailable("late", &["no answer"]).await;
    owner.resume();
    app.deliver_until_done("late").await;
    assert_eq!(app.status("a").await, 200);
    assert_eq!((app.runs("a"), app.runs("late")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_the_whole() {
    let cluster = RedisCluster::start();
    let guard = RedisGuard::connect(&cluster.urls()[0]).await.unwrap();
    let error = guard.ready().await.unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Broken, "{error}");
    assert!(
        error.to_string().contains("a node of a Redis Cluster"),
        "{error}"
    );
    let app = App::new(guard);
    let mut moved = 0;
    for number in 0..30 {
        let (status, reason) = app.deliver(&number.to_string()).await;
        if status == 503 {
            assert!(reason.contains("MOVED"), "{reason}");
            assert!(reason.contains("feature `cluster`"), "{reason}");
            moved += 1;
        }
    }
    assert!(moved > 5);
}
