//! `gemini-webhooks verify`, run as a user does, with deliveries that the official library signed.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails loudly"
)]

mod run;

use std::fs;

use run::{Ended, program, run};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tempfile::TempDir;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
const SENT: i64 = 1_769_083_200;
const BODY: &str = r#"{"type":"batch.succeeded","data":{"id":"batches\/1"}}"#;

fn signature() -> String {
    Webhook::new(SECRET)
        .unwrap()
        .sign(ID, SENT, BODY.as_bytes())
        .unwrap()
}

fn http(body: &str) -> String {
    format!(
        "POST /gemini-callback HTTP/1.1\r\nHost: example.com\r\nWebhook-Id: {ID}\r\nWebhook-Timestamp: {SENT}\r\nWebhook-Signature: {}\r\n\r\n{body}",
        signature()
    )
}

/// Runs `verify` with the secret in the environment, as of the time of sending.
fn verify(arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = program(&["verify"]);
    command
        .args(arguments)
        .env("WEBHOOK_SIGNING_SECRET", SECRET);
    run(command, input)
}

fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn each_form_of_capture_gives_its_verdict() {
    let folder = TempDir::new().unwrap();
    let unescaped = BODY.replace("\\/", "/");
    let headers = format!(
        "webhook-id: {ID}\nwebhook-timestamp: {SENT}\nwebhook-signature: {}\n",
        signature()
    );
    let curl = |body: &str| {
        format!(
            "curl 'http://127.0.0.1:8000/gemini-callback' \\\n  -H 'webhook-id: {ID}' -H 'webhook-timestamp: {SENT}' \\\n  -H 'webhook-signature: {}' --data-binary '{body}'",
            signature()
        )
    };
    let har = |body: &str| {
        json!({"log": {"version": "1.2", "entries": [{
            "startedDateTime": "2026-01-22T12:00:01Z",
            "request": {"method": "POST", "url": "https://x.example/gemini-callback", "headers": [
                {"name": "webhook-id", "value": ID}, {"name": "webhook-timestamp", "value": SENT.to_string()},
                {"name": "webhook-signature", "value": signature()},
            ], "postData": {"mimeType": "application/json", "text": body}},
        }]}})
        .to_string()
    };
    let headers = file(&folder, "headers.txt", headers);
    for (body, verdict, code) in [
        (BODY, "verified: ", 0),
        (
            &unescaped,
            "refused at the signature: signature_mismatch",
            1,
        ),
    ] {
        let kept = file(&folder, "body.json", body);
        let inputs = [
            (vec!["--received-at", "sent"], http(body)),
            (vec!["-", "--received-at", "sent"], curl(body)),
            // A HAR file has the time.
            (vec![], har(body)),
            (
                vec![
                    "--headers",
                    &headers,
                    "--body",
                    &kept,
                    "--received-at",
                    "2026-01-22T12:04:59Z",
                ],
                String::new(),
            ),
        ];
        for (arguments, input) in inputs {
            let ended = verify(&arguments, input.as_bytes());
            assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
            assert!(ended.stdout.starts_with(verdict), "{ended:?}");
            if code == 1 {
                assert!(
                    ended.stdout.contains(
                        "The secret is right (the secret in WEBHOOK_SIGNING_SECRET, sha256:"
                    ),
                    "{ended:?}"
                );
                assert!(
                    ended
                        .stdout
                        .contains("something on the way changed the body."),
                    "{ended:?}"
                );
                assert!(ended.stdout.contains(r"`/` as `\/`"), "{ended:?}");
            }
            assert!(
                !ended.stdout.contains('\u{1b}'),
                "no colours without a terminal"
            );
            assert_eq!(ended.stderr, "");
        }
    }
}

#[test]
fn json_is_for_scripts() {
    let ended = verify(
        &["--json", "--received-at", "sent"],
        http(&format!("{BODY}\n")).as_bytes(),
    );
    assert_eq!(ended.code, Some(1));
    let value: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(value["verified"], false);
    assert_eq!(value["webhook_id"], ID);
    assert_eq!(value["judged_at"], "2026-01-22T12:00:00Z");
    assert_eq!(value["refusal"]["step"], "signature");
    assert_eq!(value["refusal"]["code"], "signature_mismatch");
    assert_eq!(value["findings"][0]["cause"], "body_changed");
    assert_eq!(value["findings"][0]["is_certain"], true);
    let ended = verify(&["--json", "--received-at", "sent"], http(BODY).as_bytes());
    let value: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &value["verified"]), (Some(0), &json!(true)));
    assert_eq!(value["accepted"]["type"], "batch.succeeded");
}

