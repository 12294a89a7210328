//! Several processes on one file. Each is this test, started again.

use std::collections::{HashMap, HashSet};
use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::Delivery;
use gemini_webhooks::replay::{Claimed, GuardErrorKind, Settled};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::SqliteConnectOptions;
use gemini_webhooks_sqlx::sqlx::{ConnectOptions as _, query};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app::{Answered, App, HANDLED};
use crate::database::{Database, Holder, url};

const EVENTS: usize = 150;
const PROCESSES: usize = 3;
/// Tells a process of a test that it is another one, and which file it shares.
const FILE: &str = "TEST_SQLITE_FILE";

fn shared_file() -> Option<PathBuf> {
    env::var_os(FILE).map(PathBuf::from)
}

/// Another process of the same test.
struct Other {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(test: &str, database: &Database) -> Self {
        let this = env::current_exe().unwrap();
        Self::of(Command::new(this), test, database)
    }

    fn of(mut command: Command, test: &str, database: &Database) -> Self {
        let mut process = command
            .args(["--exact", test, "--nocapture"])
            .env(FILE, database.file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// Waits until it says that.
    async fn says(&mut self, expected: &str) {
        loop {
            let line = self.lines.next_line().await.unwrap();
            if line.expect("it goes on").ends_with(expected) {
                return;
            }
        }
    }

    async fn go_on(&mut self) {
        let input = self.process.stdin.as_mut().unwrap();
        input.write_all(b"go on\n").await.unwrap();
    }
}

/// In another process: waits until it may go on.
async fn may_go_on() {
    let mut line = String::new();
    let mut input = BufReader::new(tokio::io::stdin());
    input.read_line(&mut line).await.unwrap();
    assert_eq!(line, "go on\n");
}

/// Each opens and migrates the same new file, and gets all events, in an order of its own, many of them
/// twice. Some runs fail.
#[tokio::test(flavor = "multi_thread")]
async fn three_processes_handle_each_event_once() {
    if let Some(file) = shared_file() {
        return replica(file).await;
    }
    let database = Database::new();
    let test = "processes::three_processes_handle_each_event_once";
    let mut others: Vec<_> = (0..PROCESSES)
        .map(|_| Other::start(test, &database))
        .collect();
    for other in &mut others {
        other.says("started").await;
    }
    for other in &mut others {
        other.go_on().await;
    }
    let (mut handled, mut failed) = (HashMap::<String, usize>::new(), 0);
    let mut took_part = HashSet::new();
    for (number, other) in others.iter_mut().enumerate() {
        while let Some(line) = other.lines.next_line().await.unwrap() {
            match line.split_once(' ') {
                Some(("handled", id)) => {
                    *handled.entry(id.to_owned()).or_default() += 1;
                    took_part.insert(number);
                }
                Some(("failed", _)) => failed += 1,
                _ => {}
            }
        }
        assert!(other.process.wait().await.unwrap().success());
    }
    assert_eq!(handled.len(), EVENTS, "each event was handled");
    assert!(handled.values().all(|times| *times == 1), "{handled:?}");
    assert_eq!(took_part.len(), PROCESSES);
    assert!(failed > 0);
}

async fn replica(file: PathBuf) {
    println!("started");
    may_go_on().await;
    let guard = SqliteGuard::connect(&url(&file)).await.unwrap();
    guard.migrate().await.unwrap();
    let app = App::with(|builder| builder.guard("test", guard));
    let at_once = Arc::new(Semaphore::new(8));
    let mut deliveries = JoinSet::new();
    let start = std::process::id() as usize;
    for number in 0..EVENTS * 2 {
        let id = format!("msg_{}", (start + number * 7) % EVENTS);
        let (app, at_once) = (app.clone(), Arc::clone(&at_once));
        deliveries.spawn(async move {
            let _turn = at_once.acquire().await.unwrap();
            for attempt in 0.. {
                let fails = (start + number + attempt).is_multiple_of(5);
                let answer = app.deliver(&id, move |delivery| handle(delivery, fails));
                match answer.await {
                    HANDLED => break,
                    // 503: other processes write, and one that waits in SQLite has no turn.
                    answer if [409, 500, 503].contains(&answer.status) => {
                        sleep(Duration::from_millis(20)).await;
                    }
                    answer => panic!("{answer:?}"),
                }
            }
        });
    }
    while let Some(done) = deliveries.join_next().await {
        done.unwrap();
    }
}

async fn handle(delivery: Delivery, fails: bool) -> Answered {
    let (word, status) = if fails {
        ("failed", 500)
    } else {
        ("handled", 200)
    };
    println!("{word} {}", delivery.id());
    Ok(status)
}

/// One process writes for longer than another waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_holds_the_lock() {
    if let Some(file) = shared_file() {
        let options = SqliteConnectOptions::new().filename(file);
        let mut connection = options.connect().await.unwrap();
        let begin = query("BEGIN IMMEDIATE");
        begin.execute(&mut connection).await.unwrap();
        println!("locked");
        may_go_on().await;
        query("COMMIT").execute(&mut connection).await.unwrap();
        println!("unlocked");
        return may_go_on().await;
    }
    let database = Database::new();
    let guard = database.guard().await;
    let (settled, claimed, new) = (Holder::of("a"), Holder::of("b"), Holder::of("c"));
    settled.claim(&guard).await.unwrap();
    settled.settle(&guard).await.unwrap();
    claimed.claim(&guard).await.unwrap();

    let mut other = Other::start("processes::a_process_that_holds_the_lock", &database);
    other.says("locked").await;
    assert_eq!(
        Holder::of("a").claim(&guard).await.unwrap(),
        Claimed::Settled
    );
    assert!(Holder::of("b").claim(&guard).await.unwrap().is_in_flight());
    let guard_timeout = Duration::from_secs(2);
    let answer = timeout(guard_timeout, new.claim(&guard)).await;
    let error = answer.expect("less than a receiver waits").unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Unavailable);
    other.go_on().await;
    other.says("unlocked").await;
    assert_eq!(new.claim(&guard).await.unwrap(), Claimed::Claimed);
    claimed.settle(&guard).await.unwrap();
    other.go_on().await;
    assert!(other.process.wait().await.unwrap().success());
}

