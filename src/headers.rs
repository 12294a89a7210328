//! The three headers of a delivery, as any framework can hand them over.

use std::fmt;

use memchr::{memchr, memchr2_iter, memchr3};

use crate::error::{Detail, Plain, VerifyError, VerifyErrorKind};

/// The name of the header with the event's id, which is the same in all retries.
pub const WEBHOOK_ID: &str = "webhook-id";
/// The name of the header with the time of sending, in seconds since the Unix epoch.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The name of the header with the signatures.
///
/// Its entries are `version,base64`, separated by spaces, or by commas if a proxy has joined several
/// lines into one (RFC 9110, section 5.3).
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

const MAX_ID: usize = 256;
/// Sixteen signatures fit several times.
pub(crate) const MAX_SIGNATURE: usize = 4 * 1024;
/// A token carries its payload.
#[cfg(feature = "jwt")]
pub(crate) const MAX_SIGNATURE_WITH_TOKENS: usize = 16 * 1024;
const MAX_ENTRIES: usize = 16;

const INVISIBLE: &str = "it has bytes that are not visible ASCII";

/// The three headers of a delivery, borrowed from the header type of your framework.
///
/// Making one never fails: [`Verifier::check`](crate::Verifier::check) checks the values. A header
/// that is repeated with the same value counts once. With another value the delivery is refused,
/// because a proxy and this receiver could otherwise read different ones. If a proxy has joined
/// several lines of `webhook-signature` into one, each signature counts. A joined id or timestamp
/// is malformed.
///
/// The names and formats are those of [Standard
/// Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
///
/// ```
/// use gemini_webhooks::DeliveryHeaders;
///
/// let lines = [("Webhook-Id", "msg_1"), ("webhook-timestamp", "1700000000")];
/// let headers = DeliveryHeaders::from_lines(lines);
/// ```
#[derive(Clone, Copy)]
pub struct DeliveryHeaders<'a> {
    id: Field<'a>,
    timestamp: Field<'a>,
    signature: Field<'a>,
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Absent,
    Once(&'a [u8]),
    Conflicting,
}

impl<'a> DeliveryHeaders<'a> {
    /// Takes the three headers from all header lines of a request.
    ///
    /// Names are compared without regard to case.
    pub fn from_lines<N, V>(lines: impl IntoIterator<Item = (N, &'a V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]> + ?Sized + 'a,
    {
        let mut headers = Self::from_values([], [], []);
        for (name, value) in lines {
            let name = name.as_ref();
            for (wanted, field) in [
                (WEBHOOK_ID, &mut headers.id),
                (WEBHOOK_TIMESTAMP, &mut headers.timestamp),
                (WEBHOOK_SIGNATURE, &mut headers.signature),
            ] {
                if name.eq_ignore_ascii_case(wanted) {
                    field.add(value.as_ref());
                }
            }
        }
        headers
    }

    /// Takes the values of each of the three headers, for a header type that looks names up.
    ///
    /// Pass all values of a name: a repeated header must be seen as repeated.
    pub fn from_values(
        id: impl IntoIterator<Item = &'a [u8]>,
        timestamp: impl IntoIterator<Item = &'a [u8]>,
        signature: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        Self {
            id: Field::from_values(id),
            timestamp: Field::from_values(timestamp),
            signature: Field::from_values(signature),
        }
    }

    /// The id for the log, where it is one; nobody vouches for it yet.
    #[cfg(feature = "receiver")]
    pub(crate) fn plain_id(&self) -> Option<&'a str> {
        parse_id(self.id.value(WEBHOOK_ID).ok()?).ok()
    }

    /// All that are missing: where it is all three, the request is no delivery at all.
    fn absent(&self) -> impl Iterator<Item = &'static str> + Clone {
        [
            (WEBHOOK_ID, self.id),
            (WEBHOOK_TIMESTAMP, self.timestamp),
            (WEBHOOK_SIGNATURE, self.signature),
        ]
        .into_iter()
        .filter(|(_, field)| matches!(field, Field::Absent))
        .map(|(name, _)| name)
    }

