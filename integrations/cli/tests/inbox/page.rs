//! What the page of an inbox is told, and what it can change.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gemini_webhooks_inbox::{Database, Inbox, State, Stored, What};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::home::{self, BATCH, HOSTILE, Place, VIDEO, postgres, put, sqlite, work};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run of `inbox ui`. It is killed when it is dropped.
struct Page {
    child: Child,
    url: String,
    token: String,
    client: Client,
}

impl Page {
    async fn open(place: &Place) -> Self {
        let mut program = place.program(&["ui", "--address", "0"]);
        program.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let line = tokio::task::spawn_blocking(move || {
            let mut lines = stderr.lines().map(Result::unwrap);
            let line = lines.find(|line| line.starts_with("the page: ")).unwrap();
            // It is read to its end, or the program could not write.
            std::thread::spawn(move || lines.for_each(drop));
            line
        });
        let line = line.await.unwrap();
        let (url, token) = line["the page: ".len()..].split_once("/#").unwrap();
        Self {
            child,
            url: url.to_owned(),
            token: token.to_owned(),
            client: Client::builder().timeout(PATIENCE).build().unwrap(),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .header("x-page-token", &self.token);
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        read(answer).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.ask(Method::POST, path, Some(body)).await;
        (answer.status().as_u16(), read(answer).await)
    }

    /// Ends it as Ctrl-C does, and returns the exit code.
    async fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(killed.success());
        for _ in 0..3_000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not end");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn read(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_in_sqlite() {
    let place = Place::new_sqlite();
    is_shown_and_changed(&sqlite(&place).await, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_in_postgres() {
    let place = Place::new_postgres().await;
    is_shown_and_changed(&postgres(&place).await, &place).await;
    place.clear().await;
}

async fn is_shown_and_changed<DB: Database>(inbox: &Inbox<DB>, place: &Place) {
    put(inbox, "dead_1", BATCH.as_bytes()).await;
    put(inbox, "done", VIDEO.as_bytes()).await;
    work(inbox).await;
    for number in 0..60 {
        put(inbox, &format!("waits_{number}"), VIDEO.as_bytes()).await;
    }
    let page = Page::open(place).await;
    let about = page.get("/api/about").await;
    assert_eq!(about["namespace"], "default");
    let depth = page.get("/api/depth").await;
    assert_eq!((&depth["waiting"], &depth["dead"]), (&json!(60), &json!(1)));

    let first = page.get("/api/events").await;
    let events = first["events"].as_array().unwrap();
    assert_eq!((events.len(), &first["more"]), (50, &json!(true)));
    assert_eq!(events[0]["webhook_id"], "waits_59");
    let last = &events[49]["number"];
    let second = page.get(&format!("/api/events?before={last}")).await;
    assert_eq!(second["more"], false);
    assert_eq!(second["events"].as_array().unwrap().len(), 12);
    let dead = page
        .get("/api/events?state=dead&type=batch.succeeded")
        .await;
    let event = &dead["events"][0];
    assert_eq!(event["webhook_id"], "dead_1");
    assert_eq!(event["last"]["why"], HOSTILE);
    let none = page.get("/api/events?state=dead&type=a%26b").await;
    assert_eq!(none, json!({ "events": [], "more": false }));

    let number = &event["number"];
    let one = format!("/api/events/{number}");
    let whole = page.get(&one).await;
    assert_eq!(whole["body"], home::about("dead_1", BATCH));
    assert_eq!(whole["history"].as_array().unwrap().len(), 5);

    // Tried again.
    let as_dead = json!({ "state": "dead" });
    let (status, retried) = page.post(&format!("{one}/retry"), as_dead.clone()).await;
    assert_eq!((status, &retried["state"]), (200, &json!("waiting")));
    let (status, refused) = page.post(&format!("{one}/retry"), as_dead.clone()).await;
    assert_eq!(status, 409);
    assert!(
        refused["error"].as_str().unwrap().contains("it waits"),
        "{refused}"
    );
    work(inbox).await;
    let again = page.get(&one).await;
    assert_eq!(
        (&again["state"], &again["attempts"]),
        (&json!("dead"), &json!(2))
    );

    // Dropped.
    let why = json!({ "state": "dead", "why": "<b>too late</b>" });
    let (status, dropped) = page.post(&format!("{one}/drop"), why).await;
    assert_eq!((status, &dropped["state"]), (200, &json!("dropped")));
    let entries = inbox.entries().webhook_id("dead_1").list().await.unwrap();
    let change = entries[0].history().last().unwrap();
    assert_eq!(
        (change.what(), change.why()),
        (What::Discarded, "<b>too late</b>")
    );
    assert_eq!(entries[0].state(), State::Done);
    assert_eq!(put(inbox, "dead_1", BATCH.as_bytes()).await, Stored::Copy);
    let (status, refused) = page.post(&format!("{one}/drop"), as_dead.clone()).await;
    assert_eq!(status, 409);
    assert!(
        refused["error"].as_str().unwrap().contains("it is over"),
        "{refused}"
    );

    // What is done may be tried again, but not by a page that shows a dead letter.
    let (status, refused) = page.post(&format!("{one}/retry"), as_dead.clone()).await;
    assert_eq!(status, 409);
    let said = refused["error"].as_str().unwrap();
    assert!(said.contains("since the page showed it"), "{refused}");

    for (name, method, path, body, expected) in [
        (
            "no such event",
            Method::GET,
            "/api/events/987654",
            None,
            404,
        ),
        (
            "no such event, drop",
            Method::POST,
            "/api/events/987654/drop",
            Some(as_dead),
            404,
        ),
        (
            "no state",
            Method::POST,
            &format!("{one}/retry"),
            Some(json!({})),
            422,
        ),
        ("no number", Method::GET, "/api/events/x", None, 400),
        (
            "no such state",
            Method::GET,
            "/api/events?state=gone",
            None,
            400,
        ),
        (
            "a read that would change",
            Method::GET,
            &format!("{one}/retry"),
            None,
            405,
        ),
        ("no JSON", Method::POST, &format!("{one}/retry"), None, 415),
    ] {
        let answer = page.ask(method, path, body).await;
        assert_eq!(answer.status().as_u16(), expected, "{name}");
    }
    let token = page.token.clone();
    for (name, token, origin, expected) in [
        ("no token", "", None, 401),
        ("another site", &*token, Some("https://evil.example"), 403),
    ] {
        let url = format!("{}{one}/retry", page.url);
        let mut request = page
            .client
            .post(url)
            .header("x-page-token", token)
            .header("content-type", "application/json")
            .body("{}");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{name}");
    }
    let entries = inbox.entries().webhook_id("dead_1").list().await.unwrap();
    assert_eq!(entries[0].state(), State::Done, "nothing has changed");
    assert_eq!(page.stop().await, Some(0));
}

/// Makes an inbox for the test in a browser, `tests/page/inbox.test.mjs`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only the test in a browser needs it"]
async fn fill() {
    let file = std::env::var("INBOX_FILE").unwrap();
    let inbox = Inbox::sqlite(&file).await.unwrap();
    for number in 0..52 {
        put(&inbox, &format!("done_{number}"), BATCH.as_bytes()).await;
    }
    let hostile = json!({ "type": "<img src=x onerror=\"window.pwned=1\">", "x": "</pre><script>window.pwned=1</script>\u{202e}" });
    put(&inbox, "dead_1", BATCH.as_bytes()).await;
    put(
        &inbox,
        "dead_<svg/onload=window.pwned=1>",
        hostile.to_string().as_bytes(),
    )
    .await;
    put(&inbox, "dead_3", b"\xff\x00\x3c").await;
    work(&inbox).await;
    put(&inbox, "waits_1", VIDEO.as_bytes()).await;
}
