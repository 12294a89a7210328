//! The receiver: what it answers and shows.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use gemini_webhooks::testing::{Ed25519Signer, JwksServer};
use serde_json::{Value, json};

use crate::http::{SECRET, deliver, deliver_good, exchange, now, send, signed};
use crate::listening::{Listening, until};
use crate::run::program;

const BODY: &str = r#"{"type":"batch.succeeded","version":"v1","timestamp":"2026-11-26T10:00:00Z","data":{"id":"b 1\/2"}}"#;

#[test]
fn each_delivery_gets_the_answer_of_a_receiver() {
    let listening = Listening::start(&["--json"]);
    let to = listening.address;

    let answer = deliver_good(to, "msg_1", BODY);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"status":"received"}"#)
    );
    let shown = listening.json(r#""number":1,"#);
    assert_eq!(shown["verified"], true);
    assert_eq!(shown["type"], "batch.succeeded");
    assert_eq!(shown["accepted"]["scheme"], "v1");
    assert_eq!(shown["target"], "/hook");
    assert_eq!(shown["body"], BODY);
    assert_eq!(shown["repeat_of"], json!(null));
    assert!(
        shown["headers"]
            .as_array()
            .unwrap()
            .contains(&json!(["webhook-id", "msg_1"]))
    );

    let answer = deliver_good(to, "msg_1", BODY);
    assert_eq!(answer.status, 200);
    let shown = listening.json(r#""number":2,"#);
    assert_eq!(
        (&shown["repeat_of"], &shown["verified"]),
        (&json!(1), &json!(true))
    );

    let headers = signed("msg_2", now(), BODY);
    let refused = [
        (
            "a changed body",
            deliver(to, "/", &headers, "{}"),
            400,
            "signature_mismatch",
        ),
        (
            "an old one",
            deliver(to, "/", &signed("msg_2", now() - 600, BODY), BODY),
            400,
            "timestamp_too_old",
        ),
        (
            "no headers",
            send(to, "POST", "/", &[], b"{}"),
            400,
            "missing_header",
        ),
        (
            "not UTF-8",
            send(to, "POST", "/", &[], b"\xff"),
            400,
            "missing_header",
        ),
        (
            "a browser",
            send(to, "GET", "/favicon.ico", &[], b""),
            405,
            "method_not_allowed",
        ),
    ];
    for (at, (name, answer, status, code)) in refused.into_iter().enumerate() {
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.json(), json!({ "error": code }), "{name}");
        let shown = listening.json(&format!(r#""number":{},"#, at + 3));
        assert_eq!(shown["verified"], false, "{name}");
        assert_eq!(shown["refusal"]["code"], code, "{name}");
        assert_eq!(shown["answered"], status, "{name}");
        assert!(
            !shown["refusal"]["reason"].as_str().unwrap().is_empty(),
            "{name}"
        );
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("POST"));
        }
    }
    assert_eq!(listening.json(r#""number":6,"#)["body_base64"], "/w==");

    let (code, stdout, stderr) = listening.stop("-INT");
    assert_eq!(code, Some(0));
    assert_eq!(stdout.lines().count(), 7);
    assert!(
        stderr.contains("ended: 7 deliveries, 2 verified (1 of them a repeat), 5 refused"),
        "{stderr}"
    );
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET));
}

