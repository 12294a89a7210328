//! The SQL of the guide's page about answering at once, as it stands there.

use gemini_webhooks_sqlx::sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, query, query_scalar,
};

use crate::database::Schema;

/// The statements under a heading.
fn statements(page: &str, heading: &str) -> Vec<String> {
    let (_, section) = page.split_once(heading).unwrap();
    let (_, code) = section.split_once("```sql\n").unwrap();
    let (code, _) = code.split_once("\n```").unwrap();
    let code = code.lines().filter(|line| !line.starts_with("--"));
    let code = code.collect::<Vec<_>>().join("\n");
    let statements = code.split(';').map(|statement| statement.trim().to_owned());
    statements
        .filter(|statement| !statement.is_empty())
        .collect()
}

struct Inbox {
    insert: String,
    count: String,
    take: String,
    done: String,
}

impl Inbox {
    async fn insert(&self, connection: &mut PgConnection, id: &str) -> u64 {
        let insert = query(AssertSqlSafe(self.insert.clone()));
        let insert = insert.bind("v1").bind(id).bind(id.as_bytes());
        insert.execute(connection).await.unwrap().rows_affected()
    }

    /// The number of the event that is tried next.
    async fn count(&self, connection: &mut PgConnection) -> Option<i64> {
        let count = query_scalar(AssertSqlSafe(self.count.clone()));
        count.fetch_optional(connection).await.unwrap()
    }

    async fn take(&self, connection: &mut PgConnection, number: i64) -> Option<Vec<u8>> {
        let take = query_scalar(AssertSqlSafe(self.take.clone())).bind(number);
        take.fetch_optional(connection).await.unwrap()
    }

    async fn done(&self, connection: &mut PgConnection, number: i64) {
        let done = query(AssertSqlSafe(self.done.clone())).bind(number);
        assert_eq!(done.execute(connection).await.unwrap().rows_affected(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_with_several_workers() {
    let page = include_str!("../../../../docs/answering-at-once.md");
    let statements = statements(page, "## With PostgreSQL, or several workers");
    let [create, insert, count, take, done] = &statements[..] else {
        panic!("{statements:#?}");
    };
    let schema = Schema::new().await;
    schema.execute(create).await;
    let inbox = Inbox {
        insert: insert.clone(),
        count: count.clone(),
        take: take.clone(),
        done: done.clone(),
    };
    let (mut one, mut two) = (schema.connection().await, schema.connection().await);
    assert_eq!(inbox.insert(&mut one, "msg_1").await, 1);
    assert_eq!(inbox.insert(&mut two, "msg_1").await, 0, "a duplicate");
    assert_eq!(inbox.insert(&mut one, "msg_2").await, 1);

    // Two workers at once have an event each, and none has that of the other.
    let first = inbox.count(&mut one).await.unwrap();
    let mut work = one.begin().await.unwrap();
    assert_eq!(inbox.take(&mut work, first).await.unwrap(), b"msg_1");
    let second = inbox.count(&mut two).await.unwrap();
    let mut other = two.begin().await.unwrap();
    assert_eq!(inbox.take(&mut other, first).await, None, "it is locked");
    assert_eq!(inbox.take(&mut other, second).await.unwrap(), b"msg_2");
    inbox.done(&mut work, first).await;
    work.commit().await.unwrap();
    // Its work fails.
    other.rollback().await.unwrap();

    assert_eq!(inbox.count(&mut one).await, Some(second), "tried again");
    assert_eq!(inbox.take(&mut two, first).await, None, "it is done");
    inbox.done(&mut one, second).await;
    assert_eq!(inbox.count(&mut one).await, None, "nothing is left");
}
