//! The page of refused deliveries has every error code, with the status that it is answered with.

use std::collections::BTreeMap;

use gemini_webhooks::{VerifyError, VerifyErrorKind as Kind};

use crate::pages;

const KINDS: [Kind; 26] = [
    Kind::MethodNotAllowed,
    Kind::WrongEndpoint,
    Kind::MissingHeader,
    Kind::ConflictingHeader,
    Kind::InvalidId,
    Kind::InvalidTimestamp,
    Kind::InvalidSignatureHeader,
    Kind::TimestampTooOld,
    Kind::TimestampTooNew,
    Kind::UnsupportedScheme,
    Kind::SignatureMismatch,
    Kind::InvalidToken,
    Kind::WrongAudience,
    Kind::UnknownKey,
    Kind::BodyMismatch,
    Kind::KeysUnavailable,
    Kind::BodyTooLarge,
    Kind::BodyTimeout,
    Kind::BodyIncomplete,
    Kind::Overloaded,
    Kind::NotAccepted,
    Kind::AcceptanceFailed,
    Kind::InFlight,
    Kind::GuardUnavailable,
    Kind::NotSettled,
    Kind::HandlerTimeout,
];

/// What `VerifyErrorKind::code` returns, as its source says: the kinds cannot be listed from outside.
fn codes_in_the_source() -> Vec<String> {
    let source = pages::read("src/error/verify.rs");
    let (_, code) = source.split_once("pub fn code(self)").unwrap();
    let (code, _) = code.split_once("fn default_status").unwrap();
    let arms = code.lines().filter_map(|line| line.split_once("=> \""));
    arms.map(|(_, rest)| rest.trim_end_matches("\",").to_owned())
        .collect()
}

/// Each code that has a section, with what is said there.
fn sections(page: &str) -> BTreeMap<String, String> {
    let sections = page.split("\n### `").skip(1);
    sections
        .map(|section| {
            let (code, text) = section.split_once("`\n").unwrap();
            let end = text.find("\n## ").unwrap_or(text.len());
            (code.to_owned(), text[..end].to_owned())
        })
        .collect()
}

#[test]
fn every_code_has_cause_and_remedy() {
    let mut codes: Vec<String> = KINDS.iter().map(|kind| kind.code().to_owned()).collect();
    codes.sort();
    let mut source = codes_in_the_source();
    source.sort();
    assert_eq!(codes, source, "a kind is missing in this test");

    let page = pages::read("docs/refused-deliveries.md");
    let sections = sections(&page);
    let found: Vec<&String> = sections.keys().collect();
    assert_eq!(found, codes.iter().collect::<Vec<_>>());
    assert!(page.contains("**How to tell**, for every code:"));
    for kind in KINDS {
        let (code, text) = (kind.code(), &sections[kind.code()]);
        let error = VerifyError::from(kind);
        let mut status = format!("Status {}", error.status());
        if error.retry_after().is_some() {
            status += ", with `Retry-After`";
        }
        for said in [&*status, "**Cause:**", "**Remedy:**"] {
            let said = format!("{said}{}", if said.starts_with('S') { "." } else { "" });
            assert!(text.contains(&said), "{code}: {said}");
        }
        // The list at the top, and the table of answers.
        assert!(page.contains(&format!("[`{code}`](#{code})")), "{code}");
        let answers = pages::read("docs/a-delivery.md");
        assert!(answers.contains(&format!("`{code}`")), "{code}");
    }
}
