//! What is to be done, as plain functions.

use std::time::SystemTime;

use crate::client::names::{SubscribedEvent, WebhookState};
use crate::client::spec::WebhookSpec;
use crate::client::uri;
use crate::client::webhook::{Webhook, WebhookUpdate};

/// What the URIs of the same webhook have in common. `None` if the spec's is no URL.
pub(super) fn endpoint(spec: &WebhookSpec) -> Option<String> {
    uri::endpoint(&spec.uri, spec.token_in_path)
}

/// The webhooks of this endpoint. The first is the one that stays.
pub(super) fn matching(all: Vec<Webhook>, spec: &WebhookSpec, endpoint: &str) -> Vec<Webhook> {
    let is_of = |webhook: &Webhook| {
        uri::endpoint(webhook.uri(), spec.token_in_path).as_deref() == Some(endpoint)
    };
    let mut found: Vec<Webhook> = all.into_iter().filter(is_of).collect();
    found.sort_by(|one, other| age(one).cmp(&age(other)));
    found
}

/// Every process must see the same order. One whose time is not told counts as the newest.
fn age(webhook: &Webhook) -> (bool, Option<SystemTime>, &str) {
    let created = webhook.create_time();
    (created.is_none(), created, webhook.id())
}

/// The list, with what was created in it even where the service does not list it yet.
pub(super) fn with_own(mut all: Vec<Webhook>, own: &Webhook) -> Vec<Webhook> {
    if all.iter().all(|webhook| webhook.id() != own.id()) {
        all.push(own.clone());
    }
    all
}

/// What has to change for the webhook to be as the spec says.
pub(super) fn changes(spec: &WebhookSpec, webhook: &Webhook) -> WebhookUpdate {
    let mut update = WebhookUpdate::new();
    if spec.any_event {
        update = update.allow_refused_events();
    }
    if webhook.uri() != spec.uri {
        update = update.uri(&spec.uri);
    }
    if sorted(webhook.subscribed_events()) != sorted(&spec.events) {
        update = update.subscribed_events(&spec.events);
    }
    match &spec.name {
        Some(name) if webhook.name() != Some(name) => update = update.name(name),
        _ => {}
    }
    if webhook.state() == Some(&WebhookState::DisabledDueToFailedDeliveries) {
        update = update.state(WebhookState::Enabled);
    }
    update
}

fn sorted(events: &[SubscribedEvent]) -> Vec<&SubscribedEvent> {
    let mut events: Vec<&SubscribedEvent> = events.iter().collect();
    events.sort();
    events.dedup();
    events
}

