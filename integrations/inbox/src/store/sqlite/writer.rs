//! The task that writes. What comes while it commits is committed together next.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite};
use tokio::sync::{mpsc, oneshot};

use super::super::{Dialect, Rows, Value};
use super::{code, query};

/// So many writes are committed together at most.
const GROUP: usize = 256;

/// What stores one event, two, four and so on up to a whole group.
static PUTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let sizes = (0..=GROUP.ilog2()).map(|power| 1 << power);
    sizes.map(put_for).collect()
});

/// Returns the key among the values of `put`.
fn put_key(values: &[Value]) -> &[u8] {
    match values {
        [_, Value::Bytes(key), ..] => key,
        _ => &[],
    }
}

/// Returns what does as `put` does, for so many events.
fn put_for(events: usize) -> String {
    let [into, row, once] = Sqlite::STATEMENTS.put_parts;
    // They stand in their order, so they need no numbers.
    let row = (1..=9).fold(row.to_owned(), |row, number| {
        row.replace(&format!("${number}"), "?")
    });
    let rows = vec![row; events];
    format!("{into}{}{once}", rows.join(", "))
}

/// A statement that waits to be carried out.
pub(super) struct Write {
    pub(super) statement: &'static str,
    pub(super) values: Vec<Value>,
    pub(super) answer: oneshot::Sender<Rows<Sqlite>>,
}

/// Carries out what comes, until nobody can send anything any more.
pub(super) async fn write(options: SqliteConnectOptions, mut writes: mpsc::Receiver<Write>) {
    let mut connection = None;
    let mut group = Vec::with_capacity(GROUP);
    // What is there is taken, and nothing is waited for: a lone write is committed at once.
    while writes.recv_many(&mut group, GROUP).await > 0 {
        // Nobody would learn whether it was carried out, so it had better not be.
        group.retain(|write: &Write| !write.answer.is_closed());
        let mut steps = steps(&mut group);
        if steps.is_empty() {
            continue;
        }
        let carried_out = carry_out(&options, &mut connection, &mut steps).await;
        let failed = carried_out.map_err(Arc::new).err();
        if failed.is_some() {
            // Whatever state it is in: the next group gets a new one.
            connection = None;
        }
        for step in steps {
            step.answer(failed.as_ref());
        }
    }
}

/// What one statement does: a write, or several that store an event each. The way to SQLite's thread and
/// back takes longer than to store an event.
struct Step {
    text: &'static str,
    writes: Vec<Write>,
    /// Of each write.
    rows: Vec<Result<Vec<SqliteRow>, sqlx::Error>>,
}

fn steps(group: &mut Vec<Write>) -> Vec<Step> {
    let stores = |write: &Write| write.statement == Sqlite::STATEMENTS.put;
    let (mut puts, others): (Vec<_>, Vec<_>) = group.drain(..).partition(stores);
    let mut steps: Vec<_> = others
        .into_iter()
        .map(|write| Step::new(write.statement, vec![write]))
        .collect();
    for (power, text) in PUTS.iter().enumerate().rev() {
        while puts.len() >= 1 << power {
            steps.push(Step::new(text, puts.drain(..1 << power).collect()));
        }
    }
    steps
}

/// Carries out a group in one transaction. After an error nothing of it is stored.
async fn carry_out(
    options: &SqliteConnectOptions,
    slot: &mut Option<SqliteConnection>,
    steps: &mut [Step],
) -> Result<(), sqlx::Error> {
    let connection = match slot {
        Some(connection) => connection,
        None => slot.insert(options.connect().await?),
    };
    // A lone statement is a transaction by itself.
    if let [step] = steps {
        return step.carry_out(connection).await;
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for step in steps {
        step.carry_out(&mut transaction).await?;
    }
    transaction.commit().await
}

impl Step {
    fn new(text: &'static str, writes: Vec<Write>) -> Self {
        let rows = Vec::new();
        Self { text, writes, rows }
    }

    /// Fails if the whole transaction does.
    async fn carry_out(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let values = self.writes.iter().flat_map(|write| write.values.clone());
        let rows = match query(self.text, values).fetch_all(&mut *connection).await {
            Ok(rows) => self.shared_out(rows),
            Err(error) => Err(error),
        };
        match rows {
            Ok(rows) => self.rows = rows.into_iter().map(Ok).collect(),
            Err(error) if ends_transaction(&error) => return Err(error),
            Err(error) if self.writes.len() == 1 => self.rows.push(Err(error)),
            // One of them is at fault, and the others need not fail with it.
            Err(_) => {
                for write in &self.writes {
                    let alone = query(write.statement, write.values.clone());
                    match alone.fetch_all(&mut *connection).await {
                        Err(error) if ends_transaction(&error) => return Err(error),
                        rows => self.rows.push(rows),
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives each write its rows.
    fn shared_out(&self, rows: Vec<SqliteRow>) -> Result<Vec<Vec<SqliteRow>>, sqlx::Error> {
        if let [_] = self.writes[..] {
            return Ok(vec![rows]);
        }
        let mut new = HashMap::new();
        for row in rows {
            new.insert(Sqlite::bytes(&row, 0)?, row);
        }
        // Of the copies of an event the first gets its row: it is the one that is new.
        let own = |write: &Write| new.remove(put_key(&write.values)).into_iter().collect();
        Ok(self.writes.iter().map(own).collect())
    }

    fn answer(self, failed: Option<&Arc<sqlx::Error>>) {
        let mut rows = self.rows.into_iter();
        for write in self.writes {
            let own = match failed {
                Some(error) => Err(Arc::clone(error)),
                // Each write has its rows, and what had none would not be stored.
                None => rows
                    .next()
                    .unwrap_or(Err(sqlx::Error::WorkerCrashed))
                    .map_err(Arc::new),
            };
            // Who has left has been told nothing: for them it may or may not have been carried out.
            let _left = write.answer.send(own);
        }
    }
}

/// Whether SQLite may have rolled back the whole transaction: the disk is full or fails, or there is no
/// memory.
fn ends_transaction(error: &sqlx::Error) -> bool {
    !matches!(code(error), Some(1 | 19 | 20 | 25))
}
