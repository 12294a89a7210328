//! `ui`: the inbox as a page, and what its script calls.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use gemini_webhooks_inbox::{Database, Entry, Inbox, InboxError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::order::Change;
use super::{Filter, StateName, entry};
use crate::exit::{Exit, Failure};
use crate::page::{self, Page};
use crate::shown::{self, plain};
use crate::stop::Stop;
use crate::values;

/// So many events are on a page.
const PAGE: u32 = 50;
/// The history of an event on its page says so, if nobody wrote more.
const WHY: &str = "by hand, on the page of the inbox";

const EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox ui --sqlite webhooks.db
  DATABASE_URL=postgres://localhost/orders gemini-webhooks inbox ui --address 8789";

/// Show the inbox on a page, on this machine only, where events can be tried again and dropped.
///
/// It prints the URL of the page, which holds a key: who has the URL can change the inbox as you can. Ctrl-C ends it, with
/// exit code 0.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Ui {
    /// Where to serve the page: a port, or an address of this machine's loopback with one. Port 0 is any that is free.
    #[arg(long, value_name = "ADDRESS:PORT|PORT", default_value = "127.0.0.1:0", value_parser = values::address)]
    address: SocketAddr,
}

impl Ui {
    pub(super) async fn run<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        name: &str,
        namespace: &str,
        mut stop: Stop,
    ) -> Result<Exit, Failure> {
        let listener = page::bind(self.address).await?;
        let api = Api {
            inbox: inbox.clone(),
            about: json!({ "database": name, "namespace": namespace }),
        };
        let page = Page {
            html: include_str!("assets/inbox.html"),
            script: include_str!("assets/inbox.js"),
            style: include_str!("assets/inbox.css"),
            api: router(api),
        };
        let (url, server) = page::serve(listener, page, async move { stop.requested().await })?;
        shown::note(format_args!("the page: {url}"));
        shown::note("Ctrl-C ends it.");
        server.await;
        Ok(Exit::Done)
    }
}

struct Api<DB: Database> {
    inbox: Inbox<DB>,
    about: Value,
}

type Shared<DB> = State<Arc<Api<DB>>>;

fn router<DB: Database>(api: Api<DB>) -> Router {
    Router::new()
        .route("/about", get(about::<DB>))
        .route("/depth", get(depth::<DB>))
        .route("/events", get(events::<DB>))
        .route("/events/{number}", get(event::<DB>))
        .route("/events/{number}/retry", post(retry::<DB>))
        .route("/events/{number}/drop", post(discard::<DB>))
        .with_state(Arc::new(api))
}

async fn about<DB: Database>(State(api): Shared<DB>) -> Json<Value> {
    Json(api.about.clone())
}

async fn depth<DB: Database>(State(api): Shared<DB>) -> Response {
    match api.inbox.depth().await {
        Ok(depth) => Json(super::look::depth(&depth)).into_response(),
        Err(error) => failed(&error),
    }
}

/// Which events are listed, the newest first.
#[derive(Debug, Deserialize)]
struct Which {
    state: Option<StateName>,
    r#type: Option<String>,
    before: Option<i64>,
}

async fn events<DB: Database>(State(api): Shared<DB>, Query(which): Query<Which>) -> Response {
    let filter = Filter {
        state: which.state,
        event_type: which.r#type,
        webhook_id: None,
    };
    let mut entries = filter.of(&api.inbox);
    if let Some(before) = which.before {
        entries = entries.before(before);
    }
    // One more tells whether there are more.
    match entries.limit(PAGE + 1).list_newest().await {
        Ok(listed) => {
            let shown = listed.iter().take(PAGE as usize);
            let events: Vec<Value> = shown.map(entry::summary).collect();
            let more = listed.len() > events.len();
            Json(json!({ "events": events, "more": more })).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn event<DB: Database>(State(api): Shared<DB>, Path(number): Path<i64>) -> Response {
    match find(&api.inbox, number).await {
        Ok(Some(found)) => Json(entry::whole(&found)).into_response(),
        Ok(None) => gone(),
        Err(error) => failed(&error),
    }
}

/// What the user wants changed.
#[derive(Debug, Deserialize)]
struct Wish {
    /// As what the page showed the event. If it has another state by now, it is left alone.
    state: Shown,
    /// What the user wrote, which may be nothing.
    #[serde(default)]
    why: String,
}

/// The state of an event, as the page shows it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    Waiting,
    Running,
    Dead,
    Done,
    /// Done as well. Its history says that nobody worked it off.
    Dropped,
}

impl From<Shown> for StateName {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::Waiting => Self::Waiting,
            Shown::Running => Self::Running,
            Shown::Dead => Self::Dead,
            Shown::Done | Shown::Dropped => Self::Done,
        }
    }
}

async fn retry<DB: Database>(
    State(api): Shared<DB>,
    Path(number): Path<i64>,
    Json(wish): Json<Wish>,
) -> Response {
    change(&api.inbox, Change::Retry, number, &wish).await
}

async fn discard<DB: Database>(
    State(api): Shared<DB>,
    Path(number): Path<i64>,
    Json(wish): Json<Wish>,
) -> Response {
    change(&api.inbox, Change::Drop, number, &wish).await
}

/// Changes one event, and returns it as it is then.
async fn change<DB: Database>(
    inbox: &Inbox<DB>,
    change: Change,
    number: i64,
    Wish { state, why }: &Wish,
) -> Response {
    let why = if why.trim().is_empty() { WHY } else { why };
    let state = StateName::from(*state).into();
    let meant = inbox.entries().number(number).state(state);
    let changed = change.make(meant, why).await;
    let found = find(inbox, number).await;
    match (changed, found) {
        (Err(error), _) | (_, Err(error)) => failed(&error),
        (Ok(_), Ok(None)) => gone(),
        (Ok(0), Ok(Some(found))) => {
            let why = change.objection(found.state());
            let why = why.unwrap_or("it has changed since the page showed it");
            answer(StatusCode::CONFLICT, &format!("nothing was changed: {why}"))
        }
        (Ok(_), Ok(Some(found))) => Json(entry::whole(&found)).into_response(),
    }
}

async fn find<DB: Database>(inbox: &Inbox<DB>, number: i64) -> Result<Option<Entry>, InboxError> {
    let listed = inbox.entries().number(number).list().await?;
    Ok(listed.into_iter().next())
}

fn gone() -> Response {
    let text = "this event is not in the inbox any more: what is over is removed after some days";
    answer(StatusCode::NOT_FOUND, text)
}

fn failed(error: &InboxError) -> Response {
    answer(StatusCode::SERVICE_UNAVAILABLE, &plain(error))
}

fn answer(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
