use std::io::Cursor;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;

/// What a job may look like, with an event as a member.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    id: u8,
    event: GeminiEvent,
    again: Option<GeminiEvent>,
    more: Vec<GeminiEvent>,
}

#[derive(Serialize, Deserialize)]
struct Flattened {
    attempt: u8,
    #[serde(flatten)]
    job: Job,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Other { nothing: u8 },
    Job(Job),
    Event(GeminiEvent),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Job(Job),
    Event { event: GeminiEvent },
}

#[derive(Serialize, Deserialize)]
enum External {
    Event(GeminiEvent),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    Event(GeminiEvent),
}

type Carried = Result<GeminiEvent, Box<dyn std::error::Error>>;

impl Job {
    fn new(event: &GeminiEvent) -> Self {
        Self {
            id: 1,
            event: event.clone(),
            again: Some(event.clone()),
            more: vec![event.clone(), event.clone()],
        }
    }

    /// The event, if all of them are the same.
    fn event(self) -> Carried {
        let again = self.again.ok_or("no `again`")?;
        for other in [&again].into_iter().chain(&self.more) {
            assert_eq!(other.raw(), self.event.raw());
        }
        assert_eq!((self.id, self.more.len()), (1, 2));
        Ok(self.event)
    }
}

/// To JSON and back, in every way that `serde_json` has.
fn through_json<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    serde_json::from_slice::<T>(&serde_json::to_vec_pretty(value)?)?;
    serde_json::from_str::<T>(&text)?;
    serde_json::from_reader(Cursor::new(text))
}

/// Ways in which the text survives.
fn by_text(event: &GeminiEvent) -> Vec<(&'static str, Carried)> {
    let by = |way: fn(&GeminiEvent) -> Carried| way(event);
    vec![
        (
            "str",
            by(|event| Ok(serde_json::from_str(&serde_json::to_string(event)?)?)),
        ),
        (
            "slice",
            by(|event| Ok(serde_json::from_slice(&serde_json::to_vec(event)?)?)),
        ),
        ("reader", by(|event| Ok(through_json(event)?))),
        (
            "option",
            by(|event| Ok(through_json(&Some(event.clone()))?.ok_or("none")?)),
        ),
        (
            "struct",
            by(|event| through_json(&Job::new(event))?.event()),
        ),
        (
            "external",
            by(|event| {
                let External::Event(event) = through_json(&External::Event(event.clone()))?;
                Ok(event)
            }),
        ),
        (
            "adjacent",
            by(|event| {
                let Adjacent::Event(event) = through_json(&Adjacent::Event(event.clone()))?;
                Ok(event)
            }),
        ),
    ]
}

/// Ways in which something keeps a value and not its text.
fn by_value(event: &GeminiEvent) -> Vec<(&'static str, Carried)> {
    let by = |way: fn(&GeminiEvent) -> Carried| way(event);
    vec![
        (
            "value",
            by(|event| Ok(serde_json::from_value(serde_json::to_value(event)?)?)),
        ),
        (
            "option of value",
            by(|event| {
                let value = serde_json::to_value(Some(event))?;
                Ok(serde_json::from_value::<Option<_>>(value)?.ok_or("none")?)
            }),
        ),
        (
            "value within",
            by(|event| {
                let value = serde_json::to_value(Job::new(event))?;
                serde_json::from_str::<Job>(&value.to_string())?;
                serde_json::from_value::<Job>(value)?.event()
            }),
        ),
        (
            "flattened",
            by(|event| {
                let outer = Flattened {
                    attempt: 2,
                    job: Job::new(event),
                };
                through_json(&outer)?.job.event()
            }),
        ),
        (
            "untagged",
            by(
                |event| match through_json(&Untagged::Event(event.clone()))? {
                    Untagged::Event(event) => Ok(event),
                    Untagged::Job(_) | Untagged::Other { .. } => Err("another variant".into()),
                },
            ),
        ),
        (
            "untagged within",
            by(
                |event| match through_json(&Untagged::Job(Job::new(event)))? {
                    Untagged::Job(job) => job.event(),
                    Untagged::Event(_) | Untagged::Other { .. } => Err("another variant".into()),
                },
            ),
        ),
        (
            "tagged",
            by(|event| match through_json(&Tagged::Job(Job::new(event)))? {
                Tagged::Job(job) => job.event(),
                Tagged::Event { .. } => Err("another variant".into()),
            }),
        ),
        (
            "tagged struct",
            by(|event| {
                match through_json(&Tagged::Event {
                    event: event.clone(),
                })? {
                    Tagged::Event { event } => Ok(event),
                    Tagged::Job(_) => Err("another variant".into()),
                }
            }),
        ),
        (
            "tag behind",
            by(|event| {
                let text = format!(
                    r#"{{"event":{},"kind":"Event"}}"#,
                    serde_json::to_string(event)?
                );
                match serde_json::from_str(&text)? {
                    Tagged::Event { event } => Ok(event),
                    Tagged::Job(_) => Err("another variant".into()),
                }
            }),
        ),
    ]
}

