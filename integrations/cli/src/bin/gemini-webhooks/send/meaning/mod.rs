//! What an answer means, and what to do about it.

mod codes;

use super::answer::{Answer, Outcome, Reply, Trouble};
use super::sign::Signer;
use crate::shown;

/// Cause and remedy, as sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) what: String,
    pub(super) remedy: String,
}

fn meaning(what: impl Into<String>, remedy: impl Into<String>) -> Meaning {
    Meaning {
        what: what.into(),
        remedy: remedy.into(),
    }
}

/// What a meaning depends on besides the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    pub(super) signer: &'a Signer,
    /// The URL without what is secret in it.
    pub(super) url: &'a str,
    /// The host and the port.
    pub(super) address: &'a str,
    pub(super) has_token: bool,
    /// Of a dynamic webhook: where its key is, and how often that was asked for.
    pub(super) keys: Option<(&'a str, u64)>,
}

/// What an answer other than a 2xx means.
pub(super) fn explain(answer: &Answer, situation: &Situation<'_>) -> Meaning {
    match &answer.outcome {
        Outcome::None(trouble, why) => unanswered(*trouble, why, answer, situation),
        Outcome::Answered(reply) => {
            let known = reply
                .code
                .as_deref()
                .and_then(|code| codes::of_code(code, situation));
            known.unwrap_or_else(|| of_status(reply, situation))
        }
    }
}

fn unanswered(trouble: Trouble, why: &str, answer: &Answer, situation: &Situation<'_>) -> Meaning {
    let address = situation.address;
    let why = shown::plain(why);
    match trouble {
        Trouble::NothingListens => meaning(
            format!("Nothing listens at {address}: the connection is refused."),
            "Start the app, and compare the address that it says it listens on. In a container it must listen on \
             0.0.0.0, and the port must be published.",
        ),
        Trouble::NotReached => meaning(
            format!("No connection to {address}: {why}."),
            "Check the name and the port in the URL, whether it is http or https, the certificate of the host, and \
             firewalls on the way.",
        ),
        Trouble::TimedOut => meaning(
            format!("No whole answer within {:.1} s.", answer.took.as_secs_f64()),
            "Google waits a few seconds only. Let the handler store the event and answer, and do the work afterwards. \
             If nothing reached the app, look for a firewall that drops packets. --timeout changes how long is waited.",
        ),
        Trouble::BrokeOff => meaning(
            format!("The connection broke before the whole answer was there: {why}."),
            "See in the log of the app, or of the proxy in front of it, whether it crashed, restarted, or closed the \
             connection. Check that the URL is right about http and https.",
        ),
    }
}

