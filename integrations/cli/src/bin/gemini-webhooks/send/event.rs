//! The event that is sent.

use std::time::SystemTime;

use gemini_webhooks::testing::SAMPLE_EVENTS;
use serde_json::{Map, Value, json};

use super::options::EventOptions;
use crate::exit::Failure;
use crate::{input, shown};

/// More than any receiver takes.
const MAX_BODY: u64 = 16 * 1024 * 1024;

/// Stands for the job's id in a sample: each event is about a job of its own, since a receiver may handle the end of
/// a job only once.
const JOB: &str = "JOB-OF-THIS-EVENT";

/// The body as the event with this `webhook-id` has it.
pub(super) fn body_of(body: &[u8], id: &str) -> Vec<u8> {
    let Ok(text) = str::from_utf8(body) else {
        return body.to_vec();
    };
    let is_plain = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let job: String = id.chars().filter(is_plain).collect();
    let job = job.strip_prefix("msg_").unwrap_or(&job);
    text.replace(JOB, if job.is_empty() { "sample" } else { job })
        .into_bytes()
}

/// A body, and what it is called.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) body: Vec<u8>,
    pub(super) name: String,
    /// Whether it is about a job that each sending names anew.
    pub(super) is_sample: bool,
    /// What people should know about it.
    pub(super) remark: Option<String>,
}

impl Event {
    pub(super) async fn of(options: &EventOptions, now: SystemTime) -> Result<Self, Failure> {
        if let Some(path) = &options.body {
            return Ok(Self {
                body: input::read(path, MAX_BODY).await?.to_vec(),
                name: format!("the body in {}", input::name(path)),
                is_sample: false,
                remark: None,
            });
        }
        let type_name = &options.type_name;
        let sample = sample(type_name);
        let remark = sample.is_none().then(|| {
            format!(
                "{} is none of the nine types of Google's guide ({}): a small event of this type is sent",
                shown::plain(type_name),
                types().join(", ")
            )
        });
        let mut event = sample.unwrap_or_else(|| made_up(type_name));
        event.insert("timestamp".to_owned(), shown::time(now).into());
        if let Some(Value::Object(data)) = event.get_mut("data") {
            let family = match type_name.split('.').next() {
                Some("batch") => "batches/",
                Some("video") => "models/veo/operations/",
                _ => "",
            };
            data.insert("id".to_owned(), format!("{family}{JOB}").into());
        }
        if let Some(data) = &options.data {
            event.insert("data".to_owned(), data.clone());
        }
        if let Some(metadata) = &options.user_metadata {
            event.insert("user_metadata".to_owned(), metadata.clone());
        }
        Ok(Self {
            body: Value::Object(event).to_string().into_bytes(),
            name: shown::plain(type_name),
            is_sample: options.data.is_none(),
            remark,
        })
    }
}

fn samples() -> impl Iterator<Item = Map<String, Value>> {
    SAMPLE_EVENTS
        .iter()
        .filter_map(|sample| serde_json::from_str(sample).ok())
}

fn sample(type_name: &str) -> Option<Map<String, Value>> {
    samples().find(|sample| sample.get("type").and_then(Value::as_str) == Some(type_name))
}

fn types() -> Vec<String> {
    samples()
        .filter_map(|sample| Some(sample.get("type")?.as_str()?.to_owned()))
        .collect()
}

fn made_up(type_name: &str) -> Map<String, Value> {
    let members = [
        ("type", json!(type_name)),
        ("version", json!("v1")),
        ("timestamp", Value::Null),
        ("data", json!({"id": "sample-1"})),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A new `webhook-id` in the form that Google's have: `msg_` and a UUID.
pub(super) fn new_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(format!(
            "the operating system returned no random bytes: {error}"
        ))
    })?;
    let number = u128::from_be_bytes(bytes);
    // Version 4 of RFC 9562.
    let number = number & !(0xf << 76) | 0x4 << 76;
    let number = number & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{number:032x}");
    let groups = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let groups: Vec<&str> = groups
        .iter()
        .filter_map(|&(from, to)| hex.get(from..to))
        .collect();
    Ok(format!("msg_{}", groups.join("-")))
}

#[cfg(test)]
mod tests {
    use gemini_webhooks::{EventKind, GeminiEvent};

    use super::*;

    fn options(type_name: &str) -> EventOptions {
        EventOptions {
            type_name: type_name.to_owned(),
            data: None,
            user_metadata: None,
            body: None,
            id: None,
        }
    }

    #[tokio::test]
    async fn all_types_are_sent_as_they_are_known() {
        let types = types();
        assert_eq!(types.len(), 9);
        for type_name in types {
            let event = Event::of(&options(&type_name), SystemTime::UNIX_EPOCH)
                .await
                .unwrap();
            assert!(event.remark.is_none(), "{type_name}");
            let event = GeminiEvent::parse(event.body);
            assert_eq!(event.type_name(), Some(&*type_name));
            assert_ne!(event.kind(), &EventKind::Unknown, "{type_name}");
            assert_eq!(
                event.timestamp(),
                Some("1970-01-01T00:00:00Z"),
                "{type_name}"
            );
        }
        let event = Event::of(&options("song.composed"), SystemTime::UNIX_EPOCH)
            .await
            .unwrap();
        assert!(event.remark.unwrap().contains("batch.succeeded, "));
        assert_eq!(
            GeminiEvent::parse(event.body).type_name(),
            Some("song.composed")
        );
    }

    #[tokio::test]
    async fn each_event_is_about_a_job_of_its_own() {
        for type_name in types() {
            let event = Event::of(&options(&type_name), SystemTime::UNIX_EPOCH)
                .await
                .unwrap();
            let job = |id: &str| {
                let body = body_of(&event.body, id);
                let event: Value = serde_json::from_slice(&body).unwrap();
                event["data"]["id"].as_str().unwrap().to_owned()
            };
            let (one, two) = (job("msg_1-a"), job("msg_2"));
            assert_ne!(one, two, "{type_name}");
            assert!(one.ends_with("1-a") && !one.contains(JOB), "{one}");
            assert!(job("\"\u{e9}").ends_with("sample"));
        }
        // What the user gives stays as it is.
        assert_eq!(body_of(b"\xffJOB", "msg_1"), b"\xffJOB");
    }

    #[tokio::test]
    async fn data_and_metadata_are_taken_over() {
        let options = EventOptions {
            data: Some(json!({"id": "batches/mine"})),
            user_metadata: Some(json!({"order": "7"})),
            ..options("batch.succeeded")
        };
        let event = Event::of(&options, SystemTime::UNIX_EPOCH).await.unwrap();
        let event: Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(event["data"], json!({"id": "batches/mine"}));
        assert_eq!(event["user_metadata"]["order"], "7");
    }

    #[test]
    fn ids_are_new_uuids() {
        let (one, two) = (new_id().unwrap(), new_id().unwrap());
        assert_ne!(one, two);
        for id in [one, two] {
            let parts: Vec<&str> = id.strip_prefix("msg_").unwrap().split('-').collect();
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(parts[2].starts_with('4'), "{id}");
            assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        }
    }
}