    /// Step 2 of a delivery, the headers: each is there once, and well-formed.
    pub(crate) fn parse(&self, max_signature: usize) -> Result<Fields<'a>, VerifyError> {
        let absent = self.absent();
        if absent.clone().next().is_some() {
            let names: Vec<&str> = absent.collect();
            let names = Detail::Told(names.join(", ").into());
            return Err(VerifyError::new(VerifyErrorKind::MissingHeader, names));
        }
        let because = |kind| move |why| VerifyError::new(kind, Detail::Text(why));
        let id =
            parse_id(self.id.value(WEBHOOK_ID)?).map_err(because(VerifyErrorKind::InvalidId))?;
        let timestamp = self.timestamp.value(WEBHOOK_TIMESTAMP)?;
        let sent_at = parse_timestamp(timestamp).ok_or(VerifyErrorKind::InvalidTimestamp)?;
        let signatures = Signatures::parse(self.signature.value(WEBHOOK_SIGNATURE)?, max_signature)
            .map_err(because(VerifyErrorKind::InvalidSignatureHeader))?;
        Ok(Fields {
            id,
            timestamp,
            sent_at,
            signatures,
        })
    }
}

/// Without the signature, which does not belong in a log.
impl fmt::Debug for DeliveryHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryHeaders")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

impl<'a> Field<'a> {
    fn from_values(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut field = Self::Absent;
        for value in values {
            field.add(value);
        }
        field
    }

    fn add(&mut self, value: &'a [u8]) {
        *self = match *self {
            Self::Absent => Self::Once(value),
            Self::Once(first) if first == value => Self::Once(first),
            Self::Once(_) | Self::Conflicting => Self::Conflicting,
        }
    }

    fn value(self, name: &'static str) -> Result<&'a [u8], VerifyError> {
        let kind = match self {
            Self::Once(value) => return Ok(value),
            Self::Absent => VerifyErrorKind::MissingHeader,
            Self::Conflicting => VerifyErrorKind::ConflictingHeader,
        };
        Err(VerifyError::new(kind, Detail::Header(name)))
    }
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Once(value) => {
                let value = Plain::new(value.escape_ascii()).at_most(MAX_ID);
                write!(f, "\"{value}\"")
            }
            Self::Conflicting => f.write_str("conflicting"),
        }
    }
}

/// The headers, found well-formed.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) id: &'a str,
    /// As received: this text was signed, not a number printed again.
    pub(crate) timestamp: &'a [u8],
    pub(crate) sent_at: u64,
    pub(crate) signatures: Signatures<'a>,
}

/// The entries of `webhook-signature`, `version,base64` each. What is no such entry is skipped:
/// it does not spoil the others.
#[derive(Clone, Copy)]
pub(crate) struct Signatures<'a> {
    list: &'a [u8],
    /// Outside a rotation there is one entry, and nothing else; it is then looked for once, not at
    /// every reading.
    one: bool,
}

impl<'a> Signatures<'a> {
    fn parse(list: &'a [u8], max: usize) -> Result<Self, &'static str> {
        if list.len() > max {
            return Err("it is longer than the limit, 4 KiB (16 KiB if JWTs are accepted)");
        }
        let signatures = Self::reread(list);
        match signatures.entries().take(MAX_ENTRIES + 1).count() {
            0 => Err("it has no entries"),
            n if n > MAX_ENTRIES => Err("it has more than 16 entries"),
            _ => Ok(signatures),
        }
    }

    /// From the bytes of a list that was parsed before.
    pub(crate) fn reread(list: &'a [u8]) -> Self {
        let one = separators(list) == 0 && entry_length(list) == list.len();
        Self { list, one }
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.list
    }

    fn entries(self) -> Entries<'a> {
        Entries {
            rest: self.list,
            one: self.one,
        }
    }

