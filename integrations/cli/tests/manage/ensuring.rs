//! `ensure`.

use gemini_webhooks::testing::google::Call;
use serde_json::json;

use super::{Rig, URI};
use crate::run::run;

const OTHERS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test(flavor = "multi_thread")]
async fn it_creates_once_and_then_changes_what_differs() {
    let rig = Rig::start_an_hour_ago().await;
    let ensure = ["ensure", "--uri", URI, "--secret-to", "secret", "--json"];
    let created = rig.json(&ensure);
    assert_eq!(created["actions"], json!(["created"]));
    assert_eq!(
        (&created["secret_is"], &created["secret_file"]),
        (&json!("new"), &json!("secret"))
    );
    assert!(created["key_id"].is_string());
    let secret = rig.file("secret");

    // The file that is there tells that the app has the secret.
    let again = rig.json(&ensure);
    let expected = json!({
        "webhook": created["webhook"],
        "actions": [],
        "secret_is": "at_hand",
        "secret_expires": null,
        "others": [],
        "could_not_look": null,
    });
    assert_eq!(again, expected);
    let changed =
        rig.json(&[&ensure[..], &["--events", "batch.failed", "--name", "mine"]].concat());
    assert_eq!(
        changed["actions"],
        json!(["updated:name", "updated:subscribed_events"])
    );
    assert_eq!(
        (rig.file("secret"), rig.files()),
        (secret, vec!["secret".to_owned()])
    );
    assert_eq!(
        rig.json(&["list", "--json"]).as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_a_secret_nothing_is_created() {
    let rig = Rig::start_an_hour_ago().await;
    std::fs::write(rig.folder.path().join("kept"), format!("{OTHERS}\n")).unwrap();
    for (name, arguments, part) in [
        ("no place", &[][..], "--secret-to FILE"),
        (
            "a file that is there",
            &["--secret-to", "kept"],
            "kept exists: give --force",
        ),
        (
            "no place to rotate into",
            &["--rotate-if-not-at-hand"],
            "--secret-to FILE",
        ),
        (
            "a full place to rotate into",
            &["--rotate-if-not-at-hand", "--secret-to", "kept"],
            "kept exists",
        ),
    ] {
        let ended = rig.run(&[&["ensure", "--uri", URI], arguments].concat());
        assert_eq!(ended.code, Some(2), "{name}");
        assert!(
            ended.stderr.contains(part) && ended.stdout.is_empty(),
            "{name}: {}",
            ended.stderr
        );
    }
    let calls = rig.google.requests();
    assert!(
        calls
            .iter()
            .all(|request| request.call == Some(Call::WebhooksList))
    );
    assert_eq!(rig.file("kept"), format!("{OTHERS}\n"));

    // Once the webhook is there, no place is needed.
    rig.create("secret");
    let ended = rig.run(&["ensure", "--uri", URI]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("is as it should be"),
        "{}",
        ended.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_rotates_only_if_no_secret_is_at_hand() {
    let rig = Rig::start_an_hour_ago().await;
    rig.create("secret");
    let secret = rig.file("secret");
    let ensure = [
        "ensure",
        "--uri",
        URI,
        "--rotate-if-not-at-hand",
        "--secret-to",
        "new",
        "--json",
    ];

    let mut command = rig.command(&ensure);
    command.env("WEBHOOK_SIGNING_SECRET", secret.trim_end());
    let by_variable = run(command, b"");
    let by_file = rig.run(&[&ensure[..], &["--secret-file", "secret"]].concat());
    let commented = format!("# the app's\n{OTHERS} # old\n{secret}");
    let by_input = run(
        rig.command(&[&ensure[..], &["--secret-file", "-"]].concat()),
        commented.as_bytes(),
    );
    for (name, ended) in [
        ("variable", by_variable),
        ("file", by_file),
        ("input", by_input),
    ] {
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        assert!(
            ended.stdout.contains(r#""secret_is":"at_hand""#),
            "{name}: {}",
            ended.stdout
        );
        assert_eq!(rig.files(), ["secret"], "{name}: the empty file is removed");
    }

    let mut command = rig.command(&ensure);
    command.env("WEBHOOK_SIGNING_SECRET", OTHERS);
    let ended = run(command, b"");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains(r#""actions":["rotated"]"#),
        "{}",
        ended.stdout
    );
    assert_ne!(rig.file("new"), secret);
    // The new file is the app's from now on.
    let again = rig.json(&[&ensure[..], &["--force"]].concat());
    assert_eq!(
        (&again["actions"], &again["secret_is"]),
        (&json!([]), &json!("at_hand"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_is_for_the_secret_alone() {
    let rig = Rig::start_an_hour_ago().await;
    let ensure = ["ensure", "--uri", URI, "--secret-to", "-"];
    let ended = rig.run(&ensure);
    let secret = ended.stdout.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("whsec_") && !secret.contains('\n'));
    assert!(ended.stderr.contains("created") && !ended.stderr.contains(secret));
    let again = rig.run(&ensure);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), ""));
    assert!(
        again.stderr.contains("is as it should be"),
        "{}",
        again.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_warns_if_the_file_has_the_secret_of_another_webhook() {
    let rig = Rig::start_an_hour_ago().await;
    let ended = rig.run(&["ensure", "--uri", URI, "--secret-to", "secret"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(": created\n"), "{ended:?}");
    assert!(
        ended.stderr.contains("The secret is in secret."),
        "{ended:?}"
    );
    let secret = rig.file("secret");
    let end = secret.trim_end().chars().rev().take(4);
    let end: String = end.collect::<Vec<_>>().into_iter().rev().collect();

    std::fs::write(rig.folder.path().join("other"), OTHERS).unwrap();
    let ensure = ["ensure", "--uri", URI, "--secret-to"];
    let other = format!(
        "warning: the secret in other is not one of this webhook, whose secrets end in {end}."
    );
    let to_do = " If no file has it: run this again with --rotate-if-not-at-hand --force.";
    for (name, arguments, warns, advises) in [
        ("its own", &["secret"][..], false, false),
        ("another's", &["other"], true, true),
        ("another's, as JSON", &["other", "--json"], true, true),
        (
            "another's, where the app has its own",
            &["other", "--secret-file", "secret"],
            true,
            false,
        ),
    ] {
        let ended = rig.run(&[&ensure[..], arguments].concat());
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        assert_eq!(ended.stderr.contains(&other), warns, "{name}: {ended:?}");
        assert_eq!(ended.stderr.contains(to_do), advises, "{name}: {ended:?}");
        assert!(!ended.stderr.contains(OTHERS), "{name}: {ended:?}");
    }

    // What it advises helps.
    let ended = rig.run(
        &[
            &ensure[..],
            &["other", "--rotate-if-not-at-hand", "--force"],
        ]
        .concat(),
    );
    assert_eq!(
        (ended.code, ended.stderr.contains("is not one of")),
        (Some(0), false),
        "{ended:?}"
    );
    assert!(ended.stdout.contains(": secret rotated\n"), "{ended:?}");
    let ended = rig.run(&[&ensure[..], &["other"]].concat());
    assert!(ended.stdout.contains("the app has its secret"), "{ended:?}");
    assert!(!ended.stderr.contains("is not one of"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_names_the_others_and_those_that_are_off() {
    let rig = Rig::start_an_hour_ago().await;
    let [one, two] = ["one", "two"].map(|file| rig.create(file));
    let ended = rig.run(&["ensure", "--uri", URI]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("1 more of the same URI"),
        "{}",
        ended.stdout
    );
    let is_named = |id: &str| {
        ended
            .stderr
            .contains(&format!("gemini-webhooks delete {id}"))
    };
    assert!(is_named(&one) != is_named(&two), "{}", ended.stderr);
    rig.done(&["delete", &two, "--yes"]);
    rig.done(&["update", &one, "--state", "disabled"]);
    let ensured = rig.done(&["ensure", "--uri", URI]);
    assert!(ensured.contains("somebody switched it off"), "{ensured}");
}
