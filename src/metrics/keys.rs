//! The keys of deliveries that were not refused, made once: to make a key of four labels allocates.

use std::sync::LazyLock;

use ::metrics::{Key, Label};

use super::names::DELIVERIES;

type Labels = [(&'static str, &'static str); 4];

const SCHEMES: [&str; 3] = ["v1", "v1a", "jwt"];
const TYPES: [&str; 11] = [
    "batch.succeeded",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "interaction.requires_action",
    "interaction.completed",
    "interaction.failed",
    "interaction.cancelled",
    "video.generated",
    "other",
    "none",
];
const OUTCOMES: [&str; 6] = [
    "handled",
    "repeated",
    "failed",
    "timed_out",
    "dropped",
    "panicked",
];

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    for scheme in SCHEMES {
        for type_name in TYPES {
            for outcome in OUTCOMES {
                keys.push(new(&[
                    ("scheme", scheme),
                    ("type", type_name),
                    ("outcome", outcome),
                    ("code", ""),
                ]));
            }
        }
    }
    keys
});

pub(super) fn new(labels: &Labels) -> Key {
    let labels = labels.map(|(label, value)| Label::from_static_parts(label, value));
    Key::from_parts(DELIVERIES, labels.to_vec())
}

/// The key with these labels, if it is one of those.
pub(super) fn of(labels: &Labels) -> Option<&'static Key> {
    let [(_, scheme), (_, type_name), (_, outcome), _] = labels;
    let at = |values: &[&str], value: &str| values.iter().position(|known| *known == value);
    let scheme = at(&SCHEMES, scheme)? * TYPES.len() * OUTCOMES.len();
    let type_name = at(&TYPES, type_name)? * OUTCOMES.len();
    KEYS.get(scheme + type_name + at(&OUTCOMES, outcome)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_labels_that_it_was_asked_for() {
        let mut found = 0;
        for scheme in SCHEMES.into_iter().chain(["none"]) {
            for type_name in TYPES.into_iter().chain(["new"]) {
                for outcome in OUTCOMES.into_iter().chain(["refused"]) {
                    let labels = [
                        ("scheme", scheme),
                        ("type", type_name),
                        ("outcome", outcome),
                        ("code", ""),
                    ];
                    let Some(key) = of(&labels) else { continue };
                    assert_eq!(*key, new(&labels));
                    found += 1;
                }
            }
        }
        assert_eq!(found, 3 * 11 * 6);
    }
}