#[test]
fn an_old_capture_says_that_it_is_old() {
    let ended = verify(&[], http(BODY).as_bytes());
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("timestamp_too_old"), "{ended:?}");
    assert!(ended.stdout.contains("The signature is right"), "{ended:?}");
    assert!(ended.stdout.contains("give the time"), "{ended:?}");
}

#[test]
fn secrets_come_from_files_and_stdin_and_are_never_shown() {
    let folder = TempDir::new().unwrap();
    let request = file(&folder, "request.txt", http(BODY));
    let both = file(&folder, "both.txt", format!("{OTHER}\n{SECRET}\n"));
    let other = file(&folder, "other.txt", OTHER);
    let mine = file(&folder, "mine.txt", format!("{SECRET}\n"));
    let sent = ["--received-at", "sent"];
    for (arguments, input, code, says) in [
        (
            vec![request.as_str(), "--secret-file", &both],
            "",
            0,
            "secret 2 in ",
        ),
        (
            vec![&request, "--secret-file", "-"],
            SECRET,
            0,
            "the secret in standard input",
        ),
        (
            vec![&request, "--secret-file", &other],
            "",
            1,
            "No key that was given",
        ),
        (
            vec![
                &request,
                "--secret-file",
                &other,
                "--other-secret-file",
                &mine,
            ],
            "",
            1,
            "mine.txt (sha256:84a8db5d), which the receiver does not have, signed it. The body arrived unchanged.",
        ),
    ] {
        let mut command = program(&["verify"]);
        command.args(&arguments).args(sent);
        let ended = run(command, input.as_bytes());
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.stdout.contains(says), "{ended:?}");
        for secret in [SECRET, OTHER] {
            assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret));
        }
    }
}

/// The line that a receiver with another secret wrote, in the two usual forms.
#[test]
fn a_log_of_a_refusal_says_that_the_app_has_another_secret() {
    let request = format!(
        "webhook-id: {ID}\r\nwebhook-timestamp: {SENT}\r\nwebhook-signature: {}\r\ncontent-length: {}\r\n\r\n{BODY}",
        signature(),
        BODY.len()
    );
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, request);
    let mine = SECRET.parse::<gemini_webhooks::SigningSecret>().unwrap();
    for (tried, code, says) in [
        (
            "secret sha256:2413cc06",
            1,
            "Your app refused this delivery with sha256:2413cc06. But the secret in WEBHOOK_SIGNING_SECRET",
        ),
        (
            "secrets sha256:2413cc06, sha256:11111111",
            1,
            "with sha256:2413cc06 and sha256:11111111.",
        ),
        ("public key abc", 1, "with other keys"),
        (
            &format!("secret {}", mine.key_id()),
            1,
            "perhaps the secret had ended there",
        ),
    ] {
        for line in [
            format!(
                "2026 WARN gemini_webhooks: delivery refused reason=\"tried {tried}; the body has 9 bytes\" capture=\"gwh1.{encoded}\"\n"
            ),
            format!(
                "{{\"fields\":{{\"reason\":\"tried {tried}; the body\",\"capture\":\"gwh1.{encoded}\"}}}}\n"
            ),
        ] {
            // The log has no time of its own, and is old: that the time was right is known.
            let ended = verify(&[], line.as_bytes());
            assert_eq!(ended.code, Some(code), "{tried}: {ended:?}");
            assert!(ended.stdout.contains(says), "{tried}: {ended:?}");
        }
    }
}

