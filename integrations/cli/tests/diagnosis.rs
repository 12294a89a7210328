//! What is said of deliveries that other libraries signed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gemini_webhooks::EndpointToken;
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks_cli::diagnosis::{Cause, Diagnosis};
use gemini_webhooks_cli::{Capture, Setup, diagnose};
use serde_json::Value;
use standardwebhooks::Webhook;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
const SENT: i64 = 1_769_083_200;
const BODY: &str = r#"{"type":"batch.succeeded","version":"v1","timestamp":"2026-01-22T12:00:00Z","data":{"id":"batches/1","output_file_uri":"files/2"}}"#;

fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap())
}

/// What the official library for Rust makes of it.
fn signature(secret: &str, body: &[u8]) -> String {
    Webhook::new(secret).unwrap().sign(ID, SENT, body).unwrap()
}

fn capture(signature: &str, body: impl Into<Vec<u8>>) -> Capture {
    let headers = [
        ("Webhook-Id", ID.to_owned()),
        ("Webhook-Timestamp", SENT.to_string()),
        ("Webhook-Signature", signature.to_owned()),
    ];
    Capture::new(headers, body.into())
}

fn setup() -> Setup {
    let setup = Setup::new().secret("the app's secret", SECRET).unwrap();
    setup.other_secret("staging's secret", OTHER).unwrap()
}

#[track_caller]
fn assert_found(diagnosis: &Diagnosis, code: &str, cause: Cause, is_certain: bool, says: &str) {
    let text = diagnosis.to_string();
    assert_eq!(diagnosis.refusal().unwrap().code(), code, "{text}");
    let finding = diagnosis.findings().first().expect(&text);
    assert_eq!(finding.cause(), cause, "{text}");
    assert_eq!(finding.is_certain(), is_certain, "{text}");
    assert!(text.contains(says), "{text}");
    for secret in [SECRET, OTHER, &SECRET[6..]] {
        assert!(!text.contains(secret), "{text}");
    }
    let json = serde_json::to_value(diagnosis).unwrap();
    assert_eq!(json["refusal"]["code"], code);
    assert_eq!(json["verified"], false);
}

