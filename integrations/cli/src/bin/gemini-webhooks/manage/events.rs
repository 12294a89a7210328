//! The types of events that a webhook is subscribed to, as an option.

use gemini_webhooks::client::SubscribedEvent;

use crate::exit::Failure;
use crate::shown::{self, plain};

/// The types that `--events` names, each once. `all` stands for all that are known.
pub(super) fn subscribed(names: &[String]) -> Result<Vec<SubscribedEvent>, Failure> {
    let mut events = Vec::new();
    for name in names {
        let name = name.trim();
        let named = match name {
            "" => {
                return Err(Failure::unusable(format!(
                    "--events has an empty name; name types of events, such as {}, or `all`",
                    SubscribedEvent::BatchSucceeded
                )));
            }
            "all" => SubscribedEvent::ALL.to_vec(),
            name => vec![SubscribedEvent::from(name)],
        };
        for event in named {
            if !events.contains(&event) {
                events.push(event);
            }
        }
    }
    Ok(events)
}

/// Says which types this version does not know: they may be misspelt, or new.
pub(super) fn tell_unknown(events: &[SubscribedEvent]) {
    for event in events {
        if !SubscribedEvent::ALL.contains(event) {
            let known = SubscribedEvent::ALL
                .map(|event| event.to_string())
                .join(", ");
            shown::warning(format_args!(
                "this version does not know the event type {event}, and sends it as it is. It knows {known}"
            ));
        }
    }
}

/// The types as a table has them: `all` if it is all that are known.
pub(super) fn shown(events: &[SubscribedEvent]) -> String {
    if events.len() == SubscribedEvent::ALL.len()
        && SubscribedEvent::ALL
            .iter()
            .all(|event| events.contains(event))
    {
        return "all".to_owned();
    }
    let names: Vec<String> = events.iter().map(|event| plain(event.as_str())).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Result<String, Failure> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let events = subscribed(&names)?;
        let names: Vec<&str> = events.iter().map(SubscribedEvent::as_str).collect();
        Ok(names.join(" "))
    }

    #[test]
    fn what_the_option_names() {
        let all = SubscribedEvent::ALL
            .map(|event| event.to_string())
            .join(" ");
        for (given, expected) in [
            (&["batch.failed"][..], "batch.failed"),
            (
                &["batch.failed", " video.generated "],
                "batch.failed video.generated",
            ),
            (&["batch.failed", "batch.failed"], "batch.failed"),
            (&["all"], &all),
            (&["all", "batch.failed"], &all),
            (&["music.generated"], "music.generated"),
        ] {
            assert_eq!(names(given).unwrap(), expected, "{given:?}");
        }
        assert!(names(&["batch.failed", ""]).is_err());
    }

    #[test]
    fn what_a_table_has() {
        let mut all = SubscribedEvent::ALL.to_vec();
        all.reverse();
        assert_eq!(shown(&all), "all");
        assert_eq!(shown(&[]), "");
        assert_eq!(
            shown(&[
                SubscribedEvent::BatchFailed,
                SubscribedEvent::from("a\u{1b}b")
            ]),
            r"batch.failed, a\u{1b}b"
        );
    }
}
