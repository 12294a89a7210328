//! What is shown of an event: a row, a page, or JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use comfy_table::Table;
use gemini_webhooks_inbox::{Change, Entry, State, What};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::shown::{self, plain};

/// So much of a type and of an error stands in a row.
const SHORT: usize = 40;
const LONGER: usize = 60;

const HEADS: [&str; 7] = [
    "NUMBER",
    "STATE",
    "RUNS",
    "TYPE",
    "WEBHOOK-ID",
    "RECEIVED",
    "LAST",
];

/// What has become of an event. One that was dropped is over as well, but was not worked off.
pub(super) fn state(entry: &Entry) -> &'static str {
    match entry.state() {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Dead => "dead",
        State::Done if is_dropped(entry) => "dropped",
        State::Done => "done",
        _ => "other",
    }
}

fn is_dropped(entry: &Entry) -> bool {
    let last = entry.history().last();
    last.is_some_and(|change| change.what() == What::Discarded)
}

fn what(change: &Change) -> &'static str {
    match change.what() {
        What::Stored => "stored",
        What::Begun => "begun",
        What::Done => "done",
        What::Failed => "failed",
        What::Dead => "dead",
        What::GivenBack => "given_back",
        What::Retried => "retried",
        What::Discarded => "dropped",
        _ => "other",
    }
}

/// Cuts text from elsewhere, and makes it harmless.
fn short(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", plain(text.get(..end).unwrap_or_default())),
        None => plain(text),
    }
}

fn last(entry: &Entry) -> String {
    let Some(change) = entry.history().last() else {
        return String::new();
    };
    let what = what(change).replace('_', " ");
    if change.why().is_empty() {
        what
    } else {
        format!("{what}: {}", short(change.why(), LONGER))
    }
}

/// A table with a row for each event.
pub(super) fn table(entries: &[Entry]) -> Table {
    let mut table = shown::table(&HEADS);
    for entry in entries {
        table.add_row([
            entry.number().to_string(),
            state(entry).to_owned(),
            entry.attempts().to_string(),
            short(entry.event().type_name().unwrap_or("none"), SHORT),
            plain(entry.webhook_id()),
            shown::time(entry.received_at()),
            last(entry),
        ]);
    }
    table
}

fn change(change: &Change) -> Value {
    json!({ "at": shown::time(change.at()), "what": what(change), "why": change.why() })
}

/// An event in a list, without its body and history.
pub(super) fn summary(entry: &Entry) -> Value {
    let is_over = matches!(entry.state(), State::Done | State::Dead);
    json!({
        "number": entry.number(),
        "webhook_id": entry.webhook_id(),
        "state": state(entry),
        "type": entry.event().type_name(),
        "attempts": entry.attempts(),
        "received_at": shown::time(entry.received_at()),
        "due_at": (!is_over).then(|| shown::time(entry.due_at())),
        "ended_at": entry.ended_at().map(shown::time),
        "last": entry.history().last().map(change),
    })
}

/// All of an event. The body is text or else Base64, as it arrived; `event` is the same if it is JSON.
pub(super) fn whole(entry: &Entry) -> Value {
    let mut whole = summary(entry);
    let body = entry.event().raw();
    let (name, text) = match str::from_utf8(body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(body)),
    };
    if let Some(fields) = whole.as_object_mut() {
        fields.remove("last");
        fields.insert("scheme".to_owned(), entry.scheme().into());
        fields.insert("key_id".to_owned(), entry.key_id().into());
        fields.insert("sent_at".to_owned(), shown::time(entry.sent_at()).into());
        let event = serde_json::from_slice::<Value>(body).ok();
        fields.insert("event".to_owned(), event.into());
        fields.insert(name.to_owned(), text.into());
        let history = entry.history().iter().map(change).collect();
        fields.insert("history".to_owned(), Value::Array(history));
    }
    whole
}

/// All of an event, for people.
pub(super) fn page(entry: &Entry) -> String {
    let due = match entry.state() {
        State::Waiting => Some(("next run", entry.due_at())),
        State::Running => Some(("held until", entry.due_at())),
        _ => None,
    };
    let mut facts = vec![
        ("number", entry.number().to_string()),
        ("webhook-id", plain(entry.webhook_id())),
        ("state", state(entry).to_owned()),
        ("type", plain(entry.event().type_name().unwrap_or("none"))),
        ("runs", entry.attempts().to_string()),
        (
            "signed by",
            format!("{} ({})", plain(entry.key_id()), plain(entry.scheme())),
        ),
        ("sent", shown::time(entry.sent_at())),
        ("received", shown::time(entry.received_at())),
    ];
    facts.extend(due.map(|(name, time)| (name, shown::time(time))));
    facts.extend(entry.ended_at().map(|time| ("ended", shown::time(time))));
    let mut text = String::new();
    for (name, value) in facts {
        text.push_str(&format!("{name:<10}  {value}\n"));
    }
    text.push_str("\nHistory\n");
    let mut history = shown::table(&["AT", "WHAT", "WHY"]);
    for change in entry.history() {
        let what = what(change).replace('_', " ");
        history.add_row([shown::time(change.at()), what, plain(change.why())]);
    }
    text.push_str(&history.to_string());
    text.push_str("\n\nBody\n");
    text.push_str(&body(entry.event().raw()));
    text
}

