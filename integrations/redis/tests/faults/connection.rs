//! What the guard does with its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use gemini_webhooks_harness::{Direction, Proxy, RedisServer};
use gemini_webhooks_redis::RedisGuard;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::common::{App, until};

/// A name that leads to one server, and later to another. Connections stay where they are.
struct Name {
    port: u16,
    target: Arc<AtomicU16>,
}

impl Name {
    async fn of(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(server.port()));
        let of = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let port = of.load(Relaxed);
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    drop(copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Self { port, target }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn lead_to(&self, server: &RedisServer) {
        self.target.store(server.port(), Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_replica_that_becomes_the_master() {
    let old = RedisServer::start();
    let new = RedisServer::replica_of(&old);
    let name = Name::of(&old).await;
    let app = App::new(RedisGuard::connect(&name.url()).await.unwrap());
    assert_eq!(app.status("a").await, 200);
    until("the replica has it", async || new.cli(&["DBSIZE"]) == "1").await;

    new.cli(&["REPLICAOF", "NO", "ONE"]);
    old.cli(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    app.assert_unavailable("b", &["READONLY", "It is a replica"])
        .await;
    name.lead_to(&new);
    // The old connection stays open, and is given up because of what the server says.
    app.deliver_until_done("b").await;
    assert_eq!(app.status("a").await, 200);
    assert_eq!((app.runs("a"), app.runs("b")), (1, 1));
    assert_eq!(new.cli(&["DBSIZE"]), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_again() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let name = Name::of(&old).await;
    let app = App::new(RedisGuard::connect(&name.url()).await.unwrap());
    assert_eq!(app.status("a").await, 200);
    // Its system still acknowledges what is sent.
    old.pause();
    name.lead_to(&new);
    app.assert_unavailable("b", &["no answer"]).await;
    app.deliver_until_done("b").await;
    assert_eq!(app.runs("b"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_dropped_while_it_claims() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let url = proxy.through(&server.url());
    let app = App::new(RedisGuard::connect(&url).await.unwrap());
    assert_eq!(app.status("warm").await, 200);
    for direction in [Direction::ToServer, Direction::ToClient] {
        let id = format!("dropped, {direction:?}");
        proxy.hold_only(direction);
        let dropped = timeout(Duration::from_millis(200), app.status(&id)).await;
        assert!(dropped.is_err());
        proxy.pass();
        // The claim was made all the same, and is given up.
        app.deliver_until_done(&id).await;
        assert_eq!(app.runs(&id), 1, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_find_no_connection_cost_nothing_when_it_is_back() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let url = proxy.through(&server.url());
    let app = App::new(RedisGuard::connect(&url).await.unwrap());
    assert_eq!(app.status("warm").await, 200);
    proxy.refuse();
    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    // The first may go over the connection before it is known to be gone.
    app.assert_unavailable("first", &[]).await;
    for number in 0..30 {
        app.assert_unavailable(&format!("lost {number}"), &["Connection refused"])
            .await;
    }
    let sent = proxy.bytes(Direction::ToServer);
    proxy.pass();
    assert_eq!(app.status("found").await, 200);
    sleep(Duration::from_secs(3)).await;
    let sent = proxy.bytes(Direction::ToServer) - sent;
    assert!(
        sent < 4000,
        "{sent} bytes: nothing but the first was to be released"
    );
}

/// A network that swallows everything is found by the probes of an idle connection, and by what is
/// not acknowledged.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_probed() {
    let server = RedisServer::start();
    let _guard = RedisGuard::connect(&server.url()).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    // Lines of `sl local remote state queues timer:when …`; state 01 is established.
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{:04X}", server.port());
    let timer = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[2] == remote && fields[3] == "01").then(|| fields[5].to_owned())
    });
    let timer = timer.expect("the connection of the guard");
    let (kind, when) = timer.split_once(':').unwrap();
    assert_eq!(kind, "02", "keepalive");
    assert!(u64::from_str_radix(when, 16).unwrap() <= 500, "{timer}");
}
