//! What the page of `listen` calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::delivery::Answer;
use super::forward::App;
use super::kept::{Entry, Kept};
use super::receive::Receiver;

/// Then the page is answered that there is nothing new, and asks again.
const POLL: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Api {
    receiver: Arc<Receiver>,
    address: SocketAddr,
}

/// The routes. `address` is where deliveries are received.
pub(super) fn router(receiver: Arc<Receiver>, address: SocketAddr) -> Router {
    Router::new()
        .route("/about", get(about))
        .route("/deliveries", get(deliveries))
        .route("/deliveries/{number}", get(delivery))
        .route("/deliveries/{number}/send", post(send))
        .with_state(Api { receiver, address })
}

async fn about(State(api): State<Api>) -> Json<Value> {
    Json(json!({
        "address": format!("http://{}", api.address),
        "app": api.receiver.app.as_ref().map(App::shown),
        "forwards_refused": api.receiver.forward_refused,
    }))
}

#[derive(Deserialize)]
struct Since {
    after: u64,
}

/// What is new after a version. Waits until there is something.
async fn deliveries(State(api): State<Api>, Query(Since { after }): Query<Since>) -> Response {
    let Some(kept) = &api.receiver.kept else {
        return gone();
    };
    // Nothing new in this time is an answer as well.
    let _ = timeout(POLL, kept.changed(after)).await;
    let news = kept.since(after);
    let entries = news.entries.iter().map(|entry| {
        let mut summary = entry.delivery.summary();
        let last = entry.answers.last().map(brief);
        if let Value::Object(map) = &mut summary {
            map.insert("app".to_owned(), last.into());
        }
        summary
    });
    Json(json!({
        "version": news.version,
        "oldest": { "verified": news.oldest_verified, "refused": news.oldest_refused },
        "deliveries": entries.collect::<Value>(),
    }))
    .into_response()
}

/// The status or the error of an answer.
fn brief(answer: &Answer) -> Value {
    match &answer.outcome {
        Ok(given) => given.status.into(),
        Err(none) => none.code.into(),
    }
}

async fn delivery(State(api): State<Api>, Path(number): Path<u64>) -> Response {
    match api.receiver.kept.as_ref().and_then(|kept| kept.get(number)) {
        Some(entry) => whole(&entry),
        None => gone(),
    }
}

/// Sends a delivery to the app once more.
async fn send(State(api): State<Api>, Path(number): Path<u64>) -> Response {
    let Some((kept, entry)) = find(&api, number) else {
        return gone();
    };
    let Some(app) = &api.receiver.app else {
        let text = "there is no app to send to: start the program with --forward URL";
        return (StatusCode::CONFLICT, Json(json!({ "error": text }))).into_response();
    };
    if !entry.delivery.is_whole() {
        let text = "this request was not read to its end, so there is nothing to send";
        return (StatusCode::CONFLICT, Json(json!({ "error": text }))).into_response();
    }
    let answer = api.receiver.send_again(app, &entry.delivery).await;
    kept.add_answer(number, answer);
    match kept.get(number) {
        Some(entry) => whole(&entry),
        None => gone(),
    }
}

fn find(api: &Api, number: u64) -> Option<(&Kept, Entry)> {
    let kept = api.receiver.kept.as_ref()?;
    Some((kept, kept.get(number)?))
}

fn whole(entry: &Entry) -> Response {
    let mut map = match entry.delivery.to_json() {
        Ok(map) => map,
        Err(error) => {
            let text = format!("the delivery cannot be written as JSON: {error}");
            return (
                StatusCode::INTERNAL_SERVER_ERROR,
                Json(json!({ "error": text })),
            )
                .into_response();
        }
    };
    let answers: Value = entry.answers.iter().map(Answer::to_json).collect();
    map.insert("answers".to_owned(), answers);
    map.insert("is_whole".to_owned(), entry.delivery.is_whole().into());
    map.insert(
        "body_base64".to_owned(),
        STANDARD.encode(&entry.delivery.body).into(),
    );
    Json(Value::Object(map)).into_response()
}

fn gone() -> Response {
    let text = "this delivery is not kept any more: only the newest ones are";
    (StatusCode::NOT_FOUND, Json(json!({ "error": text }))).into_response()
}
