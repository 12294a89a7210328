use std::collections::HashMap;

use serde_json::{Value, json};

use super::*;

fn event(value: Value) -> GeminiEvent {
    GeminiEvent::parse(value.to_string())
}

/// The fields of a payload by name, so that one table can hold all types.
fn fields(kind: &EventKind) -> (&'static str, Vec<(&'static str, Option<&str>)>) {
    match kind {
        EventKind::BatchSucceeded(e) => (
            "BatchSucceeded",
            vec![("id", e.id()), ("output_file_uri", e.output_file_uri())],
        ),
        EventKind::BatchFailed(e) => (
            "BatchFailed",
            vec![
                ("id", e.id()),
                ("error_code", e.error_code()),
                ("error_message", e.error_message()),
            ],
        ),
        EventKind::BatchExpired(e) => ("BatchExpired", vec![("id", e.id())]),
        EventKind::BatchCancelled(e) => ("BatchCancelled", vec![("id", e.id())]),
        EventKind::InteractionRequiresAction(e) => {
            ("InteractionRequiresAction", vec![("id", e.id())])
        }
        EventKind::InteractionCompleted(e) => ("InteractionCompleted", vec![("id", e.id())]),
        EventKind::InteractionFailed(e) => (
            "InteractionFailed",
            vec![
                ("id", e.id()),
                ("error_code", e.error_code()),
                ("error_message", e.error_message()),
            ],
        ),
        EventKind::InteractionCancelled(e) => ("InteractionCancelled", vec![("id", e.id())]),
        EventKind::VideoGenerated(e) => (
            "VideoGenerated",
            vec![
                ("id", e.id()),
                ("output_file_uri", e.output_file_uri()),
                ("file_name", e.file_name()),
            ],
        ),
        EventKind::Unknown => ("Unknown", vec![]),
    }
}

#[test]
fn every_type_and_alias() {
    let cases = [
        ("batch.succeeded", "BatchSucceeded"),
        ("batch.completed", "BatchSucceeded"),
        ("batch.failed", "BatchFailed"),
        ("batch.expired", "BatchExpired"),
        ("batch.cancelled", "BatchCancelled"),
        ("interaction.requires_action", "InteractionRequiresAction"),
        ("interaction.completed", "InteractionCompleted"),
        ("interaction.failed", "InteractionFailed"),
        ("interaction.cancelled", "InteractionCancelled"),
        ("video.generated", "VideoGenerated"),
        ("batch.exploded", "Unknown"),
        ("Batch.Succeeded", "Unknown"),
        ("", "Unknown"),
    ];
    let data = json!({
        "id": "the id",
        "output_file_uri": "the output_file_uri",
        "file_name": "the file_name",
        "error_code": "the error_code",
        "error_message": "the error_message",
        "something": ["else"],
    });
    for (type_name, variant) in cases {
        let event = event(json!({
            "type": type_name, "version": "v1", "timestamp": "2026-01-02T03:04:05Z", "data": data, "more": {},
        }));
        assert_eq!(event.type_name(), Some(type_name));
        assert_eq!(event.version(), Some("v1"));
        assert_eq!(event.timestamp(), Some("2026-01-02T03:04:05Z"));
        let (name, fields) = fields(event.kind());
        assert_eq!(name, variant, "{type_name}");
        for (field, value) in fields {
            assert_eq!(
                value,
                Some(format!("the {field}").as_str()),
                "{type_name} {field}"
            );
        }
    }
}

