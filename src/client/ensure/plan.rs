//! What is to be done, as plain functions.

use std::time::{Duration, SystemTime};

use crate::client::names::{SubscribedEvent, WebhookState};
use crate::client::spec::WebhookSpec;
use crate::client::update::WebhookUpdate;
use crate::client::uri;
use crate::client::webhook::{SecretInfo, Webhook};

/// By what a webhook is known for the one that a spec is about.
pub(super) struct Endpoint<'s> {
    spec: &'s WebhookSpec,
    /// All but an endpoint token in the query.
    uri: String,
    /// All but an endpoint token in the path, if there is one.
    around: Option<String>,
}

impl<'s> Endpoint<'s> {
    /// `None` if the spec's URI is no URL of HTTP.
    pub(super) fn of(spec: &'s WebhookSpec) -> Option<Self> {
        let around = spec.token_in_path.then(|| uri::around_token(&spec.uri));
        Some(Self {
            spec,
            uri: uri::endpoint(&spec.uri)?,
            around: around.flatten().map(|(around, _)| around),
        })
    }

    /// Whether this is a webhook of the endpoint.
    ///
    /// Any long segment could be a token, so one in the path is known by its text, or by the name of
    /// the webhook that has it.
    pub(super) fn is_of(&self, webhook: &Webhook) -> bool {
        if uri::endpoint(webhook.uri()).as_ref() == Some(&self.uri) {
            return true;
        }
        let Some((around, token)) = uri::around_token(webhook.uri()) else {
            return false;
        };
        let Self { spec, .. } = self;
        let is_previous = || {
            spec.previous
                .iter()
                .any(|previous| previous.text() == token)
        };
        let has_name = || spec.name.is_some() && webhook.name() == spec.name.as_deref();
        self.around.as_ref() == Some(&around) && (is_previous() || has_name())
    }
}

/// The oldest first. One whose time is not told counts as the newest.
pub(super) fn age(webhook: &Webhook) -> (bool, Option<SystemTime>, &str) {
    let created = webhook.create_time();
    (created.is_none(), created, webhook.id())
}

/// Whether `own`, which was just created, is known to be the oldest of what was found. At the same
/// time, or without one, it is not.
pub(super) fn stays(own: &Webhook, found: &[Webhook]) -> bool {
    let (listed, others): (Vec<_>, Vec<_>) =
        found.iter().partition(|webhook| webhook.id() == own.id());
    let listed = listed.first().and_then(|listed| listed.create_time());
    // Written as those of the others are.
    let created = listed.or(own.create_time());
    others.iter().all(|other| {
        let both = created.zip(other.create_time());
        both.is_some_and(|(own, other)| own < other)
    })
}

/// Whether it stays, and is not the only one.
pub(super) fn stays_among_others(own: &Webhook, found: &[Webhook]) -> bool {
    stays(own, found) && found.iter().any(|webhook| webhook.id() != own.id())
}

/// Whether one of these is so young that the process that created it may be about to delete it.
pub(super) fn is_unsettled(found: &[Webhook], now: SystemTime) -> bool {
    const YOUNG: Duration = Duration::from_secs(10);
    found.iter().any(|webhook| {
        webhook.create_time().is_some_and(|created| {
            let age = now.duration_since(created);
            age.unwrap_or_else(|ahead| ahead.duration()) < YOUNG
        })
    })
}

/// How long to wait before it looks again. Up to a second, doubling, at most 8 s, of which chance
/// leaves a quarter to all: those that met should not meet again. `random` is from 0 to 1.
pub(super) fn pause(round: u32, random: f64) -> Duration {
    let longest = Duration::from_secs(1)
        .saturating_mul(2_u32.saturating_pow(round))
        .min(Duration::from_secs(8));
    longest.mul_f64(0.25 + 0.75 * random.clamp(0.0, 1.0))
}

