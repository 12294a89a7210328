//! The server answers, and does not do what it is asked.

use std::error::Error as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use gemini_webhooks::Scheme;
use gemini_webhooks::replay::{ClaimKey, ClaimToken, GuardError, GuardErrorKind, ReplayGuard as _};
use gemini_webhooks_harness::{Proxy, RedisServer};
use gemini_webhooks_redis::RedisGuard;
use gemini_webhooks_redis::redis::RedisError;
use tokio::time::sleep;

use crate::common::App;

use GuardErrorKind::{Broken, Unavailable};

async fn app(server: &RedisServer) -> App {
    App::new(RedisGuard::connect(&server.url()).await.unwrap())
}

#[track_caller]
fn assert_says(error: &GuardError, kind: GuardErrorKind, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    let shown = format!("{text} {error:?}");
    assert!(
        !shown.contains("sesame") && !shown.contains("user:12"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory() {
    let server = RedisServer::start();
    let app = app(&server).await;
    assert_eq!(app.status("settled").await, 200);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    app.assert_unavailable("new", &["OOM", "out of memory", "maxmemory"])
        .await;
    assert_eq!(app.status("settled").await, 200, "what is known is told");
    // What was refused was not done, so there is nothing to release.
    let scripts = || server.cli(&["INFO", "commandstats"]);
    let asked = |stats: &str| {
        let mut lines = stats.lines();
        lines
            .find(|line| line.starts_with("cmdstat_evalsha:"))
            .unwrap()
            .to_owned()
    };
    let before = asked(&scripts());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(&scripts()), before);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(app.status("new").await, 200, "it is not in flight");
    assert_eq!((app.runs("new"), app.runs("settled")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_fills_while_the_handler_runs() {
    let server = std::sync::Arc::new(RedisServer::start());
    let app = app(&server).await;
    for status in [200, 500] {
        let id = format!("answered {status}");
        let filled = std::sync::Arc::clone(&server);
        app.work(move |_| {
            filled.cli(&["CONFIG", "SET", "maxmemory", "1"]);
            status
        });
        assert_eq!(app.status(&id).await, status);
        // To give up a claim takes no memory.
        let copy = if status == 200 { 409 } else { 503 };
        assert_eq!(app.status(&id).await, copy, "{id}");
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        app.work(|_| 200);
        app.deliver_until_done(&id).await;
        assert_eq!(app.runs(&id), if status == 200 { 1 } else { 2 }, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_clients() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let url = proxy.through(&server.url());
    let app = App::new(RedisGuard::connect(&url).await.unwrap());
    assert_eq!(app.status("a").await, 200);
    // Another client has the only place that there is.
    let mut other = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    other.write_all(b"PING\r\n").unwrap();
    other.read_exact(&mut [0; 7]).unwrap();
    server.cli(&["CONFIG", "SET", "maxclients", "1"]);
    proxy.refuse();
    // It spares who asks.
    other.write_all(b"CLIENT KILL TYPE normal\r\n").unwrap();
    other.read_exact(&mut [0; 4]).unwrap();
    // The first may go over the connection before it is known to be gone.
    app.assert_unavailable("b", &[]).await;
    app.assert_unavailable("b", &["Connection refused"]).await;
    proxy.pass();
    for _ in 0..10 {
        // The server closes the connection at once, and its words may not come through.
        app.assert_unavailable("b", &["its maxclients"]).await;
    }
    drop(other);
    app.deliver_until_done("b").await;
    assert_eq!(app.status("a").await, 200);
    assert_eq!((app.runs("a"), app.runs("b")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_and_changed_back() {
    let server = RedisServer::start_with(&["--requirepass", "sesame"]);
    let app = app(&server).await;
    assert_eq!(app.status("a").await, 200);
    // In one connection, since the harness knows the first password.
    let mut admin = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    admin
        .write_all(b"AUTH sesame\r\nCONFIG SET requirepass other\r\nCLIENT KILL TYPE normal\r\n")
        .unwrap();
    sleep(Duration::from_millis(500)).await;
    for _ in 0..3 {
        app.assert_unavailable("b", &["WRONGPASS", "cannot work until"])
            .await;
    }
    admin
        .write_all(b"CONFIG SET requirepass sesame\r\n")
        .unwrap();
    app.deliver_until_done("b").await;
    assert_eq!(app.status("a").await, 200);
    assert_eq!((app.runs("a"), app.runs("b")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_only_reads() {
    let master = RedisServer::start();
    let replica = RedisServer::replica_of(&master);
    let guard = RedisGuard::connect(&replica.url()).await.unwrap();
    let error = guard.ready().await.unwrap_err();
    assert_says(
        &error,
        Unavailable,
        &["READONLY", "It is a replica", "connect to its master"],
    );
    let app = App::new(guard);
    app.assert_unavailable("a", &["READONLY", "It is a replica"])
        .await;
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    app.deliver_until_done("a").await;
    assert_eq!(app.runs("a"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_busy_with_a_script() {
    let server = RedisServer::start_with(&["--lua-time-limit", "100"]);
    let app = app(&server).await;
    assert_eq!(app.status("a").await, 200);
    let mut other = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    other
        .write_all(b"EVAL \"while true do end\" 0\r\n")
        .unwrap();
    sleep(Duration::from_millis(500)).await;
    app.assert_unavailable("b", &["BUSY", "SCRIPT KILL"]).await;
    server.cli(&["SCRIPT", "KILL"]);
    app.deliver_until_done("b").await;
    assert_eq!((app.runs("a"), app.runs("b")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_that_are_wrong() {
    // Answers like a web server.
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let web_port = web.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = web.accept() {
            let _ = client.read(&mut [0; 100]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = RedisServer::start_with(&["--requirepass", "open"]);
    let address = format!("127.0.0.1:{}", server.port());
    let with_user = RedisServer::start();
    with_user.cli(&["ACL", "SETUSER", "bob", "on", ">open", "~*", "+ping"]);
    let bob = format!("redis://bob:open@127.0.0.1:{}", with_user.port());

    for (url, kind, parts) in [
        (
            String::new(),
            Broken,
            vec!["URL", "did not parse", "redis://user:password@host"],
        ),
        (
            "http://user:sesame@x".to_owned(),
            Broken,
            vec!["did not parse"],
        ),
        (
            "redis://user:sesame@".to_owned(),
            Broken,
            vec!["URL", "is invalid"],
        ),
        (
            "redis://:sesame@x/y".to_owned(),
            Broken,
            vec!["Invalid database number"],
        ),
        (
            "redis://:12#sesame@x".to_owned(),
            Broken,
            vec!["did not parse", "%23 for #"],
        ),
        (
            "redis://user:12#sesame@x".to_owned(),
            Broken,
            vec!["an @ behind the host", "%23 for #"],
        ),
        (
            "redis://user:12?sesame@x".to_owned(),
            Broken,
            vec!["an @ behind the host", "%3F for ?"],
        ),
        (
            format!("redis://:sesame@127.0.0.1:{nobody}"),
            Unavailable,
            vec!["Redis at 127.0.0.1", "Connection refused", "Is it running"],
        ),
        (
            "redis://:sesame@no-such-host.invalid".to_owned(),
            Unavailable,
            vec!["Redis at no-such-host.invalid:6379", "Check the host"],
        ),
        (
            format!("redis://127.0.0.1:{web_port}?protocol=resp2"),
            Broken,
            vec!["not Redis's protocol"],
        ),
        (
            format!("redis://127.0.0.1:{web_port}"),
            Broken,
            vec!["not Redis's protocol"],
        ),
        (
            format!("redis://{address}"),
            Broken,
            vec!["NOAUTH", "put user and password"],
        ),
        (
            format!("redis://:sesame@{address}"),
            Broken,
            vec!["WRONGPASS", "check both"],
        ),
        (
            format!("redis://:sesame@{address}?protocol=resp2"),
            Broken,
            vec!["authentication failed", "check both"],
        ),
        (
            format!("redis://:open@{address}/99"),
            Broken,
            vec!["DB index is out of range"],
        ),
        (
            format!("redis://:open@{address}?protocol=9"),
            Broken,
            vec!["Invalid protocol version"],
        ),
    ] {
        let error = RedisGuard::connect(&url).await.unwrap_err();
        assert_says(&error, kind, &parts);
    }
    // In RESP2 a server says only later that it wants a password.
    let guard = RedisGuard::connect(&format!("redis://{address}?protocol=resp2")).await;
    let guard = guard.unwrap();
    assert_says(&guard.ready().await.unwrap_err(), Broken, &["NOAUTH"]);
    let guard = RedisGuard::connect(&bob).await.unwrap();
    let needs = [
        "NOPERM",
        "+eval +evalsha +get +set +del +pttl",
        "~gemini-webhooks:*",
    ];
    assert_says(&guard.ready().await.unwrap_err(), Broken, &needs);
    App::new(guard)
        .assert_unavailable("a", &["NOPERM", "cannot work until"])
        .await;
}

#[cfg(not(feature = "tls-rustls"))]
#[tokio::test(flavor = "multi_thread")]
async fn tls_without_the_feature() {
    let error = RedisGuard::connect("rediss://:sesame@127.0.0.1").await;
    assert_says(&error.unwrap_err(), Broken, &["TLS", "tls-rustls"]);
}

#[cfg(feature = "tls-rustls")]
#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_server_that_has_none() {
    let server = RedisServer::start();
    let url = server.url().replace("redis:", "rediss:");
    let error = RedisGuard::connect(&url).await.unwrap_err();
    assert_says(&error, Unavailable, &["(TLS) does not answer", "timed out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_that_the_guard_needs() {
    let server = RedisServer::start();
    let all = ["+eval", "+evalsha", "+get", "+set", "+del", "+pttl"];
    let url = format!("redis://bob:open@127.0.0.1:{}", server.port());
    for without in all {
        let mut command = vec!["ACL", "SETUSER", "bob", "reset", "on", ">open"];
        command.push("~gemini-webhooks:*");
        command.extend(all.iter().filter(|permission| **permission != without));
        server.cli(&command);
        server.cli(&["SCRIPT", "FLUSH"]);
        let guard = RedisGuard::connect(&url).await.unwrap();
        let key = ClaimKey::new("permissions", Scheme::V1, without);
        let (a, b) = (ClaimToken::generate(), ClaimToken::generate());
        let minute = Duration::from_secs(60);
        let whole = async {
            guard.claim(&key, a, minute).await?;
            guard.claim(&key, b, minute).await?;
            guard.release(&key, a).await?;
            Ok::<_, GuardError>(())
        };
        assert_says(&whole.await.unwrap_err(), Broken, &["+pttl"]);
    }
    let mut command = vec!["ACL", "SETUSER", "bob", "reset", "on", ">open"];
    command.push("~gemini-webhooks:*");
    command.extend(all);
    server.cli(&command);
    let guard = RedisGuard::connect(&url).await.unwrap();
    let concerns = guard.ready().await.unwrap();
    assert!(concerns[0].contains("refuses INFO (NOPERM"), "{concerns:?}");
    assert_eq!(App::new(guard).status("a").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_others_wrote() {
    let server = RedisServer::start();
    let guard = RedisGuard::connect(&server.url()).await.unwrap();
    let token = ClaimToken::generate();
    let minute = Duration::from_secs(60);
    let key = ClaimKey::new("n", Scheme::V1, "id");
    // As bytes: `gemini-webhooks:` and what `to_bytes` returns.
    let name = "gemini-webhooks:\0\0\0\x01n\0\0\0\x02v1\0\0\0\x02id";
    let shown = "gemini-webhooks:\\x00\\x00\\x00\\x01n";
    for write in [
        vec!["SET", name, "x"],
        vec!["SET", name, ""],
        vec!["SET", name, "x0123456789abcdef"],
        vec!["SET", name, "f0123456789abcdef0"],
        vec!["RPUSH", name, "f0123456789abcdef"],
        vec!["HSET", name, "f", "1"],
    ] {
        server.cli(&["DEL", name]);
        server.cli(&write);
        let before = server.cli(&["DUMP", name]);
        let errors = [
            guard.claim(&key, token, minute).await.unwrap_err(),
            guard.settle(&key, token, minute).await.unwrap_err(),
            guard.release(&key, token).await.unwrap_err(),
        ];
        for error in errors {
            assert_says(&error, Broken, &[shown, "did not write", "Remove the key"]);
        }
        assert_eq!(server.cli(&["DUMP", name]), before, "nothing was changed");
    }
    // A claim that would never end.
    server.cli(&["SET", name, "f0123456789abcdef"]);
    let error = guard.claim(&key, token, minute).await.unwrap_err();
    assert_says(&error, Broken, &[shown, "never ends"]);
    server.cli(&["DEL", name]);
    guard.claim(&key, token, minute).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_lead_to_that_of_the_driver() {
    let server = RedisServer::start();
    let guard = RedisGuard::connect(&server.url()).await.unwrap();
    server.stop();
    let error = guard.ready().await.unwrap_err();
    let failure = error.source().unwrap();
    let driver: &RedisError = failure.source().unwrap().downcast_ref().unwrap();
    assert!(driver.is_io_error(), "{driver}");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_not_shown() {
    let server = RedisServer::start_with(&["--requirepass", "sesame"]);
    let guard = RedisGuard::connect(&server.url()).await.unwrap();
    let shown = format!("{guard:?} {guard:#?}");
    assert!(
        shown.contains(&format!("127.0.0.1:{}", server.port())),
        "{shown}"
    );
    assert!(!shown.contains("sesame"), "{shown}");
    server.stop();
    assert_says(
        &guard.ready().await.unwrap_err(),
        Unavailable,
        &["does not answer"],
    );
}
