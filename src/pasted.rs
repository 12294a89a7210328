//! Text that somebody pasted into a configuration, and what usually goes wrong with it.
//!
//! Nothing here repeats any part of the text: it may be a secret in spite of all.

use std::env::{self, VarError};

use zeroize::Zeroizing;

use crate::error::ConfigError;

/// Without what cannot be seen around it: white space, a byte order mark, characters of zero width.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|char: char| char.is_whitespace() || is_invisible(char))
}

fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(char, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What is wrong with a text that should be a run of letters, digits and little else, as the end of a
/// sentence that begins with what it should be; `None` if it is none of the usual slips. The text
/// is trimmed.
///
/// All of these have something that base64 in either alphabet does not have, or that would be there
/// by chance in one of a billion.
pub(crate) fn slip(text: &str) -> Option<&'static str> {
    let starts = |with: &[&str]| with.iter().any(|prefix| text.starts_with(prefix));
    let has = |what: &[char]| text.contains(what);
    let is_assigned = text.trim_end_matches('=').contains('=');
    let of_google = starts(&["AIza"]) && text.len() == 39 || starts(&["AQ.", "ya29."]);
    let slips = [
        (
            starts(&["-----BEGIN"]),
            "is a PEM file (`-----BEGIN …`), which holds another sort of key",
        ),
        (
            has(&['$']) || text.contains("{{") || starts(&["%"]) && text.ends_with('%'),
            "is a reference (`$NAME`, `${…}`, `{{…}}`, `%NAME%`) that nothing has replaced by its value; check how the variable is set",
        ),
        (
            starts(&["arn:", "projects/", "webhooks/", "@Microsoft."]),
            "is the name of a resource; give the value that is stored there",
        ),
        (text.contains("://"), "is a URL; give the value only"),
        (
            has(&['<']),
            "is a placeholder (`<…>`); put the value in its place, without the brackets",
        ),
        (
            starts(&["{", "["]),
            "is JSON; give the value only, without quotes",
        ),
        (
            text.starts_with(QUOTES),
            "is in quotes; give it without them",
        ),
        (
            text.get(..7)
                .is_some_and(|start| start.eq_ignore_ascii_case("bearer ")),
            "has `Bearer` in front; give the value only",
        ),
        (
            starts(&["- ", "|", ">"]),
            "has marks of YAML in front (`-`, `|`, `>`); give the value only",
        ),
        (
            has(&['#']),
            "has a comment (`#`) in it; give the value only",
        ),
        (
            is_assigned,
            "has a name and `=` in front; give the value only",
        ),
        (
            has(&[':']),
            "has a name and `:` in front; give the value only",
        ),
        (has(QUOTES), "has a quote in it; remove it"),
        (
            text.contains("...") || has(&['…']),
            "is shortened or left out (`…`); copy all of it. Google shows a signing secret once, when the webhook is created or its secret rotated",
        ),
        (
            has(&['*', '•', '●', '∙', '·']),
            "is masked (`•••`); copy the value itself",
        ),
        (
            has(&['\\']),
            "has an escape such as `\\n` in it; give the character that it stands for, or remove it",
        ),
        (has(&['%']), "is percent-encoded; decode it first"),
        (
            has(&[',', ';']),
            "has a `,` or `;` in it; remove it, and give several values one at a time",
        ),
        (
            text.contains(char::is_whitespace),
            "has white space inside; remove it, and give several values one at a time",
        ),
        (
            text.contains(is_invisible),
            "has an invisible character inside (it cannot be seen); copy it again, as plain text",
        ),
        (
            !text.is_ascii(),
            "has a character that is not ASCII, even if it looks so; copy it again, as plain text",
        ),
        (
            has(&['(', ')', '>', '[', ']', '{', '}']),
            "has a bracket in it; remove it",
        ),
        (
            of_google,
            "is a Google API key or access token; give the value that belongs here",
        ),
        (
            starts(&["eyJ"]) && has(&['.']),
            "is a token (JWT); give the value that belongs here",
        ),
        (
            is_variable(text.trim_end_matches('=')),
            "is the name of a variable; give its value",
        ),
        (
            is_placeholder(text),
            "is a placeholder; put the value in its place",
        ),
    ];
    slips.into_iter().find_map(|(is, what)| is.then_some(what))
}

const QUOTES: &[char] = &[
    '"', '\'', '`', '´', '“', '”', '„', '‘', '’', '‚', '«', '»', '‹', '›',
];