/// What has to change for the webhook to be as the spec says.
pub(super) fn changes(spec: &WebhookSpec, webhook: &Webhook) -> WebhookUpdate {
    let mut update = WebhookUpdate::new();
    if spec.any_event {
        update = update.allow_refused_events();
    }
    if !uri::is_same(webhook.uri(), &spec.uri) {
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

/// A secret that the spec names, and that the webhook has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AtHand {
    /// When it is void, if another has been made since.
    pub(super) until: Option<SystemTime>,
}

/// The secret at hand, of several the one that is valid for longest. Where the service lists none, the
/// spec is believed.
pub(super) fn at_hand(spec: &WebhookSpec, webhook: &Webhook, now: SystemTime) -> Option<AtHand> {
    let listed = webhook.signing_secrets();
    if listed.iter().all(|secret| secret.truncated().is_none()) {
        return (!spec.at_hand.is_empty()).then_some(AtHand { until: None });
    }
    let is_named = |secret: &&SecretInfo| {
        let mut tails = spec.at_hand.iter();
        secret
            .truncated()
            .is_some_and(|secret| tails.any(|tail| tail.is_of(secret)))
    };
    let valid = listed.iter().filter(is_named).map(SecretInfo::expire_time);
    let valid = valid.filter(|until| until.is_none_or(|until| until > now));
    let until = valid.max_by_key(|until| (until.is_none(), *until))?;
    Some(AtHand { until })
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
                json!({"uri": "https://A.example:443/%68ook"}),
                none(),
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
    fn which_are_of_it_and_which_is_the_oldest() {
        let ids = |all: &[Value], spec: &WebhookSpec| {
            let endpoint = Endpoint::of(spec).unwrap();
            let all = all.iter().cloned().map(webhook);
            let mut found: Vec<_> = all.filter(|it| endpoint.is_of(it)).collect();
            found.sort_by(|one, other| age(one).cmp(&age(other)));
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

        assert!(Endpoint::of(&spec("a.example/hook")).is_none());
    }

    #[test]
    fn a_token_in_the_path_takes_nothing_of_others() {
        let new = EndpointToken::new("ABCDEFGHIJKLMNOPQRSTUV").unwrap();
        let old = EndpointToken::new(TOKEN).unwrap();
        let spec = || WebhookSpec::new(format!("{URI}/{}", new.text()), ["batch.failed"]);
        let ours = || spec().endpoint_token(&new);
        let sibling = json!({"name": "blue", "uri": format!("{URI}/nightly-batches-of-team-blue")});
        let tokened = json!({"name": "ours", "uri": format!("{URI}/{TOKEN}/")});
        let parent = json!({"name": "ours", "uri": URI});
        let elsewhere = json!({"name": "ours", "uri": format!("https://a.example/{TOKEN}")});
        let in_query = json!({"uri": format!("{URI}/{}?token={TOKEN}", new.text())});
        for (case, spec, members, expected) in [
            ("another's name", ours().name("ours"), &sibling, false),
            ("no name", ours(), &sibling, false),
            ("no name, a token", ours(), &tokened, false),
            ("the name", ours().name("ours"), &tokened, true),
            (
                "the token",
                ours().previous_endpoint_token(&old),
                &tokened,
                true,
            ),
            (
                "another token",
                ours().previous_endpoint_token(&new),
                &tokened,
                false,
            ),
            (
                "not said to be a token",
                spec().name("ours"),
                &tokened,
                false,
            ),
            ("the bare parent", ours().name("ours"), &parent, false),
            ("another parent", ours().name("ours"), &elsewhere, false),
            ("itself", ours(), &in_query, true),
        ] {
            let endpoint = Endpoint::of(&spec).unwrap();
            assert_eq!(
                endpoint.is_of(&webhook(members.clone())),
                expected,
                "{case}"
            );
        }
    }

    #[test]
    fn only_what_is_known_to_be_older_stays() {
        let at = |id: &str, time: Option<&str>| webhook(json!({"id": id, "create_time": time}));
        let (early, late) = ("2026-01-22T12:00:00Z", "2026-01-22T12:00:00.5Z");
        let other = |time| at("a", time);
        for (case, own, found, expected) in [
            ("alone", at("own", None), vec![], true),
            ("listed", at("own", None), vec![at("own", Some(late))], true),
            (
                "older",
                at("own", Some(early)),
                vec![other(Some(late))],
                true,
            ),
            (
                "younger",
                at("own", Some(late)),
                vec![other(Some(early))],
                false,
            ),
            (
                "as old",
                at("own", Some(late)),
                vec![other(Some(late))],
                false,
            ),
            (
                "as old, with the smaller id",
                at("0wn", Some(late)),
                vec![other(Some(late))],
                false,
            ),
            ("not told", at("own", None), vec![other(Some(late))], false),
            (
                "not told of the other",
                at("own", Some(early)),
                vec![other(None)],
                false,
            ),
            (
                "older than one only",
                at("own", Some(early)),
                vec![other(Some(late)), at("b", Some(early))],
                false,
            ),
            (
                "by what is listed, since that is how the other's is written",
                at("own", Some(late)),
                vec![at("own", Some(early)), other(Some(late))],
                true,
            ),
        ] {
            assert_eq!(stays(&own, &found), expected, "{case}");
        }
    }

    #[test]
    fn what_is_young_may_be_deleted_again() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let created = webhook(json!({"create_time": "1970-01-01T00:16:40Z"}));
        let untold = webhook(json!({}));
        for (now, expected) in [
            (985, false),
            (995, true),
            (1000, true),
            (1009, true),
            (1010, false),
        ] {
            let found = [untold.clone(), created.clone()];
            assert_eq!(is_unsettled(&found, at(now)), expected, "{now}");
        }
        assert!(!is_unsettled(&[untold], at(1000)));
    }

    #[test]
    fn how_long_is_paused() {
        for (round, random, expected) in [
            (0, 0.0, 250),
            (0, 1.0, 1000),
            (1, 1.0, 2000),
            (2, 0.0, 1000),
            (3, 1.0, 8000),
            (99, 1.0, 8000),
            (99, 7.0, 8000),
        ] {
            assert_eq!(
                pause(round, random),
                Duration::from_millis(expected),
                "{round}"
            );
        }
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
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
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
            (spec(URI).secret_at_hand("7oD"), vec!["b7oD"], false),
            (spec(URI), vec![], false),
            (spec(URI).secret_at_hand(one), vec![], true),
            (spec(URI).secret_at_hand(" "), vec![], false),
        ] {
            let found = at_hand(&spec, &listed(&tails), now);
            let expected = expected.then_some(AtHand { until: None });
            assert_eq!(found, expected, "{spec:?} {tails:?}");
        }
    }

    #[test]
    fn a_secret_that_is_void_is_not_at_hand() {
        let spec = spec(URI).secret_at_hand("whsec_LaSw");
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (soon, later) = ("1970-01-01T00:16:40Z", "1970-01-01T00:33:20Z");
        let until = |time: Option<SystemTime>| Some(AtHand { until: time });
        for (ends, now, expected) in [
            (vec![Some(soon)], 999, until(Some(at(1000)))),
            (vec![Some(soon)], 1000, None),
            (vec![Some(later), Some(soon)], 999, until(Some(at(2000)))),
            (vec![Some(soon), None], 999, until(None)),
            (vec![None, Some(soon)], 1001, until(None)),
        ] {
            let secrets = ends
                .iter()
                .map(|end| json!({"truncated_secret": "whsec_...LaSw", "expire_time": end}));
            let webhook = webhook(json!({"signing_secrets": secrets.collect::<Vec<_>>()}));
            assert_eq!(
                at_hand(&spec, &webhook, at(now)),
                expected,
                "{ends:?} {now}"
            );
        }
    }
}
