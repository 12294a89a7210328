//! Input that cannot be used, and what is not sent anywhere.

use crate::run::{program, run};
use crate::{TOKEN, run_send};

#[test]
fn unusable_input_is_named_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (empty, token) = (file("empty", " \n"), file("token", TOKEN));
    let short = file("short", "whsec_c2hvcnQ=");
    // Nothing listens here, so that whatever is sent ends with 1.
    let url = "http://127.0.0.1:1/hook";
    let with_token = format!("{url}?token={TOKEN}");
    let cases: [(&str, &str, &[&str], &str); 21] = [
        ("no URL", "gemini-callback", &[], "must begin with http://"),
        (
            "Google",
            "https://generativelanguage.googleapis.com/v1/webhooks",
            &[],
            "one of Google's",
        ),
        (
            "a load to another machine",
            "https://example.com/x",
            &["--count", "21"],
            "--allow-remote",
        ),
        (
            "a rate to another machine",
            "https://example.com/x",
            &["--count", "2", "--rate", "1"],
            "--allow-remote",
        ),
        (
            "an empty file",
            url,
            &["--secret-file", &empty],
            "holds no signing secret",
        ),
        (
            "no secret",
            url,
            &["--secret-file", &short],
            "the signing secret",
        ),
        (
            "no file",
            url,
            &["--secret-file", "/no/such/file"],
            "cannot read /no/such/file",
        ),
        (
            "two dashes",
            url,
            &["--secret-file", "-", "--body", "-"],
            "more than once",
        ),
        (
            "two tokens",
            &with_token,
            &["--endpoint-token-file", &token],
            "has an endpoint token already",
        ),
        (
            "no token",
            url,
            &["--endpoint-token-file", &empty],
            "the endpoint token",
        ),
        (
            "no token to change",
            url,
            &["--tamper", "token"],
            "no endpoint token in the URL",
        ),
        ("no JSON", url, &["--data", "{"], "this is no JSON"),
        (
            "a body and its data",
            url,
            &["--body", "-", "--data", "{}"],
            "cannot be used with",
        ),
        (
            "no object for a JWT",
            url,
            &["--jwt", "a", "--body", &token],
            "only a JSON object",
        ),
        (
            "no key",
            url,
            &["--ed25519", "--key-file", &token],
            "holds no private key",
        ),
        (
            "a key from standard input",
            url,
            &["--ed25519", "--key-file", "-"],
            "cannot be standard input",
        ),
        (
            "an id with a line break",
            url,
            &["--id", "a\nb"],
            "visible ASCII",
        ),
        (
            "an id for many",
            url,
            &["--id", "a", "--count", "2"],
            "cannot be used with",
        ),
        ("a rate for one", url, &["--rate", "5"], "--count"),
        (
            "before 1970",
            url,
            &["--clock-offset", "-900000h"],
            "before 1970",
        ),
        (
            "an address that is taken elsewhere",
            url,
            &["--ed25519", "--jwks-address", "192.0.2.1:1"],
            "--jwks-address",
        ),
    ];
    for (name, url, options, part) in cases {
        let ended = run_send(url, options);
        assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
        assert!(ended.stderr.contains(part), "{name}: {ended:?}");
        assert_eq!(ended.stdout, "", "{name}");
        assert!(!ended.stderr.contains(TOKEN), "{name}: {ended:?}");
    }
    let ended = run(program(&["send", url]), b"");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("set WEBHOOK_SIGNING_SECRET"),
        "{ended:?}"
    );
}

#[test]
fn help_has_examples() {
    let ended = run(program(&["send", "--help"]), b"");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("gemini-webhooks send http://127.0.0.1:8000/gemini-callback --tamper body")
    );
}

#[test]
fn a_token_among_the_arguments_is_warned_of() {
    // Nobody listens there.
    for (url, warns) in [
        (format!("http://127.0.0.1:1/x?token={TOKEN}"), true),
        ("http://127.0.0.1:1/x?other=1".to_owned(), false),
    ] {
        let ended = run_send(&url, &[]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let says = "every user of this machine can read arguments";
        assert_eq!(ended.stderr.contains(says), warns, "{ended:?}");
        let remedy = "--endpoint-token-file";
        assert_eq!(ended.stderr.contains(remedy), warns, "{ended:?}");
        assert!(!format!("{ended:?}").contains(TOKEN), "{ended:?}");
    }
}
