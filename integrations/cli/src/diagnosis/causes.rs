//! What most probably went wrong, for each kind of refusal.

use std::fmt::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gemini_webhooks::{DeliveryHeaders, Verifier, VerifyError, VerifyErrorKind};
use serde_json::Value;

use super::report::{Accepted, Cause, Finding, Plain};
use super::setup::Setup;
use super::signers::{Lines, Signers, Who};
use super::{forms, headers};
use crate::capture::Capture;

const WHERE_BODIES_CHANGE: &str = "Look for what reads the body in front of the receiver and writes it anew: a middleware \
                                   outside of the layer, a proxy, a gateway, a function that turns it into text. It must pass the bytes on \
                                   as they are.";

const HOW_SECRETS_ARE_READ: &str = "In the sender, take off `whsec_`, decode the rest from base64, and use these bytes as the key. Google does, so \
                                    the sender is a script or a test.";

/// Finds causes, the likeliest first.
pub(super) fn find(
    error: &VerifyError,
    capture: &Capture,
    setup: &Setup,
    now: SystemTime,
) -> Vec<Finding> {
    let mut search = Search {
        capture,
        setup,
        now,
        signers: Signers::of(setup),
        lines: lines(capture),
    };
    use VerifyErrorKind as Kind;
    let mut findings = match error.kind() {
        Kind::WrongEndpoint => search.wrong_endpoint(),
        Kind::MissingHeader
        | Kind::ConflictingHeader
        | Kind::InvalidId
        | Kind::InvalidTimestamp
        | Kind::InvalidSignatureHeader => search.headers(),
        Kind::TimestampTooOld | Kind::TimestampTooNew => search.window(),
        Kind::UnsupportedScheme => search.scheme(),
        Kind::SignatureMismatch => search.mismatch(),
        Kind::BodyMismatch => vec![Finding::certain(
            Cause::BodyChanged,
            "The token is right: something on the way changed the body that came with it, or somebody put a token and a body together.",
            WHERE_BODIES_CHANGE,
        )],
        _ => Vec::new(),
    };
    findings.extend(capture.notes().iter().map(|note| {
        Finding::likely(
            Cause::BodyChanged,
            format!("The capture may not be what arrived: {}.", Plain(note)),
            "Capture the delivery again, with its whole body.",
        )
    }));
    findings
}

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

/// The first value of each of the three headers, if all are there.
fn lines(capture: &Capture) -> Option<Lines<'_>> {
    Some(Lines {
        id: capture.header("webhook-id").next()?,
        timestamp: capture.header("webhook-timestamp").next()?,
        signature: capture.header("webhook-signature").next()?,
    })
}

struct Search<'a> {
    capture: &'a Capture,
    setup: &'a Setup,
    now: SystemTime,
    signers: Signers,
    lines: Option<Lines<'a>>,
}