    /// What follows `prefix`, a version and its comma, in each entry of that version. Others are
    /// skipped, as Standard Webhooks asks.
    pub(crate) fn after(self, prefix: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.entries()
            .filter_map(move |entry| entry.strip_prefix(prefix))
    }

    /// The entries that look like a token: no version, but base64url of `{"`.
    pub(crate) fn tokens(self) -> impl Iterator<Item = &'a [u8]> {
        self.entries()
            .filter(|entry| entry.starts_with(b"eyJ") && memchr(b',', entry).is_none())
    }

    /// What the list holds, for the log: `found v1, v1a`. Whoever sent it may be anyone: only short
    /// plain names are repeated.
    pub(crate) fn found(self) -> String {
        let name = |entry: &'a [u8]| match memchr(b',', entry).map(|comma| entry.split_at(comma).0)
        {
            Some(version)
                if version.len() <= 8 && version.iter().all(u8::is_ascii_alphanumeric) =>
            {
                str::from_utf8(version)
                    .ok()
                    .filter(|version| !version.is_empty())
            }
            None if entry.starts_with(b"eyJ") => Some("a token (JWT)"),
            _ => None,
        };
        let names: Vec<&str> = self
            .entries()
            .map(|entry| name(entry).unwrap_or("something else"))
            .collect();
        format!("found {}", names.join(", "))
    }
}

/// What stands between separators.
struct Entries<'a> {
    rest: &'a [u8],
    one: bool,
}

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let length = if self.one {
            self.rest.len()
        } else {
            self.rest = self.rest.split_at(separators(self.rest)).1;
            entry_length(self.rest)
        };
        let (entry, rest) = self.rest.split_at(length);
        self.rest = rest;
        (!entry.is_empty()).then_some(entry)
    }
}

/// How many separators stand in front, passed over in one go: a search from each of many would let a
/// list of nothing else cost more than its hash.
fn separators(list: &[u8]) -> usize {
    let is_separator = |byte: &&u8| matches!(byte, b' ' | b',');
    list.iter().take_while(is_separator).count()
}

/// How long the entry in front is. It ends at a space, as Standard Webhooks says; or, in a list that
/// was joined, at a comma behind which there is no more of it. That is never the comma between a
/// version and its signature. With more commas it is no entry and goes on to the space, so that many
/// cost no more than two.
fn entry_length(list: &[u8]) -> usize {
    let ends = |(commas, at): &(usize, usize)| match list.split_at(*at).1 {
        [b',', next @ ..] => {
            matches!(next, [] | [b' ' | b',', ..])
                || starts_entry(next) && (*commas == 1 || is_token(list))
        }
        _ => true,
    };
    memchr2_iter(b' ', b',', list)
        .take(2)
        .enumerate()
        .find(ends)
        .map(|(_, at)| at)
        .or_else(|| memchr(b' ', list))
        .unwrap_or(list.len())
}

/// Whether this is a version and its comma, or a token.
fn starts_entry(text: &[u8]) -> bool {
    match text {
        [b'v', b'1'..=b'9', b',', ..] => true,
        [b'v', b'1'..=b'9', b'a'..=b'z', b',', ..] => true,
        _ => is_token(text),
    }
}

/// Whether this begins like a token. A signature may as well, but it has no dot.
fn is_token(text: &[u8]) -> bool {
    let is_dot = |end| text.get(end) == Some(&b'.');
    text.starts_with(b"eyJ") && memchr3(b'.', b',', b' ', text).is_some_and(is_dot)
}