/// Whether the webhook has a secret that the spec names. Where the service lists none, the spec is
/// believed.
pub(super) fn is_at_hand(spec: &WebhookSpec, webhook: &Webhook) -> bool {
    let listed = webhook.signing_secrets();
    let mut listed = listed
        .iter()
        .filter_map(|secret| secret.truncated())
        .peekable();
    if listed.peek().is_none() {
        return !spec.at_hand.is_empty();
    }
    listed.any(|secret| spec.at_hand.iter().any(|tail| tail.is_of(secret)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::EndpointToken;

    const URI: &str = "https://a.example/hook";
    const TOKEN: &str = "0123456789abcdefghijkl";

    fn webhook(members: Value) -> Webhook {
        let mut json = json!({"id": "w", "uri": URI, "subscribed_events": ["batch.failed"], "state": "enabled"});
        let all = json.as_object_mut().unwrap();
        all.extend(members.as_object().unwrap().clone());
        Webhook::read(&json.to_string()).unwrap()
    }

    fn spec(uri: &str) -> WebhookSpec {
        WebhookSpec::new(uri, ["batch.failed"])
    }

    #[test]
    fn what_is_changed() {
        let none = WebhookUpdate::new;
        let tokened = format!("{URI}?token={TOKEN}");
        for (case, spec, members, expected) in [
            ("as it should be", spec(URI), json!({}), none()),
            (
                "no name asked for",
                spec(URI),
                json!({"name": "theirs"}),
                none(),
            ),
            (
                "another name",
                spec(URI).name("n"),
                json!({"name": "m"}),
                none().name("n"),
            ),
            (
                "no name yet",
                spec(URI).name("n"),
                json!({}),
                none().name("n"),
            ),
            (
                "the same name",
                spec(URI).name("n"),
                json!({"name": "n"}),
                none(),
            ),
            (
                "another token",
                spec(&tokened),
                json!({"uri": format!("{URI}?token=old")}),
                none().uri(&tokened),
            ),
            (
                "no token any more",
                spec(URI),
                json!({"uri": tokened}),
                none().uri(URI),
            ),
            (
                "another spelling",
                spec(URI),
                json!({"uri": "https://A.example/hook"}),
                none().uri(URI),
            ),
            (
                "more events",
                spec(URI),
                json!({"subscribed_events": ["batch.failed", "batch.expired"]}),
                none().subscribed_events(["batch.failed"]),
            ),
            (
                "other events",
                spec(URI),
                json!({"subscribed_events": ["x.y"]}),
                none().subscribed_events(["batch.failed"]),
            ),
            (
                "the same in another order, and twice",
                WebhookSpec::new(URI, ["b.c", "batch.failed", "b.c"]),
                json!({"subscribed_events": ["batch.failed", "b.c"]}),
                none(),
            ),
            (
                "switched off by the service",
                spec(URI),
                json!({"state": "disabled_due_to_failed_deliveries"}),
                none().state(WebhookState::Enabled),
            ),
            (
                "switched off by a person",
                spec(URI),
                json!({"state": "disabled"}),
                none(),
            ),
            (
                "in a state of tomorrow",
                spec(URI),
                json!({"state": "paused"}),
                none(),
            ),
            ("without a state", spec(URI), json!({"state": null}), none()),
            (
                "all at once",
                spec(&tokened).name("n"),
                json!({"subscribed_events": [], "state": "disabled_due_to_failed_deliveries"}),
                none()
                    .uri(&tokened)
                    .name("n")
                    .subscribed_events(["batch.failed"])
                    .state(WebhookState::Enabled),
            ),
        ] {
            assert_eq!(changes(&spec, &webhook(members)), expected, "{case}");
        }
    }

    #[test]
    fn which_one_stays() {
        let ids = |all: &[Value], spec: &WebhookSpec| {
            let all = all.iter().cloned().map(webhook).collect();
            let found = matching(all, spec, &endpoint(spec).unwrap());
            found
                .iter()
                .map(|webhook| webhook.id().to_owned())
                .collect::<Vec<_>>()
        };
        let at = |id: &str, time: &str| json!({"id": id, "create_time": time});
        let (early, late) = ("2026-01-22T12:00:00Z", "2026-01-22T12:00:00.5Z");
        let earlier_than_both = "2026-01-22T13:59:59+02:00";
        for (case, all, expected) in [
            (
                "the older",
                vec![at("a", late), at("b", early)],
                vec!["b", "a"],
            ),
            (
                "by time, not by its text",
                vec![at("a", early), at("b", earlier_than_both)],
                vec!["b", "a"],
            ),
            (
                "at the same time, by id",
                vec![at("b", early), at("a", early)],
                vec!["a", "b"],
            ),
            (
                "without a time, the newest",
                vec![json!({"id": "a"}), at("b", late)],
                vec!["b", "a"],
            ),
            (
                "without times, by id",
                vec![json!({"id": "b"}), json!({"id": "a"})],
                vec!["a", "b"],
            ),
            (
                "those of other URIs are not looked at",
                vec![
                    json!({"id": "a", "uri": "https://a.example/other"}),
                    json!({"id": "b", "uri": "?"}),
                    at("c", late),
                ],
                vec!["c"],
            ),
            (
                "an endpoint token does not count",
                vec![
                    json!({"id": "a", "uri": format!("{URI}?token={TOKEN}")}),
                    json!({"id": "b", "uri": format!("{URI}?a=1")}),
                ],
                vec!["a"],
            ),
        ] {
            assert_eq!(ids(&all, &spec(URI)), expected, "{case}");
        }

        let in_path = spec("https://a.example/hook/ABCDEFGHIJKLMNOPQRSTUV");
        let all = [
            json!({"id": "a", "uri": format!("{URI}/{TOKEN}")}),
            json!({"id": "b"}),
            json!({"id": "c", "uri": format!("{URI}/x")}),
        ];
        assert!(ids(&all, &in_path).is_empty(), "the spec says of no token");
        let token = EndpointToken::new("ABCDEFGHIJKLMNOPQRSTUV").unwrap();
        assert_eq!(ids(&all, &in_path.endpoint_token(&token)), ["a", "b"]);
        assert_eq!(endpoint(&spec("a.example/hook")), None);
    }

    #[test]
    fn what_was_created_is_in_the_list() {
        let own = webhook(json!({"id": "own"}));
        let other = webhook(json!({"id": "other"}));
        let listed = webhook(json!({"id": "own", "create_time": "2026-01-22T12:00:00Z"}));
        assert_eq!(with_own(vec![], &own), std::slice::from_ref(&own));
        assert_eq!(
            with_own(vec![other.clone()], &own),
            [other.clone(), own.clone()]
        );
        assert_eq!(
            with_own(vec![listed.clone(), other.clone()], &own),
            [listed, other]
        );
    }

    #[test]
    fn whether_a_secret_is_at_hand() {
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let two = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let listed = |tails: &[&str]| {
            let secrets: Vec<Value> = tails
                .iter()
                .map(|tail| json!({"truncated_secret": format!("whsec_...{tail}")}))
                .collect();
            webhook(json!({"signing_secrets": secrets}))
        };
        for (spec, tails, expected) in [
            (spec(URI), vec!["LaSw"], false),
            (spec(URI).secret_at_hand(one), vec!["LaSw"], true),
            (spec(URI).secret_at_hand(one), vec!["b7oD", "LaSw"], true),
            (spec(URI).secret_at_hand(one), vec!["b7oD"], false),
            (
                spec(URI).secret_at_hand(one).secret_at_hand(two),
                vec!["b7oD"],
                true,
            ),
            (spec(URI).secret_at_hand(""), vec!["b7oD"], false),
            (spec(URI), vec![], false),
            (spec(URI).secret_at_hand(one), vec![], true),
        ] {
            assert_eq!(
                is_at_hand(&spec, &listed(&tails)),
                expected,
                "{spec:?} {tails:?}"
            );
        }
    }
}
