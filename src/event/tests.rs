use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
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

/// Each rule about types stands with the payload, and both ways to ask follow it.
#[test]
fn payloads_by_type() {
    fn check<P: Payload + PartialEq>(names: &[&str]) {
        assert_eq!(
            names,
            [&[P::TYPE_NAME], P::OLDER_NAMES].concat(),
            "the present name goes first"
        );
        for name in names {
            assert!(P::is_named(name));
            let event = event(json!({"type": name, "data": {"id": "x"}}));
            let payload = event.payload::<P>().unwrap();
            assert!(format!("{:?}", event.kind()).contains(&format!("({payload:?})")));
            assert!(event.is(P::TYPE_NAME) && names.iter().all(|name| event.is(name)));
        }
        for other in [
            "",
            "batch",
            "Batch.Succeeded",
            "batch.succeeded ",
            "batch.new",
        ] {
            assert!(!P::is_named(other));
            let event = event(json!({"type": other, "data": {"id": "x"}}));
            assert_eq!(event.payload::<P>(), None);
            assert!(!event.is(P::TYPE_NAME) && event.is(other));
        }
        assert_eq!(GeminiEvent::parse("{}").payload::<P>(), None);
    }
    check::<BatchSucceeded>(&["batch.succeeded", "batch.completed"]);
    check::<BatchFailed>(&["batch.failed"]);
    check::<BatchExpired>(&["batch.expired"]);
    check::<BatchCancelled>(&["batch.cancelled"]);
    check::<InteractionRequiresAction>(&["interaction.requires_action"]);
    check::<InteractionCompleted>(&["interaction.completed"]);
    check::<InteractionFailed>(&["interaction.failed"]);
    check::<InteractionCancelled>(&["interaction.cancelled"]);
    check::<VideoGenerated>(&["video.generated"]);
    let failed = event(json!({"type": "batch.failed"}));
    assert_eq!(failed.payload::<InteractionFailed>(), None);
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

/// Members that are no trouble of anyone who did not ask for them.
const ODD_MEMBERS: [&str; 15] = [
    r#""\ud83d":1"#,
    r#""\udc00\ud83d":"\ud83d""#,
    r#""\ud83d\n":{"\ud83d":["\udc00"]}"#,
    r#""\ud83dtype":"x""#,
    r#""":0"#,
    r#""\u0000":"\u0000""#,
    r#""a\"\\\/\b\u00e9":null"#,
    r#""other":1,"other":2"#,
    r#""other":{"a":1,"a":{"a":1,"a":2}}"#,
    r#""other":1e999"#,
    r#""other":-1E+99999999999999999999"#,
    r#""other":123456789012345678901234567890.5"#,
    r#""other":"\ud800""#,
    r#""$serde_json::private::RawValue":"{""#,
    r#""$serde_json::private::Number":"x""#,
];

#[test]
fn an_odd_member_spoils_no_other() {
    let deep = format!(r#""other":{}{}"#, "[".repeat(9_000), "]".repeat(9_000));
    let names = format!(
        r#""other":{}1{}"#,
        r#"{"\ud83d":"#.repeat(9_000),
        "}".repeat(9_000)
    );
    for odd in ODD_MEMBERS
        .into_iter()
        .chain([deep.as_str(), names.as_str()])
    {
        let about = odd.get(..60).unwrap_or(odd);
        let body = |before: [&str; 2], after: [&str; 2]| {
            format!(
                r#"{{{}"type":"batch.failed","timestamp":"now","data":{{{}"id":"b/1","error_code":8{}}},"user_metadata":{{{}"job":7{}}},"version":"v1"{}}}"#,
                before[0], before[1], after[1], before[1], after[1], after[0],
            )
        };
        let (first, last) = (format!("{odd},"), format!(",{odd}"));
        for body in [
            body([&first, ""], ["", ""]),
            body(["", &first], ["", ""]),
            body(["", ""], [&last, ""]),
            body(["", ""], ["", &last]),
            body([&first, &first], [&last, &last]),
        ] {
            let event = GeminiEvent::parse(body);
            assert_eq!(event.type_name(), Some("batch.failed"), "{about}");
            assert_eq!(event.version(), Some("v1"), "{about}");
            assert_eq!(event.timestamp(), Some("now"), "{about}");
            let expected = [
                ("id", Some("b/1")),
                ("error_code", Some("8")),
                ("error_message", None),
            ];
            assert_eq!(fields(event.kind()).1, expected, "{about}");
        }
    }
}

/// One of each shape that an app's type may have.
#[derive(Debug, PartialEq, Deserialize)]
struct Shapes<'a> {
    id: &'a str,
    name: String,
    count: Option<u64>,
    none: Option<u8>,
    maybe: Option<Inner>,
    inner: Inner,
    new: New,
    tuple: (i8, f64, bool),
    list: Vec<Inner>,
    map: HashMap<String, Inner>,
    unit: Choice,
    newtype: Choice,
    tupled: Choice,
    struct_: Choice,
    tagged: Tagged,
    value: Value,
    #[serde(borrow)]
    raw: Raw<'a>,
    #[serde(default)]
    default: u8,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner {
    a: i64,
}

#[derive(Debug, PartialEq, Deserialize)]
struct New(Inner);

#[derive(Debug, Deserialize)]
struct Raw<'a>(#[serde(borrow)] &'a RawValue);

impl PartialEq for Raw<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

#[derive(Debug, PartialEq, Deserialize)]
enum Choice {
    Unit,
    Newtype(Inner),
    Tuple(u8, Inner),
    Struct { inner: Inner },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    One { a: i64 },
}

#[test]
fn an_odd_member_that_is_not_asked_for_spoils_no_type() {
    let shapes = |first: &str| {
        let inner = format!(r#"{{{first}"a":-1}}"#);
        format!(
            r#"{{{first}"id":"b/1","name":"\u00e9\n","count":7,"none":null,"maybe":{inner},"inner":{inner},"new":{inner},"tuple":[-1,2.5,true],"list":[{inner},{inner}],"map":{{"x":{inner}}},"unit":"Unit","newtype":{{"Newtype":{inner}}},"tupled":{{"Tuple":[1,{inner}]}},"struct_":{{"Struct":{{{first}"inner":{inner}}}}},"tagged":{{"type":"One","a":3}},"value":{{"x":[1]}},"raw":{{ "\ud83d" : 1 }}}}"#
        )
    };
    let plain = shapes("");
    let expected: Shapes<'_> = serde_json::from_str(&plain).unwrap();
    let deep = format!(r#""other":{}{}"#, "[".repeat(900), "]".repeat(900));
    for odd in ODD_MEMBERS.into_iter().chain([deep.as_str()]) {
        let odd = format!("{odd},");
        for data in [
            shapes(&odd),
            // Of a repeated name the last one counts.
            shapes(&format!(r#""a":"x","id":0,"inner":[],{odd}"#)),
        ] {
            for body in [
                format!(r#"{{"type":"x",{odd}"data":{data}}}"#),
                format!(r#"{{"type":"x",{odd}"user_metadata":{data}}}"#),
                format!(r#"{{"type":"x","data":{{{odd}"user_metadata":{data}}}}}"#),
            ] {
                let event = GeminiEvent::parse(body);
                let found = match event.user_metadata_as::<Shapes<'_>>().unwrap() {
                    None => event.data_as().unwrap(),
                    found => found,
                };
                assert_eq!(found.as_ref(), Some(&expected), "{odd}");
            }
        }
    }
    // What is asked for is not made up.
    for data in [
        r#"{"\ud83d":1,"a":"x"}"#,
        r#"{"\ud83d":1}"#,
        r#"{"a":"\ud83d"}"#,
        r#"{"a":1,"a":"x"}"#,
    ] {
        let event = GeminiEvent::parse(format!(r#"{{"type":"x","data":{data}}}"#));
        assert!(event.data_as::<Inner>().is_err(), "{data}");
    }
    let deep = format!(
        r#"{{"\ud83d":1,"a":{}{}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let event = GeminiEvent::parse(format!(r#"{{"type":"x","data":{deep}}}"#));
    assert!(event.data_as::<Value>().is_err(), "refused, not overflowed");
}

/// An app may read a tree; how deep it is, is the sender's choice.
#[test]
fn types_that_contain_themselves_overflow_no_stack() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    enum Filter {
        Not(Box<Filter>),
        All,
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    enum Node {
        Leaf,
        Branch(Vec<Node>),
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    struct List {
        next: Option<Box<List>>,
    }
    let nested = |open: &str, inmost: &str, close: &str, levels: usize| {
        let data = [&open.repeat(levels), inmost, &close.repeat(levels)].concat();
        GeminiEvent::parse(format!(r#"{{"type":"x","data":{data}}}"#))
    };
    for levels in [200, 8_000] {
        let filter = nested(r#"{"Not":"#, r#""All""#, "}", levels);
        assert!(filter.data_as::<Filter>().is_err(), "{levels}");
        let tree = nested(r#"{"Branch":["#, r#""Leaf""#, "]}", levels);
        assert!(tree.data_as::<Node>().is_err(), "{levels}");
        let list = nested(r#"{"\ud83d":1,"next":"#, "null", "}", levels);
        assert!(list.data_as::<List>().is_err(), "{levels}");
    }
    // What is not too deep is read.
    for levels in [1, 60] {
        let filter = nested(r#"{"Not":"#, r#""All""#, "}", levels);
        assert!(filter.data_as::<Filter>().is_ok(), "{levels}");
        let list = nested(r#"{"\ud83d":1,"next":"#, "null", "}", levels);
        assert!(list.data_as::<List>().is_ok(), "{levels}");
    }
}

#[test]
fn a_variant_is_alone() {
    #[derive(Debug, PartialEq, Deserialize)]
    enum Role {
        Admin(u8),
        User(u8),
    }
    for (data, expected) in [
        (r#"{"User":1}"#, Some(Role::User(1))),
        (r#"{"Admin":1}"#, Some(Role::Admin(1))),
        (r#"{"User":1,"Admin":2}"#, None),
        (r#"{"User":1,"zzz":2}"#, None),
        // What is no name is no member.
        (r#"{"User":1,"\ud83d":2}"#, Some(Role::User(1))),
        ("{}", None),
    ] {
        let event = GeminiEvent::parse(format!(r#"{{"type":"x","data":{data}}}"#));
        let read = event.data_as::<Role>().ok().flatten();
        assert_eq!(read, expected, "{data}");
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
        #[cfg(feature = "receiver")]
        assert!(event.formless().is_some(), "{}", body.escape_ascii());
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