/// `WEBHOOK_SIGNING_SECRET`
fn is_variable(name: &str) -> bool {
    name.contains('_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Whether no generator made this. Each of the words has eight letters or more.
fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 20] = [
        "changeme",
        "replaceme",
        "replacewith",
        "placeholder",
        "yoursecret",
        "yourtoken",
        "yoursigning",
        "yourwebhook",
        "yourendpoint",
        "insertyour",
        "pasteyour",
        "secrethere",
        "tokenhere",
        "goeshere",
        "examplesecret",
        "exampletoken",
        "signingsecret",
        "webhooksecret",
        "endpointtoken",
        "supersecret",
    ];
    let letters = letters(text);
    WORDS.iter().any(|word| letters.contains(word))
        || text.contains("xxxxxx")
        || text.contains("XXXXXX")
        || is_monotonous(text)
}

/// Whether one or two characters make up the whole text, but for padding.
fn is_monotonous(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    let mut bytes = Zeroizing::new(text.as_bytes().to_vec());
    bytes.sort_unstable();
    bytes.dedup();
    text.len() >= 8 && bytes.len() <= 2
}

/// Whether a text with dashes, which is no value, is made of the words of a placeholder.
pub(crate) fn is_made_of_words(text: &str) -> bool {
    const WORDS: [&str; 9] = [
        "your", "my", "secret", "here", "change", "replace", "example", "test", "todo",
    ];
    text.split(['-', '_'])
        .any(|part| WORDS.iter().any(|word| part.eq_ignore_ascii_case(word)))
}

fn letters(text: &str) -> Zeroizing<String> {
    let letters = text.chars().filter(char::is_ascii_alphabetic);
    Zeroizing::new(letters.map(|letter| letter.to_ascii_lowercase()).collect())
}

/// What `read` makes of an environment variable. A mistake says which one it was.
pub(crate) fn from_env<T>(
    name: &str,
    read: impl FnOnce(&str) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    from_variable(name, env::var(name), read)
}

fn from_variable<T>(
    name: &str,
    value: Result<String, VarError>,
    read: impl FnOnce(&str) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let mistake = |reason: String| ConfigError::Variable {
        name: name.to_owned(),
        reason,
    };
    let value = match value.map(Zeroizing::new) {
        Ok(value) if trim(&value).is_empty() => return Err(mistake("is empty; set it".to_owned())),
        Ok(value) => value,
        Err(VarError::NotPresent) => {
            return Err(mistake("is not set; set it, or check the name".to_owned()));
        }
        Err(VarError::NotUnicode(_)) => {
            return Err(mistake("is not Unicode; set it to plain text".to_owned()));
        }
    };
    read(&value).map_err(|wrong| mistake(format!("cannot be used: {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_in_what_is_wrong_with_it() {
        let short = |_: &str| Err::<(), _>(ConfigError::SecretTooShort { bytes: 3 });
        let not_unicode = Err(VarError::NotUnicode("secret".into()));
        for (value, part) in [
            (Err(VarError::NotPresent), "`NAME` is not set"),
            (not_unicode, "`NAME` is not Unicode"),
            (Ok(String::new()), "`NAME` is empty"),
            (Ok(" \u{feff}\n".to_owned()), "`NAME` is empty"),
            (
                Ok("x".to_owned()),
                "`NAME` cannot be used: the signing secret decodes to 3 bytes",
            ),
        ] {
            let shown = from_variable("NAME", value, short).unwrap_err().to_string();
            assert!(shown.contains(part), "{shown}");
            assert!(!shown.contains("\"secret\""), "{shown}");
        }
        let read = from_variable("NAME", Ok("x".to_owned()), |text| Ok(text.len()));
        assert_eq!(read, Ok(1));
        // Whatever it is called, it is one line.
        let odd = from_env("A\nB", short).unwrap_err().to_string();
        assert!(odd.contains(r"`A\nB` is not set"), "{odd}");
    }

    #[test]
    fn what_is_around_and_cannot_be_seen_is_no_part_of_it() {
        for around in [
            "", " ", "\r\n", "\t", "\u{feff}", "\u{200b}", "\u{a0}", "\u{2060}", "\0",
        ] {
            assert_eq!(trim(&format!("{around}a b{around}")), "a b", "{around:?}");
        }
    }

    #[test]
    fn what_a_generator_makes_is_no_placeholder() {
        for text in [
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "0123456789abcdefghijkl",
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH",
            "AbAbAbAc",
            "xxxxx",
            "WEBHOOK",
            "A_B_1",
        ] {
            assert_eq!(slip(text), None, "{text}");
        }
        for text in [
            "xxxxxxxx",
            "0000000000000000",
            "ABABABABA",
            "aaaaaaaaaaaaaaab",
            "AAAAAAAAAA==",
        ] {
            assert_eq!(
                slip(text),
                Some("is a placeholder; put the value in its place"),
                "{text}"
            );
        }
    }
}
