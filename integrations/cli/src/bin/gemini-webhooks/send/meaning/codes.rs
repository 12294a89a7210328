//! What the codes of refusals mean.

use gemini_webhooks::SigningSecret;

use super::super::sign::Signer;
use super::{Meaning, Situation, meaning};

/// Of the codes that a receiver of this crate answers with, and an inbox.
pub(super) fn of_code(code: &str, situation: &Situation<'_>) -> Option<Meaning> {
    let plain = |what: &str, remedy: &str| Some(meaning(what, remedy));
    match code {
        "method_not_allowed" => plain(
            "The app was sent something else than a POST.",
            "Deliveries are POSTs. If this was one, a proxy changed it.",
        ),
        "wrong_endpoint" if situation.has_token => plain(
            "The app wants another endpoint token than the one in this URL.",
            "Compare the key id of the app's token in its log, and check that no proxy drops the query.",
        ),
        "wrong_endpoint" => plain(
            "The app wants an endpoint token, and this URL has none in its query.",
            "Give the app's token with --endpoint-token-file or in WEBHOOK_ENDPOINT_TOKEN, or as the last part of the \
             path if the app takes it there.",
        ),
        "missing_header" => plain(
            "One of webhook-id, webhook-timestamp and webhook-signature did not reach the app.",
            "If all three were sent, a proxy drops one: let it pass them on.",
        ),
        "conflicting_header" => plain(
            "One of the three headers reached the app twice, with different values.",
            "If it was sent once, find the proxy that adds a second one.",
        ),
        "invalid_id" => plain(
            "The webhook-id is empty, longer than 256 bytes, not visible ASCII, or has a part after a dot that is all \
             digits.",
            "Give another --id, or leave it out.",
        ),
        "invalid_timestamp" => plain(
            "The webhook-timestamp that reached the app is no plain number of seconds.",
            "If a plain number was sent, find the proxy that rewrites the header.",
        ),
        "invalid_signature_header" => plain(
            "The webhook-signature that reached the app is empty, too long, or has more than 16 entries.",
            "Sign with fewer secrets. If it was sent well, find the proxy that changes the header.",
        ),
        "timestamp_too_old" => plain(
            "By the app's clock this was sent longer ago than it tolerates, which is 5 minutes by default.",
            "If you gave no --clock-offset, compare the clocks of the two machines and synchronise them, or look for \
             what holds requests back on the way.",
        ),
        "timestamp_too_new" => plain(
            "By the app's clock this was sent in the future, by more than it tolerates, which is 5 minutes by default.",
            "If you gave no --clock-offset, compare the clocks of the two machines and synchronise them.",
        ),
        "unsupported_scheme" => Some(unsupported_scheme(situation)),
        "signature_mismatch" => Some(signature_mismatch(situation)),
        "invalid_token" => plain(
            "The app does not take this JWT: it wants another issuer (`jwt_issuer`), or the JWT was changed on the way.",
            "The JWTs of this program have no issuer: leave out `jwt_issuer` in the test. The app's log says what it \
             misses.",
        ),
        "wrong_audience" => plain(
            "The JWT is for another audience than the app accepts.",
            "Give --jwt the audience that the app passes to `accept_jwt`. The app's log has both.",
        ),
        "unknown_key" => Some(unknown_key(situation)),
        "body_mismatch" => plain(
            "The body differs from the event in the JWT.",
            "If you did not tamper with it, find the proxy or the middleware that changes the body.",
        ),
        "keys_unavailable" => Some(keys_unavailable(situation)),
        "body_too_large" => plain(
            "The body is longer than the app takes, which is 64 KiB by default.",
            "Send less, or raise `max_body_bytes` in the app if its real events are that long.",
        ),
        "body_timeout" => plain(
            "The body did not reach the app in time, which is 10 seconds by default.",
            "Look for a slow proxy on the way.",
        ),
        "body_incomplete" => plain(
            "The connection to the app ended before the body was complete.",
            "Look at the time limits of the proxy on the way, and send again.",
        ),
        "overloaded" => plain(
            "The bodies in flight hold as much memory as the app allows.",
            "Lower --rate or --concurrency, make handlers quicker, or raise `max_buffered_bytes` in the app.",
        ),
        "not_accepted" => plain(
            "The signature is right, and the app's own check (`accept_if`) does not know the event.",
            "Send an event about a job that the app knows: give its --data or --user-metadata.",
        ),
        "acceptance_failed" => plain(
            "The signature is right, and the app's own check (`accept_if`) failed or took longer than 2 seconds.",
            "See the error in the app's log.",
        ),
        "in_flight" => plain(
            "Another delivery of the same event is being handled, or was being handled when its process died.",
            "With --repeat and --concurrency this is how the handler is kept from running twice at once: --retry sends \
             it again. Otherwise wait until the lease ends, 120 seconds by default, or send another --id.",
        ),
        "guard_unavailable" => plain(
            "The guard, where the app remembers events, did not answer, failed, or is full.",
            "Check the app's database or Redis. The app's log has the error.",
        ),
        "not_settled" => plain(
            "The handler ran, but its transaction did not mark the event as handled.",
            "Commit before you answer, and return an error if the commit fails.",
        ),
        "handler_timeout" => plain(
            "The handler took longer than the app allows, which is 30 seconds by default, and was stopped.",
            "Let it store the event and answer, and do the work afterwards.",
        ),
        "inbox_unavailable" => plain(
            "The app's inbox could not store the event, or not within 2 seconds.",
            "Check its database. The app's log has the error.",
        ),
        "inbox_full" => plain(
            "As many events wait in the app's inbox as it may hold.",
            "See whether its worker runs, in the same database and namespace, and keeps up.",
        ),
        _ => None,
    }
}

