//! What to do when a call failed.

use std::fmt::Write as _;
use std::time::Duration;

use gemini_webhooks::client::{ClientError, ClientErrorKind as Kind, GOOGLE_API_URL};

use super::api::Service;
use crate::exit::Failure;
use crate::shown::{self, plain};

/// What a call was about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'i> {
    /// All webhooks, or one that is to be made.
    Project,
    /// This webhook, which stays as it is.
    One,
    /// This webhook, which is to be changed.
    Change(&'i str),
}

impl Service {
    /// The failure of a call, with what to do.
    pub(crate) fn failed(&self, error: &ClientError, about: About<'_>) -> Failure {
        let facts = Facts {
            kind: error.kind(),
            was_sent: error.status().is_some() || error.kind() != Kind::InvalidArgument,
            may_be_done: error.may_have_been_carried_out(),
            about,
            key_from: &self.key_from,
            base_url: &self.base_url,
            deadline: self.deadline,
        };
        let mut text = in_words_of_the_program(&error.to_string());
        let advice = facts.advice();
        if !advice.is_empty() {
            // `Display` of the error ends without a full stop, but for what the service says.
            if !text.ends_with(['.', '!', '?']) {
                text.push('.');
            }
            text.push('\n');
            text.push_str(&advice);
        }
        if facts.was_sent {
            Failure::new(text)
        } else {
            Failure::unusable(text)
        }
    }
}

/// The library names its methods where it says what to do.
fn in_words_of_the_program(text: &str) -> String {
    text.replace("`rotate_signing_secret`", "`rotate`")
        .replace("`allow_refused_events`", "`--allow-refused-events`")
        .replace("call `--allow", "give `--allow")
        .replace("`base_url`", "`--base-url`")
        .replace("the URI of the spec", "--uri")
}

struct Facts<'f> {
    kind: Kind,
    was_sent: bool,
    may_be_done: bool,
    about: About<'f>,
    key_from: &'f str,
    base_url: &'f str,
    deadline: Duration,
}

impl Facts<'_> {
    /// What to do, as sentences. What the library says itself is not said again.
    fn advice(&self) -> String {
        let Self {
            key_from,
            base_url,
            deadline,
            ..
        } = self;
        let mut advice = match (self.kind, self.about) {
            (Kind::Auth, _) => format!("The key came from {key_from}."),
            (Kind::NotFound, About::One | About::Change(_)) => format!(
                "`gemini-webhooks list` shows the ids of the project that the key belongs to. The key came from \
                 {key_from}."
            ),
            (Kind::NotFound, About::Project) => format!(
                "There may be another API at {base_url}: check --base-url and --api-version."
            ),
            (Kind::Conflict, _) => {
                "Somebody else changes it at the same time: look what it is like now, then try again.".to_owned()
            }
            (Kind::RateLimited, _) => "Wait a minute, then try again.".to_owned(),
            (Kind::Server, _) => "Try again later.".to_owned(),
            (Kind::Transport, _) => format!(
                "Check the network, the variables HTTPS_PROXY and NO_PROXY, and --base-url, which is {base_url}."
            ),
            (Kind::Timeout, _) => {
                format!("A call may take {} now: --timeout DURATION gives it more.", shown::seconds(*deadline))
            }
            (Kind::Decode | Kind::Redirected, _) if *base_url != GOOGLE_API_URL => {
                format!("The base URL is {base_url}.")
            }
            _ => String::new(),
        };
        if let (true, About::Change(id)) = (self.may_be_done, self.about) {
            let separator = if advice.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(
                advice,
                "{separator}It may have been carried out all the same: `gemini-webhooks get {}` tells.",
                plain(id)
            );
        }
        advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_advice() {
        const GOOGLE: &str = GOOGLE_API_URL;
        const MOCK: &str = "http://127.0.0.1:8";
        for (name, kind, about, may_be_done, base_url, parts) in [
            (
                "key",
                Kind::Auth,
                About::Project,
                false,
                GOOGLE,
                &["came from GEMINI_API_KEY"][..],
            ),
            (
                "id",
                Kind::NotFound,
                About::One,
                false,
                GOOGLE,
                &["`gemini-webhooks list`", "GEMINI_API_KEY"],
            ),
            (
                "changed id",
                Kind::NotFound,
                About::Change("w"),
                false,
                GOOGLE,
                &["`gemini-webhooks list`"],
            ),
            (
                "path",
                Kind::NotFound,
                About::Project,
                false,
                MOCK,
                &["--api-version", MOCK],
            ),
            (
                "conflict",
                Kind::Conflict,
                About::Change("w"),
                false,
                GOOGLE,
                &["at the same time"],
            ),
            (
                "rate",
                Kind::RateLimited,
                About::Project,
                false,
                GOOGLE,
                &["Wait a minute"],
            ),
            (
                "server",
                Kind::Server,
                About::One,
                true,
                GOOGLE,
                &["Try again later."],
            ),
            (
                "server, changed",
                Kind::Server,
                About::Change("w\n"),
                true,
                GOOGLE,
                &["Try again later. It may have been", r"get w\n`"],
            ),
            (
                "network",
                Kind::Transport,
                About::Project,
                false,
                MOCK,
                &["HTTPS_PROXY", MOCK],
            ),
            (
                "time",
                Kind::Timeout,
                About::Change("w"),
                true,
                GOOGLE,
                &["7 s", "--timeout", "get w`"],
            ),
            ("answer", Kind::Decode, About::Project, true, MOCK, &[MOCK]),
            (
                "answer of Google",
                Kind::Decode,
                About::Project,
                true,
                GOOGLE,
                &[],
            ),
            (
                "answer, changed",
                Kind::Decode,
                About::Change("w"),
                true,
                GOOGLE,
                &["It may have been"],
            ),
            (
                "redirect",
                Kind::Redirected,
                About::Project,
                false,
                MOCK,
                &[MOCK],
            ),
            (
                "request",
                Kind::InvalidArgument,
                About::Project,
                false,
                GOOGLE,
                &[],
            ),
        ] {
            let facts = Facts {
                kind,
                was_sent: true,
                may_be_done,
                about,
                key_from: "GEMINI_API_KEY",
                base_url,
                deadline: Duration::from_secs(7),
            };
            let advice = facts.advice();
            assert_eq!(advice.is_empty(), parts.is_empty(), "{name}: {advice}");
            for part in parts {
                assert!(advice.contains(part), "{name}: {advice}");
            }
            assert!(
                !advice.starts_with(' ') && !advice.contains('\n'),
                "{name}: {advice}"
            );
        }
    }

    #[test]
    fn the_names_of_methods_become_those_of_commands() {
        for (library, program) in [
            (
                "call `list`, then `delete` or `rotate_signing_secret`",
                "call `list`, then `delete` or `rotate`",
            ),
            (
                "all the same, call `allow_refused_events`",
                "all the same, give `--allow-refused-events`",
            ),
            ("set `base_url` to", "set `--base-url` to"),
            ("the URI of the spec is no URL", "--uri is no URL"),
            (
                "webhooks.rotate_signing_secret failed",
                "webhooks.rotate_signing_secret failed",
            ),
        ] {
            assert_eq!(in_words_of_the_program(library), program);
        }
    }
}