fn through_rmp<T: Serialize + DeserializeOwned>(
    value: &T,
) -> Result<T, Box<dyn std::error::Error>> {
    rmp_serde::from_slice::<T>(&rmp_serde::to_vec(value)?)?;
    Ok(rmp_serde::from_read(Cursor::new(rmp_serde::to_vec_named(
        value,
    )?))?)
}

/// Binary ones: one that tells of what type a value is, and one that does not.
fn by_bytes(event: &GeminiEvent) -> Vec<(&'static str, Carried)> {
    let by = |way: fn(&GeminiEvent) -> Carried| way(event);
    vec![
        ("rmp", by(through_rmp)),
        (
            "rmp struct",
            by(|event| through_rmp(&Job::new(event))?.event()),
        ),
        (
            "rmp untagged",
            by(
                |event| match through_rmp(&Untagged::Event(event.clone()))? {
                    Untagged::Event(event) => Ok(event),
                    Untagged::Job(_) | Untagged::Other { .. } => Err("another variant".into()),
                },
            ),
        ),
        (
            "rmp flattened",
            by(|event| {
                let outer = Flattened {
                    attempt: 2,
                    job: Job::new(event),
                };
                let bytes = rmp_serde::to_vec_named(&outer)?;
                rmp_serde::from_slice::<Flattened>(&bytes)?.job.event()
            }),
        ),
        (
            "postcard",
            by(|event| Ok(postcard::from_bytes(&postcard::to_stdvec(event)?)?)),
        ),
        (
            "postcard struct",
            by(|event| {
                postcard::from_bytes::<Job>(&postcard::to_stdvec(&Job::new(event))?)?.event()
            }),
        ),
    ]
}

/// The body without what RFC 8259 calls white space around it, if it is JSON.
fn trimmed(body: &[u8]) -> &[u8] {
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(json) => json.get().as_bytes(),
        Err(_) => body,
    }
}

fn check(body: &[u8]) {
    let event = GeminiEvent::parse(body.to_vec());
    let about = format!("{}", body.get(..80).unwrap_or(body).escape_ascii());
    let carried = |way: &str, carried: Carried| {
        let carried = carried.unwrap_or_else(|error| panic!("{way}: {about}: {error}"));
        assert_eq!(carried.kind(), event.kind(), "{way}: {about}");
        assert_eq!(carried.type_name(), event.type_name(), "{way}: {about}");
        carried
    };
    for (way, back) in by_bytes(&event) {
        assert_eq!(carried(way, back).raw(), body, "{way}: {about}");
    }
    for (way, back) in by_text(&event) {
        let back = carried(way, back);
        assert!(
            back.raw() == body || back.raw() == trimmed(body),
            "{way}: {about}: {}",
            back.raw().escape_ascii()
        );
    }
    for (way, back) in by_value(&event) {
        let back = carried(way, back);
        let value = |json: &[u8]| serde_json::from_slice::<Value>(json).ok();
        assert!(
            back.raw() == body || value(back.raw()) == Some(value(body).unwrap()),
            "{way}: {about}: {}",
            back.raw().escape_ascii()
        );
    }
}

#[test]
fn every_body_comes_back() {
    let nested = |depth: usize| {
        format!(
            r#"{{"type":"batch.expired","data":{{"id":"x","more":{}7{}}}}}"#,
            r#"{"a":["#.repeat(depth / 2),
            "]}".repeat(depth / 2),
        )
    };
    for body in crate::testing::SAMPLE_EVENTS {
        check(body.as_bytes());
    }
    for body in [
        r#"{"type":"batch.succeeded","data":{"z":1,"a":12345678901234567890123.5000},"extra":[1, 2]}"#,
        r#" { "type" : "batch.expired", "data": {"id": "\u0078", "id": "y"} }
"#,
        "",
        " ",
        "not JSON",
        "\u{feff}{}",
        r#"{"type":"batch.expired"}}"#,
        "null",
        " null\n",
        "true",
        "-0",
        "1.50",
        "18446744073709551615",
        "18446744073709551616",
        "1e999",
        "[1,  2]",
        "[]",
        "{}",
        r#""a \"text\" \u00e9""#,
        r#""""#,
        r#"{"$gemini_webhooks::base64":"e30="}"#,
        r#"{"$gemini_webhooks::base64":7}"#,
        r#"{"$gemini_webhooks::b\u0061se64":"e30=","type":"batch.expired"}"#,
        r#"{"data":{"$gemini_webhooks::base64":"e30="},"type":"batch.expired"}"#,
        r#"{"$serde_json::private::RawValue":"{\"type\":\"batch.expired\"}"}"#,
        r#"{"type":"x","data":{"$serde_json::private::RawValue":"{"}}"#,
        r#"{"type":"batch.expired","\ud83d":1,"data":{"id":"x"}}"#,
        r#"{"type":"batch.expired","data":{"id":"x","\ud83d":"\udc00"}}"#,
        r#"{"type":"batch.expired","data":{"id":"x","more":1e999}}"#,
        r#"{"kind":"Event","type":"batch.expired"}"#,
        &nested(60),
        &nested(62),
        &nested(64),
        &nested(120),
        &nested(124),
        &nested(126),
        &nested(128),
        &nested(20_000),
        &"[".repeat(64 * 1024),
        &("[".repeat(32 * 1024) + &"]".repeat(32 * 1024)),
    ] {
        check(body.as_bytes());
    }
    check(b"\xff\x01");
    check(b"{\"type\":\"batch.expired\xff\"}");
    check(&[0; 64]);
}

