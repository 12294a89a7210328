//! Deliveries of dynamic webhooks, to the example apps.

use std::path::Path;

use gemini_webhooks_harness::Port;

use crate::app::{AUDIENCE, App, NAMES};
use crate::run::Ended;
use crate::{TOKEN, lines, run_send};

/// How `send` is told where the app asks for keys, and the token.
fn with<'a>(address: &'a str, token: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let options = [
        "--jwks-address",
        address,
        "--endpoint-token-file",
        token.to_str().unwrap(),
    ];
    [&options[..], more].concat()
}

fn code(ended: &Ended) -> String {
    let (answers, _) = lines(ended);
    answers[0]["code"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn ed25519_and_the_key_that_an_app_knows() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let key = folder.path().join("key.pem");
    let key = ["--ed25519", "--key-file", key.to_str().unwrap()];
    for name in NAMES {
        let port = Port::free();
        let address = format!("127.0.0.1:{}", port.number());
        let app = App::start(name, port.number());
        let url = app.dynamic();

        let first = run_send(&url, &with(&address, &token, &key));
        assert_eq!(first.code, Some(0), "{name}: {first:?}");
        assert!(
            first
                .stderr
                .contains(&format!("GEMINI_JWKS_URL=http://{address}/")),
            "{first:?}"
        );
        // The key is known now, and not asked for again.
        let more = [&key[..], &["--repeat", "2", "--json"]].concat();
        let second = run_send(&url, &with(&address, &token, &more));
        let (answers, summary) = lines(&second);
        assert_eq!(
            (second.code, answers.len()),
            (Some(0), 2),
            "{name}: {second:?}"
        );
        assert_eq!(summary["key_fetches"], 0, "{name}");

        // Another key comes too soon after the first.
        let fresh = run_send(&url, &with(&address, &token, &["--ed25519"]));
        assert_eq!(fresh.code, Some(1), "{name}: {fresh:?}");
        assert!(
            fresh.stdout.contains("signature_mismatch"),
            "{name}: {fresh:?}"
        );
        for part in ["did not ask for it", "30 seconds", "--key-file"] {
            assert!(fresh.stderr.contains(part), "{name}: {part}: {fresh:?}");
        }

        for tamper in ["body", "newline", "timestamp", "id", "signature", "token"] {
            let more = [&key[..], &["--tamper", tamper, "--json"]].concat();
            let ended = run_send(&url, &with(&address, &token, &more));
            let refusal = match tamper {
                "token" => "wrong_endpoint",
                _ => "signature_mismatch",
            };
            assert_eq!(
                (ended.code, &*code(&ended)),
                (Some(0), refusal),
                "{name} {tamper}"
            );
        }
        for shown in [&first, &second, &fresh] {
            assert!(!format!("{shown:?}").contains(TOKEN), "{name}: {shown:?}");
        }
        let ran = app.end();
        assert_eq!(ran.len(), 2, "{name}: {ran:?}");
        assert!(
            ran.iter().all(|event| event["scheme"] == "v1a"),
            "{name}: {ran:?}"
        );
    }
}

#[test]
fn jwts_and_their_audience() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let key = folder.path().join("key.pem");
    let key = ["--key-file", key.to_str().unwrap(), "--json"];
    for name in NAMES {
        let port = Port::free();
        let address = format!("127.0.0.1:{}", port.number());
        let app = App::start(name, port.number());
        let url = app.dynamic();
        let jwt = |audience, more: &[&str]| {
            let more = [&["--jwt", audience], &key[..], more].concat();
            run_send(&url, &with(&address, &token, &more))
        };
        // A repeat is signed anew, and recognised all the same.
        let accepted = jwt(AUDIENCE, &["--repeat", "2"]);
        assert_eq!(accepted.code, Some(0), "{name}: {accepted:?}");
        let (_, summary) = lines(&accepted);
        assert_eq!(summary["key_fetches"], 1, "{name}: {accepted:?}");

        let other = jwt("another-app", &[]);
        assert_eq!(
            (other.code, &*code(&other)),
            (Some(1), "wrong_audience"),
            "{name}"
        );
        assert!(other.stdout.contains("accept_jwt"), "{other:?}");
        for (tamper, refusal) in [
            ("body", "body_mismatch"),
            ("truncate", "body_mismatch"),
            ("signature", "signature_mismatch"),
            // What is not signed, and no harm to change.
            ("newline", "none"),
            ("reserialize", "none"),
            ("timestamp", "none"),
        ] {
            let ended = jwt(AUDIENCE, &["--tamper", tamper]);
            assert_eq!(
                (ended.code, &*code(&ended)),
                (Some(0), refusal),
                "{name} {tamper}: {ended:?}"
            );
        }
        let ran = app.end();
        assert_eq!(ran.len(), 4, "{name}: {ran:?}");
        assert!(
            ran.iter().all(|event| event["scheme"] == "jwt"),
            "{name}: {ran:?}"
        );
    }
}

#[test]
fn the_token_in_the_url_and_none() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    let port = Port::free();
    let address = format!("127.0.0.1:{}", port.number());
    let app = App::start("axum", port.number());
    let key = key.to_str().unwrap();
    let options = ["--ed25519", "--jwks-address", &*address, "--key-file", key];
    let none = run_send(&app.dynamic(), &options);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("--endpoint-token-file"), "{none:?}");

    let url = format!("{}?token={TOKEN}", app.dynamic());
    let given = run_send(&url, &options);
    let mut command = crate::send(&app.dynamic(), &options);
    command.env("WEBHOOK_ENDPOINT_TOKEN", TOKEN);
    let variable = crate::run::run(command, b"");
    for ended in [given, variable] {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!format!("{ended:?}").contains(TOKEN), "{ended:?}");
    }
    assert_eq!(app.end().len(), 2);
}

/// The disk has no room for it.
#[cfg(unix)]
#[test]
fn a_key_that_cannot_be_written_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    for kind in [&["--ed25519"][..], &["--jwt", "audience"]] {
        let more = [kind, &["--key-file", key.to_str().unwrap()]].concat();
        let send = crate::send("http://127.0.0.1:1/", &more);
        let mut limited = std::process::Command::new("sh");
        // A write beyond the limit fails, as one to a full disk does.
        limited.args(["-c", r#"ulimit -f 0; trap '' XFSZ; exec "$@""#, "sh"]);
        limited.arg(send.get_program()).args(send.get_args());
        let ended = crate::run::run(limited, b"");
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let says = "cannot write the new key to ";
        assert!(ended.stderr.contains(says), "{ended:?}");
        assert!(!key.exists(), "the next run would take it for a key");
    }
}
