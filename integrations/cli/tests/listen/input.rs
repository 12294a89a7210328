//! Options that can be used, and those that cannot.

use std::net::TcpListener;

use crate::http::{SECRET, deliver, now, signed};
use crate::listening::Listening;
use crate::run::{program, run};

const BODY: &str = r#"{"type":"batch.succeeded"}"#;

#[test]
fn it_does_not_start_with_what_cannot_be_used() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let any = ["--address", "127.0.0.1:0"];
    for (name, arguments, expected) in [
        ("nothing to verify with", &[][..], "nothing to verify with"),
        (
            "reachable by others",
            &["--address", "0.0.0.0:0"],
            "add --allow-public",
        ),
        (
            "a page for others",
            &["--ui", "0.0.0.0:0"],
            "for this machine only",
        ),
        (
            "a host without a port",
            &["--address", "127.0.0.1"],
            "give a port, such as",
        ),
        (
            "no URL",
            &["--forward", "my-app"],
            "such as http://127.0.0.1:8000/gemini-callback. Or give a port",
        ),
        ("no time", &["--body-timeout", "0"], "from 1s to 1h"),
        ("no unit", &["--tolerance", "5x"], "such as 30s"),
        (
            "another scheme",
            &["--forward", "ftp://127.0.0.1/"],
            "http:// or https://",
        ),
        (
            "nothing to pass refused ones to",
            &["--forward-refused"],
            "--forward",
        ),
        (
            "two kinds of output",
            &["--full", "--json"],
            "cannot be used with",
        ),
        (
            "any customer of Google to the app",
            &["--keys", "keys.json", "--forward", "8000"],
            "Add --endpoint-token-file FILE, and give Google the URL with that token. Or add --allow-any-google-project",
        ),
        (
            "nothing to pass to the app",
            &["--keys", "keys.json", "--allow-any-google-project"],
            "--forward",
        ),
        (
            "a port that is taken",
            &["--address", &taken],
            "cannot listen on",
        ),
    ] {
        let mut command = program(&["listen"]);
        command.args(arguments);
        if !arguments.contains(&"--address") {
            command.args(any);
        }
        if !arguments.is_empty() {
            command.env("WEBHOOK_SIGNING_SECRET", SECRET);
        }
        let ended = run(command, b"");
        assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{name}: {ended:?}");
        assert!(ended.stdout.is_empty(), "{name}: {ended:?}");
    }

    let mut command = program(&["listen"]);
    command.env("WEBHOOK_SIGNING_SECRET", " ");
    let ended = run(command, b"");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let says = "nothing to verify with (WEBHOOK_SIGNING_SECRET is set, but empty): ";
    assert!(ended.stderr.contains(says), "{ended:?}");
    // Nothing listens there.
    let ended = run(program(&["listen", "--keys", "http://127.0.0.1:1/"]), b"");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for says in [
        "error sending request: ",
        "onnection refused",
        "HTTPS_PROXY",
    ] {
        assert!(ended.stderr.contains(says), "{says}: {ended:?}");
    }
}

#[test]
fn durations_and_addresses_are_taken_in_each_form() {
    let one = ["--address", "0", "--ui", "0", "--tolerance", "1h"];
    let two = [
        "--tolerance",
        "3600",
        "--forward",
        "http://127.0.0.1:9/",
        "--forward-timeout",
        "1m",
    ];
    for arguments in [&one[..], &two, &["--body-timeout", "1m 30s"]] {
        let mut command = program(&["listen"]);
        if !arguments.contains(&"--address") {
            command.args(["--address", "127.0.0.1:0"]);
        }
        command
            .args(arguments)
            .env("WEBHOOK_SIGNING_SECRET", SECRET);
        let listening = Listening::run(command);
        assert!(listening.address.ip().is_loopback());
        if arguments.contains(&"--ui") {
            assert!(listening.page().0.ip().is_loopback());
        }
        if arguments.contains(&"--tolerance") {
            let headers = signed("msg_1", now() - 1800, BODY);
            // The app is not there.
            let expected = if arguments.contains(&"--forward") {
                502
            } else {
                200
            };
            let answer = deliver(listening.address, "/", &headers, BODY);
            assert_eq!(answer.status, expected, "{arguments:?}");
        }
        assert_eq!(listening.stop("-INT").0, Some(0), "{arguments:?}");
    }
}
