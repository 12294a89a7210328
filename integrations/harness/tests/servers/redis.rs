use gemini_webhooks_harness::{RedisCluster, RedisServer};

use crate::clients::{A_WHILE, Inline, LONG};

#[test]
fn redis_pauses_with_its_connections() {
    let server = RedisServer::start();
    let mut connection = Inline::open(server.port());
    assert_eq!(connection.ask("PING"), "+PONG\r\n");
    server.pause();
    connection.send("PING");
    assert_eq!(connection.receive(A_WHILE), "");
    server.resume();
    assert_eq!(connection.receive(LONG), "+PONG\r\n");
}

#[test]
fn redis_keeps_what_its_settings_say() {
    let durable = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    durable.cli(&["SET", "a", "1"]);
    durable.kill();
    durable.start_again();
    assert_eq!(durable.cli(&["GET", "a"]), "1");

    let plain = RedisServer::start();
    plain.cli(&["SET", "a", "1"]);
    plain.stop();
    plain.start_again();
    assert_eq!(plain.cli(&["GET", "a"]), "1");
    plain.cli(&["SET", "a", "2"]);
    plain.kill();
    plain.start_again();
    assert_eq!(plain.cli(&["GET", "a"]), "1");
}

#[test]
fn redis_wants_the_password_and_a_replica_reads_only() {
    let server = RedisServer::start_with(&["--requirepass", "sesame"]);
    assert_eq!(
        server.url(),
        format!("redis://:sesame@127.0.0.1:{}", server.port())
    );
    assert!(
        Inline::open(server.port())
            .ask("GET a")
            .starts_with("-NOAUTH")
    );
    server.cli(&["SET", "a", "1"]);

    let replica = RedisServer::replica_of(&server);
    assert_eq!(replica.cli(&["GET", "a"]), "1");
    assert!(
        replica
            .try_cli(&["SET", "a", "2"])
            .unwrap_err()
            .starts_with("READONLY")
    );
}

#[test]
fn a_slot_moves_by_halves() {
    let cluster = RedisCluster::start();
    let key = "{tag\r\n}key";
    let old = cluster.owner_of(key.as_bytes());
    old.cli(&["SET", key, "1"]);

    cluster.half_move_slot_of(key.as_bytes());
    assert_eq!(cluster.owner_of(key.as_bytes()).port(), old.port());
    let ask = old.try_cli(&["GET", key]).unwrap_err();
    assert!(ask.starts_with("ASK "), "{ask}");

    cluster.move_slot_of(key.as_bytes());
    let new = cluster.owner_of(key.as_bytes());
    assert!(ask.ends_with(&new.port().to_string()));
    assert_eq!(new.cli(&["GET", key]), "1");
    let moved = old.try_cli(&["GET", key]).unwrap_err();
    assert!(moved.starts_with("MOVED "), "{moved}");

    cluster.move_slot_of(key.as_bytes());
    assert_ne!(cluster.owner_of(key.as_bytes()).port(), new.port());
    assert_eq!(cluster.owner_of(key.as_bytes()).cli(&["GET", key]), "1");
}