impl Search<'_> {
    /// Who signed what arrived, as it arrived.
    fn who_signed(&mut self) -> Option<Who> {
        let lines = self.lines.as_ref()?;
        self.signers.who_signed(lines, self.capture.body())
    }

    fn wrong_endpoint(&mut self) -> Vec<Finding> {
        let what = match self.who_signed() {
            Some(who) => format!(
                "{} signed the delivery, but the URL that it came to does not carry the endpoint token.",
                who.named()
            ),
            None => {
                "The URL that the delivery came to does not carry the endpoint token.".to_owned()
            }
        };
        vec![Finding::likely(
            Cause::EndpointToken,
            what,
            "Compare the URL that you gave to Google with the one that has the token, and see whether a proxy drops the query. If the job is not \
             yours, refusing it is right.",
        )]
    }

    fn headers(&mut self) -> Vec<Finding> {
        let missing = headers::missing(self.capture);
        if let Some(found) = headers::find(self.capture, &mut self.signers) {
            return vec![changed_headers(&found)];
        }
        if missing.is_empty() {
            return vec![Finding::likely(
                Cause::HeaderChanged,
                "Something on the way changed a header, or the sender is no Standard Webhooks sender.",
                "Compare the header that is named above with what the sender sent.",
            )];
        }
        if missing.len() == headers::NAMES.len() {
            return vec![Finding::likely(
                Cause::HeaderLost,
                "None of the three headers arrived: this is no delivery, or something on the way passes only headers that it knows.",
                "If Google sent it, let webhook-id, webhook-timestamp and webhook-signature through.",
            )];
        }
        let list = missing.join(" and ");
        vec![Finding::likely(
            Cause::HeaderLost,
            format!(
                "{list} did not arrive, but others of the three headers did: something on the way drops what is missing."
            ),
            format!(
                "Let {list} through, in the proxy, the gateway or the list of allowed headers."
            ),
        )]
    }

    fn window(&mut self) -> Vec<Finding> {
        let Some(who) = self.who_signed() else {
            let mut findings = self.mismatch();
            findings.push(Finding::likely(
                Cause::Clock,
                "The time is off as well. If the capture is old, only what stands above matters.",
                "Give the time at which it arrived (`--received-at sent`).",
            ));
            return findings;
        };
        let sent_at = self.lines.as_ref().and_then(Lines::sent_at);
        let (what, remedy) = off_by(sent_at, self.now);
        vec![Finding::certain(
            Cause::Clock,
            format!(
                "The signature is right ({} made it), so the delivery is genuine and unchanged. Only its time is refused: {what}",
                who.named()
            ),
            remedy,
        )]
    }

    fn scheme(&mut self) -> Vec<Finding> {
        let Some(lines) = self.lines.clone() else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(lines.signature).into_owned();
        let mut findings = Vec::new();
        if let Some(token) = text.split([' ', ',']).find(|part| part.starts_with("eyJ")) {
            findings.push(self.jwt_is_off(&lines, token));
        }
        let has = |prefix: &str| text.split(' ').any(|entry| entry.starts_with(prefix));
        if has("v1a,") && self.setup.keys.is_none() {
            findings.push(self.is_dynamic());
        }
        if has("v1,") && self.setup.secrets.is_empty() {
            findings.push(Finding::likely(
                Cause::StaticWebhook,
                "This is the delivery of a static webhook (`v1`), and the receiver has only public keys, for dynamic ones.",
                "Give the receiver the webhook's secret (`signing_secret`), or point the webhook at the route that has it.",
            ));
        }
        if let Some(found) = headers::find(self.capture, &mut self.signers) {
            findings.insert(0, changed_headers(&found));
        }
        findings
    }

    fn is_dynamic(&mut self) -> Finding {
        let remedy = "Give the receiver Google's public keys (`google_keys`) with an endpoint token, on a route of its own. Or, if the \
                      job's request should not name a URL, take `webhook_config` out of it.";
        match self.who_signed() {
            Some(who) => Finding::certain(
                Cause::DynamicWebhook,
                format!(
                    "This is the delivery of a dynamic webhook (`v1a`), and {} signed it. The receiver has only secrets, for static ones.",
                    who.named()
                ),
                remedy,
            ),
            None => Finding::likely(
                Cause::DynamicWebhook,
                "This is the delivery of a dynamic webhook (`v1a`), and the receiver has only secrets, for static ones.",
                remedy,
            ),
        }
    }

    fn jwt_is_off(&self, lines: &Lines<'_>, token: &str) -> Finding {
        let audience = audience(token);
        let genuine = audience.as_deref().is_some_and(|audience| {
            let mut keys = self.setup.keys.iter().chain(&self.setup.other_keys);
            keys.any(|keys| {
                let verifier = Verifier::for_keys(keys.clone()).accept_jwt(audience);
                let headers =
                    DeliveryHeaders::from_values([lines.id], [lines.timestamp], [lines.signature]);
                let at = lines.sent_at().unwrap_or(self.now);
                verifier.verify(&headers, self.capture.body(), at).is_ok()
            })
        });
        let for_whom = audience.map_or_else(String::new, |audience| {
            format!(" for {:?}", Plain(&audience).to_string())
        });
        let remedy = "If the audience is yours, turn on the feature `jwt`, and call `accept_jwt` with it and `google_keys`.";
        if genuine {
            Finding::certain(
                Cause::JwtOff,
                format!(
                    "This is a genuine JWT{for_whom}, the form of Google's guide, which the receiver does not accept."
                ),
                remedy,
            )
        } else {
            Finding::likely(
                Cause::JwtOff,
                format!(
                    "This is a JWT{for_whom}, the form of Google's guide, which the receiver does not accept."
                ),
                remedy,
            )
        }
    }

    fn mismatch(&mut self) -> Vec<Finding> {
        if let Some(who) = self.who_signed() {
            return vec![another_key(&who)];
        }
        if let Some(found) = headers::find(self.capture, &mut self.signers) {
            return vec![changed_headers(&found)];
        }
        if let Some(finding) = self.changed_body() {
            return vec![finding];
        }
        self.nothing_fits()
    }

    fn changed_body(&mut self) -> Option<Finding> {
        let (body, lines, signers) = (self.capture.body(), self.lines.as_ref()?, &mut self.signers);
        let mut who = None;
        let form = forms::find(body, |form| {
            who = signers.who_signed(lines, form);
            who.is_some() || signers.are_exhausted()
        })?;
        let who = who?;
        let right = match &who {
            Who::Secret(name) => format!("The secret is right ({}, {})", name.label, name.key_id),
            Who::PublicKeys => "The public keys are right".to_owned(),
            who => format!("{} signed it", who.named()),
        };
        let mut what = format!(
            "{right}: something on the way changed the body. It {}.",
            form.changes.join(", and then ")
        );
        let _ = write!(what, " {}", first_difference(body, &form.body));
        let only_an_ending =
            matches!(form.changes.as_slice(), [one] if one.starts_with("added a line break"));
        let remedy = match who {
            Who::Secret(_) | Who::PublicKeys if only_an_ending => format!(
                "An editor adds it when it saves a file: if you saved the body by hand, that is all. Else: {WHERE_BODIES_CHANGE}"
            ),
            Who::Secret(_) | Who::PublicKeys => WHERE_BODIES_CHANGE.to_owned(),
            who => format!("{} {WHERE_BODIES_CHANGE}", another_key(&who).remedy()),
        };
        Some(Finding::certain(Cause::BodyChanged, what, remedy))
    }

    fn nothing_fits(&self) -> Vec<Finding> {
        let body = self.capture.body();
        let mut findings = Vec::new();
        // Then it is the capture that lacks the body.
        if body.is_empty() && !self.capture.notes().is_empty() {
            return findings;
        }
        let mut likely = |what: &str| {
            findings.push(Finding::likely(
                Cause::BodyChanged,
                what,
                WHERE_BODIES_CHANGE,
            ));
        };
        if body.is_empty() {
            likely(
                "The body is empty: something in front of the receiver has read it and passed nothing on.",
            );
        }
        if String::from_utf8_lossy(body).contains(char::REPLACEMENT_CHARACTER) {
            likely(
                "The body has characters that could not be decoded (U+FFFD), or is no UTF-8: something turned it into text, and bytes are lost.",
            );
        }
        let encoding = self.capture.header("content-encoding").next();
        if encoding.is_some_and(|encoding| encoding != b"identity") && body.first() == Some(&b'{') {
            likely(
                "The headers say that the body is compressed, but it is not: something decompressed it.",
            );
        }
        let declared = self.capture.header("content-length").next();
        let declared =
            declared.and_then(|text| str::from_utf8(text).ok()?.trim().parse::<usize>().ok());
        if let Some(declared) = declared
            && declared != body.len()
        {
            likely(&format!(
                "Content-Length says {declared} bytes, but the body has {}: something changed it.",
                body.len()
            ));
        }
        findings.push(Finding::likely(
            Cause::Unknown,
            "No key that was given made this signature, neither of the body as it arrived nor of any form that was tried. The secret may be \
             that of another webhook, or an old one; or the body was changed in a way that cannot be undone.",
            "Compare the last four characters of the secret with those that Google shows for this webhook (`gemini-webhooks get ID`). Give the secrets of your other webhooks as \
             well, to see whether one of them signed. If the secret is right, capture the delivery further out, before each proxy.",
        ));
        findings
    }
}

impl Who {
    fn named(&self) -> String {
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
fn another_key(who: &Who) -> Finding {
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

fn changed_headers(found: &headers::Found) -> Finding {
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
fn first_difference(arrived: &[u8], signed: &[u8]) -> String {
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
fn off_by(sent_at: Option<SystemTime>, now: SystemTime) -> (String, &'static str) {
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

/// The audience that a token names, which nobody vouches for.
fn audience(token: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    match claims.get("aud")? {
        Value::String(one) => Some(one.clone()),
        Value::Array(several) => several.first()?.as_str().map(str::to_owned),
        _ => None,
    }
}