#[test]
fn files_that_a_user_may_mix_up_show_no_secret_and_say_what_to_do() {
    let folder = TempDir::new().unwrap();
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(http(BODY).encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let bom = [b"\xef\xbb\xbf", http(BODY).as_bytes()].concat();
    let log = b"2026-11-27T01:00:00Z  INFO gemini_webhooks: delivery handled\n2026 INFO x\n";
    let env = format!("WEBHOOK_SIGNING_SECRET={SECRET}\n");
    let curl = format!(
        "curl -H 'webhook-id: {ID}' -H 'webhook-timestamp: {SENT}' -H 'webhook-signature: {}' --data-binary @b.json http://x",
        signature()
    );
    for (name, input, code, says) in [
        (
            "the secret in the place of the request",
            SECRET.as_bytes(),
            2,
            "this is a signing secret",
        ),
        (
            "a file of settings",
            env.as_bytes(),
            2,
            "this is a signing secret",
        ),
        (
            "another secret",
            b"AIzaSyA-not-to-be-shown\n",
            2,
            "line 1 is no `name: value`",
        ),
        (
            "a log that keeps nothing",
            log,
            2,
            "LOG_REFUSED_DELIVERIES=1",
        ),
        ("UTF-16, as PowerShell writes it", &utf16, 0, "verified"),
        ("a mark of byte order", &bom, 0, "verified"),
        (
            "a body in another file",
            curl.as_bytes(),
            1,
            "give it as the body (`--body b.json`)",
        ),
    ] {
        let ended = verify(&["--received-at", "sent"], input);
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(all.contains(says), "{name}: {all}");
        assert!(
            !all.contains(SECRET) && !all.contains("not-to-be-shown"),
            "{name}: {all}"
        );
        if name == "a body in another file" {
            assert!(!all.contains("something in front"), "{name}: {all}");
        }
    }
    // The body is given, so nothing is missing.
    let headers =
        http(BODY).split("\r\n\r\n").next().unwrap().to_owned() + "\r\nContent-Length: 53\r\n";
    let headers = file(&folder, "headers.txt", headers);
    let body = file(&folder, "body.json", BODY);
    let curl = file(&folder, "command.txt", curl);
    for arguments in [
        ["--headers", headers.as_str(), "--body", body.as_str()],
        [curl.as_str(), "--body", &body, "--json"],
    ] {
        let ended = verify(
            &[&arguments, ["--received-at", "sent"].as_slice()].concat(),
            b"",
        );
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stdout.contains("Perhaps"), "{ended:?}");
    }
    // An editor's line break.
    let saved = file(&folder, "saved.json", format!("{BODY}\n"));
    let headers = file(&folder, "h.txt", http("").split("\r\n\r\n").next().unwrap());
    let ended = verify(
        &[
            "--headers",
            &headers,
            "--body",
            &saved,
            "--received-at",
            "sent",
        ],
        b"",
    );
    assert!(ended.stdout.contains("An editor adds it"), "{ended:?}");
}

#[test]
fn input_that_cannot_be_used_is_told_from_a_refusal() {
    let folder = TempDir::new().unwrap();
    let request = file(&folder, "request.txt", http(BODY));
    let empty = file(&folder, "empty.txt", " \n");
    let missing = folder
        .path()
        .join("missing.txt")
        .to_str()
        .unwrap()
        .to_owned();
    for (arguments, input, says) in [
        (vec!["nonsense"], "", "cannot read nonsense"),
        (vec!["-"], "", "it is empty"),
        (vec!["-"], "hello", "is no `name: value`"),
        (vec!["--format", "har", "-"], "{}", "no HAR file"),
        (
            vec!["--format", "log", "-"],
            "hello",
            "log_refused_deliveries",
        ),
        (vec!["--headers", &request], "", "--headers needs --body"),
        (
            vec![&request, "--secret-file", &empty],
            "",
            "holds no signing secret",
        ),
        (vec![&request, "--secret-file", &missing], "", "missing.txt"),
        (vec!["-", "--secret-file", "-"], "", "more than once"),
        (
            vec![&request, "--received-at", "yesterday"],
            "",
            "with its zone",
        ),
        (vec![&request, "--keys", &empty], "", "no usable key set"),
        (
            vec![&request, "--keys", "http://example.com/keys"],
            "",
            "https",
        ),
        (vec![&request, "--tolerance", "0"], "", "0 is not in"),
        (
            vec![&request, "--endpoint-token-file", &empty],
            "",
            "empty.txt",
        ),
        (vec![&request, "--nonsense"], "", "unexpected argument"),
    ] {
        let ended = verify(&arguments, input.as_bytes());
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
    let ended = run(program(&["verify", &request]), b"");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("WEBHOOK_SIGNING_SECRET"), "{ended:?}");
    let mut command = program(&["verify", &request]);
    command.env("WEBHOOK_SIGNING_SECRET", "whsec_<secret>");
    let ended = run(command, b"");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("placeholder"), "{ended:?}");
}