fn parse_id(value: &[u8]) -> Result<&str, &'static str> {
    if value.is_empty() {
        return Err("it is empty");
    }
    if value.len() > MAX_ID {
        return Err("it is longer than 256 bytes");
    }
    // Over all bytes without an early end: the compiler makes it a few wide instructions.
    let any = |is: fn(u8) -> bool| value.iter().fold(false, |any, byte| any | is(*byte));
    if any(|byte| !byte.is_ascii_graphic()) {
        return Err(INVISIBLE);
    }
    let id = str::from_utf8(value).map_err(|_| INVISIBLE)?;
    // `{id}.{timestamp}.{body}` is what was signed. With an id like `msg.1700000000` the same
    // text is also id `msg`, timestamp 1700000000, and a longer body: one signature, two events.
    if any(|byte| byte == b'.') {
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if id.split('.').skip(1).any(digits) {
            return Err(
                "a part after a dot is all digits, so that it could be read as a timestamp",
            );
        }
    }
    Ok(id)
}

/// Plain decimal digits. `u64::from_str` would also take `+1` and `01`.
fn parse_timestamp(text: &[u8]) -> Option<u64> {
    if text.is_empty() || (text.len() > 1 && text.starts_with(b"0")) {
        return None;
    }
    text.iter().try_fold(0_u64, |seconds, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        seconds.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use VerifyErrorKind::*;

    const SIG: &str = "v1,AAAA";

    fn kind_of(lines: &[(&str, &[u8])]) -> Option<VerifyErrorKind> {
        DeliveryHeaders::from_lines(lines.iter().copied())
            .parse(MAX_SIGNATURE)
            .err()
            .map(|error| error.kind())
    }

    #[test]
    fn each_header_is_there_once() {
        let good: [(&str, &[u8]); 3] = [
            ("Webhook-ID", b"msg_1"),
            ("webhook-timestamp", b"1700000000"),
            ("WEBHOOK-SIGNATURE", SIG.as_bytes()),
        ];
        assert_eq!(kind_of(&good), None);
        for i in 0..3 {
            let mut missing = good.to_vec();
            let line = missing.remove(i);
            assert_eq!(kind_of(&missing), Some(MissingHeader), "without {}", line.0);

            let mut repeated = good.to_vec();
            repeated.push(good[i]);
            assert_eq!(kind_of(&repeated), None, "identical {}", line.0);

            repeated.push((line.0, b"1700000001"));
            assert_eq!(
                kind_of(&repeated),
                Some(ConflictingHeader),
                "different {}",
                line.0
            );
            // and a third that equals the first does not heal it
            repeated.push(good[i]);
            assert_eq!(kind_of(&repeated), Some(ConflictingHeader));
        }
    }

    #[test]
    fn all_that_are_missing_are_named() {
        let good = [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE];
        for there in 0..7 {
            let is_there = |index: &usize| there & (1 << index) != 0;
            let lines = (0..3).filter(is_there).map(|index| (good[index], "1"));
            let missing: Vec<&str> = (0..3)
                .filter(|index| !is_there(index))
                .map(|index| good[index])
                .collect();
            let headers = DeliveryHeaders::from_lines(lines);
            let error = headers.parse(MAX_SIGNATURE).err().unwrap().to_string();
            assert!(error.contains(&missing.join(", ")), "{error}");
        }
    }

    #[cfg(feature = "receiver")]
    #[test]
    fn an_id_goes_into_the_log_if_it_is_one() {
        let id = |lines: &[(&'static str, &'static str)]| {
            DeliveryHeaders::from_lines(lines.iter().copied()).plain_id()
        };
        assert_eq!(id(&[(WEBHOOK_ID, "msg_1")]), Some("msg_1"));
        assert_eq!(id(&[(WEBHOOK_ID, "msg\n1")]), None);
        assert_eq!(id(&[(WEBHOOK_ID, "a"), (WEBHOOK_ID, "b")]), None);
        assert_eq!(id(&[]), None);
    }

    #[test]
    fn ids() {
        let long = "a".repeat(256);
        let too_long = "a".repeat(257);
        for (id, ok) in [
            ("msg_2f1c", true),
            ("a", true),
            ("1700000000", true),
            ("msg.a1", true),
            ("msg.1a.b", true),
            ("msg.", true),
            ("~!\"#,", true),
            (long.as_str(), true),
            ("", false),
            (too_long.as_str(), false),
            ("with space", false),
            ("tab\t", false),
            ("é", false),
            ("del\u{7f}", false),
            ("msg.1700000000", false),
            ("msg.0", false),
            (".5", false),
            ("msg.1.x", false),
            ("msg.x.1", false),
        ] {
            assert_eq!(parse_id(id.as_bytes()).is_ok(), ok, "{id:?}");
        }
    }

    #[test]
    fn timestamps() {
        for (text, value) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("1700000000", Some(1_700_000_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999999", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("01", None),
            ("00", None),
            ("1.0", None),
            ("1e9", None),
            (" 1", None),
            ("1 ", None),
            ("0x10", None),
            ("١", None),
        ] {
            assert_eq!(parse_timestamp(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn signature_lists() {
        let sixteen = vec!["v2,AAAA"; 16].join(" ");
        let seventeen = vec!["v2,AAAA"; 17].join(" ");
        let long = "x".repeat(4096);
        let too_long = "x".repeat(4097);
        for (value, ok) in [
            (SIG, true),
            ("v1,", true),
            ("nonsense", true),
            ("  v1,AAAA   v1,BBBB ", true),
            (sixteen.as_str(), true),
            (long.as_str(), true),
            ("", false),
            ("   ", false),
            (seventeen.as_str(), false),
            (too_long.as_str(), false),
            ("v1,AAAA\tv1,BBBB", true),
            ("v1,é v1,AAAA", true),
        ] {
            assert_eq!(
                Signatures::parse(value.as_bytes(), MAX_SIGNATURE).is_ok(),
                ok,
                "{value:?}"
            );
        }
    }

    /// A proxy joins several lines with a comma, and a space or none (RFC 9110, 5.3).
    #[test]
    fn lists_that_were_joined() {
        let entries = |list: &str| -> Vec<String> {
            Signatures::reread(list.as_bytes())
                .entries()
                .map(|entry| String::from_utf8(entry.to_vec()).unwrap())
                .collect()
        };
        // A genuine signature may begin like a token or a version.
        let (a, b) = ("v1,eyJAAAA/+A=", "v1,v1aBBBB=");
        for (list, expected) in [
            (a.to_owned(), vec![a]),
            (format!("{a} {b}"), vec![a, b]),
            (format!("{a}, {b}"), vec![a, b]),
            (format!("{a},{b}"), vec![a, b]),
            (format!("{a} ,{b}"), vec![a, b]),
            (format!("{a} , {b}"), vec![a, b]),
            (format!("{a},,{b}"), vec![a, b]),
            (format!("{a}, , {b}"), vec![a, b]),
            (format!(", {a},{b}, "), vec![a, b]),
            (format!("{a} {b}, {a} {b},{a}"), vec![a, b, a, b, a]),
            (format!("{a},"), vec![a]),
            (format!("{a},v1a,CC==,{b}"), vec![a, "v1a,CC==", b]),
            (format!("{a},v2,CC==,v9x,D"), vec![a, "v2,CC==", "v9x,D"]),
            // tokens
            (format!("eyJh.e30.A,{b}"), vec!["eyJh.e30.A", b]),
            (format!("{a},eyJh.e30.A"), vec![a, "eyJh.e30.A"]),
            (
                "eyJh.e30.A, eyJi.e30.B".to_owned(),
                vec!["eyJh.e30.A", "eyJi.e30.B"],
            ),
            (
                "eyJh.e30.A,eyJi.e30.B".to_owned(),
                vec!["eyJh.e30.A", "eyJi.e30.B"],
            ),
            // What is no entry does not spoil the others.
            (format!("junk,{b}"), vec!["junk,v1,v1aBBBB="]),
            (format!("v1,{b}"), vec!["v1,v1,v1aBBBB="]),
            (format!("v1 ,{b}"), vec!["v1", b]),
            ("v1,eyJh.e30.A".to_owned(), vec!["v1,eyJh.e30.A"]),
            (format!("v1,eyJh.e30.A,{b}"), vec!["v1,eyJh.e30.A", b]),
            ("V1,eyJh.e30.A".to_owned(), vec!["V1,eyJh.e30.A"]),
            (format!("eyJh.e30.A,junk,{b}"), vec!["eyJh.e30.A,junk", b]),
            (format!("x,y,{b}"), vec!["x,y", b]),
            (format!("x,y,z {b}"), vec!["x,y,z", b]),
            (format!("x,y,z,{b}"), vec!["x,y,z,v1,v1aBBBB="]),
            (format!(",{a}"), vec![a]),
            (format!("{a},junk {b}"), vec!["v1,eyJAAAA/+A=,junk", b]),
            (format!("{a},eyJ,x {b}"), vec!["v1,eyJAAAA/+A=,eyJ,x", b]),
            (format!("{a},v1 {b}"), vec!["v1,eyJAAAA/+A=,v1", b]),
            (format!("{a},V1,x {b}"), vec!["v1,eyJAAAA/+A=,V1,x", b]),
            (",".to_owned(), vec![]),
            (" , ,,".to_owned(), vec![]),
        ] {
            assert_eq!(entries(&list), expected, "{list:?}");
        }
    }

    /// However many separators there are, they are passed over once.
    #[test]
    fn many_separators_are_no_entries() {
        for junk in [",", " ", ", ", " ,,"] {
            let list = junk.repeat(4096 / junk.len());
            let parsed = Signatures::parse(list.as_bytes(), MAX_SIGNATURE);
            assert_eq!(parsed.err(), Some("it has no entries"), "{junk:?}");
            let list = format!("{}{SIG}{}{SIG}", &list[..2000], &list[..2000]);
            let parsed = Signatures::parse(list.as_bytes(), MAX_SIGNATURE).unwrap();
            assert_eq!(parsed.after(b"v1,").count(), 2, "{junk:?}");
        }
        let seventeen = vec![SIG; 17].join(",");
        assert!(Signatures::parse(seventeen.as_bytes(), MAX_SIGNATURE).is_err());
        let commas = ",x".repeat(2000);
        let one = Signatures::parse(commas.as_bytes(), MAX_SIGNATURE).unwrap();
        assert_eq!(one.entries().count(), 1);
    }

    #[test]
    fn versions_are_told_apart_and_cleaned() {
        let list = b"v1,A v1a,B v1 v1,C V1,D ,E eyJh.b.c {\"x\",1 longversion,F eyJ,v1";
        let list = Signatures::parse(list, MAX_SIGNATURE).unwrap();
        assert_eq!(list.tokens().collect::<Vec<_>>(), [b"eyJh.b.c"]);
        assert_eq!(list.after(b"v1,").collect::<Vec<_>>(), [b"A", b"C"]);
        assert_eq!(list.after(b"v1a,").collect::<Vec<_>>(), [b"B"]);
        assert_eq!(
            list.found(),
            "found v1, v1a, something else, v1, V1, something else, a token (JWT), something else, something else, eyJ"
        );
    }

    #[test]
    fn debug_is_bounded_and_keeps_the_signature_out() {
        let long = "1".repeat(10_000);
        let headers = DeliveryHeaders::from_lines([
            ("webhook-id", "a\nb"),
            ("webhook-timestamp", &long),
            ("webhook-signature", SIG),
        ]);
        let text = format!("{headers:?}");
        assert!(text.contains(r#""a\nb""#), "{text}");
        assert!(text.len() < 400, "{text}");
        assert!(!text.contains("AAAA"), "{text}");
    }
}