#[test]
fn a_field_of_another_shape_is_none_and_spoils_no_other() {
    for odd in [
        "null",
        "true",
        "[\"a\"]",
        "{\"a\":1}",
        "1e999",
        r#""\ud800""#,
        "[[[[[[]]]]]]",
    ] {
        for field in ["id", "output_file_uri", "file_name"] {
            let mut members: HashMap<&str, String> = ["id", "output_file_uri", "file_name"]
                .map(|name| (name, format!("\"{name}\"")))
                .into();
            members.insert(field, odd.to_owned());
            let data: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            let body = format!(
                r#"{{"type":"video.generated","data":{{{}}}}}"#,
                data.join(",")
            );
            let event = GeminiEvent::parse(body.clone());
            let (name, fields) = fields(event.kind());
            assert_eq!(name, "VideoGenerated", "{body}");
            for (name, value) in fields {
                assert_eq!(value, (name != field).then_some(name), "{body}");
            }
        }
        for envelope in ["version", "timestamp"] {
            let body =
                format!(r#"{{"{envelope}":{odd},"type":"batch.expired","data":{{"id":"x"}}}}"#);
            let event = GeminiEvent::parse(body.clone());
            assert_eq!(fields(event.kind()).1, [("id", Some("x"))], "{body}");
            assert_eq!((event.version(), event.timestamp()), (None, None), "{body}");
        }
    }
}

#[test]
fn data_of_another_shape_leaves_the_type() {
    for data in [
        "",
        r#","data":null"#,
        r#","data":[]"#,
        r#","data":"x""#,
        r#","data":3"#,
        r#","data":{}"#,
    ] {
        let event = GeminiEvent::parse(format!(r#"{{"type":"batch.failed"{data}}}"#));
        let (name, fields) = fields(event.kind());
        assert_eq!(name, "BatchFailed", "{data}");
        assert!(fields.iter().all(|(_, value)| value.is_none()), "{data}");
    }
}

#[test]
fn error_codes_are_text_or_numbers() {
    for (code, expected) in [
        (r#""RESOURCE_EXHAUSTED""#, Some("RESOURCE_EXHAUSTED")),
        ("8", Some("8")),
        ("-1", Some("-1")),
        ("1.50", Some("1.50")),
        ("12345678901234567890123", Some("12345678901234567890123")),
        ("true", None),
        ("null", None),
        ("{}", None),
    ] {
        for type_name in ["batch.failed", "interaction.failed"] {
            let event = GeminiEvent::parse(format!(
                r#"{{"type":"{type_name}","data":{{"error_code":{code}}}}}"#
            ));
            assert_eq!(fields(event.kind()).1[1], ("error_code", expected));
        }
    }
}

#[test]
fn older_names_of_a_video() {
    for (data, uri, name) in [
        (
            json!({"video_uri": "old", "file_id": "old"}),
            Some("old"),
            Some("old"),
        ),
        (
            json!({"video_uri": "old", "output_file_uri": "new"}),
            Some("new"),
            None,
        ),
        (
            json!({"file_name": "new", "file_id": "old"}),
            None,
            Some("new"),
        ),
        (json!({"file_name": 7, "file_id": "old"}), None, Some("old")),
        (json!({}), None, None),
    ] {
        let event = event(json!({"type": "video.generated", "data": data}));
        let EventKind::VideoGenerated(video) = event.kind() else {
            panic!("{event:?}")
        };
        assert_eq!(
            (video.output_file_uri(), video.file_name()),
            (uri, name),
            "{data}"
        );
    }
}

#[test]
fn what_has_no_type_is_unknown_without_a_name() {
    let deep = "[".repeat(60_000);
    for body in [
        b"".as_slice(),
        b" ",
        b"null",
        b"[]",
        b"\"batch.succeeded\"",
        b"7",
        b"{}",
        br#"{"type":null}"#,
        br#"{"type":7}"#,
        br#"{"type":["batch.succeeded"]}"#,
        br#"{"type":"batch.succeeded""#,
        br#"{"type":"batch.succeeded"} x"#,
        br#"{"type":"batch.succeeded"}{}"#,
        b"{\"type\":\"batch.succeeded\",\"x\":\"\xff\"}",
        b"\xef\xbb\xbf{\"type\":\"batch.succeeded\"}",
        b"\xff\xfe\x00",
        b"type=batch.succeeded",
        deep.as_bytes(),
    ] {
        let event = GeminiEvent::parse(body.to_vec());
        assert_eq!(event.kind(), &EventKind::Unknown, "{}", body.escape_ascii());
        assert_eq!(event.type_name(), None);
        assert_eq!(event.raw(), body);
        assert!(matches!(event.user_metadata_as::<Value>(), Ok(None)));
    }
}

#[test]
fn depth_is_no_danger() {
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    for body in [
        format!(r#"{{"type":"batch.expired","data":{{"id":"x","more":{deep}}}}}"#),
        format!(r#"{{"more":{deep},"type":"batch.expired","data":{{"id":"x"}}}}"#),
    ] {
        let event = GeminiEvent::parse(body.clone());
        assert_eq!(fields(event.kind()).1, [("id", Some("x"))]);
        assert_eq!(serde_json::to_string(&event).unwrap(), body);
        assert!(
            serde_json::to_value(&event).is_err(),
            "refused, not overflowed"
        );
    }
    let event = GeminiEvent::parse(format!(r#"{{"type":"x","data":{deep}}}"#));
    assert!(event.data_as::<Value>().is_err());
}

#[test]
fn of_a_repeated_name_the_last_counts() {
    let event = GeminiEvent::parse(
        r#"{"type":"x","type":"batch.expired","data":{"id":"a","id":"b"},"more":1,"more":2}"#,
    );
    assert_eq!(
        fields(event.kind()),
        ("BatchExpired", vec![("id", Some("b"))])
    );
}

#[test]
fn escapes_are_read() {
    let event =
        GeminiEvent::parse(r#"{"t\u0079pe":"batch\u002eexpired","data":{"id":"a\"\u00e9\n"}}"#);
    assert_eq!(
        fields(event.kind()),
        ("BatchExpired", vec![("id", Some("a\"é\n"))])
    );
}

#[test]
fn user_metadata_at_the_top_else_in_data() {
    for (body, expected) in [
        (
            json!({"type": "x", "user_metadata": {"job": 1}}),
            Some(json!({"job": 1})),
        ),
        (
            json!({"type": "x", "data": {"user_metadata": {"job": 2}}}),
            Some(json!({"job": 2})),
        ),
        (
            json!({"type": "x", "user_metadata": {"job": 1}, "data": {"user_metadata": {"job": 2}}}),
            Some(json!({"job": 1})),
        ),
        (
            json!({"type": "x", "user_metadata": null, "data": {"user_metadata": {"job": 2}}}),
            Some(json!({"job": 2})),
        ),
        (
            json!({"type": "x", "user_metadata": "text"}),
            Some(json!("text")),
        ),
        (json!({"type": "x", "data": []}), None),
        (json!({"type": "x", "data": {"user_metadata": null}}), None),
        (json!({"type": "x"}), None),
    ] {
        assert_eq!(
            event(body.clone()).user_metadata_as::<Value>().unwrap(),
            expected,
            "{body}"
        );
    }
    let mistyped = event(json!({"type": "x", "user_metadata": {"job": "seven"}}));
    let error = mistyped
        .user_metadata_as::<HashMap<String, u32>>()
        .unwrap_err();
    assert!(error.source().is_some());
}

#[test]
fn serialize_gives_back_what_came() {
    for body in [
        r#"{"type":"batch.succeeded","data":{"z":1,"a":12345678901234567890123.5000},"extra":[1, 2]}"#,
        "[1,  2]",
        "null",
    ] {
        let event = GeminiEvent::parse(body);
        assert_eq!(serde_json::to_string(&event).unwrap(), body);
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            serde_json::from_str::<Value>(body).unwrap()
        );
    }
    assert_eq!(
        serde_json::to_string(&GeminiEvent::parse("not JSON")).unwrap(),
        r#""not JSON""#
    );
    assert_eq!(
        serde_json::to_string(&GeminiEvent::parse(&b"\xff\x01"[..])).unwrap(),
        "[255,1]"
    );
    // what went out can come in again
    let event = GeminiEvent::parse(r#"{"type":"batch.expired","data":{"id":"x"}}"#);
    let queued = serde_json::to_vec(&event).unwrap();
    assert_eq!(GeminiEvent::parse(queued).kind(), event.kind());
}
