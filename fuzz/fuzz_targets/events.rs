//! Events: nothing that a body says makes an accessor panic, what plain JSON says is what the accessors
//! say, and a body comes back from a queue as documented.
#![cfg_attr(fuzzing, no_main)]

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::event::JobId;
use gemini_webhooks_fuzz::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let event = GeminiEvent::parse(body.to_vec());
    assert_eq!(event.raw(), body);
    let _ = (format!("{event:?}"), event.data_as::<Mine>());
    let _ = event.user_metadata_as::<Mine>();

    says_what_json_says(&event, body);
    job(&event);

    let binary = postcard::to_allocvec(&event).expect("bytes can be written");
    let back: GeminiEvent = postcard::from_bytes(&binary).expect("they can be read");
    assert_eq!(back.raw(), body);

    let json = serde_json::to_string(&event).expect("an event can be written");
    let back: GeminiEvent = serde_json::from_str(&json).expect("it can be read");
    let without_space = body.trim_ascii();
    assert!(back.raw() == body || back.raw() == without_space, "{json}");

    // Its text is lost in a value, its meaning is not.
    let value = serde_json::to_value(&event).expect("an event is a value");
    let back: GeminiEvent = serde_json::from_value(value).expect("it can be read");
    assert_eq!(said(&back), said(&event));
});

fn said(event: &GeminiEvent) -> [Option<&str>; 3] {
    [event.type_name(), event.version(), event.timestamp()]
}

/// The reader of members against serde_json's own, which takes less.
fn says_what_json_says(event: &GeminiEvent, body: &[u8]) {
    let Ok(Value::Object(plain)) = serde_json::from_slice(body) else {
        return;
    };
    let text = |name: &str| plain.get(name).and_then(Value::as_str);
    if text("type").is_none() {
        assert_eq!(said(event), [None; 3]);
        return;
    }
    assert_eq!(said(event), ["type", "version", "timestamp"].map(text));
    let present = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    let data = event.data_as::<Value>().expect("the body was read");
    assert_eq!(data, present(plain.get("data")));
    let metadata = event
        .user_metadata_as::<Value>()
        .expect("the body was read");
    let elsewhere = || present(data.as_ref()?.get("user_metadata"));
    let expected = present(plain.get("user_metadata")).or_else(elsewhere);
    assert_eq!(metadata, expected);
}

fn job(event: &GeminiEvent) {
    if let Some(job) = event.ended_job() {
        assert_eq!(event.job().as_ref(), Some(&job));
    }
    let Some(job) = event.job() else { return };
    assert!(event.job_name().is_some());
    assert!(!job.id().is_empty() && job.id().len() <= 256);
    assert_eq!(JobId::new(job.kind(), job.id()), Some(job));
}

/// A type of an app, which reads some of each shape.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "reading it is the test")]
struct Mine<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
    error_code: Option<u64>,
    #[serde(default)]
    parts: Vec<Option<f64>>,
}