/// A claim of a process that is killed is free after its lease. What is settled stays so.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed() {
    const LEASE: Duration = Duration::from_secs(2);
    if let Some(file) = shared_file() {
        let guard = SqliteGuard::connect(&url(&file)).await.unwrap();
        let (settled, claimed) = (Holder::of("settled"), Holder::of("claimed"));
        settled.claim(&guard).await.unwrap();
        assert_eq!(settled.settle(&guard).await.unwrap(), Settled::Settled);
        let claim = claimed.claim_for(&guard, LEASE).await;
        assert_eq!(claim.unwrap(), Claimed::Claimed);
        // It is in the middle of a transaction as well.
        let options = SqliteConnectOptions::new().filename(file);
        let mut connection = options.connect().await.unwrap();
        for statement in [
            "BEGIN IMMEDIATE",
            "INSERT INTO gemini_webhooks_claims VALUES (x'00', x'00', 1, 1, 1)",
        ] {
            query(statement).execute(&mut connection).await.unwrap();
        }
        println!("claimed");
        return may_go_on().await;
    }
    let database = Database::new();
    let guard = database.guard().await;
    let mut other = Other::start("processes::a_process_that_is_killed", &database);
    other.says("claimed").await;
    // This is SIGKILL.
    other.process.kill().await.unwrap();

    let copy = Holder::of("claimed");
    assert!(copy.claim(&guard).await.unwrap().is_in_flight());
    sleep(LEASE).await;
    assert_eq!(copy.claim(&guard).await.unwrap(), Claimed::Claimed);
    assert_eq!(copy.settle(&guard).await.unwrap(), Settled::Settled);
    assert_eq!(
        Holder::of("settled").claim(&guard).await.unwrap(),
        Claimed::Settled
    );
    assert_eq!(guard.cleanup().await.unwrap(), 0, "it had not committed");
}

/// A write to the disk fails.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_files_must_not_grow() {
    if let Some(file) = shared_file() {
        let guard = SqliteGuard::connect(&url(&file)).await.unwrap();
        for number in 0..10_000 {
            match Holder::of(&number.to_string()).claim(&guard).await {
                Ok(claimed) => assert_eq!(claimed, Claimed::Claimed),
                Err(error) => {
                    assert_eq!(error.kind(), GuardErrorKind::Unavailable);
                    let text = error.to_string();
                    assert!(
                        text.contains("claims.db cannot be read or written now"),
                        "{text}"
                    );
                    println!("failed {number}");
                    return;
                }
            }
        }
        panic!("there is no limit");
    }
    let database = Database::new();
    let guard = database.guard().await;
    // Some hundred kilobytes. A write beyond them is an error, and not the end of the process.
    let mut command = Command::new("sh");
    let limit = "trap '' XFSZ; ulimit -f 800; exec \"$0\" \"$@\"";
    command.args(["-c", limit]).arg(env::current_exe().unwrap());
    let test = "processes::a_process_whose_files_must_not_grow";
    let mut other = Other::of(command, test, &database);
    let mut claimed = 0;
    while let Some(line) = other.lines.next_line().await.unwrap() {
        if let Some((_, number)) = line.split_once("failed ") {
            claimed = number.parse().unwrap();
        }
    }
    assert!(other.process.wait().await.unwrap().success());
    assert!(claimed > 0);
    for number in 0..claimed {
        let copy = Holder::of(&number.to_string()).claim(&guard).await.unwrap();
        assert!(copy.is_in_flight(), "{number} of {claimed}");
    }
}