/// What the official libraries in Python and JavaScript signed, and PyJWT and `cryptography`, as whole requests.
#[test]
fn captures_of_foreign_deliveries_get_the_verdict_of_the_receiver() {
    let folder = TempDir::new().unwrap();
    let mut seen = 0;
    for name in ["v1", "v1a", "jwt"] {
        let path = format!(
            "{}/../../tests/vectors/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let vectors: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        // A process each: a dozen of each file.
        let all = vectors["vectors"].as_array().unwrap();
        for vector in all.iter().step_by(all.len() / 12) {
            let mut request = b"POST /hook HTTP/1.1\r\n".to_vec();
            for line in vector["headers"].as_array().unwrap() {
                let (name, value) = (line[0].as_str().unwrap(), line[1].as_str().unwrap());
                request.extend(format!("{name}: ").bytes());
                request.extend(value.chars().map(|char| u8::try_from(char).unwrap()));
                request.extend(b"\r\n");
            }
            request.extend(b"\r\n");
            let body = vector["body_base64"].as_str().unwrap();
            request
                .extend(base64::Engine::decode(&base64::prelude::BASE64_STANDARD, body).unwrap());
            let mut command = program(&["verify", "--json"]);
            let now = vector["now"].as_i64().unwrap();
            command.args([
                "--received-at",
                &jiff::Timestamp::from_second(now).unwrap().to_string(),
            ]);
            let secrets: Vec<_> = vector["secrets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|secret| secret.as_str().unwrap())
                .collect();
            command.env("WEBHOOK_SIGNING_SECRET", secrets.join(" "));
            if let Some(jwks) = vector
                .get("jwks")
                .or(vectors.get("jwks"))
                .filter(|_| name != "v1")
            {
                command.args(["--keys", &file(&folder, "keys.json", jwks.to_string())]);
            }
            for audience in vector["audiences"].as_array().unwrap_or(&Vec::new()) {
                command.args(["--jwt-audience", audience.as_str().unwrap()]);
            }
            let ended = run(command, &request);
            let told: Value = serde_json::from_str(&ended.stdout)
                .unwrap_or_else(|_| panic!("{}: {ended:?}", vector["name"]));
            let code = told["refusal"]["code"].as_str().unwrap_or("ok");
            assert_eq!(code, vector["expect"], "{}", vector["name"]);
            assert_eq!(
                ended.code,
                Some(i32::from(code != "ok")),
                "{}",
                vector["name"]
            );
            seen += 1;
        }
    }
    assert!(seen >= 36, "{seen}");
}

/// A stranger's body can have the text of a kept delivery in it, and so can a genuine one.
#[test]
fn what_looks_like_a_kept_delivery_in_a_body_is_only_text() {
    let genuine = format!(
        "webhook-id: {ID}\r\nwebhook-timestamp: {SENT}\r\nwebhook-signature: {}\r\n\r\n{BODY}",
        signature()
    );
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, genuine);
    let body = format!("{{\"text\":\"capture=gwh1.{encoded}\"}}");
    let ended = verify(&["--received-at", "sent"], http(&body).as_bytes());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let signed = Webhook::new(SECRET)
        .unwrap()
        .sign(ID, SENT, body.as_bytes())
        .unwrap();
    let request = format!(
        "webhook-id: {ID}\nwebhook-timestamp: {SENT}\nwebhook-signature: {signed}\n\n{body}"
    );
    let ended = verify(&["--received-at", "sent"], request.as_bytes());
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn of_many_refused_deliveries_the_causes_of_some_are_found() {
    let one = json!({"request": {"method": "POST", "url": "https://x.example/", "headers": [
        {"name": "webhook-id", "value": ID}, {"name": "webhook-timestamp", "value": SENT.to_string()},
        {"name": "webhook-signature", "value": signature()},
    ], "postData": {"text": format!("{BODY}\n")}}});
    let har = json!({"log": {"entries": vec![one; 30]}}).to_string();
    let ended = verify(&["--json", "--received-at", "sent"], har.as_bytes());
    assert_eq!(ended.code, Some(1));
    let lines: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let explained = lines
        .iter()
        .filter(|line| line["findings"] != json!([]))
        .count();
    assert_eq!((lines.len(), explained), (30, 20));
    assert!(ended.stderr.contains("the first 20"), "{ended:?}");
}

#[test]
fn hostile_captures_do_not_hang_or_crash() {
    let deep = "[".repeat(60_000);
    let long = "x".repeat(17 << 20);
    for (body, code) in [
        (http(&deep), 1),
        (http("\u{1b}[2J\u{7}"), 1),
        (long, 2),
        (format!("{{\"log\":{}", "[".repeat(100_000)), 2),
        (format!("curl -H 'webhook-id: {}", "\\".repeat(1000)), 2),
        (format!("POST / HTTP/1.1\r\n{}", "a: b\r\n".repeat(300)), 2),
    ] {
        let ended = verify(&["--received-at", "sent"], body.as_bytes());
        assert_eq!(
            ended.code,
            Some(code),
            "{}",
            &ended.stderr[..ended.stderr.len().min(500)]
        );
        assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'));
    }
}
