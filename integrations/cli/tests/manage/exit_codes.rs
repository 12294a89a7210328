//! How each command ends, and what it says then.

use gemini_webhooks::testing::google::{Call, ErrorShape, Fault};

use super::{Rig, URI};
use crate::run::run;

#[tokio::test(flavor = "multi_thread")]
async fn unusable_input_ends_with_2_before_anything_is_sent() {
    let rig = Rig::start().await;
    std::fs::create_dir(rig.folder.path().join("folder")).unwrap();
    std::fs::write(rig.folder.path().join("empty"), "\n").unwrap();
    let create: &[&str] = &["create", "--uri", URI];
    let to: &[&str] = &["--secret-to", "new"];
    for (name, arguments, part) in [
        ("no command", vec![], "Usage"),
        ("no id", vec!["get"], "Usage: gemini-webhooks get <ID>\n"),
        ("no uri", [&["create"], to].concat(), "--uri"),
        ("no place", create.to_vec(), "--secret-to FILE"),
        (
            "no place to rotate",
            vec!["rotate", "id"],
            "--secret-to FILE",
        ),
        (
            "force alone",
            [create, &["--force"]].concat(),
            "--secret-to",
        ),
        (
            "a folder",
            [create, &["--secret-to", "folder"]].concat(),
            "folder exists",
        ),
        (
            "a folder by force",
            [create, &["--secret-to", "folder", "--force"]].concat(),
            "no regular file",
        ),
        (
            "a device by force",
            [create, &["--secret-to", "/dev/null", "--force"]].concat(),
            "no regular file",
        ),
        (
            "no folder",
            [create, &["--secret-to", "none/new"]].concat(),
            "cannot write to none/new",
        ),
        (
            "no events",
            [create, to, &["--events", ""]].concat(),
            "empty name",
        ),
        (
            "refused events",
            [create, to, &["--events", "batch.completed"]].concat(),
            "--allow-refused-events",
        ),
        (
            "no token",
            [create, to, &["--endpoint-token-file", "empty"]].concat(),
            "empty: the endpoint token",
        ),
        (
            "no file",
            [create, to, &["--endpoint-token-file", "none"]].concat(),
            "cannot read none",
        ),
        (
            "standard input twice",
            [
                create,
                to,
                &["--endpoint-token-file", "-", "--api-key-file", "-"],
            ]
            .concat(),
            "more than once",
        ),
        (
            "no URL",
            vec!["ensure", "--uri", "app.example", "--secret-to", "new"],
            "--uri must begin with https://",
        ),
        (
            "no URL with a scheme",
            vec!["ensure", "--uri", "https://", "--secret-to", "new"],
            "--uri is no URL",
        ),
        (
            "no URL to change to",
            vec!["update", "id", "--uri", "app.example"],
            "--uri must begin with https://",
        ),
        ("no change", vec!["update", "id"], "--state"),
        (
            "no state",
            vec!["update", "id", "--state", "off"],
            "disabled",
        ),
        (
            "a token without a URI",
            vec![
                "update",
                "id",
                "--name",
                "n",
                "--endpoint-token-file",
                "empty",
            ],
            "--uri",
        ),
        (
            "no terminal to ask at",
            vec!["delete", "id"],
            "`delete` asks before it does this, and there is no terminal: give --yes",
        ),
        (
            "no terminal to rotate",
            [&["rotate", "id", "--revoke", "immediately"], to].concat(),
            "--yes",
        ),
        (
            "no secret",
            vec!["ensure", "--uri", URI, "--secret-file", "empty"],
            "empty holds no signing secret",
        ),
        ("no time", vec!["list", "--timeout", "0"], "--timeout"),
        ("an empty id", vec!["get", ""], "the id"),
        (
            "no key in the file",
            vec!["list", "--api-key-file", "empty"],
            "empty: the API key is empty",
        ),
        (
            "plain HTTP",
            vec!["list", "--base-url", "http://app.example"],
            "use `https`",
        ),
        (
            "no version",
            vec!["list", "--api-version", ""],
            "--api-version",
        ),
    ] {
        let ended = rig.run(&arguments);
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(part) && ended.stdout.is_empty(),
            "{name}: {}",
            ended.stderr
        );
    }
    assert_eq!(rig.google.requests().len(), 0);
    assert_eq!(rig.files(), ["empty", "folder"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_ends_with_1_and_says_what_to_do() {
    let rig = Rig::start().await;
    let id = rig.create("secret");
    let proxy = |status| Fault::Body(status, "<html>".to_owned());
    for (name, call, fault, arguments, parts) in [
        (
            "404",
            None,
            None,
            vec!["get", "nope"],
            &["404", "nope", "`gemini-webhooks list`"][..],
        ),
        (
            "404 of a change",
            None,
            None,
            vec!["ping", "nope"],
            &["404", "`gemini-webhooks list`"],
        ),
        (
            "an id that is a path",
            None,
            None,
            vec!["get", "a/b"],
            &["404"],
        ),
        (
            "403",
            Some(Call::WebhooksList),
            Some(Fault::Status(403)),
            vec!["list"],
            &["403", "GEMINI_API_KEY"],
        ),
        (
            "a proxy",
            Some(Call::WebhooksList),
            Some(proxy(200)),
            vec!["list"],
            &["JSON", "The base URL is http://"],
        ),
        (
            "another API",
            Some(Call::WebhooksList),
            Some(proxy(404)),
            vec!["list"],
            &["404", "--api-version"],
        ),
        (
            "400",
            Some(Call::WebhooksPing),
            Some(Fault::Status(400)),
            vec!["ping", &id],
            &["400", "told to fail"],
        ),
        (
            "a lost answer",
            Some(Call::WebhooksCreate),
            Some(Fault::CloseAfter),
            vec!["create", "--uri", URI, "--secret-to", "new"],
            &["may have been created", "`list`", "`rotate`", "--base-url"],
        ),
        (
            "a lost answer to rotate",
            Some(Call::WebhooksRotate),
            Some(Fault::Truncated),
            vec!["rotate", &id, "--secret-to", "new"],
            &["may have been rotated"],
        ),
        (
            "no time",
            Some(Call::WebhooksGet),
            Some(Fault::NoAnswer),
            vec!["get", &id, "--timeout", "1"],
            &["A call may take 1 s", "--timeout"],
        ),
        (
            "no time to change",
            Some(Call::WebhooksUpdate),
            Some(Fault::NoAnswer),
            vec!["update", &id, "--name", "n", "--timeout", "1"],
            &["may have been carried out", "gemini-webhooks get"],
        ),
        (
            "too many calls",
            Some(Call::WebhooksList),
            Some(Fault::RetryAfter(429, "3600".to_owned())),
            vec!["list"],
            &["429", "3600 s", "Wait"],
        ),
    ] {
        if let (Some(call), Some(fault)) = (call, fault) {
            rig.google.fail(call, 1, fault);
        }
        let ended = rig.run(&arguments);
        assert_eq!(ended.code, Some(1), "{name}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{name}");
        for part in parts {
            assert!(ended.stderr.contains(part), "{name}: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("mock-api-key"), "{name}");
        assert_eq!(rig.files(), ["secret"], "{name}: the empty file is removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_shapes_of_an_error_are_understood() {
    let rig = Rig::start().await;
    for (shape, code) in [
        (ErrorShape::Status, "(NOT_FOUND)"),
        (ErrorShape::Code, "(not_found)"),
    ] {
        rig.google.set_error_shape(shape);
        let ended = rig.run(&["get", "nope"]);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(code), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_passes_is_tried_again() {
    let rig = Rig::start().await;
    rig.google.fail(Call::WebhooksList, 1, Fault::CloseBefore);
    rig.done(&["list"]);
    assert_eq!(rig.google.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_with_its_address() {
    let rig = Rig::start().await;
    let mut command = rig.command(&["list", "--timeout", "1"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    command.env("GEMINI_API_URL", &url);
    let ended = run(command, b"");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains(&url) && ended.stderr.contains("network"),
        "{}",
        ended.stderr
    );
}
