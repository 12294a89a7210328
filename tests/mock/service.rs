//! WebhookService: what it answers, and what it refuses.

use std::collections::BTreeSet;
use std::time::Duration;

use gemini_webhooks::SigningSecret;
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::testing::google::{ErrorShape, MockGoogle};
use serde_json::{Value, json};

use crate::rig::{Api, text};

const URI: &str = "https://my-api.com/gemini-callback";
const CONFIG: &str = r#"{"uris":["https://my-api.com/gemini-webhook-dynamic"],"user_metadata":{"job_group":"nightly-eval","priority":"high"}}"#;

/// Everything that google-genai 3.4.0 and 3.6.1 send, with the mock's ids in place of made-up ones.
#[tokio::test]
async fn requests_of_googles_sdk_are_answered() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);

    let created = api
        .ok(
            "POST",
            "/v1/webhooks",
            r#"{"subscribed_events":["batch.succeeded","batch.failed"],"uri":"https://my-api.com/gemini-callback","name":"MyBatchWebhook"}"#,
        )
        .await;
    let id = text(&created, "id").to_owned();
    let secret = text(&created, "new_signing_secret");
    assert!(secret.parse::<SigningSecret>().is_ok());
    let truncated = format!("whsec_...{}", &secret[secret.len() - 4..]);
    let mut shown = created.clone();
    shown.as_object_mut().unwrap().remove("new_signing_secret");
    let expected = json!({
        "id": id, "name": "MyBatchWebhook", "uri": URI, "state": "enabled",
        "subscribed_events": ["batch.succeeded", "batch.failed"],
        "create_time": created["create_time"],
        "signing_secrets": [{"truncated_secret": truncated}],
    });
    assert_eq!(shown, expected);

    // The secret was shown once.
    let one = format!("/v1/webhooks/{id}");
    assert_eq!(api.ok("GET", &one, "").await, expected);
    let all = api.ok("GET", "/v1/webhooks", "").await;
    assert_eq!(all, json!({"webhooks": [expected]}));

    let more = r#"{"subscribed_events":["batch.succeeded","batch.failed","batch.expired"]}"#;
    let updated = api.ok("PATCH", &one, more).await;
    assert_eq!(updated["subscribed_events"][2], "batch.expired");
    let masked = format!("{one}?update_mask=name%2Cstate%2Curi");
    let change = json!({"name": "n2", "state": "disabled", "uri": URI}).to_string();
    let updated = api.ok("PATCH", &masked, &change).await;
    assert_eq!(
        (text(&updated, "name"), text(&updated, "state")),
        ("n2", "disabled")
    );

    let rotate = format!("{one}:rotateSigningSecret");
    for (body, secrets) in [
        (
            r#"{"revocation_behavior":"revoke_previous_secrets_after_h24"}"#,
            2,
        ),
        (
            r#"{"revocation_behavior":"revoke_previous_secrets_immediately"}"#,
            1,
        ),
        ("{}", 2),
    ] {
        let answer = api.ok("POST", &rotate, body).await;
        assert!(text(&answer, "secret").parse::<SigningSecret>().is_ok());
        assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
        let listed = api.ok("GET", &one, "").await;
        let listed = listed["signing_secrets"].as_array().unwrap();
        assert_eq!(listed.len(), secrets, "{body}");
    }
    for body in ["", "{}"] {
        assert_eq!(
            api.ok("POST", &format!("{one}:ping"), body).await,
            json!({})
        );
    }
    assert_eq!(api.ok("DELETE", &one, "").await, json!({}));
    assert_eq!(api.call("GET", &one, "").await.0, 404);
    assert_eq!(api.ok("GET", "/v1/webhooks", "").await, json!({}));

    for input in [
        r#"{"fileName":"files/uploaded_file_id"}"#,
        r#"{"requests":{"requests":[{"request":{"contents":[{"parts":[{"text":"hi"}],"role":"user"}]}}]}}"#,
    ] {
        let body = format!(
            r#"{{"batch":{{"inputConfig":{input},"displayName":"My Setup","webhookConfig":{CONFIG}}}}}"#
        );
        let target = "/v1/models/gemini-3-flash-preview:batchGenerateContent";
        let batch = api.ok("POST", target, &body).await;
        assert_eq!(batch["metadata"]["state"], "BATCH_STATE_PENDING");
        assert_eq!(batch["metadata"]["displayName"], "My Setup");
        let one = format!("/v1/{}", text(&batch, "name"));
        assert_eq!(api.ok("GET", &one, "").await, batch);
    }
    let batches = api.ok("GET", "/v1/batches", "").await;
    assert_eq!(batches["operations"].as_array().unwrap().len(), 2);

    for (of, name) in [
        ("model", "gemini-3-flash-preview"),
        ("agent", "deep-research-pro-preview-12-2025"),
    ] {
        let body = format!(
            r#"{{"{of}":"{name}","background":true,"input":"hello","webhook_config":{CONFIG}}}"#
        );
        let interaction = api.ok("POST", "/v1/interactions", &body).await;
        assert_eq!(interaction["status"], "in_progress");
        assert_eq!(interaction[of], name);
        let config: Value = serde_json::from_str(CONFIG).unwrap();
        assert_eq!(interaction["webhook_config"], config);
        let one = format!("/v1/interactions/{}?stream=false", text(&interaction, "id"));
        assert_eq!(api.ok("GET", &one, "").await, interaction);
    }
    let trigger = r#"{"interaction":{"agent":"a","input":"x","webhook_config":{"uris":["https://h.example/x"],"user_metadata":{"a":"b"}}},"schedule":"0 9 * * *","time_zone":"Europe/Berlin"}"#;
    let trigger = api.ok("POST", "/v1/triggers", trigger).await;
    assert_eq!(text(&trigger, "time_zone"), "Europe/Berlin");

    // As it was recorded, each request is a row of the mock's.
    let last = google.requests().pop().unwrap();
    assert_eq!((&*last.method, &*last.path), ("POST", "/v1/triggers"));
    assert!(last.body.starts_with(b"{\"interaction\""));
}