#[test]
fn bodies_have_limits_of_length_and_time() {
    let listening = Listening::start(&["--json", "--max-body", "100", "--body-timeout", "1"]);
    let to = listening.address;
    let long = "x".repeat(101);

    let answer = send(to, "POST", "/", &[], long.as_bytes());
    assert_eq!(
        (answer.status, answer.json()),
        (413, json!({ "error": "body_too_large" }))
    );
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n65\r\n{long}\r\n0\r\n\r\n"
    );
    assert_eq!(exchange(to, chunked.as_bytes()).status, 413);
    let answer = send(to, "POST", "/", &[], &long.as_bytes()[1..]);
    assert_eq!(
        answer.json(),
        json!({ "error": "missing_header" }),
        "100 bytes are read"
    );
    // The body never comes.
    let answer = exchange(
        to,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(
        (answer.status, answer.json()),
        (408, json!({ "error": "body_timeout" }))
    );
    assert_eq!(answer.header("connection"), Some("close"));
    let reason = listening.json(r#""number":4,"#)["refusal"]["reason"].clone();
    assert_eq!(reason, "the body did not arrive within 1s");

    // A sender that waits to be asked for a long body is not asked.
    let answer = exchange(
        to,
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 500\r\n\r\n",
    );
    assert_eq!(
        (answer.status, answer.header("connection")),
        (413, Some("close"))
    );

    // It breaks off. Nobody gets an answer, but it is shown.
    let mut stream = TcpStream::connect(to).unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        .unwrap();
    drop(stream);
    assert_eq!(listening.json(r#""number":6,"#)["code"], "body_incomplete");
}

#[test]
fn the_limit_of_the_body_holds_for_signed_ones_too() {
    let body = format!(
        r#"{{"type":"batch.succeeded","x":"{}"}}"#,
        "x".repeat(70_000)
    );
    let listening = Listening::start(&[]);
    assert_eq!(deliver_good(listening.address, "msg_1", &body).status, 413);
    let listening = Listening::start(&["--max-body", "100000"]);
    assert_eq!(deliver_good(listening.address, "msg_1", &body).status, 200);
}

#[test]
fn the_url_has_to_carry_the_endpoint_token_if_there_is_one() {
    let token = "Zm9yLWRvY3VtZW50YXRpb24tb25seQ";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{token}").unwrap();
    let path = file.path().to_str().unwrap();
    let listening = Listening::start(&["--endpoint-token-file", path]);
    let headers = signed("msg_1", now(), BODY);
    let to = listening.address;
    assert_eq!(
        deliver(to, &format!("/hook?token={token}"), &headers, BODY).status,
        200
    );
    assert_eq!(
        deliver(to, &format!("/hook/{token}"), &headers, BODY).status,
        200
    );
    let answer = deliver(to, "/hook", &headers, BODY);
    assert_eq!(
        (answer.status, answer.json()),
        (400, json!({ "error": "wrong_endpoint" }))
    );
    let in_the_middle = deliver(to, &format!("/{token}/hook"), &headers, BODY);
    assert_eq!(in_the_middle.status, 400);
    deliver(to, &format!("/hook/{token}/"), &headers, BODY);
    let shown = listening.shown("#5  ");
    assert!(!shown.contains(token), "it is a secret: {shown}");
}

#[test]
fn a_refused_delivery_is_explained() {
    let listening = Listening::start(&["--json"]);
    // Some proxy has written the JSON anew.
    let body = r#"{"type": "batch.succeeded", "data": {"id": "1"}}"#;
    let compact = r#"{"type":"batch.succeeded","data":{"id":"1"}}"#;
    let answer = deliver(
        listening.address,
        "/",
        &signed("msg_1", now(), body),
        compact,
    );
    assert_eq!(
        answer.json(),
        json!({ "error": "signature_mismatch" }),
        "a stranger learns no more"
    );
    let shown = listening.json(r#""number":1,"#);
    assert_eq!(shown["findings"][0]["cause"], "body_changed", "{shown}");
    assert_eq!(shown["findings"][0]["is_certain"], true, "{shown}");
}

#[test]
fn a_refused_delivery_does_not_cost_the_next_one_its_connection() {
    let listening = Listening::start(&["--json", "--max-body", "1000"]);
    let body = "x".repeat(5000);
    let mut both =
        format!("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{body}").into_bytes();
    both.extend(b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(listening.address).unwrap();
    stream.write_all(&both).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 413 "), "{answers}");
    assert!(answers.contains("HTTP/1.1 400 "), "{answers}");
}

/// A client that asks for more than it reads.
#[test]
fn a_connection_ends_after_a_hundred_requests() {
    let listening = Listening::start(&["--json"]);
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(150);
    let mut stream = TcpStream::connect(listening.address).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = Vec::new();
    let mut part = [0; 4096];
    // It may be reset: there is more that was not read.
    while let Ok(count @ 1..) = stream.read(&mut part) {
        answers.extend_from_slice(&part[..count]);
    }
    let answers = String::from_utf8(answers).unwrap();
    // What is reset may lose some of them.
    assert!(answers.matches("HTTP/1.1 405 ").count() <= 100, "{answers}");
    assert_eq!(
        listening.json(r#""number":1,"#)["code"],
        "method_not_allowed"
    );
    let (_, stdout, stderr) = listening.stop("-INT");
    assert!(
        stderr.contains("ended: 100 deliveries, 0 verified, 100 refused"),
        "{stderr}"
    );
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let shown = lines
        .iter()
        .filter(|line| line["what"] == "delivery")
        .count();
    let more = lines.iter().filter_map(|line| line["requests"].as_u64());
    assert_eq!(shown as u64 + more.sum::<u64>(), 100, "{stdout}");
    assert!(shown < 50, "not each has a line: {stdout}");
}

#[test]
fn a_connection_may_be_used_again_until_it_says_that_it_ends() {
    let listening = Listening::start(&[]);
    let mut stream = TcpStream::connect(listening.address).unwrap();
    for number in 1..=100 {
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).unwrap();
        let is_last = answer.to_ascii_lowercase().contains("connection: close");
        assert_eq!(is_last, number == 100, "{number}: {answer}");
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it has ended");
}

#[test]
fn people_see_one_entry_for_each_and_no_foreign_control_characters() {
    let listening = Listening::start(&["--full"]);
    let body = "{\"type\":\"evil\\u001b[2J\",\"x\":\"\u{9b}2J\"}";
    let answer = deliver(
        listening.address,
        "/hook?token=abc",
        &signed("msg_1", now(), body),
        body,
    );
    assert_eq!(answer.status, 200);
    let shown = listening.shown("\"x\":");
    assert!(
        shown.contains("#1  verified  evil\\u{1b}[2J  msg_1  answered 200"),
        "{shown}"
    );
    assert!(shown.contains(r#""x":"\u{9b}2J""#), "{shown}");
    assert!(
        shown.contains("POST /hook?token=abc, "),
        "--full shows the query: {shown}"
    );
    assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown}");

    let listening = Listening::start(&[]);
    deliver(
        listening.address,
        "/hook?token=abc",
        &signed("msg_1", now(), body),
        body,
    );
    deliver(
        listening.address,
        "/hook",
        &signed("msg_1", now(), body),
        "{}",
    );
    let shown = listening.shown("#2  refused  signature_mismatch  answered 400");
    assert!(
        shown.contains("POST /hook?token=…, ") && !shown.contains("token=abc"),
        "{shown}"
    );
}

#[tokio::test]
async fn public_keys_are_fetched_again_once_when_a_signature_fits_none() {
    let old = Ed25519Signer::new("old", [1; 32]);
    let new = Ed25519Signer::new("new", [2; 32]);
    let stranger = Ed25519Signer::new("stranger", [3; 32]);
    let keys = JwksServer::start([old.jwk()]).await.unwrap();
    let mut command = program(&["listen", "--address", "127.0.0.1:0", "--json"]);
    command.args(["--keys", &keys.url()]);
    tokio::task::spawn_blocking(move || {
        let listening = Listening::run(command);
        listening.noted("Google has sent it, for any of its customers");
        let at = u64::try_from(now()).unwrap();
        let deliver = |signer: &Ed25519Signer, id| {
            deliver(listening.address, "/", &signer.sign(id, at, BODY), BODY).status
        };
        assert_eq!(deliver(&old, "msg_1"), 200);
        assert_eq!(keys.fetches(), 1);
        keys.publish([old.jwk(), new.jwk()]);
        assert_eq!(deliver(&new, "msg_2"), 200);
        assert_eq!(keys.fetches(), 2);
        assert_eq!(deliver(&stranger, "msg_3"), 400);
        assert_eq!(deliver(&stranger, "msg_4"), 400);
        assert_eq!(
            keys.fetches(),
            2,
            "strangers cause no more than one in 30 seconds"
        );
        listening.noted("fetched the keys again");
    })
    .await
    .unwrap();
}

#[test]
fn what_is_in_flight_comes_to_its_end() {
    let listening = Listening::start(&["--json"]);
    let address = listening.address;
    let mut head =
        "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n".to_owned();
    for (name, value) in signed("msg_1", now(), "{}") {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{head}\r\n").unwrap();
    // It asks for the body, so it has the head.
    let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut asked).unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 "));

    let ending = std::thread::spawn(|| listening.stop("-TERM"));
    until("it accepts no more", || {
        TcpStream::connect(address).is_err()
    });
    stream.write_all(b"{}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (code, _, stderr) = ending.join().unwrap();
    assert_eq!(code, Some(0));
    assert!(
        stderr.contains("ended: 1 delivery, 1 verified, 0 refused"),
        "{stderr}"
    );
}
