//! The page: who may ask for it, and what it is told.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::app::App;
use crate::http::{Answer, deliver, deliver_good, now, send, signed};
use crate::listening::Listening;

fn ask(page: SocketAddr, method: &str, target: &str, token: &str, more: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("x-page-token", token)];
    headers.extend_from_slice(more);
    send(page, method, target, &headers, b"")
}

#[test]
fn only_the_user_of_this_machine_gets_anything() {
    let app = App::start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let url = format!("http://{}/", app.address);
    let listening = Listening::start(&["--ui", "--forward", &url]);
    let (page, token) = listening.page();
    let own = format!("http://{page}");
    deliver_good(listening.address, "msg_1", "{}");
    assert_eq!(app.got().len(), 1);
    assert!(token.len() >= 22);

    let send_again = "/api/deliveries/1/send";
    for (name, method, target, headers, expected) in [
        (
            "another host",
            "GET",
            "/",
            vec![("host", "evil.example")],
            421,
        ),
        (
            "another host, API",
            "GET",
            "/api/about",
            vec![("host", "evil.example"), ("x-page-token", &token)],
            421,
        ),
        (
            "a host without the port",
            "GET",
            "/api/about",
            vec![("host", "localhost"), ("x-page-token", &token)],
            421,
        ),
        ("no token", "GET", "/api/about", vec![], 401),
        (
            "no token, POST",
            "POST",
            send_again,
            vec![("origin", &own)],
            401,
        ),
        (
            "a wrong token",
            "POST",
            send_again,
            vec![("x-page-token", "wrong")],
            401,
        ),
        (
            "another origin",
            "POST",
            send_again,
            vec![("origin", "https://evil.example"), ("x-page-token", &token)],
            403,
        ),
        (
            "another site",
            "POST",
            send_again,
            vec![("sec-fetch-site", "cross-site"), ("x-page-token", &token)],
            403,
        ),
        (
            "the token in the URL",
            "GET",
            "/api/about?token=x",
            vec![],
            401,
        ),
        ("no such page", "GET", "/x", vec![], 404),
        (
            "no such call",
            "GET",
            "/api/x",
            vec![("x-page-token", &token)],
            404,
        ),
        (
            "a read that would change",
            "GET",
            send_again,
            vec![("x-page-token", &token)],
            405,
        ),
    ] {
        let answer = send(page, method, target, &headers, b"");
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
        assert!(answer.header("content-security-policy").is_some(), "{name}");
        assert!(
            answer.header("access-control-allow-origin").is_none(),
            "{name}"
        );
    }
    assert_eq!(app.got().len(), 1, "none of them sent it again");
    // The receiver's port, which the tunnel publishes, knows nothing of the page.
    let answer = ask(listening.address, "GET", "/api/about", &token, &[]);
    assert_eq!(answer.status, 405);

    let answer = ask(page, "POST", send_again, &token, &[("origin", &own)]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.got().len(), 2);
}

#[test]
fn the_page_and_its_parts_are_locked_down() {
    let listening = Listening::start(&["--ui"]);
    let (page, token) = listening.page();
    for (target, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/shared.js", "text/javascript; charset=utf-8"),
        ("/shared.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = send(page, "GET", target, &[], b"");
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.header("content-type"), Some(kind), "{target}");
        assert!(!answer.body.contains(&token), "{target}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{target}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{target}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{target}, {name}");
        }
    }
}

#[test]
fn the_api_tells_of_deliveries_and_sends_them_again() {
    let app =
        App::start("HTTP/1.1 409 Conflict\r\nContent-Length: 4\r\nConnection: close\r\n\r\nonce");
    let url = format!("http://{}/own", app.address);
    let listening = Listening::start(&["--json", "--ui", "--forward", &url]);
    let (page, token) = listening.page();
    let get = |target: &str| ask(page, "GET", target, &token, &[]);

    // Whoever asks before there is something gets the first one.
    let waiting = std::thread::spawn({
        let token = token.clone();
        move || ask(page, "GET", "/api/deliveries?after=0", &token, &[]).json()
    });
    let (body, headers) = (
        r#"{"type":"video.generated"}"#,
        signed("msg_1", now(), r#"{"type":"video.generated"}"#),
    );
    deliver(listening.address, "/hook?x=1", &headers, body);
    let news = waiting.join().unwrap();
    assert_eq!(news["version"], 1);
    assert_eq!(news["oldest"], json!({ "verified": 1, "refused": null }));
    assert_eq!(news["deliveries"][0]["type"], "video.generated");
    assert_eq!(news["deliveries"][0]["app"], 409);

    let whole = get("/api/deliveries/1").json();
    assert_eq!(whole["body_base64"], "eyJ0eXBlIjoidmlkZW8uZ2VuZXJhdGVkIn0=");
    assert_eq!(whole["answers"].as_array().unwrap().len(), 1);

    for count in 2..=12 {
        let sent = ask(page, "POST", "/api/deliveries/1/send", &token, &[]).json();
        let answers = sent["answers"].as_array().unwrap();
        assert_eq!(answers.len(), count.min(10), "the answers are bounded");
        assert_eq!(answers.last().unwrap()["body"], "once");
    }
    let got = app.got();
    assert_eq!(got.len(), 12);
    assert_eq!(got[11].line, "POST /own?x=1 HTTP/1.1");
    assert_eq!(
        (&got[11].body, &got[11].headers),
        (&got[0].body, &got[0].headers)
    );
    assert_eq!(
        listening.json(r#""what":"sent_again""#)["app"]["status"],
        409
    );
    assert_eq!(
        get("/api/deliveries?after=1").json()["deliveries"][0]["number"],
        1
    );

    // What was not read cannot be sent, and what is not there cannot be shown.
    send(listening.address, "GET", "/", &[], b"");
    assert_eq!(
        ask(page, "POST", "/api/deliveries/2/send", &token, &[]).status,
        409
    );
    assert_eq!(get("/api/deliveries/3").status, 404);
    assert_eq!(get("/api/deliveries").status, 400);
}

#[test]
fn only_the_newest_deliveries_are_kept() {
    let listening = Listening::start(&["--json", "--ui"]);
    let (page, token) = listening.page();
    // What strangers send does not push it out.
    deliver_good(listening.address, "msg_1", "{}");
    for _ in 0..105 {
        send(listening.address, "GET", "/", &[], b"");
    }
    let news = ask(page, "GET", "/api/deliveries?after=0", &token, &[]).json();
    assert_eq!(news["oldest"], json!({ "verified": 1, "refused": 7 }));
    let kept = news["deliveries"].as_array().unwrap();
    assert_eq!((kept.len(), &kept[0]["verified"]), (101, &json!(true)));
    let gone = ask(page, "GET", "/api/deliveries/6", &token, &[]);
    assert_eq!(gone.status, 404);
    let answer = ask(page, "POST", "/api/deliveries/1/send", &token, &[]);
    assert_eq!(answer.status, 409);
    let text = answer.json()["error"].clone();
    assert_eq!(
        text,
        Value::from("there is no app to send to: start the program with --forward URL")
    );

    // A page that waits does not hold up the end.
    let waiting = std::thread::spawn({
        let version = news["version"].clone();
        move || {
            ask(
                page,
                "GET",
                &format!("/api/deliveries?after={version}"),
                &token,
                &[],
            )
            .status
        }
    });
    let (code, ..) = listening.stop("-INT");
    assert_eq!(code, Some(0));
    // It may not have got through before the end.
    let _ = waiting.join();
}
