//! What holds for every delivery, not only for those somebody thought of.
#![cfg(feature = "testing")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::time::{Duration, SystemTime};

use gemini_webhooks::{
    DeliveryHeaders, EventKind, GeminiEvent, Keyring, SigningSecret, Verifier, VerifyErrorKind,
    testing,
};
use proptest::prelude::*;

type Lines = Vec<(String, Vec<u8>)>;

/// Some systems cannot tell later times; this one is in the year 19391.
const LAST: u64 = 1 << 39;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn sign(key: &[u8], id: &str, timestamp: u64, body: &[u8]) -> (Verifier, Lines) {
    let secret = SigningSecret::from_bytes(key).unwrap();
    let lines = testing::sign_v1(&secret, id, timestamp, body)
        .map(|(name, value)| (name.to_owned(), value.into_bytes()));
    (Verifier::new(Keyring::new(secret)), lines.to_vec())
}

/// Both ways to verify; they must agree.
fn verify(
    verifier: &Verifier,
    lines: &Lines,
    body: &[u8],
    now: u64,
) -> Result<(), VerifyErrorKind> {
    let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (name, value)));
    let whole = verifier.verify(&headers, body, at(now)).map(drop);
    let halves = verifier
        .check(&headers, at(now))
        .and_then(|checked| checked.verify(body).map(drop));
    let kind =
        |result: Result<(), gemini_webhooks::VerifyError>| result.map_err(|error| error.kind());
    let (whole, halves) = (kind(whole), kind(halves));
    assert_eq!(whole, halves);
    whole
}