/// The vectors of the repository, which libraries in Python and JavaScript signed.
#[test]
fn every_foreign_delivery_gets_the_verdict_of_the_receiver() {
    let mut seen = 0;
    for file in ["v1", "v1a", "jwt"] {
        let path = format!(
            "{}/../../tests/vectors/{file}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let json: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for vector in json["vectors"].as_array().unwrap() {
            let name = vector["name"].as_str().unwrap();
            let mut setup = Setup::new();
            for secret in vector["secrets"].as_array().unwrap() {
                setup = setup.secret("a secret", secret.as_str().unwrap()).unwrap();
            }
            let jwks = vector.get("jwks").or(json.get("jwks"));
            if let Some(jwks) = jwks.filter(|_| file != "v1") {
                let keys = KeySet::from_json(jwks.to_string().as_bytes()).unwrap();
                setup = setup.keys(keys);
            }
            for audience in vector["audiences"].as_array().unwrap_or(&Vec::new()) {
                setup = setup.accept_jwt(audience.as_str().unwrap());
            }
            // In the file a character stands for a byte.
            let bytes = |text: &str| -> Vec<u8> {
                text.chars()
                    .map(|char| u8::try_from(char).unwrap())
                    .collect()
            };
            let headers: Vec<(String, Vec<u8>)> = vector["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|line| {
                    (
                        line[0].as_str().unwrap().to_owned(),
                        bytes(line[1].as_str().unwrap()),
                    )
                })
                .collect();
            let body = STANDARD
                .decode(vector["body_base64"].as_str().unwrap())
                .unwrap();
            let capture = Capture::new(headers, body);
            let diagnosis = diagnose(&capture, &setup, at(vector["now"].as_i64().unwrap()));
            let code = diagnosis.refusal().map_or("ok", |refusal| refusal.code());
            assert_eq!(
                code,
                vector["expect"].as_str().unwrap(),
                "{name}: {diagnosis}"
            );
            assert_eq!(diagnosis.is_verified(), code == "ok", "{name}");
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn a_changed_body_is_named_in_those_words() {
    let spaced = r#"{"type": "batch.succeeded", "version": "v1", "timestamp": "2026-01-22T12:00:00Z", "data": {"id": "batches/1", "output_file_uri": "files/2"}}"#;
    let sorted = r#"{"data":{"id":"batches/1","output_file_uri":"files/2"},"timestamp":"2026-01-22T12:00:00Z","type":"batch.succeeded","version":"v1"}"#;
    let umlaut = r#"{"type":"batch.failed","data":{"id":"batches/1","error_message":"über"}}"#;
    let escaped =
        r#"{"type":"batch.failed","data":{"id":"batches\/1","error_message":"\u00fcber"}}"#;
    let mojibake: String = umlaut.bytes().map(char::from).collect();
    let gzip = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(BODY.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    for (name, signed, arrived, says) in [
        (
            "spaced",
            BODY,
            spaced.as_bytes(),
            "what was signed is compact",
        ),
        (
            "compact",
            spaced,
            BODY.as_bytes(),
            "a space after each `,` and `:`",
        ),
        (
            "sorted",
            BODY,
            sorted.as_bytes(),
            "in the order type, version, timestamp, data (id, output_file_uri)",
        ),
        (
            "unescaped",
            escaped,
            umlaut.as_bytes(),
            r"characters beyond ASCII as `\u…`, `/` as `\/`",
        ),
        (
            "LF",
            BODY,
            format!("{BODY}\n").as_bytes(),
            "added a line break (LF)",
        ),
        (
            "CRLF",
            "{\n}",
            b"{\r\n}",
            "turned the line breaks LF into CRLF",
        ),
        (
            "Latin-1",
            umlaut,
            mojibake.as_bytes(),
            "read its UTF-8 as Latin-1",
        ),
        ("gzip", BODY, &gzip, "compressed it with gzip"),
    ] {
        let capture = capture(&signature(SECRET, signed.as_bytes()), arrived);
        let diagnosis = diagnose(&capture, &setup(), at(SENT));
        assert_found(
            &diagnosis,
            "signature_mismatch",
            Cause::BodyChanged,
            true,
            says,
        );
        let text = diagnosis.to_string();
        assert!(
            text.contains("The secret is right (the app's secret, sha256:"),
            "{name}: {text}"
        );
        assert!(
            text.contains("something on the way changed the body. It "),
            "{name}: {text}"
        );
    }
    let capture = capture(&signature(SECRET, BODY.as_bytes()), spaced);
    let text = diagnose(&capture, &setup(), at(SENT)).to_string();
    assert!(
        text.contains(r#"They differ first at byte 8: signed was `{"type":"batch.succe`"#),
        "{text}"
    );
}

#[test]
fn another_key_is_named() {
    let raw = Webhook::from_bytes(SECRET.as_bytes().to_vec())
        .unwrap()
        .sign(ID, SENT, BODY.as_bytes())
        .unwrap();
    let bare = Webhook::from_bytes(SECRET.as_bytes()[6..].to_vec())
        .unwrap()
        .sign(ID, SENT, BODY.as_bytes())
        .unwrap();
    let strange = signature("whsec_plJ3nmyCDGBKInavdOK15jsl", BODY.as_bytes());
    for (signature, cause, is_certain, says) in [
        (
            signature(OTHER, BODY.as_bytes()),
            Cause::OtherKey,
            true,
            "staging's secret (sha256:",
        ),
        (
            raw,
            Cause::SecretMisread,
            true,
            "the text of the secret itself, undecoded",
        ),
        (
            bare,
            Cause::SecretMisread,
            true,
            "the text after `whsec_`, undecoded",
        ),
        (
            strange,
            Cause::Unknown,
            false,
            "The secret may be that of another webhook",
        ),
    ] {
        let diagnosis = diagnose(&capture(&signature, BODY), &setup(), at(SENT));
        assert_found(&diagnosis, "signature_mismatch", cause, is_certain, says);
    }
    // Two faults at once.
    let both = capture(&signature(OTHER, BODY.as_bytes()), format!("{BODY}\n"));
    let diagnosis = diagnose(&both, &setup(), at(SENT));
    assert_found(
        &diagnosis,
        "signature_mismatch",
        Cause::BodyChanged,
        true,
        "staging's secret",
    );
    assert!(!diagnosis.to_string().contains("The secret is right"));
}

#[test]
fn a_wrong_time_is_told_from_a_wrong_signature() {
    let genuine = capture(&signature(SECRET, BODY.as_bytes()), BODY);
    for (now, code, says) in [
        (
            SENT + 301,
            "timestamp_too_old",
            "it was sent 301 seconds before",
        ),
        (SENT + 7200, "timestamp_too_old", "a whole number of hours"),
        (
            SENT - 400,
            "timestamp_too_new",
            "The receiver's clock is slow",
        ),
        (SENT - 3600, "timestamp_too_new", "a whole number of hours"),
    ] {
        let diagnosis = diagnose(&genuine, &setup(), at(now));
        assert_found(&diagnosis, code, Cause::Clock, true, says);
        assert!(
            diagnosis
                .to_string()
                .contains("The signature is right (the app's secret")
        );
    }
    let stale = capture(&signature(SECRET, BODY.as_bytes()), format!("{BODY}\n"));
    let diagnosis = diagnose(&stale, &setup(), at(SENT + 400));
    assert_found(
        &diagnosis,
        "timestamp_too_old",
        Cause::BodyChanged,
        true,
        "The time is off as well",
    );
    assert!(diagnosis.to_string().contains("added a line break"));

    // As a sender that takes milliseconds signs.
    let milliseconds = SENT * 1000;
    let signature = Webhook::new(SECRET)
        .unwrap()
        .sign(ID, milliseconds, BODY.as_bytes())
        .unwrap();
    let headers = [
        ("webhook-id", ID),
        ("webhook-timestamp", &milliseconds.to_string()),
        ("webhook-signature", &signature),
    ];
    let diagnosis = diagnose(&Capture::new(headers, BODY), &setup(), at(SENT));
    assert_found(
        &diagnosis,
        "timestamp_too_new",
        Cause::Clock,
        true,
        "in milliseconds",
    );
}

#[test]
fn headers_that_were_changed_are_named() {
    let genuine = signature(SECRET, BODY.as_bytes());
    let sent = SENT.to_string();
    let digest = STANDARD.decode(&genuine[3..]).unwrap();
    let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let joined_id = format!("{ID}, {ID}");
    let bare = &genuine[3..];
    let url_safe = genuine.replace('+', "-").replace('/', "_");
    let quoted = format!("\"{sent}\"");
    for (name, lines, code, cause, is_certain, says) in [
        (
            "lost",
            vec![(id, ID), (timestamp, sent.as_str())],
            "missing_header",
            Cause::HeaderLost,
            false,
            "webhook-signature did not arrive",
        ),
        (
            "all lost",
            vec![("host", "x")],
            "missing_header",
            Cause::HeaderLost,
            false,
            "None of the three headers",
        ),
        (
            "doubled",
            vec![
                (id, ID),
                (id, "other"),
                (timestamp, &sent),
                (signature, &genuine),
            ],
            "conflicting_header",
            Cause::HeaderChanged,
            true,
            "added a second webhook-id (the one of the sender is number 1 of 2)",
        ),
        (
            "joined",
            vec![(id, &joined_id), (timestamp, &sent), (signature, &genuine)],
            "invalid_id",
            Cause::HeaderChanged,
            true,
            "joined several lines of webhook-id",
        ),
        (
            "renamed",
            vec![
                ("X-Webhook-Id", ID),
                ("HTTP_WEBHOOK_TIMESTAMP", &sent),
                (signature, &genuine),
            ],
            "missing_header",
            Cause::HeaderChanged,
            true,
            "renamed webhook-id to X-Webhook-Id, and renamed webhook-timestamp to HTTP_WEBHOOK_TIMESTAMP",
        ),
        (
            "of Svix",
            vec![
                ("svix-id", ID),
                ("svix-timestamp", &sent),
                ("svix-signature", &genuine),
            ],
            "missing_header",
            Cause::HeaderChanged,
            true,
            "renamed webhook-id to svix-id",
        ),
        (
            "quoted",
            vec![(id, ID), (timestamp, &quoted), (signature, &genuine)],
            "invalid_timestamp",
            Cause::HeaderChanged,
            true,
            "put quotes around the value of webhook-timestamp",
        ),
        (
            "no version",
            vec![(id, ID), (timestamp, &sent), (signature, bare)],
            "unsupported_scheme",
            Cause::HeaderChanged,
            true,
            "left out the version `v1,`",
        ),
        (
            "hexadecimal",
            vec![(id, ID), (timestamp, &sent), (signature, &hexadecimal)],
            "unsupported_scheme",
            Cause::HeaderChanged,
            true,
            "in hexadecimal instead of base64",
        ),
        (
            "no padding",
            vec![
                (id, ID),
                (timestamp, &sent),
                (signature, genuine.trim_end_matches('=')),
            ],
            "unsupported_scheme",
            Cause::HeaderChanged,
            true,
            "cut off the `=`",
        ),
        (
            "percent-encoded",
            vec![
                (id, ID),
                (timestamp, &sent),
                (signature, &genuine.replace(',', "%2C")),
            ],
            "unsupported_scheme",
            Cause::HeaderChanged,
            true,
            "percent-encoded webhook-signature",
        ),
        (
            "strange",
            vec![(id, ID), (timestamp, "now"), (signature, &genuine)],
            "invalid_timestamp",
            Cause::HeaderChanged,
            false,
            "Compare the header",
        ),
    ] {
        let diagnosis = diagnose(&Capture::new(lines, BODY), &setup(), at(SENT));
        println!("{name}");
        assert_found(&diagnosis, code, cause, is_certain, says);
    }
    if url_safe != genuine {
        let lines = [(id, ID), (timestamp, &sent), (signature, &url_safe)];
        let diagnosis = diagnose(&Capture::new(lines, BODY), &setup(), at(SENT));
        assert_found(
            &diagnosis,
            "unsupported_scheme",
            Cause::HeaderChanged,
            true,
            "URL-safe",
        );
    }
}

/// The first good vector of a file, with the keys that signed it.
fn foreign(file: &str) -> (Capture, KeySet, Option<String>) {
    let path = format!(
        "{}/../../tests/vectors/{file}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let json: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let vector = &json["vectors"][0];
    let headers = vector["headers"].as_array().unwrap().iter();
    let headers = headers.map(|line| (line[0].as_str().unwrap(), line[1].as_str().unwrap()));
    let body = STANDARD
        .decode(vector["body_base64"].as_str().unwrap())
        .unwrap();
    let jwks = vector.get("jwks").or(json.get("jwks")).unwrap();
    let audience = vector["audiences"][0].as_str().map(str::to_owned);
    (
        Capture::new(headers, body),
        KeySet::from_json(jwks.to_string().as_bytes()).unwrap(),
        audience,
    )
}

#[test]
fn the_kind_of_webhook_is_told() {
    let (dynamic, keys, _) = foreign("v1a");
    let diagnosis = diagnose(&dynamic, &setup(), at(SENT));
    assert_found(
        &diagnosis,
        "unsupported_scheme",
        Cause::DynamicWebhook,
        false,
        "`google_keys`",
    );
    let diagnosis = diagnose(&dynamic, &setup().other_keys(keys.clone()), at(SENT));
    assert_found(
        &diagnosis,
        "unsupported_scheme",
        Cause::DynamicWebhook,
        true,
        "a public key that the receiver does not have signed it",
    );

    let fixed = capture(&signature(SECRET, BODY.as_bytes()), BODY);
    let diagnosis = diagnose(&fixed, &Setup::new().keys(keys), at(SENT));
    assert_found(
        &diagnosis,
        "unsupported_scheme",
        Cause::StaticWebhook,
        false,
        "`signing_secret`",
    );

    let (jwt, keys, audience) = foreign("jwt");
    let audience = audience.unwrap();
    let diagnosis = diagnose(&jwt, &setup(), at(SENT));
    assert_found(
        &diagnosis,
        "unsupported_scheme",
        Cause::JwtOff,
        false,
        &audience,
    );
    let diagnosis = diagnose(&jwt, &Setup::new().keys(keys.clone()), at(SENT));
    assert_found(
        &diagnosis,
        "unsupported_scheme",
        Cause::JwtOff,
        true,
        "a genuine JWT",
    );
    assert!(
        diagnose(
            &jwt,
            &Setup::new().keys(keys).accept_jwt(audience),
            at(SENT)
        )
        .is_verified()
    );
}

#[test]
fn the_first_steps_are_those_of_the_receiver() {
    let genuine = capture(&signature(SECRET, BODY.as_bytes()), BODY);
    let token = EndpointToken::new("Zm9yLWRvY3VtZW50YXRpb24tb25seQ").unwrap();
    let setup = setup().endpoint_token(token);
    for (method, target, code) in [
        ("GET", "/hook", "method_not_allowed"),
        ("POST", "/hook", "wrong_endpoint"),
        ("POST", "/hook?token=Zm9yLWRvY3VtZW50YXRpb24tb25seQ", "ok"),
    ] {
        let diagnosis = diagnose(
            &genuine.clone().with_request_line(method, target),
            &setup,
            at(SENT),
        );
        let found = diagnosis.refusal().map_or("ok", |refusal| refusal.code());
        assert_eq!(found, code, "{diagnosis}");
    }
    let long = genuine.clone().with_body(vec![b' '; 64 * 1024 + 1]);
    assert_eq!(
        diagnose(&long, &setup, at(SENT)).refusal().unwrap().code(),
        "body_too_large"
    );
    assert_eq!(
        diagnose(&genuine, &Setup::new(), at(SENT))
            .refusal()
            .unwrap()
            .code(),
        "keys_unavailable"
    );
    // What is not known is not looked at.
    assert!(diagnose(&genuine, &setup, at(SENT)).is_verified());
}

#[test]
fn what_is_lost_for_good_is_hinted_at() {
    let genuine = signature(SECRET, BODY.as_bytes());
    for (body, more, says) in [
        ("", None, "The body is empty"),
        ("{\"a\":\"\u{fffd}\"}", None, "bytes are lost"),
        (
            "{}",
            Some(("content-encoding", "gzip")),
            "something decompressed it",
        ),
        (
            "{}",
            Some(("content-length", "129")),
            "Content-Length says 129 bytes, but the body has 2",
        ),
    ] {
        let all = capture(&genuine, body);
        let lines = all
            .headers()
            .chain(more.map(|(name, value)| (name, value.as_bytes())));
        let capture = Capture::new(lines, body);
        let diagnosis = diagnose(&capture, &setup(), at(SENT));
        assert_found(
            &diagnosis,
            "signature_mismatch",
            Cause::BodyChanged,
            false,
            says,
        );
    }
}

#[test]
fn hostile_text_cannot_write_to_the_terminal() {
    let id = "msg_1\u{1b}[2J";
    let lines = [
        ("webhook-id", id),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,\u{1b}[31m"),
        ("X-Webhook-Id\u{202e}", "x"),
    ];
    for body in [
        BODY.to_owned(),
        "\u{1b}]0;x\u{7}".to_owned(),
        "{\"type\":\"\u{1b}[2J\"}".to_owned(),
    ] {
        let text = diagnose(&Capture::new(lines, body), &setup(), at(SENT)).to_string();
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{7}') && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }
    let typed = "{\"type\":\"\\u001b[2J\\u202e\"}";
    let accepted = diagnose(
        &capture(&signature(SECRET, typed.as_bytes()), typed),
        &setup(),
        at(SENT),
    );
    assert!(accepted.is_verified() && !accepted.to_string().contains('\u{1b}'));
}
