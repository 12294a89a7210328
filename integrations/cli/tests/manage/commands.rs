//! What the commands do.

use axum::http::HeaderMap;
use gemini_webhooks::client::{SubscribedEvent, WebhookSpec};
use gemini_webhooks::testing::google::{Call, SentEvent};
use serde_json::{Value, json};

use super::{Rig, URI};

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_signed_with_the_secret_in_the_file() {
    let rig = Rig::start().await;
    let id = rig.create("secret");
    let first = rig.file("secret");
    rig.done(&["ping", &id]);
    rig.done(&["rotate", &id, "--secret-to", "secret", "--force"]);
    let second = rig.file("secret");
    assert_ne!(first, second);
    rig.done(&["ping", &id]);
    let arguments = [
        "rotate",
        &id,
        "--secret-to",
        "third",
        "--revoke",
        "immediately",
        "--yes",
    ];
    rig.done(&arguments);
    let third = rig.file("third");
    rig.done(&["ping", &id]);

    rig.google.deliver_due().await;
    let deliveries = rig.google.deliveries();
    for (name, delivery, signed_with) in [
        ("new", 0, [true, false, false]),
        ("rotated", 1, [true, true, false]),
        ("revoked", 2, [false, false, true]),
    ] {
        let signed =
            [&first, &second, &third].map(|secret| is_signed(&deliveries[delivery], secret));
        assert_eq!(signed, signed_with, "{name}");
    }
}

