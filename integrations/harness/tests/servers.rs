//! The servers and the proxy do what they say, and leave nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use gemini_webhooks_harness::{Direction, PostgresServer, Proxy, RedisCluster, RedisServer};

/// Long enough for an answer that would come.
const A_WHILE: Duration = Duration::from_millis(300);
/// Long enough for an answer that must come, on a busy machine.
const LONG: Duration = Duration::from_secs(20);

/// A `psql` that keeps its connection.
struct Psql {
    child: Child,
    lines: Receiver<String>,
}

impl Psql {
    fn open(url: &str) -> Self {
        let mut child = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let errors_sender = sender.clone();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)));
        });
        thread::spawn(move || {
            BufReader::new(errors)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(errors_sender.send(line)));
        });
        Self { child, lines }
    }

    fn send(&mut self, statement: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{statement};").unwrap();
    }

    fn ask(&mut self, statement: &str) -> String {
        self.send(statement);
        self.lines.recv_timeout(LONG).unwrap()
    }

    fn is_silent(&self) -> bool {
        self.lines.recv_timeout(A_WHILE) == Err(RecvTimeoutError::Timeout)
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn psql(url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--command",
            statement,
            url,
        ])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

/// A connection to Redis that speaks inline commands.
struct Inline(TcpStream);

impl Inline {
    fn open(port: u16) -> Self {
        Self(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    fn send(&mut self, command: &str) {
        self.0
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
    }

    /// What comes within the time; nothing also if the connection is closed.
    fn receive(&mut self, within: Duration) -> String {
        self.0.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 1000];
        let length = self.0.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.receive(LONG)
    }

    fn is_closed(&mut self) -> bool {
        self.0.set_read_timeout(Some(LONG)).unwrap();
        match self.0.read(&mut [0; 1000]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

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
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
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

#[test]
fn servers_end_with_a_process_that_is_killed() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_gemini-webhooks-harness"))
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut urls = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut urls)
        .unwrap();
    let ports: Vec<u16> = urls
        .split([':', '/', ' ', '\n'])
        .filter_map(|part| part.parse().ok())
        .collect();
    let are_open = || {
        ports
            .iter()
            .filter(|port| TcpStream::connect(("127.0.0.1", **port)).is_ok())
            .count()
    };
    assert_eq!(are_open(), 2, "{urls}");

    process.kill().unwrap();
    process.wait().unwrap();
    let have_ended = |_| {
        thread::sleep(Duration::from_millis(10));
        are_open() == 0
    };
    assert!((0..1000).any(have_ended), "{urls}");
}
