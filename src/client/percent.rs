//! Percent-encoding (RFC 3986, section 2.1).

/// Every byte of `text`, but for what RFC 3986 reserves nowhere.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        push_encoded(&mut encoded, byte);
    }
    encoded
}

/// `byte` as it is if RFC 3986 reserves it nowhere, and else encoded, in capitals.
pub(super) fn push_encoded(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        text.push(char::from(byte));
    } else {
        text.push_str(&format!("%{byte:02X}"));
    }
}

/// `text` with what `push` writes for each encoded byte. A `%` that encodes none stays.
pub(super) fn with_each(text: &str, push: impl Fn(&mut String, u8)) -> String {
    let mut parts = text.split('%');
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hex = part.get(..2);
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            push(&mut written, byte);
            written.push_str(part.get(2..).unwrap_or_default());
        } else {
            written.push('%');
            written.push_str(part);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_reserved_is_encoded() {
        for (text, expected) in [
            ("abc-XYZ_0.9~", "abc-XYZ_0.9~"),
            ("\u{8}\r\n\0", "%08%0D%0A%00"),
            (" +/?#%&=:@", "%20%2B%2F%3F%23%25%26%3D%3A%40"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(encoded(text), expected, "{text:?}");
        }
    }
}
