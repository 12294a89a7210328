//! The forms that a body may have had before something on the way changed it.

mod bytes;
mod json;
mod written;

use json::Document;

/// A body that may have been signed, and what must have happened to it on the way for the other to arrive.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) body: Vec<u8>,
    /// In the order in which they happened, each as what "it" did: "compressed it with gzip".
    pub(super) changes: Vec<String>,
}

/// Calls `try_it` with each form in which a body that arrives as `body` may have been sent, the likeliest first, until
/// it returns true. Returns that form.
pub(super) fn find(body: &[u8], mut try_it: impl FnMut(&[u8]) -> bool) -> Option<Form> {
    let mut try_it = |form: &[u8]| form != body && try_it(form);
    for (decoded, transport) in bytes::transports(body) {
        let endings = bytes::endings(&decoded);
        for (text, ending) in &endings {
            if try_it(text) {
                return Some(form(text.clone(), [ending.clone(), transport]));
            }
        }
        for (text, ending) in &endings {
            let Some(document) = Document::read(text) else {
                continue;
            };
            let mut found = None;
            document.each_form(|written, change| {
                let fits = try_it(written);
                if fits {
                    let changes = [Some(change()), ending.clone(), transport.clone()];
                    found = Some(form(written.to_vec(), changes));
                }
                fits
            });
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

fn form(body: Vec<u8>, changes: impl IntoIterator<Item = Option<String>>) -> Form {
    Form {
        body,
        changes: changes.into_iter().flatten().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn mojibake(body: &str) -> Vec<u8> {
        body.bytes()
            .map(char::from)
            .collect::<String>()
            .into_bytes()
    }

    /// What was signed, what arrived, and what is said of it.
    #[test]
    fn what_happened_to_a_body_is_found() {
        let sent = r#"{"type":"batch.failed","version":"v1","data":{"id":"batches/1","error_message":"Übel: a/b <c> 漢"}}"#;
        let spaced = r#"{"type": "batch.failed", "version": "v1", "data": {"id": "batches/1", "error_message": "Übel: a/b <c> 漢"}}"#;
        let pretty = "{\n  \"type\": \"batch.failed\",\n  \"version\": \"v1\",\n  \"data\": {\n    \"id\": \"batches/1\",\n    \"error_message\": \"Übel: a/b <c> 漢\"\n  }\n}";
        let sorted = r#"{"data":{"error_message":"Übel: a/b <c> 漢","id":"batches/1"},"type":"batch.failed","version":"v1"}"#;
        let ascii = r#"{"type":"batch.failed","version":"v1","data":{"id":"batches/1","error_message":"\u00dcbel: a/b <c> \u6f22"}}"#;
        let php = r#"{"type":"batch.failed","version":"v1","data":{"id":"batches\/1","error_message":"\u00dcbel: a\/b <c> \u6f22"}}"#;
        let slash = r#"{"type":"batch.failed","version":"v1","data":{"id":"batches\/1","error_message":"Übel: a\/b <c> 漢"}}"#;
        let go = r#"{"type":"batch.failed","version":"v1","data":{"id":"batches/1","error_message":"Übel: a/b \u003cc\u003e 漢"}}"#;
        let quoted = serde_json::to_string(sent).unwrap();
        let bytes = |text: &str| text.as_bytes().to_vec();
        for (name, signed, arrived, said) in [
            ("made spaced", bytes(sent), bytes(spaced), "compact"),
            ("made pretty", bytes(sent), bytes(pretty), "compact"),
            ("made compact", bytes(spaced), bytes(sent), "a space after"),
            (
                "a pretty one made compact",
                bytes(pretty),
                bytes(sent),
                "indented by 2",
            ),
            ("sorted", bytes(sent), bytes(sorted), "type, version, data"),
            (
                "sorted and spaced",
                bytes(spaced),
                bytes(sorted),
                "type, version, data",
            ),
            ("no longer sorted", bytes(sorted), bytes(sent), "sorted"),
            (
                "escaped",
                bytes(sent),
                bytes(ascii),
                "beyond ASCII as they are",
            ),
            (
                "no longer escaped",
                bytes(ascii),
                bytes(sent),
                r"beyond ASCII as `\u…`",
            ),
            (
                "no longer as PHP writes it",
                bytes(php),
                bytes(sent),
                r"`\/`",
            ),
            (
                "slashes no longer escaped",
                bytes(slash),
                bytes(sent),
                r"`\/`",
            ),
            ("made safe for HTML", bytes(sent), bytes(go), "compact"),
            (
                "no longer safe for HTML",
                bytes(go),
                bytes(spaced),
                r"`\u003c`",
            ),
            (
                "a space added",
                bytes(sent),
                bytes(&format!("{sent} ")),
                "added white space around it",
            ),
            (
                "a line break added",
                bytes(sent),
                bytes(&format!("{sent}\n")),
                "added a line break (LF)",
            ),
            (
                "a CRLF added",
                bytes(sent),
                bytes(&format!("{sent}\r\n")),
                "added a line break (CRLF)",
            ),
            (
                "a line break lost",
                bytes(&format!("{sent}\n")),
                bytes(sent),
                "left out the line break (LF)",
            ),
            (
                "CRLF",
                bytes(pretty),
                bytes(&pretty.replace('\n', "\r\n")),
                "turned the line breaks LF into CRLF",
            ),
            (
                "LF",
                bytes(&pretty.replace('\n', "\r\n")),
                bytes(pretty),
                "turned the line breaks CRLF into LF",
            ),
            (
                "Latin-1",
                bytes("{\"a\":\"Übel\"}"),
                mojibake("{\"a\":\"Übel\"}"),
                "as Latin-1",
            ),
            (
                "Windows-1252",
                bytes("{\"a\":\"–\"}"),
                bytes("{\"a\":\"â€“\"}"),
                "as Windows-1252",
            ),
            (
                "to Latin-1",
                bytes("{\"a\":\"Übel\"}"),
                b"{\"a\":\"\xdcbel\"}".to_vec(),
                "into Latin-1",
            ),
            (
                "a mark of byte order",
                bytes(sent),
                [b"\xef\xbb\xbf", sent.as_bytes()].concat(),
                "byte order",
            ),
            (
                "gzip",
                bytes(sent),
                gzip(sent.as_bytes()),
                "compressed it with gzip",
            ),
            (
                "gzip of another form",
                bytes(sent),
                gzip(spaced.as_bytes()),
                "compressed it with gzip",
            ),
            (
                "a JSON string",
                bytes(sent),
                bytes(&quoted),
                "into a JSON string",
            ),
            ("base64", bytes(sent), bytes(&base64_of(sent)), "base64"),
            (
                "spaced and a line break",
                bytes(sent),
                bytes(&format!("{spaced}\n")),
                "line break (LF)",
            ),
        ] {
            let found = find(&arrived, |form| form == signed)
                .unwrap_or_else(|| panic!("{name} is not found"));
            assert_eq!(found.body, signed, "{name}");
            let changes = found.changes.join(", and then ");
            assert!(changes.contains(said), "{name}: {changes}");
        }
    }

    fn base64_of(text: &str) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    #[test]
    fn each_form_is_another_body_than_the_one_that_arrived() {
        let body = br#"{"type":"x","data":{"id":1}}"#;
        let mut tried = 0;
        let found = find(body, |form| {
            assert_ne!(form, body);
            tried += 1;
            false
        });
        assert!(found.is_none());
        assert!((50..20_000).contains(&tried), "{tried}");
    }

    #[test]
    fn hostile_bodies_cost_little() {
        let deep = "[".repeat(60_000);
        let bomb = gzip(&vec![b'['; 50 << 20]);
        let wide = format!(
            "{{{}}}",
            (0..2000)
                .map(|n| format!("\"{n}\":{n}"))
                .collect::<Vec<_>>()
                .join(",")
        );
        for body in [
            deep.as_bytes(),
            &bomb,
            wide.as_bytes(),
            b"",
            b"\xff\xfe",
            b"{",
            b"\"",
            b"1e999",
        ] {
            let (mut tried, mut bytes) = (0, 0);
            let found = find(body, |form| {
                tried += 1;
                bytes += form.len();
                false
            });
            assert!(found.is_none());
            assert!(
                tried < 2000 && bytes < 64 << 20,
                "{tried} forms of {bytes} bytes"
            );
        }
    }
}
