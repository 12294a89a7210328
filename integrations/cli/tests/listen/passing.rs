//! Passing deliveries to an app.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use gemini_webhooks::testing::{Ed25519Signer, key_set};
use serde_json::json;

use crate::app::App;
use crate::http::{deliver, deliver_good, now, send, signed};
use crate::listening::{Listening, until};
use crate::run::program;

const BODY: &str = r#"{"type":"batch.succeeded", "data":{"id":"b 1\/2"}}"#;

#[test]
fn a_delivery_passes_to_the_app_unchanged_and_its_answer_back() {
    let app = App::start(
        "HTTP/1.1 202 Accepted\r\nX-App: yes\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine",
    );
    let listening = Listening::start(&["--json", "--forward", &format!("http://{}", app.address)]);
    let to = listening.address;

    let three = signed("msg_1", now(), BODY);
    let mut headers: Vec<_> = three
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    headers.extend([
        ("Host", "tunnel.example"),
        ("Accept", "application/json"),
        ("User-Agent", "Google-Gemini"),
        ("X-Twice", "a"),
        ("X-Twice", "b"),
        ("Keep-Alive", "timeout=5"),
        ("Content-Type", "application/json"),
    ]);
    let answer = send(to, "POST", "/a%2Fb?token=%20t", &headers, BODY.as_bytes());
    assert_eq!((answer.status, answer.body.as_str()), (202, "fine"));
    assert_eq!(answer.header("x-app"), Some("yes"));

    let got = app.got();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].line, "POST /a%2Fb?token=%20t HTTP/1.1");
    assert_eq!(got[0].body, BODY.as_bytes());
    let mut expected: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
        .filter(|(name, _)| name != "host" && name != "keep-alive")
        .collect();
    expected.extend([
        ("host".to_owned(), app.address.to_string()),
        ("content-length".to_owned(), BODY.len().to_string()),
    ]);
    expected.sort();
    let mut got = got[0].headers.clone();
    got.sort();
    assert_eq!(got, expected);
    let shown = listening.json(r#""number":1,"#);
    assert_eq!(
        (&shown["answered"], &shown["app"]["status"]),
        (&json!(202), &json!(202))
    );
    assert_eq!(shown["app"]["body"], "fine");

    // A repeat may be Google's next try, so the app gets it as well. A forged one it does not get.
    assert_eq!(deliver(to, "/hook", &three, BODY).status, 202);
    assert_eq!(
        deliver(to, "/hook", &three, "{}").json(),
        json!({ "error": "signature_mismatch" })
    );
    assert_eq!(listening.json(r#""number":3,"#)["app"], json!(null));
    assert_eq!(app.got().len(), 2);
}

#[test]
fn refused_deliveries_pass_where_that_is_wanted_and_the_path_is_the_apps() {
    let app = App::start("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let url = format!("http://{}/own", app.address);
    let listening = Listening::start(&["--forward", &url, "--forward-refused"]);
    listening.noted("warning: with --forward-refused everyone who knows your tunnel's URL");
    let to = listening.address;
    assert_eq!(send(to, "POST", "/hook?x=1", &[], b"{}").status, 500);
    assert_eq!(send(to, "GET", "/hook", &[], b"").status, 405);
    let got = app.got();
    assert_eq!(got.len(), 1, "no GET");
    assert_eq!(got[0].line, "POST /own?x=1 HTTP/1.1");
    let shown = listening.shown("#2  refused");
    assert!(
        shown.contains("#1  refused  missing_header  answered 500"),
        "{shown}"
    );
    assert!(shown.contains("app: 500 in "), "{shown}");
}

#[test]
fn what_public_keys_alone_verify_passes_only_where_that_is_wanted() {
    let token = "Zm9yLWRvY3VtZW50YXRpb24tb25seQ";
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let signer = Ed25519Signer::new("google", [1; 32]);
    let keys = file("keys.json", &key_set([signer.jwk()]));
    let token_file = file("token", token);
    let at = u64::try_from(now()).unwrap();
    for (name, more, target, status, passed) in [
        (
            "with the token",
            &["--endpoint-token-file", &*token_file][..],
            format!("/hook?token={token}"),
            200,
            1,
        ),
        (
            "without it",
            &["--endpoint-token-file", &token_file],
            "/hook".to_owned(),
            400,
            0,
        ),
        (
            "wanted",
            &["--allow-any-google-project"],
            "/hook".to_owned(),
            200,
            1,
        ),
    ] {
        let app = App::start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let mut command = program(&["listen", "--address", "127.0.0.1:0", "--keys", &keys]);
        command.args(["--forward", &app.address.port().to_string()]);
        command.args(more);
        let listening = Listening::run(command);
        if name == "wanted" {
            listening.noted("warning: \"verified\" says that Google has sent it");
        }
        let signed = signer.sign("msg_1", at, BODY);
        let answer = deliver(listening.address, &target, &signed, BODY);
        assert_eq!((answer.status, app.got().len()), (status, passed), "{name}");
    }
}

#[test]
fn an_app_that_does_not_answer_is_said() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let listening = Listening::start(&["--forward", &port.to_string()]);
    let answer = deliver_good(listening.address, "msg_1", BODY);
    assert_eq!(
        (answer.status, answer.json()),
        (502, json!({ "error": "app_unreachable" }))
    );
    let shown = listening.shown("the app cannot be reached");
    assert!(
        shown.contains(&format!("does it listen on port {port} of 127.0.0.1?")),
        "{shown}"
    );

    let silent = App::start("");
    let url = format!("http://{}/", silent.address);
    let listening = Listening::start(&["--forward", &url, "--forward-timeout", "1"]);
    let answer = deliver_good(listening.address, "msg_1", BODY);
    assert_eq!(
        (answer.status, answer.json()),
        (504, json!({ "error": "app_timeout" }))
    );
    listening.shown("the app did not answer within 1s");
}

#[test]
fn who_ends_it_while_the_app_works_is_told_what_it_waits_for() {
    let silent = App::start("");
    let listening = Listening::start(&["--forward", &silent.address.port().to_string()]);
    let mut stream = TcpStream::connect(listening.address).unwrap();
    let mut request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n".to_owned();
    for (name, value) in signed("msg_1", now(), "{}") {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    write!(stream, "{request}\r\n{{}}").unwrap();
    until("the app has it", || silent.got().len() == 1);

    listening.signal("-INT");
    listening.noted("waiting up to 5 s for 1 delivery; Ctrl-C again ends at once");
    let (code, stdout, stderr) = listening.stop("-INT");
    assert_eq!((code, &*stdout), (Some(0), ""));
    let summary = "ended: 1 delivery, 0 verified, 0 refused, 1 cut off without an answer";
    assert!(stderr.ends_with(summary), "{stderr}");
    let mut answer = Vec::new();
    // It may be reset as well as closed.
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}
