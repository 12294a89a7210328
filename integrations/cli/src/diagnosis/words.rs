//! How a cause is told.

use std::time::SystemTime;

use super::headers;
use super::report::{Accepted, Cause, Finding, Plain};
use super::signers::Who;
use crate::capture::Capture;

pub(super) const WHERE_BODIES_CHANGE: &str = "Look for what reads the body in front of the receiver and writes it anew: a middleware \
                                   outside of the layer, a proxy, a gateway, a function that turns it into text. It must pass the bytes on \
                                   as they are.";

const HOW_SECRETS_ARE_READ: &str = "In the sender, take off `whsec_`, decode the rest from base64, and use these bytes as the key. Google does, so \
                                    the sender is a script or a test.";

/// A receiver refused what verifies here: it has other keys.
pub(super) fn other_app(accepted: &Accepted, capture: &Capture) -> Option<Finding> {
    let tried = capture.refused_with()?;
    if tried.contains(&accepted.key_id) {
        return Some(Finding::likely(
            Cause::Unknown,
            format!(
                "{} signed it, and your app knows that secret but refused the delivery all the same: perhaps the secret had \
                 ended there.",
                accepted.key
            ),
            "Read the `reason` in the line of the log.",
        ));
    }
    let with = if tried.is_empty() {
        "with other keys".to_owned()
    } else {
        format!("with {}", tried.join(" and "))
    };
    Some(Finding::certain(
        Cause::OtherKey,
        format!(
            "Your app refused this delivery {with}. But {} signed it, which you gave here. The body arrived unchanged.",
            accepted.key
        ),
        "Give the app that secret, and start it again unless it follows the file.",
    ))
}

impl Who {
    pub(super) fn named(&self) -> String {
        match self {
            Self::Secret(name) => name.to_string(),
            Self::PublicKeys => "a public key of the receiver".to_owned(),
            Self::OtherSecret(name) => format!("{name}, which the receiver does not have,"),
            Self::OtherKeys => "a public key that the receiver does not have".to_owned(),
            Self::Misread(name, how) => format!("{name}, misread ({how}),"),
        }
    }
}

/// The body is as it was signed, but not under a key of the receiver.
pub(super) fn another_key(who: &Who) -> Finding {
    match who {
        Who::Misread(name, how) => Finding::certain(
            Cause::SecretMisread,
            format!("The sender took {how}, for the key of {name}. The body arrived unchanged."),
            HOW_SECRETS_ARE_READ,
        ),
        Who::OtherKeys => Finding::certain(
            Cause::OtherKey,
            "A public key that the receiver does not have signed it. The body arrived unchanged.",
            "See where the receiver gets its public keys from (`google_keys`, `jwks_url`), and whether it can fetch them.",
        ),
        who => Finding::certain(
            Cause::OtherKey,
            format!("{} signed it. The body arrived unchanged.", who.named()),
            "Each webhook has its own secret. Give the receiver this one, or point the webhook at the receiver that has it.",
        ),
    }
}

pub(super) fn changed_headers(found: &headers::Found) -> Finding {
    let right = match &found.who {
        Who::Secret(name) => format!(
            "The secret is right ({}, {}), and the body arrived unchanged",
            name.label, name.key_id
        ),
        Who::PublicKeys => "The public keys are right, and the body arrived unchanged".to_owned(),
        who => format!("{} signed it", who.named()),
    };
    Finding::certain(
        Cause::HeaderChanged,
        format!(
            "{right}: something on the way changed the headers. It {}.",
            found.changes.join(", and ")
        ),
        "Look for the proxy or gateway that rewrites headers, and let the three headers of a delivery through as they are.",
    )
}

/// Where two bodies differ first, with some bytes of each.
pub(super) fn first_difference(arrived: &[u8], signed: &[u8]) -> String {
    let at = arrived
        .iter()
        .zip(signed)
        .position(|(one, other)| one != other)
        .unwrap_or_else(|| arrived.len().min(signed.len()));
    let excerpt = |body: &[u8]| {
        let start = at.saturating_sub(12);
        let part = body
            .get(start..(at + 12).min(body.len()))
            .unwrap_or_default();
        if part.is_empty() {
            "nothing".to_owned()
        } else {
            format!("`{}`", Plain(&String::from_utf8_lossy(part)))
        }
    };
    format!(
        "Signed were {} bytes, {} arrived. They differ first at byte {at}: signed was {}, and {} arrived.",
        signed.len(),
        arrived.len(),
        excerpt(signed),
        excerpt(arrived)
    )
}

/// How a time of sending lies to the time at which it is judged, and what that points to.
pub(super) fn off_by(sent_at: Option<SystemTime>, now: SystemTime) -> (String, &'static str) {
    let Some(sent_at) = sent_at else {
        return (
            "it is no time.".to_owned(),
            "Send the time in seconds since 1970.",
        );
    };
    let (seconds, word, early) = match now.duration_since(sent_at) {
        Ok(ago) => (ago.as_secs(), "before", false),
        Err(ahead) => (ahead.duration().as_secs(), "after", true),
    };
    let from_hour = seconds % 3600;
    let whole_hours = (3300..15 * 3600).contains(&seconds) && !(120..=3480).contains(&from_hour);
    let hint = if early && seconds > 1_000_000_000 {
        "The timestamp is in milliseconds: send seconds."
    } else if whole_hours {
        "It is off by a whole number of hours: a clock is set to local time as if it were UTC. Or the capture is that old: then give the time \
         at which it arrived (`--received-at sent`)."
    } else if early {
        "The receiver's clock is slow, or the sender's is fast: synchronise them."
    } else {
        "If the capture is old, that is all: give the time at which it arrived (`--received-at sent`). If it was refused when it arrived, the receiver's clock is \
         fast, or something on the way holds deliveries back."
    };
    (
        format!("it was sent {seconds} seconds {word} the time at which it is judged."),
        hint,
    )
}
