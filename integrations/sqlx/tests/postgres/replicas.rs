//! Several processes that share the store.

use std::collections::HashSet;
use std::env;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::Delivery;
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::postgres::settle_in;
use gemini_webhooks_sqlx::sqlx::postgres::PgPool;
use gemini_webhooks_sqlx::sqlx::{query, query_as};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app::{Answered, App, HANDLED};
use crate::database::Schema;

const PROCESSES: usize = 3;
const EVENTS: usize = 300;
/// Tells a process of this test that it is a replica, and in which schema.
const REPLICA: &str = "TEST_REPLICA";

/// Each gets all events, in an order of its own, and many of them several times. Some runs fail.
#[tokio::test(flavor = "multi_thread")]
async fn three_processes_handle_each_event_once() {
    if let Ok(name) = env::var(REPLICA) {
        return replica(&Schema::of(&name)).await;
    }
    let schema = Schema::migrated().await;
    schema
        .execute("CREATE TABLE handled (id text, process integer, failed boolean)")
        .await;

    let mut replicas = Vec::new();
    for _ in 0..PROCESSES {
        let mut replica = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "replicas::three_processes_handle_each_event_once",
            ])
            .arg("--nocapture")
            .env(REPLICA, schema.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(replica.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line == "ready" {
                break;
            }
        }
        // What it prints later is read, so that it can print.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        replicas.push(replica);
    }
    for replica in &mut replicas {
        let mut input = replica.stdin.take().unwrap();
        input.write_all(b"go\n").await.unwrap();
    }
    for mut replica in replicas {
        assert!(replica.wait().await.unwrap().success());
    }

    let rows: Vec<(String, i32, bool)> = query_as("SELECT * FROM handled")
        .fetch_all(&schema.pool())
        .await
        .unwrap();
    let handled: Vec<_> = rows.iter().filter(|(_, _, failed)| !failed).collect();
    let events: HashSet<_> = handled.iter().map(|(id, ..)| id).collect();
    let processes: HashSet<_> = handled.iter().map(|(_, process, _)| process).collect();
    assert_eq!(events.len(), EVENTS, "each event was handled");
    assert_eq!(handled.len(), EVENTS, "and once");
    assert_eq!(processes.len(), PROCESSES, "all took part");
    assert!(handled.len() < rows.len(), "some runs failed");
}

async fn replica(schema: &Schema) {
    let guard = schema.guard().await;
    guard.migrate().await.unwrap();
    let (app, pool) = (App::new(guard), schema.pool());
    println!("ready");
    let mut line = String::new();
    let mut input = BufReader::new(tokio::io::stdin());
    input.read_line(&mut line).await.unwrap();
    assert_eq!(line, "go\n");

    let at_once = Arc::new(Semaphore::new(24));
    let mut deliveries = JoinSet::new();
    let start = std::process::id() as usize;
    for number in 0..EVENTS * 2 {
        let id = format!("msg_{}", (start + number * 7) % EVENTS);
        let (app, pool, at_once) = (app.clone(), pool.clone(), Arc::clone(&at_once));
        deliveries.spawn(async move {
            let _turn = at_once.acquire().await.unwrap();
            for attempt in 0.. {
                let pool = pool.clone();
                let fails = (start + number + attempt).is_multiple_of(5);
                let answer =
                    app.deliver(&id, move |delivery| handle(delivery, pool.clone(), fails));
                match answer.await {
                    HANDLED => break,
                    // 503 also if the machine is too slow for the time that a guard has.
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

/// Half of the events are settled in the transaction of their work.
async fn handle(delivery: Delivery, pool: PgPool, fails: bool) -> Answered {
    let insert = query("INSERT INTO handled VALUES ($1, $2, $3)")
        .bind(delivery.id())
        .bind(i32::try_from(std::process::id())?)
        .bind(fails);
    if delivery.id().len().is_multiple_of(2) {
        insert.execute(&pool).await?;
        return Ok(if fails { 500 } else { 200 });
    }
    if fails {
        insert.execute(&pool).await?;
        let mut transaction = pool.begin().await?;
        settle_in(&mut transaction, &delivery).await?;
        transaction.rollback().await?;
        return Ok(200);
    }
    let mut transaction = pool.begin().await?;
    insert.execute(&mut *transaction).await?;
    settle_in(&mut transaction, &delivery).await?;
    transaction.commit().await?;
    Ok(200)
}

/// Two guards, as of two replicas, at the same event.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_shared_by_its_clones_and_by_others_of_the_table() {
    let schema = Schema::migrated().await;
    let (one, two) = (schema.guard().await, PostgresGuard::new(schema.pool()));
    let apps = [App::new(one.clone()), App::new(one), App::new(two)];
    for (number, app) in apps.iter().enumerate() {
        let first = number == 0;
        let answer = app.deliver("msg_1", move |_| async move {
            assert!(first, "it was handled");
            Ok(200)
        });
        assert_eq!(answer.await, HANDLED);
    }
    // In another namespace it is another event.
    let other = App::with(|builder| builder.guard("other", PostgresGuard::new(schema.pool())));
    let answer = other.deliver("msg_1", async |_| Ok(204));
    assert_eq!(answer.await.status, 204);
}
