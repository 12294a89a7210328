//! What most probably went wrong, for each kind of refusal.

use std::fmt::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gemini_webhooks::{DeliveryHeaders, Verifier, VerifyError, VerifyErrorKind};
use serde_json::Value;

use super::report::{Cause, Finding, Plain};
use super::setup::Setup;
use super::signers::{Lines, Signers, Who};
use super::words::{WHERE_BODIES_CHANGE, another_key, changed_headers, first_difference, off_by};
use super::{forms, headers};
use crate::capture::{Capture, HEADERS};

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
        if missing.len() == HEADERS.len() {
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
        if !matches!(who, Who::Secret(_) | Who::PublicKeys) {
            let time = Finding::certain(
                Cause::Clock,
                format!("Two things are wrong. The time: {what}"),
                remedy,
            );
            return vec![time, another_key(&who)];
        }
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