/// Whether another library takes the delivery for genuine.
fn is_signed(delivery: &SentEvent, file: &str) -> bool {
    let secret = file.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("whsec_") && !secret.contains(char::is_whitespace));
    // It asks for padding, which Google may leave out.
    let padding = "=".repeat((4 - (secret.len() - "whsec_".len()) % 4) % 4);
    let attempt = &delivery.attempts[0];
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", delivery.id.parse().unwrap());
    headers.insert("webhook-timestamp", attempt.timestamp.into());
    headers.insert("webhook-signature", attempt.signature.parse().unwrap());
    let webhook = standardwebhooks::Webhook::new(&format!("{secret}{padding}")).unwrap();
    webhook.verify(&delivery.body, &headers).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_documented_members() {
    let rig = Rig::start().await;
    let created = rig.json(&[
        "create",
        "--uri",
        URI,
        "--name",
        "mine",
        "--events",
        "batch.failed,batch.succeeded",
        "--secret-to",
        "secret",
        "--json",
    ]);
    let id = created["webhook"]["id"].as_str().unwrap().to_owned();
    let secret = rig.file("secret");
    let tail = format!(
        "whsec_...{}",
        &secret.trim_end()[secret.trim_end().len() - 4..]
    );
    let time = created["webhook"]["create_time"].as_str().unwrap();
    assert!(
        time.ends_with('Z') && time.len() == "2026-11-26T00:00:00Z".len(),
        "{time}"
    );
    let key_id = created["key_id"].as_str().unwrap();
    assert!(key_id.starts_with("sha256:"), "{key_id}");
    let webhook = json!({
        "id": id,
        "name": "mine",
        "uri": URI,
        "state": "enabled",
        "subscribed_events": ["batch.failed", "batch.succeeded"],
        "create_time": time,
        "update_time": null,
        "signing_secrets": [{ "truncated_secret": tail, "expire_time": null }],
    });
    let expected = json!({ "webhook": webhook, "key_id": key_id, "secret_file": "secret" });
    assert_eq!(created, expected);
    assert_eq!(rig.json(&["get", &id, "--json"]), webhook);
    assert_eq!(rig.json(&["list", "--json"]), json!([webhook]));
    let mut updated = webhook.clone();
    updated["state"] = "disabled".into();
    assert_eq!(
        rig.json(&["update", &id, "--state", "disabled", "--json"]),
        updated
    );
    assert_eq!(
        rig.json(&["ping", &id, "--json"]),
        json!({ "id": id, "pinged": true })
    );

    let rotated = rig.json(&["rotate", &id, "--secret-to", "-", "--json"]);
    let secret = rotated["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    let key_id = &rotated["key_id"];
    let expected = json!({ "id": id, "revoke": "after-24h", "key_id": key_id, "secret": secret });
    assert_eq!(rotated, expected);
    let got = rig.json(&["get", &id, "--json"]);
    let secrets = got["signing_secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 2);
    assert_eq!(
        secrets
            .iter()
            .filter(|secret| secret["expire_time"].is_string())
            .count(),
        1
    );

    assert_eq!(
        rig.json(&["delete", &id, "--yes", "--json"]),
        json!({ "id": id, "deleted": true })
    );
    assert_eq!(rig.json(&["list", "--json"]), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn update_changes_what_is_named_and_no_more() {
    let rig = Rig::start().await;
    let id = rig.create("secret");
    let before = rig.json(&["update", &id, "--name", "mine", "--json"]);
    for (arguments, member, value) in [
        (
            &["--uri", "https://new.example/x"][..],
            "uri",
            json!("https://new.example/x"),
        ),
        (&["--name", "other"], "name", json!("other")),
        (&["--name", ""], "name", json!("")),
        (
            &["--events", "batch.failed"],
            "subscribed_events",
            json!(["batch.failed"]),
        ),
        (&["--state", "disabled"], "state", json!("disabled")),
    ] {
        let updated = rig.json(&[&["update", &id, "--json"], arguments].concat());
        let mut expected = before.clone();
        expected[member] = value;
        assert_eq!(updated, expected, "{arguments:?}");
        let original = before[member].as_str().unwrap_or_default();
        let back: &[&str] = match member {
            "uri" => &["--uri", original],
            "name" => &["--name", original],
            "subscribed_events" => &["--events", "all"],
            _ => &["--state", "enabled"],
        };
        rig.done(&[&["update", &id], back].concat());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_token_comes_from_a_file_and_is_not_shown() {
    const TOKEN: &str = "Zm9yLWRvY3VtZW50YXRpb24tb25seQ";
    let rig = Rig::start().await;
    std::fs::write(rig.folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let token = ["--endpoint-token-file", "token"];
    let created = rig.json(
        &[
            &["create", "--uri", URI, "--secret-to", "secret", "--json"],
            &token[..],
        ]
        .concat(),
    );
    let id = created["webhook"]["id"].as_str().unwrap();
    assert_eq!(created["webhook"]["uri"], format!("{URI}?token=…"));
    let full = rig.json(&["get", id, "--json", "--full-uri"]);
    assert_eq!(full["uri"], format!("{URI}?token={TOKEN}"));
    let to = "https://new.example/x";
    let updated = rig.done(&[&["update", id, "--uri", to], &token[..]].concat());
    assert!(updated.contains("https://new.example/x?token=…") && !updated.contains(TOKEN));
    for arguments in [&["list"][..], &["list", "--json"], &["get", id]] {
        let shown = rig.done(arguments);
        assert!(
            shown.contains("?token=…") && !shown.contains(TOKEN),
            "{shown}"
        );
        let shown = rig.done(&[arguments, &["--full-uri"]].concat());
        assert!(shown.contains(&format!("{to}?token={TOKEN}")), "{shown}");
    }
    let refused = rig.run(&[
        "create",
        "--uri",
        &format!("{URI}?token={TOKEN}"),
        "--secret-to",
        "x",
    ]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--endpoint-token-file") && !refused.stderr.contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn list_has_the_webhooks_of_all_pages() {
    let rig = Rig::start().await;
    let client = rig.client();
    let spec = WebhookSpec::new(URI, SubscribedEvent::ALL);
    for _ in 0..60 {
        client.create(&spec).await.unwrap();
    }
    let all = rig.json(&["list", "--json"]);
    assert_eq!(all.as_array().map(Vec::len), Some(60));
    let table = rig.done(&["list"]);
    assert_eq!(table.lines().count(), 61);
    assert!(table.starts_with("ID "), "{table}");
    let calls = rig.google.requests();
    let pages = calls
        .iter()
        .filter(|request| request.call == Some(Call::WebhooksList));
    assert_eq!(pages.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_project_prints_nothing_but_a_hint() {
    let rig = Rig::start().await;
    let ended = rig.run(&["list"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    assert!(ended.stderr.contains("has no webhooks"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_deleted_does_not_keep_the_others() {
    let rig = Rig::start().await;
    let [one, two] = ["one", "two"].map(|file| rig.create(file));
    let ended = rig.run(&["delete", &one, "nope", &two, &one, "--yes", "--json"]);
    assert_eq!(ended.code, Some(1));
    let lines: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = [
        json!({ "id": one, "deleted": true }),
        json!({ "id": "nope", "deleted": false }),
        json!({ "id": two, "deleted": true }),
    ];
    assert_eq!(lines, expected);
    assert!(ended.stderr.contains("404"), "{}", ended.stderr);
    assert_eq!(rig.json(&["list", "--json"]), json!([]));
}