/// Formats that know nothing of newtypes, or of serde_json's texts.
#[test]
fn other_formats_have_values_or_the_text() {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, MapDeserializer, StrDeserializer};

    fn read(members: &[(&str, &str)]) -> GeminiEvent {
        let members = members.iter().copied();
        GeminiEvent::deserialize(MapDeserializer::<_, Error>::new(members)).unwrap()
    }
    let event = read(&[("version", "v1"), ("type", "batch.expired")]);
    assert_eq!(event.raw(), r#"{"type":"batch.expired","version":"v1"}"#);
    assert_eq!(read(&[]).raw(), "{}");
    assert_eq!(read(&[(BASE64, "/wE=")]).raw(), &b"\xff\x01"[..]);
    let text: StrDeserializer<'_, Error> = "batch.expired".into_deserializer();
    assert_eq!(
        GeminiEvent::deserialize(text).unwrap().raw(),
        r#""batch.expired""#
    );

    // As a format writes a struct of that name which is not serde_json.
    let body = r#"{ "type": "batch.expired" }"#;
    assert_eq!(read(&[(RAW_VALUE, body)]).raw(), body);
}

#[test]
fn an_event_that_is_flattened_itself_comes_back_too() {
    #[derive(Serialize, Deserialize)]
    struct Flat {
        attempt: u8,
        #[serde(flatten)]
        event: GeminiEvent,
    }
    for body in [r#"{ "type": "batch.expired" }"#, "not JSON"] {
        let event = GeminiEvent::parse(body);
        let flat = Flat { attempt: 1, event };
        assert_eq!(through_json(&flat).unwrap().event.raw(), body);
    }
}

#[test]
fn json_goes_as_json_and_the_rest_does_not() {
    let carried = |body: &'static [u8]| serde_json::to_string(&GeminiEvent::parse(body)).unwrap();
    for body in [
        r#"{"type":"batch.succeeded","data":{"z":1,"a":12345678901234567890123.5000},"extra":[1, 2]}"#,
        r#"{ "type":	"batch.succeeded" , "type":"x" }"#,
        "[1,  2]",
        r#""text""#,
    ] {
        assert_eq!(carried(body.as_bytes()), body);
        let around = GeminiEvent::parse(format!(" \n{body}\r\t"));
        assert_eq!(serde_json::to_string(&around).unwrap(), body);
        let nested = serde_json::to_value(json!({"event": around})).unwrap();
        assert_eq!(
            nested["event"],
            serde_json::from_str::<Value>(body).unwrap()
        );
    }
    for (body, expected) in [
        (
            b"not JSON".as_slice(),
            r#"{"$gemini_webhooks::base64":"bm90IEpTT04="}"#,
        ),
        (b"\xff\x01", r#"{"$gemini_webhooks::base64":"/wE="}"#),
        (b"null", r#"{"$gemini_webhooks::base64":"bnVsbA=="}"#),
    ] {
        assert_eq!(carried(body), expected);
    }
}

#[test]
fn what_is_no_event_is_an_error() {
    for json in [
        "",
        "{",
        r#"{"$gemini_webhooks::base64":7}"#,
        r#"{"$gemini_webhooks::base64":"?"}"#,
        r#"{"$gemini_webhooks::base64":null}"#,
    ] {
        assert!(serde_json::from_str::<GeminiEvent>(json).is_err(), "{json}");
    }
    assert!(rmp_serde::from_slice::<GeminiEvent>(&rmp_serde::to_vec(&7).unwrap()).is_err());
    assert!(postcard::from_bytes::<GeminiEvent>(&[5, 1]).is_err());

    // No place for a text: an error, and not another event.
    #[derive(Debug, Serialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Event(GeminiEvent),
    }
    let tagged = Tagged::Event(GeminiEvent::parse(r#"{"type":"batch.expired"}"#));
    assert!(serde_json::to_string(&tagged).is_err());
}

proptest! {
    #[test]
    fn any_body_comes_back(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            r#"[\[\]{}":,a-z0-9\\. ]{0,64}"#.prop_map(String::into_bytes),
            r#"[ \n]?(\{"(type|\$gemini_webhooks::base64)":("(batch\.expired|e30=)"|1e999|\[\{"a":[0-9.]{1,30}\}\])\}|null|"\\ud83d")[ \n]?"#.prop_map(String::into_bytes),
        ],
    ) {
        check(&body);
    }
}
