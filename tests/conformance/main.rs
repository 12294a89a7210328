//! One suite for every adapter: the same requests, the same answers, the same runs of a handler with
//! the same event. An adapter gets all of it by writing one `Rig`.
#![cfg(all(
    feature = "actix-web",
    feature = "axum",
    feature = "jwt",
    feature = "testing"
))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod cases;
mod rig;
mod rigs;
mod vectors;

use bytes::Bytes;
use cases::{Case, Expected};
use gemini_webhooks::Scheme;
use rig::{Answered, BodyHeaders, Call, End, Handler, Rig, Sent, body_headers};
use tokio::runtime::{Builder, Runtime};

/// Time stands still but for what is waited for; where a body keeps a task busy without end, it has
/// to pass by itself.
fn runtime(paused: bool) -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .unwrap()
}

/// Sends everything through `rig`.
fn all_through(rig: impl Rig) {
    let (paused, real) = (runtime(true), runtime(false));
    let (mut done, mut skipped) = (0, 0);
    for case in vectors::cases().chain(cases::cases()) {
        let Case {
            name,
            receiver,
            exchanges,
        } = case;
        for (sent, does, expected) in exchanges {
            if let Some(why) = rig.cannot(&sent) {
                println!("not done: {name}: {why}");
                skipped += 1;
                continue;
            }
            let busy = sent.body.end == End::Empty;
            let runtime = if busy { &real } else { &paused };
            let handler = Handler::new(does);
            let exchange = rig.exchange(&receiver, &sent, handler.clone());
            let tasks = tokio::task::LocalSet::new();
            let answered = tasks.block_on(runtime, exchange);
            check(&name, &sent, &answered, &handler, &expected);
            done += 1;
        }
    }
    println!("{done} exchanges, {skipped} that this adapter cannot do");
    assert!(done > 300, "{done}");
}

fn check(name: &str, sent: &Sent, answered: &Answered, handler: &Handler, expected: &Expected) {
    let calls = handler.calls();
    let (status, body, runs) = match expected {
        Expected::Handled(status, _) => (*status, Bytes::new(), 1),
        Expected::Overruled(code) => (503, format!(r#"{{"error":"{code}"}}"#).into(), 1),
        Expected::Repeat => (200, Bytes::new(), 0),
        Expected::Refused(status, code) => (*status, format!(r#"{{"error":"{code}"}}"#).into(), 0),
    };
    let refused = !body.is_empty();
    let waits = refused && matches!(status, 409 | 503);
    let expected_answer = Answered {
        status,
        body,
        content_type: refused.then(|| "application/json".to_owned()),
        retry_after: waits,
        allow: (status == 405).then(|| "POST".to_owned()),
    };
    assert_eq!(*answered, expected_answer, "{name}");
    assert_eq!(calls.len(), runs, "runs of the handler: {name}");
    for (call, headers) in &calls {
        assert_eq!(*headers, seen(sent, call), "{name}");
    }
    if let Expected::Handled(_, Some(call)) = expected {
        assert_eq!(calls[0].0, *call, "{name}");
    }
}

/// What a handler is to see in the headers of its body: what was sent. But where a token carried the
/// event, they speak of its payload.
fn seen(sent: &Sent, call: &Call) -> BodyHeaders {
    if call.scheme == Scheme::Jwt {
        return vec![
            ("content-length", call.body.len().to_string()),
            ("content-type", "application/json".to_owned()),
        ];
    }
    let lines = sent.headers.iter();
    body_headers(lines.map(|(name, value)| (name.as_str(), value.as_slice())))
}

#[test]
fn the_receiver_by_itself() {
    all_through(rigs::Bare);
}

#[test]
fn a_tower_service() {
    all_through(rigs::Tower);
}

#[test]
fn an_axum_router() {
    all_through(rigs::Axum);
}

#[test]
fn an_actix_web_app() {
    all_through(rigs::Actix);
}