prop_compose! {
    fn an_id()(id in "[!-~]{1,256}".prop_filter("could be read as id and timestamp", |id| {
        !id.split('.').skip(1).any(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    })) -> String { id }
}

/// A member of a JSON object that nobody asks for, as odd as JSON's grammar allows.
fn an_odd_member() -> impl Strategy<Value = String> {
    let name = r#"(\\u[0-9a-f]{4}|\\ud[89a-f][0-9a-f]{2}|\\["\\/bfnrt]|[ -!#-\[\]-~é🎬]){0,4}"#;
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,20})?";
    let leaf = prop_oneof![
        name.prop_map(|text| format!("\"{text}\"")),
        number.prop_map(String::from),
        prop::sample::select(vec!["null", "true", "false", "[]", "{}"]).prop_map(String::from),
        (1_usize..2_000).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
    ];
    let value = leaf.prop_recursive(3, 12, 3, move |value| {
        let member = (name, value.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            prop::collection::vec(value, 0..3).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec(member, 0..3)
                .prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    });
    // The names of an event's members are longer than four letters, but for two.
    (name, value).prop_filter_map("a name that is asked for", |(name, value)| {
        let asked = [r#""type""#, r#""data""#, r#""id""#];
        let name = format!("\"{name}\"");
        let text: Option<String> = serde_json::from_str(&name).ok();
        let known = |text| asked.contains(&format!("\"{text}\"").as_str());
        (!text.is_some_and(known)).then(|| format!("{name}:{value}"))
    })
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Mine {
    error_message: String,
    counts: Counts,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Counts {
    failed: u8,
}

proptest! {
    #[test]
    fn an_odd_member_changes_no_other(
        odd in prop::collection::vec(an_odd_member(), 1..4),
        places in prop::collection::vec(0_usize..7, 3),
    ) {
        let mut parts = [""; 7].map(String::from);
        for (odd, place) in odd.iter().zip(&places) {
            // The even places are before a member, the odd ones after one.
            let part = &mut parts[*place];
            *part = if place % 2 == 0 { format!("{part}{odd},") } else { format!("{part},{odd}") };
        }
        let [a, b, c, d, e, f, g] = &parts;
        let body = format!(
            r#"{{{a}"type":"batch.failed","version":"v1","data":{{{c}"id":"b/1","error_code":8,"error_message":"m","counts":{{{e}"failed":2{f}}}{d}}},{g}"timestamp":"now","user_metadata":{{"failed":3}}{b}}}"#
        );
        let event = GeminiEvent::parse(body);
        prop_assert_eq!(event.type_name(), Some("batch.failed"));
        prop_assert_eq!(event.version(), Some("v1"));
        prop_assert_eq!(event.timestamp(), Some("now"));
        let EventKind::BatchFailed(batch) = event.kind() else {
            panic!("{:?}", event.kind())
        };
        prop_assert_eq!(batch.id(), Some("b/1"));
        prop_assert_eq!(batch.error_code(), Some("8"));
        prop_assert_eq!(batch.error_message(), Some("m"));
        let mine = Mine { error_message: "m".to_owned(), counts: Counts { failed: 2 } };
        prop_assert_eq!(event.data_as::<Mine>().unwrap(), Some(mine));
        prop_assert_eq!(event.user_metadata_as::<Counts>().unwrap(), Some(Counts { failed: 3 }));
    }

    #[test]
    fn what_was_signed_is_accepted(
        key in prop::collection::vec(any::<u8>(), 16..80),
        id in an_id(),
        timestamp in any::<u64>(),
        body in prop::collection::vec(any::<u8>(), 0..2048),
        off in -300_i64..=300,
    ) {
        let timestamp = timestamp % LAST;
        let now = timestamp.saturating_add_signed(off);
        let (verifier, lines) = sign(&key, &id, timestamp, &body);
        prop_assert_eq!(verify(&verifier, &lines, &body, now), Ok(()));
    }

    #[test]
    fn one_flipped_bit_is_refused(
        id in an_id(),
        body in prop::collection::vec(any::<u8>(), 0..256),
        place in any::<prop::sample::Index>(),
    ) {
        let timestamp = 1_700_000_000;
        let (verifier, lines) = sign(&[7; 32], &id, timestamp, &body);
        // All four are one long row of bits.
        let lengths = [lines[0].1.len(), lines[1].1.len(), lines[2].1.len(), body.len()];
        let mut bit = place.index(lengths.iter().sum::<usize>() * 8);
        let (mut lines, mut body) = (lines, body);
        for (i, length) in lengths.into_iter().enumerate() {
            if bit < length * 8 {
                let target = if i < 3 { &mut lines[i].1 } else { &mut body };
                target[bit / 8] ^= 1 << (bit % 8);
                break;
            }
            bit -= length * 8;
        }
        prop_assert!(verify(&verifier, &lines, &body, timestamp).is_err());
    }

    #[test]
    fn nothing_that_comes_panics(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["webhook-id", "webhook-timestamp", "webhook-signature", "other"]),
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..64),
                    "[0-9]{0,24}".prop_map(String::into_bytes),
                    "(v1,[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=[ ,.]?){0,20}".prop_map(String::into_bytes),
                ],
            ),
            0..6,
        ),
        body in prop::collection::vec(any::<u8>(), 0..64),
        now in 0..=LAST,
    ) {
        let lines: Lines = lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let verifier = Verifier::new(Keyring::new(SigningSecret::from_bytes(&[7; 32]).unwrap()));
        prop_assert!(verify(&verifier, &lines, &body, now).is_err());
    }

    #[test]
    fn no_body_panics(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..128),
            r#"[\[\]{}":,a-z0-9\\. ]{0,128}"#.prop_map(String::into_bytes),
            r#"\{"type":"(batch|video)\.[a-z]{0,9}","data":[\[\]{}":,a-z0-9\\]{0,64}\}"#.prop_map(String::into_bytes),
        ],
    ) {
        let event = GeminiEvent::parse(body.clone());
        prop_assert_eq!(event.raw(), &body);
        prop_assert!(serde_json::to_string(&event).is_ok());
        let _ = event.data_as::<serde_json::Value>();
        let _ = event.user_metadata_as::<serde_json::Value>();
    }
}

#[test]
fn every_single_bit_of_one_delivery() {
    let (id, timestamp, body) = (
        "msg_2f1c",
        1_700_000_000,
        br#"{"type":"batch.expired"}"#.to_vec(),
    );
    let (verifier, lines) = sign(&[7; 32], id, timestamp, &body);
    assert_eq!(verify(&verifier, &lines, &body, timestamp), Ok(()));
    for i in 0..4 {
        let length = lines.get(i).map_or(body.len(), |line| line.1.len());
        for bit in 0..length * 8 {
            let (mut lines, mut body) = (lines.clone(), body.clone());
            let target = lines.get_mut(i).map_or(&mut body, |line| &mut line.1);
            target[bit / 8] ^= 1 << (bit % 8);
            assert!(
                verify(&verifier, &lines, &body, timestamp).is_err(),
                "part {i}, bit {bit}"
            );
        }
    }
}
