//! Retries, rates, Ctrl-C, and what is on the wire, with a small server.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use gemini_webhooks::testing;
use gemini_webhooks_harness::Port;
use serde_json::Value;

use crate::run::run;
use crate::server::{Server, response};
use crate::{OTHER, lines, run_send, send};

#[test]
fn another_library_verifies_what_is_sent() {
    let server = Server::answering(&response(204, "", ""));
    let ended = run_send(&server.url(), &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let request = server.next();
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/json");
    assert!(request.header("webhook-id").starts_with("msg_"));
    request.is_verified_with(testing::SECRET);
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(event["type"], "batch.succeeded");

    // Two secrets, as during a rotation.
    let ended = run(
        send(&server.url(), &["--secret-file", "-"]),
        format!("{OTHER}\n{}", testing::SECRET).as_bytes(),
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let request = server.next();
    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
    request.is_verified_with(testing::SECRET);
    request.is_verified_with(OTHER);

    // Bytes that are no text, as they are.
    let body = [0, 255, 10, 13, b'{', 0xc3];
    let ended = run(send(&server.url(), &["--body", "-"]), &body);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let request = server.next();
    assert_eq!(request.body, body);
    // The library takes text only, so that this is ours to say.
    assert!(request.header("webhook-signature").starts_with("v1,"));
}

#[test]
fn a_retry_keeps_the_id_and_signs_anew() {
    let server = Server::start(|number, _| {
        let status = if number < 1 { 503 } else { 200 };
        Some(response(status, "", r#"{"error":"guard_unavailable"}"#))
    });
    let ended = run_send(&server.url(), &["--retry", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (first, second) = (server.next(), server.next());
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    let at = |header: &str| header.parse::<u64>().unwrap();
    let (one, two) = (
        first.header("webhook-timestamp"),
        second.header("webhook-timestamp"),
    );
    assert!(at(two) > at(one), "{one} {two}");
    for request in [&first, &second] {
        request.is_verified_with(testing::SECRET);
    }
    let (answers, summary) = lines(&ended);
    assert_eq!(summary["attempts"], 2);
    assert_eq!(summary["as_they_should_be"], 1);
    assert_eq!(answers[0]["status"], 503);
    assert!(answers[0]["remedy"].as_str().unwrap().contains("database"));
    assert_eq!(answers[1]["attempt"], 2);
}

#[test]
fn a_retry_ends_when_it_would_take_too_long() {
    let server = Server::answering(&response(503, "retry-after: 120\r\n", ""));
    let ended = run_send(&server.url(), &["--retry", "--retry-for", "500ms"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("Retry-After: 120 s"), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("given up: the next attempt would be in 1 s"),
        "{ended:?}"
    );
    assert_eq!(server.rest().len(), 1);
}

#[test]
fn no_answer() {
    let port = Port::free();
    let url = format!("http://127.0.0.1:{}/hook", port.number());
    // A proxy of the environment is not asked about this machine.
    let mut command = send(&url, &[]);
    command
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("http_proxy", "http://127.0.0.1:1");
    let ended = run(command, b"");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.starts_with("nothing listens"), "{ended:?}");
    let said = format!("Nothing listens at 127.0.0.1:{}", port.number());
    assert!(
        ended.stderr.contains(&said) && ended.stderr.contains("Start the app"),
        "{ended:?}"
    );

    let silent = Server::start(|_, _| None);
    let ended = run_send(&silent.url(), &["--timeout", "200ms"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.starts_with("timed out"), "{ended:?}");

    let broken =
        Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhalf");
    let ended = run_send(&broken.url(), &["--timeout", "200ms"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.starts_with("broke off"), "{ended:?}");
}

#[test]
fn answers_are_shown_harmless_and_redirects_are_not_followed() {
    let server = Server::answering(&response(500, "", "\u{1b}]0;owned\u{7}\nforged line"));
    let ended = run_send(&server.url(), &[]);
    assert!(!ended.stdout.contains(['\u{1b}', '\u{7}']), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");

    let other = Server::answering(&response(200, "", ""));
    let location = format!("location: {}?token=secret\r\n", other.url());
    let server = Server::answering(&response(307, &location, ""));
    let ended = run_send(&server.url(), &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&other.url()), "{ended:?}");
    assert!(!ended.stderr.contains("token=secret"), "{ended:?}");
    assert!(other.rest().is_empty());
}

#[test]
fn an_app_that_accepts_what_is_tampered_with_fails() {
    let server = Server::answering(&response(200, "", "thanks"));
    let ended = run_send(&server.url(), &["--tamper", "signature"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("accepted, though it should be refused"),
        "{ended:?}"
    );
    assert!(
        ended
            .stderr
            .contains("Check that the layer is on this route"),
        "{ended:?}"
    );
}

#[test]
fn each_event_has_an_id_of_its_own() {
    let server = Server::answering(&response(200, "", ""));
    let ended = run_send(
        &server.url(),
        &["--count", "30", "--rate", "1000", "--json"],
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let requests = server.rest();
    let ids: BTreeSet<&str> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!((requests.len(), ids.len()), (30, 30));
}

fn start(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_in_order() {
    for (name, answers, cut_off) in [
        ("while it waits for an answer", false, 1),
        ("between two", true, 0),
    ] {
        let server = Server::start(move |_, _| answers.then(|| response(200, "", "")));
        let options: &[&str] = if answers {
            &["--count", "1000000", "--rate", "5", "--json"]
        } else {
            &["--count", "3", "--json"]
        };
        let child = start(send(&server.url(), options));
        server.next();
        let id = child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{name}: {output:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let summary: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
        assert_eq!(summary["stopped"], true, "{name}");
        assert_eq!(summary["cut_off"], cut_off, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_pause_before_a_retry() {
    let server = Server::answering(&response(503, "", ""));
    let child = start(send(&server.url(), &["--retry", "--json"]));
    server.next();
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["cut_off"], 0, "{stdout}");
    assert_eq!(summary["done"], 1, "{stdout}");
}