/// The body as people read it: JSON with line breaks, other text as it is.
fn body(raw: &[u8]) -> String {
    let Ok(text) = str::from_utf8(raw) else {
        return format!(
            "{} bytes that are no text; in Base64:\n{}",
            raw.len(),
            STANDARD.encode(raw)
        );
    };
    let pretty = indented(text);
    let pretty = pretty.as_deref().unwrap_or(text);
    let lines: Vec<_> = pretty.lines().map(plain).collect();
    lines.join("\n")
}

/// JSON with an indent; `None` if it is none. Only white space changes: a parser would round a large number, and lose a
/// name that is there twice.
fn indented(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut pretty = String::with_capacity(text.len() * 2);
    let (mut depth, mut previous, mut rest) = (0_usize, "", text.trim_ascii_start());
    while !rest.is_empty() {
        let (token, then) = rest.split_at(token_length(rest));
        rest = then.trim_ascii_start();
        let is_first = matches!(previous, "{" | "[");
        let is_closing = matches!(token, "}" | "]");
        if is_closing {
            depth = depth.saturating_sub(1);
        }
        if previous == "," || is_first != is_closing {
            line(&mut pretty, depth);
        }
        pretty.push_str(token);
        match token {
            "{" | "[" => depth += 1,
            ":" => pretty.push(' '),
            _ => {}
        }
        previous = token;
    }
    Some(pretty)
}

/// The length of the first token: a sign, a string, or a number or word.
fn token_length(json: &str) -> usize {
    if json.starts_with('"') {
        let mut is_escaped = false;
        let end = json.char_indices().skip(1).find(|&(_, char)| {
            let is_end = char == '"' && !is_escaped;
            is_escaped = char == '\\' && !is_escaped;
            is_end
        });
        return end.map_or(json.len(), |(end, _)| end + 1);
    }
    let is_sign = |char: char| "{}[],:".contains(char);
    if json.starts_with(is_sign) {
        return 1;
    }
    let end = json.find(|char: char| is_sign(char) || char.is_ascii_whitespace());
    end.unwrap_or(json.len())
}

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_as_it_is() {
        for (name, raw, shown) in [
            (
                "JSON",
                &br#"{"a":[1,"x"]}"#[..],
                "{\n  \"a\": [\n    1,\n    \"x\"\n  ]\n}",
            ),
            (
                "empty ones",
                br#" { "a" : [ ] ,"b":{},"c":[[{}]] } "#,
                "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    [\n      {}\n    ]\n  ]\n}",
            ),
            (
                "signs in a string",
                br#"{"a\\":"\"{[,:]} ","b":null}"#,
                "{\n  \"a\\\\\": \"\\\"{[,:]} \",\n  \"b\": null\n}",
            ),
            (
                "a large number",
                br#"{"a":123456789012345678901234567890}"#,
                "{\n  \"a\": 123456789012345678901234567890\n}",
            ),
            (
                "a name twice",
                br#"{"a":1,"a":2}"#,
                "{\n  \"a\": 1,\n  \"a\": 2\n}",
            ),
            (
                "a text",
                b"no event\x1b[31m\nat all",
                "no event\\u{1b}[31m\nat all",
            ),
            (
                "a text in JSON",
                "\"\u{9b}31m\u{202e}\"".as_bytes(),
                "\"\\u{9b}31m\\u{202e}\"",
            ),
            ("nothing", b"", ""),
            (
                "no text",
                b"\xff\x00",
                "2 bytes that are no text; in Base64:\n/wA=",
            ),
        ] {
            assert_eq!(body(raw), shown, "{name}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        for (name, text, shown) in [
            ("short", "ab", "ab"),
            ("just so", "abc", "abc"),
            ("long", "abcd", "abc…"),
            ("wide", "üüüü", "üüü…"),
            ("a line break", "a\nbc", "a\\nb…"),
        ] {
            assert_eq!(short(text, 3), shown, "{name}");
        }
    }
}
