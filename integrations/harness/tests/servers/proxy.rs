use std::io::ErrorKind;
use std::net::TcpStream;

use gemini_webhooks_harness::{Direction, PostgresServer, Proxy, RedisServer};

use crate::clients::{A_WHILE, Inline, LONG, Psql, psql};

#[test]
fn the_proxy_holds_and_delivers() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    assert_eq!(
        proxy.through(&server.url()),
        format!("redis://127.0.0.1:{}", proxy.port())
    );
    let mut connection = Inline::open(proxy.port());
    assert_eq!(connection.ask("INCR n"), ":1\r\n");

    proxy.hold();
    connection.send("INCR n");
    let mut new = Inline::open(proxy.port());
    new.send("INCR other");
    assert_eq!(connection.receive(A_WHILE), "");
    assert_eq!(server.cli(&["GET", "n"]), "1");
    proxy.pass();
    assert_eq!(connection.receive(LONG), ":2\r\n");
    assert_eq!(new.receive(LONG), ":1\r\n");

    proxy.hold_only(Direction::ToClient);
    connection.send("INCR n");
    assert_eq!(connection.receive(A_WHILE), "");
    assert_eq!(server.cli(&["GET", "n"]), "3");
    proxy.cut();
    assert!(connection.is_closed());
    assert!(new.is_closed());

    assert_eq!(Inline::open(proxy.port()).ask("INCR n"), ":4\r\n");
    assert_eq!((proxy.connections(), proxy.cuts()), (3, 2));
    assert_eq!(
        proxy.bytes(Direction::ToServer),
        "INCR n\r\n".len() as u64 * 4 + 12
    );
    assert_eq!(proxy.bytes(Direction::ToClient), 5 * ":1\r\n".len() as u64);
}

#[test]
fn the_proxy_cuts_in_either_direction() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let n = || server.cli(&["GET", "n"]);
    let mut connection = Inline::open(proxy.port());
    assert_eq!(connection.ask("SET n 1"), "+OK\r\n");

    // The request is lost.
    proxy.cut_at(Direction::ToServer, 0);
    connection.send("INCR n");
    assert!(connection.is_closed());
    assert_eq!(n(), "1");

    // The answer is lost.
    let mut connection = Inline::open(proxy.port());
    proxy.cut_at(Direction::ToClient, 0);
    connection.send("INCR n");
    assert!(connection.is_closed());
    assert_eq!(n(), "2");

    // One request passes, and the next is lost, on whichever connection it comes.
    let (mut first, mut second) = (Inline::open(proxy.port()), Inline::open(proxy.port()));
    proxy.cut_at(Direction::ToServer, 8);
    assert_eq!(first.ask("INCR n"), ":3\r\n");
    second.send("INCR n");
    assert!(second.is_closed());
    assert_eq!(n(), "3");

    // Half of the answer arrives. The rule has passed then.
    proxy.cut_at(Direction::ToClient, 2);
    assert_eq!(first.ask("INCR n"), ":4");
    assert!(first.is_closed());
    assert_eq!(Inline::open(proxy.port()).ask("GET n"), "$1\r\n4\r\n");
    assert_eq!(proxy.cuts(), 4);
}

#[test]
fn the_proxy_refuses_new_connections() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let mut old = Inline::open(proxy.port());
    for _ in 0..10 {
        proxy.refuse();
        let error = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(old.ask("PING"), "+PONG\r\n");
        proxy.pass();
        assert_eq!(Inline::open(proxy.port()).ask("PING"), "+PONG\r\n");
    }
}

#[test]
fn the_proxy_passes_postgres() {
    let server = PostgresServer::start();
    let proxy = Proxy::start(server.port());
    let url = proxy.through(&server.url());
    let sum = psql(
        &url,
        "SELECT count(*) FROM (SELECT repeat('x', 1000) FROM generate_series(1, 5000)) AS t",
    );
    assert_eq!(sum.unwrap(), "5000");
    let mut connection = Psql::open(&url);
    assert_eq!(connection.ask("SELECT 1"), "1");
    proxy.cut();
    let error = connection.ask("SELECT 2");
    // psql has different words, as it comes to know before it sends or after.
    assert!(error.contains("connection"), "{error}");
}