fn unsupported_scheme(situation: &Situation<'_>) -> Meaning {
    let (what, remedy) = match situation.signer {
        Signer::Secrets(_) => (
            "This route takes no deliveries of static webhooks (v1).",
            "Send to the route for static webhooks, or sign with --ed25519 or --jwt. For this route to take them, the \
             app must call `signing_secret`.",
        ),
        Signer::Ed25519(_) => (
            "This route takes no deliveries of dynamic webhooks (v1a).",
            "Send to the route for dynamic webhooks, or sign with a secret instead of --ed25519. For this route to \
             take them, the app must call `google_keys` or `jwks_url`.",
        ),
        Signer::Jwt(..) => (
            "This route takes no JWTs.",
            "Send to the route for dynamic webhooks. The app must have the feature `jwt` and call `accept_jwt`.",
        ),
    };
    meaning(what, remedy)
}

fn signature_mismatch(situation: &Situation<'_>) -> Meaning {
    match (situation.signer, situation.keys) {
        (Signer::Secrets(secrets), _) => {
            let ids: Vec<&str> = secrets.iter().map(SigningSecret::key_id).collect();
            meaning(
                format!(
                    "The app has another secret, or something changed the body on its way. Signed with {}.",
                    ids.join(" and ")
                ),
                "Look for this key id in the app's log, where it says at its start which secrets it has: if it is \
                 missing there, give both the same secret. If it is there, send to the app itself instead of through \
                 a proxy, and look for what rewrites bodies. `gemini-webhooks verify` can tell which, from the app's log \
                 (`log_refused_deliveries()`).",
            )
        }
        (_, Some((url, 0))) => key_not_fetched(url),
        _ => meaning(
            "The app fetched the key of this program during this run, and yet the signature does not fit.",
            "Something changes the body, the id or the timestamp on its way: send to the app itself instead of \
             through a proxy. Check that the app takes its keys from one place only.",
        ),
    }
}

fn unknown_key(situation: &Situation<'_>) -> Meaning {
    match situation.keys {
        Some((url, 0)) => key_not_fetched(url),
        _ => meaning(
            "The app does not know the key that signed this JWT.",
            "Check where the app takes its public keys from (`jwks_url`), and that it takes them from one place only.",
        ),
    }
}

fn key_not_fetched(url: &str) -> Meaning {
    meaning(
        format!(
            "The app does not know the key of this program, and did not ask for it at {url} during this run."
        ),
        format!(
            "Start the app with GEMINI_JWKS_URL={url}, or whatever it passes to `jwks_url`. If it was, it knows the \
             key of an earlier run and asks again 30 seconds after it last did at the soonest: wait, use --retry, or \
             keep one key over runs with --key-file."
        ),
    )
}

fn keys_unavailable(situation: &Situation<'_>) -> Meaning {
    match situation.keys {
        None => meaning(
            "The app has no key that is valid now: each of its signing secrets has ended.",
            "Give the app a secret that has not ended.",
        ),
        Some((url, 0)) => meaning(
            format!(
                "The app could not fetch public keys, and did not ask for the one at {url} during this run."
            ),
            format!(
                "Start the app with GEMINI_JWKS_URL={url}, or whatever it passes to `jwks_url`. If it was, an earlier \
                 fetch failed because nothing was served yet, and it pauses up to 30 seconds before the next: send \
                 again, or use --retry. A container needs another --jwks-address."
            ),
        ),
        Some((url, _)) => meaning(
            format!("Somebody asked for the key at {url}, but the app has no keys to verify with."),
            "See in the app's log why the fetch fails.",
        ),
    }
}
