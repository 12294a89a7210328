use std::thread;
use std::time::Duration;

use gemini_webhooks_harness::PostgresServer;

use crate::clients::{LONG, Psql, psql};

#[test]
fn postgres_has_the_settings_and_wants_the_password() {
    let server = PostgresServer::start_with(&[
        ("max_connections", "17"),
        ("default_transaction_isolation", "serializable"),
    ]);
    assert_eq!(psql(&server.url(), "SHOW max_connections").unwrap(), "17");
    assert_eq!(
        psql(&server.url(), "SHOW default_transaction_isolation").unwrap(),
        "serializable"
    );
    assert_eq!(psql(&server.url(), "SHOW fsync").unwrap(), "on");

    let (user, host) = server
        .url()
        .split_once('@')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let error = psql(&format!("{user}x@{host}"), "SELECT 1").unwrap_err();
    assert!(error.contains("password authentication failed"), "{error}");
    assert!(server.log().contains("password authentication failed"));
}

#[test]
fn postgres_pauses_with_its_connections() {
    let server = PostgresServer::start();
    let mut connection = Psql::open(&server.url());
    assert_eq!(connection.ask("SELECT 1"), "1");
    server.pause();
    connection.send("SELECT 2");
    assert!(connection.is_silent());
    server.resume();
    assert_eq!(connection.lines.recv_timeout(LONG).unwrap(), "2");
}

#[test]
fn postgres_keeps_what_was_committed() {
    let server = PostgresServer::start();
    psql(&server.url(), "CREATE TABLE kept (n int)").unwrap();
    let paused_and_killed = |server: &PostgresServer| {
        server.pause();
        server.kill();
    };
    let ways: [fn(&PostgresServer); 3] = [
        PostgresServer::kill,
        PostgresServer::stop,
        paused_and_killed,
    ];
    for (n, down) in ways.into_iter().enumerate() {
        psql(&server.url(), &format!("INSERT INTO kept VALUES ({n})")).unwrap();
        let mut open = Psql::open(&server.url());
        assert_eq!(
            open.ask("BEGIN; INSERT INTO kept VALUES (9); SELECT 1"),
            "1"
        );
        down(&server);
        let error = psql(&server.url(), "SELECT 1").unwrap_err();
        assert!(error.contains("Connection refused"), "{error}");
        server.start_again();
    }
    let rows = psql(
        &server.url(),
        "SELECT string_agg(n::text, ',' ORDER BY n) FROM kept",
    )
    .unwrap();
    assert_eq!(rows, "0,1,2");
    assert!(
        server
            .log()
            .contains("database system was not properly shut down")
    );
}

#[test]
fn a_standby_of_postgres_reads_only() {
    let server = PostgresServer::start();
    psql(&server.url(), "CREATE TABLE t AS SELECT 7 AS n").unwrap();
    let standby = server.read_only_standby();
    assert_eq!(psql(&standby.url(), "SELECT n FROM t").unwrap(), "7");
    let error = psql(&standby.url(), "INSERT INTO t VALUES (8)").unwrap_err();
    assert!(error.contains("read-only transaction"), "{error}");

    psql(&server.url(), "INSERT INTO t VALUES (8)").unwrap();
    let follows = |_| {
        thread::sleep(Duration::from_millis(10));
        psql(&standby.url(), "SELECT max(n) FROM t").unwrap() == "8"
    };
    assert!((0..1000).any(follows));
}
