//! Deliveries of static webhooks, to the example apps.

use crate::app::{App, NAMES};
use crate::{OTHER, answered, lines, run, run_send, send};

/// What each way to tamper is refused with.
const TAMPERED: [(&str, u64, &str); 17] = [
    ("body", 400, "signature_mismatch"),
    ("newline", 400, "signature_mismatch"),
    ("reserialize", 400, "signature_mismatch"),
    ("truncate", 400, "signature_mismatch"),
    ("large", 413, "body_too_large"),
    ("id", 400, "signature_mismatch"),
    ("timestamp", 400, "signature_mismatch"),
    ("signature", 400, "signature_mismatch"),
    ("scheme", 400, "unsupported_scheme"),
    ("milliseconds", 400, "timestamp_too_new"),
    ("no-id", 400, "missing_header"),
    ("no-timestamp", 400, "missing_header"),
    ("no-signature", 400, "missing_header"),
    ("two-ids", 400, "conflicting_header"),
    ("bad-id", 400, "invalid_id"),
    ("bad-timestamp", 400, "invalid_timestamp"),
    ("bad-signature", 400, "invalid_signature_header"),
];

#[test]
fn the_apps_take_what_is_genuine_and_refuse_what_is_not() {
    for name in NAMES {
        // No public keys are asked for here.
        let app = App::start(name, 1);
        let url = app.callback();

        let ended = run_send(&url, &["--type", "video.generated", "--id", "msg_first"]);
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        assert!(ended.stdout.starts_with("200 OK"), "{name}: {ended:?}");
        assert!(
            ended.stdout.contains(r#"{"status":"received"}"#),
            "{name}: {ended:?}"
        );

        let three = run_send(&url, &["--repeat", "3", "--id", "msg_three", "--json"]);
        let (answers, summary) = lines(&three);
        assert_eq!(three.code, Some(0), "{name}: {three:?}");
        assert_eq!(answers.len(), 3);
        assert_eq!(summary["answers"]["200 OK"], 3);

        for (what, status, code) in TAMPERED {
            let refused = answered(&url, &["--tamper", what]);
            assert_eq!(
                refused,
                (Some(0), status, Some(code.to_owned())),
                "{name} {what}"
            );
        }
        let (put, status, _) = answered(&url, &["--tamper", "method"]);
        assert_eq!((put, status), (Some(0), 405), "{name}");
        for (offset, code) in [("-10m", "timestamp_too_old"), ("10m", "timestamp_too_new")] {
            let refused = answered(&url, &["--clock-offset", offset]);
            assert_eq!(
                refused,
                (Some(0), 400, Some(code.to_owned())),
                "{name} {offset}"
            );
        }
        let within = answered(&url, &["--clock-offset", "-2m", "--id", "msg_offset"]);
        assert_eq!(within, (Some(0), 200, None), "{name}");

        // Each event that was accepted ran once, and nothing else did.
        let ran = app.end();
        let ids: Vec<&str> = ran
            .iter()
            .map(|event| event["webhook_id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["msg_first", "msg_three", "msg_offset"], "{name}");
        assert_eq!(ran[0]["type"], "video.generated", "{name}");
    }
}

#[test]
fn a_refusal_is_explained() {
    let app = App::start("axum", 1);
    let url = app.callback();
    let as_it_should_be = run_send(&url, &["--tamper", "body"]);
    assert!(
        as_it_should_be.stdout.contains("refused, as it should be"),
        "{as_it_should_be:?}"
    );
    // The exit code follows what is expected, if that is given.
    for (options, code) in [
        (&["--tamper", "body", "--expect", "400"][..], 0),
        (&["--tamper", "body", "--expect", "200"], 1),
        (&["--expect", "200"], 0),
        (&["--expect", "400"], 1),
    ] {
        let ended = run_send(&url, options);
        assert_eq!(ended.code, Some(code), "{options:?}");
        let remark = format!("(--expect asks for {})", options[options.len() - 1]);
        assert_eq!(ended.stdout.contains(&remark), code == 1, "{ended:?}");
        let is_refused = options.contains(&"--tamper");
        let as_it_should_be = ended.stdout.contains("refused, as it should be");
        assert_eq!(as_it_should_be, is_refused && code == 0, "{ended:?}");
    }

    let mut command = send(&url, &["--secret-file", "-"]);
    command.env_remove("WEBHOOK_SIGNING_SECRET");
    let ended = run::run(command, OTHER.as_bytes());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let ours = OTHER.parse::<gemini_webhooks::SigningSecret>().unwrap();
    for part in [
        "another secret",
        ours.key_id(),
        "`gemini-webhooks verify` can tell which",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
    assert!(!ended.stderr.contains(OTHER), "{ended:?}");

    let ended = run_send(&app.at("/nowhere"), &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.starts_with("404 Not Found"), "{ended:?}");
    assert!(
        ended.stderr.contains("no route at http://127.0.0.1:"),
        "{ended:?}"
    );

    // A static webhook's delivery to the route of dynamic ones, and the other way round.
    let with_token = format!("{}?token={}", app.dynamic(), crate::TOKEN);
    let v1 = answered(&with_token, &[]);
    assert_eq!(v1, (Some(1), 400, Some("unsupported_scheme".to_owned())));
    let v1a = answered(&url, &["--ed25519", "--jwks-address", "0"]);
    assert_eq!(v1a, (Some(1), 400, Some("unsupported_scheme".to_owned())));
    // All were refused but those that were to be accepted.
    assert_eq!(app.end().len(), 2);
}

#[test]
fn many_events_run_once_each() {
    let app = App::start("actix_web", 1);
    let url = app.callback();
    let many = ["--count", "60", "--repeat", "2", "--concurrency", "4"];
    // At the same time, so that an app may answer 409, and --retry sends it again.
    let ended = run_send(&url, &[&many[..], &["--retry"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("120 deliveries"), "{ended:?}");
    assert!(
        ended.stdout.contains("; 120 as they should be"),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("answer time: p50 "), "{ended:?}");
    let ran = app.end();
    assert_eq!(ran.len(), 60);
    let mut ids: Vec<String> = ran
        .iter()
        .map(|event| event["webhook_id"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 60);
}