/// Of an answer without a code that is known.
fn of_status(reply: &Reply, situation: &Situation<'_>) -> Meaning {
    let status = reply.status;
    let names_middleware = ["VerifyLayer", "VerifyWebhook"]
        .iter()
        .any(|name| reply.body.contains(name));
    match status {
        300..=399 => meaning(
            format!(
                "A redirect to {}, which is not followed.",
                shown::plain(reply.location.as_deref().unwrap_or("somewhere"))
            ),
            "Give the URL at which the app itself answers. Check http and https, and the slash at the end.",
        ),
        401 | 403 => meaning(
            "This is not an answer of the receiver: something in front of it asks for a login, or forbids the request.",
            "Exempt the route from authentication, CSRF protection and firewalls. The signature is what is checked.",
        ),
        404 => meaning(
            format!("There is no route at {}.", situation.url),
            "Compare the path with the app's. The examples have /gemini-callback for static webhooks and \
             /gemini-webhook-dynamic for dynamic ones, each only if its secret or token is set.",
        ),
        405 => meaning(
            "The route takes no POST, or the layer stands where the router answers first.",
            "Route POST to the handler, and put the layer on it with `.layer`, not with `.route_layer`.",
        ),
        413 => meaning(
            "The body is too large for something in front of the receiver.",
            "Raise the limit of the proxy or of the layer further out.",
        ),
        415 => meaning(
            "The handler, or something in front of the receiver, wants another content type.",
            "Let the handler take a `GeminiEvent`, and let `application/json` pass.",
        ),
        429 => meaning(
            "Something limits the rate of requests.",
            "Lower --rate or --concurrency, or exempt the route: Google retries what is refused.",
        ),
        500 if names_middleware => meaning(
            "The handler asks for an event on a route without the middleware that verifies it.",
            "Put `VerifyLayer` (axum, tower) on the route, or wrap the resource with `VerifyWebhook` (actix-web).",
        ),
        502..=504 => meaning(
            "A proxy got no answer of the app, or the handler itself answered so.",
            "Check that the app runs where the proxy expects it, and see both logs.",
        ),
        500..=599 => meaning(
            "The handler failed, or something in front of it.",
            "See the app's log. Google would send the event again.",
        ),
        _ => meaning(
            "This is not an answer that a receiver of this crate gives by itself.",
            "It comes from the handler, or from something in front of the receiver. See the app's log: it has a line \
             for each delivery that reached it.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gemini_webhooks::testing::{self, Ed25519Signer, Rs256Signer};

    use super::*;

    const KEYS: &str = "http://127.0.0.1:8788/.well-known/jwks.json";

    /// All that `VerifyErrorKind::code` returns, as its source says: the kinds cannot be listed from outside. And those
    /// of the inbox.
    fn codes() -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/error/verify.rs");
        let source = std::fs::read_to_string(path).unwrap();
        let (_, code) = source.split_once("pub fn code(self)").unwrap();
        let (code, _) = code.split_once("fn default_status").unwrap();
        let arms = code.lines().filter_map(|line| line.split_once("=> \""));
        let codes = arms.map(|(_, rest)| rest.trim_end_matches("\",").to_owned());
        let codes: Vec<String> = codes
            .chain(["inbox_unavailable", "inbox_full"].map(str::to_owned))
            .collect();
        assert!(codes.len() >= 28, "{codes:?}");
        codes
    }

    fn answer(status: u16, body: &str, code: Option<&str>) -> Answer {
        Answer {
            outcome: Outcome::Answered(Reply {
                status,
                body: body.to_owned(),
                code: code.map(str::to_owned),
                ..Reply::default()
            }),
            took: Duration::from_millis(3),
        }
    }

    fn signers() -> [Signer; 3] {
        [
            Signer::Secrets(vec![testing::SECRET.parse().unwrap()]),
            Signer::Ed25519(Ed25519Signer::new("key-1", [7; 32])),
            Signer::Jwt(Rs256Signer::generate("key-1").unwrap(), "my-app".to_owned()),
        ]
    }

    fn in_the_situation(signer: &Signer, fetches: u64, answer: &Answer) -> String {
        let keys = signer.key_set().map(|_| (KEYS, fetches));
        let situation = Situation {
            signer,
            url: "http://127.0.0.1:8000/gemini-callback",
            address: "127.0.0.1:8000",
            has_token: false,
            keys,
        };
        let Meaning { what, remedy } = explain(answer, &situation);
        format!("{what} {remedy}")
    }

    #[test]
    fn every_code_has_cause_and_remedy_of_its_own() {
        for signer in &signers() {
            let mut said: Vec<String> = Vec::new();
            let unknown = in_the_situation(signer, 1, &answer(400, "", Some("no_such_code")));
            said.push(unknown);
            for code in codes() {
                let text = in_the_situation(signer, 1, &answer(400, "", Some(&code)));
                assert!(
                    !said.contains(&text),
                    "{code} is explained as something else is: {text}"
                );
                said.push(text);
            }
        }
    }

    #[test]
    fn what_depends_on_the_situation() {
        let [v1, v1a, jwt] = signers();
        let id = testing::SECRET
            .parse::<gemini_webhooks::SigningSecret>()
            .unwrap();
        for (name, signer, fetches, code, part) in [
            (
                "the secret's name",
                &v1,
                0,
                "signature_mismatch",
                id.key_id(),
            ),
            (
                "another key is known",
                &v1a,
                0,
                "signature_mismatch",
                "--key-file",
            ),
            ("another key is known", &jwt, 0, "unknown_key", "--key-file"),
            (
                "the key is known",
                &v1a,
                1,
                "signature_mismatch",
                "Something changes the body",
            ),
            ("no keys were served", &v1a, 0, "keys_unavailable", KEYS),
            (
                "keys were served",
                &v1a,
                1,
                "keys_unavailable",
                "why the fetch fails",
            ),
            ("secrets ended", &v1, 0, "keys_unavailable", "has ended"),
            (
                "the static route",
                &v1a,
                0,
                "unsupported_scheme",
                "route for dynamic webhooks",
            ),
            (
                "the dynamic route",
                &v1,
                0,
                "unsupported_scheme",
                "route for static webhooks",
            ),
            ("no JWTs", &jwt, 0, "unsupported_scheme", "accept_jwt"),
        ] {
            let text = in_the_situation(signer, fetches, &answer(400, "", Some(code)));
            assert!(text.contains(part), "{name}: {text}");
        }
    }

    #[test]
    fn answers_without_a_code() {
        let [signer, ..] = &signers();
        let missing = "VerifyLayer is missing on this route";
        for (status, body, part) in [
            (302, "", "not followed"),
            (401, "", "asks for a login"),
            (404, "", "no route at http://127.0.0.1:8000/gemini-callback"),
            (405, "", "takes no POST"),
            (418, "", "not an answer that a receiver"),
            (429, "", "limits the rate"),
            (500, missing, "without the middleware"),
            (500, "", "The handler failed"),
            (502, "", "A proxy got no answer"),
        ] {
            let text = in_the_situation(signer, 0, &answer(status, body, None));
            assert!(text.contains(part), "{status}: {text}");
        }
        for (trouble, part) in [
            (Trouble::NothingListens, "Start the app"),
            (Trouble::NotReached, "certificate"),
            (Trouble::TimedOut, "within 1.5 s"),
            (Trouble::BrokeOff, "broke before"),
        ] {
            let answer = Answer {
                outcome: Outcome::None(trouble, "because".to_owned()),
                took: Duration::from_millis(1500),
            };
            let text = in_the_situation(signer, 0, &answer);
            assert!(text.contains(part), "{text}");
        }
    }
}