#[tokio::test]
async fn what_the_live_service_refuses() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    let id = text(&api.webhook(URI, &["batch.succeeded"]).await, "id").to_owned();
    let one = &*format!("/v1/webhooks/{id}");
    let rotate = &*format!("{one}:rotateSigningSecret");
    let before = api.ok("GET", one, "").await;

    let webhooks = "/v1/webhooks";
    let batches = "/v1/models/m:batchGenerateContent";
    for (method, target, body, said) in [
        // Unknown, in camel case, or the service's own to write.
        (
            "POST",
            webhooks,
            r#"{"uri":"https://a.b/","subscribed_events":["batch.failed"],"colour":1}"#,
            "colour",
        ),
        (
            "POST",
            webhooks,
            r#"{"uri":"https://a.b/","subscribedEvents":["batch.failed"]}"#,
            "subscribedEvents",
        ),
        (
            "POST",
            webhooks,
            r#"{"uri":"https://a.b/","subscribed_events":["batch.failed"],"state":"disabled"}"#,
            "state",
        ),
        (
            "PATCH",
            one,
            r#"{"subscribedEvents":["batch.failed"]}"#,
            "subscribedEvents",
        ),
        ("PATCH", one, r#"{"id":"a"}"#, "\"id\""),
        (
            "POST",
            rotate,
            r#"{"revocationBehavior":"revoke_previous_secrets_immediately"}"#,
            "revocationBehavior",
        ),
        (
            "POST",
            &format!("{one}:ping"),
            r#"{"type":"batch.failed"}"#,
            "type",
        ),
        // Absent, empty or of another type.
        (
            "POST",
            webhooks,
            r#"{"subscribed_events":["batch.failed"]}"#,
            "uri is required",
        ),
        (
            "POST",
            webhooks,
            r#"{"uri":"https://a.b/"}"#,
            "subscribed_events is required",
        ),
        (
            "POST",
            webhooks,
            r#"{"uri":"https://a.b/","subscribed_events":[]}"#,
            "empty",
        ),
        (
            "POST",
            webhooks,
            r#"{"uri":"https://a.b/","subscribed_events":"batch.failed"}"#,
            "list",
        ),
        (
            "POST",
            webhooks,
            r#"{"uri":7,"subscribed_events":["batch.failed"]}"#,
            "string",
        ),
        ("POST", webhooks, "", "Invalid JSON"),
        ("PATCH", one, "{}", "nothing to update"),
        // Types that the guide lists and nobody can subscribe to, and one that does not exist.
        (
            "POST",
            webhooks,
            r#"{"uri":"https://a.b/","subscribed_events":["batch.completed"]}"#,
            "batch.completed",
        ),
        (
            "PATCH",
            one,
            r#"{"subscribed_events":["batch.failed","batch.cancelled"]}"#,
            "batch.cancelled",
        ),
        (
            "PATCH",
            one,
            r#"{"subscribed_events":["interaction.cancelled"]}"#,
            "interaction.cancelled",
        ),
        ("PATCH", one, r#"{"subscribed_events":["*"]}"#, "\"*\""),
        // Nowhere to deliver to.
        (
            "POST",
            webhooks,
            r#"{"uri":"http://a.b/","subscribed_events":["batch.failed"]}"#,
            "https",
        ),
        (
            "POST",
            webhooks,
            r#"{"uri":"/callback","subscribed_events":["batch.failed"]}"#,
            "URI",
        ),
        ("PATCH", one, r#"{"uri":"ftp://a.b/"}"#, "https"),
        // Masks.
        (
            "PATCH",
            &format!("{one}?update_mask=subscribedEvents"),
            r#"{"name":"n"}"#,
            "update_mask",
        ),
        (
            "PATCH",
            &format!("{one}?update_mask=name,colour"),
            r#"{"name":"n"}"#,
            "update_mask",
        ),
        (
            "PATCH",
            &format!("{one}?update_mask=name,%20uri"),
            r#"{"name":"n"}"#,
            "update_mask",
        ),
        (
            "PATCH",
            &format!("{one}?update_mask=uri"),
            r#"{"name":"n"}"#,
            "update_mask: \"name\"",
        ),
        (
            "PATCH",
            &format!("{one}?update_mask=name"),
            r#"{"name":"n","state":"disabled"}"#,
            "update_mask: \"state\"",
        ),
        (
            "PATCH",
            &format!("{one}?update_mask=name,uri"),
            r#"{"name":"n"}"#,
            "update_mask: \"uri\"",
        ),
        (
            "PATCH",
            &format!("{one}?update_mask=*"),
            r#"{"name":"n"}"#,
            "update_mask",
        ),
        (
            "PATCH",
            &format!("{one}?update_mask="),
            r#"{"name":"n"}"#,
            "update_mask",
        ),
        (
            "PATCH",
            &format!("{one}?updateMask=name"),
            r#"{"name":"n"}"#,
            "updateMask",
        ),
        (
            "PATCH",
            &format!("{one}?update_mask=name&update_mask=uri"),
            r#"{"name":"n"}"#,
            "twice",
        ),
        // Values.
        (
            "PATCH",
            one,
            r#"{"state":"disabled_due_to_failed_deliveries"}"#,
            "state",
        ),
        ("PATCH", one, r#"{"state":"ENABLED"}"#, "state"),
        (
            "POST",
            rotate,
            r#"{"revocation_behavior":"REVOKE_PREVIOUS_SECRETS_IMMEDIATELY"}"#,
            "revocation_behavior",
        ),
        ("GET", "/v1/webhooks?page_size=1001", "", "page_size"),
        ("GET", "/v1/webhooks?page_size=-1", "", "page_size"),
        ("GET", "/v1/webhooks?pageSize=5", "", "pageSize"),
        (
            "GET",
            "/v1/webhooks?page_token=tok%2F1%3D",
            "",
            "page_token",
        ),
        // The config of a job in the other spelling.
        (
            "POST",
            batches,
            r#"{"batch":{"inputConfig":{"fileName":"files/1"},"webhook_config":{}}}"#,
            "webhook_config",
        ),
        (
            "POST",
            batches,
            r#"{"batch":{"inputConfig":{"fileName":"files/1"}},"webhookConfig":{}}"#,
            "webhookConfig",
        ),
        (
            "POST",
            batches,
            r#"{"batch":{"inputConfig":{"fileName":"files/1"},"webhookConfig":{"uri":"https://a.b/"}}}"#,
            "\"uri\"",
        ),
        (
            "POST",
            batches,
            r#"{"batch":{"inputConfig":{}}}"#,
            "inputConfig",
        ),
        (
            "POST",
            "/v1/interactions",
            r#"{"model":"m","input":"x","background":true,"webhookConfig":{}}"#,
            "webhookConfig",
        ),
        (
            "POST",
            "/v1/interactions",
            r#"{"model":"m","input":"x","background":true,"webhook_config":{"userMetadata":{}}}"#,
            "userMetadata",
        ),
        (
            "POST",
            "/v1/interactions",
            r#"{"model":"m","input":"x","background":true,"webhook_config":{"uris":["http://a.b/"]}}"#,
            "https",
        ),
        (
            "POST",
            "/v1/interactions",
            r#"{"model":"m","input":"x","webhook_config":{"uris":["https://a.b/"]}}"#,
            "background",
        ),
        (
            "POST",
            "/v1/interactions",
            r#"{"model":"m","agent":"a","input":"x"}"#,
            "agent",
        ),
        (
            "POST",
            "/v1/triggers",
            r#"{"interaction":{"agent":"a","input":"x","webhookConfig":{}},"schedule":"0 9 * * *","time_zone":"UTC"}"#,
            "webhookConfig",
        ),
        (
            "POST",
            "/v1beta/models/veo:predictLongRunning",
            r#"{"instances":[{}],"webhook_config":{}}"#,
            "webhook_config",
        ),
    ] {
        let (status, json) = api.call(method, target, body).await;
        assert_eq!(status, 400, "{method} {target} {body}: {json}");
        let message = text(&json["error"], "message");
        assert!(
            message.contains(said),
            "{method} {target} {body}: {message}"
        );
        assert_eq!(json["error"]["status"], "INVALID_ARGUMENT");
    }
    // None of them did anything.
    assert_eq!(api.ok("GET", one, "").await, before);
    let all = api.ok("GET", "/v1/webhooks", "").await;
    assert_eq!(all, json!({"webhooks": [before]}));

    for (method, target) in [
        ("GET", "/v1/webhooks/0"),
        ("DELETE", "/v1/webhooks/0"),
        ("POST", "/v1/webhooks/0:ping"),
        ("POST", &format!("{one}/rotate_secret")),
        ("GET", "/v1/interactions"),
        ("GET", "/v2/webhooks"),
    ] {
        let (status, json) = api.call(method, target, "").await;
        assert_eq!(status, 404, "{method} {target}: {json}");
    }
}

#[tokio::test]
async fn an_error_has_either_shape() {
    let google = MockGoogle::start().await.unwrap();
    let stranger = Api::with_key(&google, "another");
    let (status, long) = stranger.call("GET", "/v1/webhooks", "").await;
    assert_eq!(status, 400);
    assert_eq!(long["error"]["code"], 400);
    assert_eq!(long["error"]["details"][0]["reason"], "API_KEY_INVALID");

    google.set_error_shape(ErrorShape::Code);
    let (_, short) = stranger.call("GET", "/v1/webhooks", "").await;
    let expected = json!({"error": {
        "code": "invalid_request",
        "message": long["error"]["message"],
    }});
    assert_eq!(short, expected);
}

#[tokio::test]
async fn an_api_key_is_a_project_of_its_own() {
    let google = MockGoogle::builder()
        .api_key("ours")
        .api_key("theirs")
        .start()
        .await
        .unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|key| Api::with_key(&google, key));
    let webhook = ours.webhook(URI, &["batch.failed"]).await;
    let body = r#"{"batch":{"inputConfig":{"fileName":"files/1"}}}"#;
    let batch = ours
        .ok("POST", "/v1/models/m:batchGenerateContent", body)
        .await;

    for target in [
        format!("/v1/webhooks/{}", text(&webhook, "id")),
        format!("/v1/{}", text(&batch, "name")),
    ] {
        assert_eq!(theirs.call("GET", &target, "").await.0, 404, "{target}");
        assert_eq!(ours.call("GET", &target, "").await.0, 200, "{target}");
    }
    for target in ["/v1/webhooks", "/v1/batches"] {
        assert_eq!(theirs.ok("GET", target, "").await, json!({}));
    }
    // A key that was given takes the place of the usual one, and none is none.
    let (status, _) = Api::of(&google).call("GET", "/v1/webhooks", "").await;
    assert_eq!(status, 400);
    let without = reqwest::get(format!("{}/v1/webhooks", google.base_url())).await;
    assert_eq!(without.unwrap().status(), 403);
}

#[tokio::test]
async fn pages_end_and_hold_each_webhook_once() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    let mut created = BTreeSet::new();
    for _ in 0..101 {
        let webhook = api.webhook(URI, &["batch.failed"]).await;
        let id = text(&webhook, "id").to_owned();
        assert!(
            id.len() == 36
                && id
                    .chars()
                    .all(|c| c.is_ascii_digit() || c.is_ascii_lowercase()),
            "{id}"
        );
        created.insert(id);
    }
    for (size, expected) in [
        ("", &[50, 50, 1][..]),
        ("page_size=101", &[101]),
        ("page_size=40", &[40, 40, 21]),
    ] {
        let mut listed = BTreeSet::new();
        let mut sizes = Vec::new();
        let mut target = format!("/v1beta/webhooks?{size}");
        loop {
            let page = api.ok("GET", &target, "").await;
            let webhooks = page["webhooks"].as_array().unwrap();
            sizes.push(webhooks.len());
            listed.extend(
                webhooks
                    .iter()
                    .map(|webhook| text(webhook, "id").to_owned()),
            );
            if page.get("next_page_token").is_none() {
                break;
            }
            let token = text(&page, "next_page_token");
            assert!(token.contains('\n') && token.contains('\u{1}'), "{token:?}");
            let encoded: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
            target = format!("/v1beta/webhooks?{size}&page_token={encoded}");
        }
        assert_eq!(sizes, expected);
        assert_eq!(listed, created);
    }
}

#[tokio::test]
async fn a_rotated_secret_lasts_a_day_unless_it_ends_at_once() {
    let clock = ManualClock::default();
    let google = MockGoogle::builder()
        .clock(clock.clone())
        .start()
        .await
        .unwrap();
    let api = Api::of(&google);
    let webhook = api.webhook(URI, &["batch.failed"]).await;
    let one = format!("/v1/webhooks/{}", text(&webhook, "id"));
    let ends = async || {
        let webhook = api.ok("GET", &one, "").await;
        let secrets = webhook["signing_secrets"].as_array().unwrap().clone();
        let ends = secrets
            .iter()
            .map(|secret| secret.get("expire_time").cloned());
        ends.collect::<Vec<_>>()
    };
    let rotate = format!("{one}:rotateSigningSecret");
    assert_eq!(ends().await, [None]);
    api.ok("POST", &rotate, "{}").await;
    let first = Some(json!("2026-01-23T12:00:00Z"));
    assert_eq!(ends().await, [first.clone(), None]);

    // A second rotation does not prolong the first.
    clock.advance(Duration::from_secs(60 * 60));
    api.ok("POST", &rotate, "{}").await;
    let second = Some(json!("2026-01-23T13:00:00Z"));
    assert_eq!(ends().await, [first, second.clone(), None]);
    clock.advance(Duration::from_secs(23 * 60 * 60));
    assert_eq!(ends().await, [second, None]);
    let at_once = r#"{"revocation_behavior":"revoke_previous_secrets_immediately"}"#;
    api.ok("POST", &rotate, at_once).await;
    assert_eq!(ends().await, [None]);
}
