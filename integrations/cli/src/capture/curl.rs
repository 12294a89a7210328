//! A `curl` command, as browsers, proxies and documentation show it.

use super::http::path_of;
use super::{Capture, CaptureError, MAX_HEADERS};

/// Options of curl that take a value, which is no part of the request.
const WITH_VALUE: [&str; 24] = [
    "-o",
    "--output",
    "-w",
    "--write-out",
    "-m",
    "--max-time",
    "--connect-timeout",
    "-x",
    "--proxy",
    "-u",
    "--user",
    "-A",
    "--user-agent",
    "-e",
    "--referer",
    "-b",
    "--cookie",
    "--resolve",
    "--cacert",
    "--retry",
    "-E",
    "--cert",
    "--key",
    "--unix-socket",
];

/// Whether a text begins as a `curl` command does, perhaps after a prompt.
pub(super) fn is_curl(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"$ ").unwrap_or(text);
    text.strip_prefix(b"curl")
        .or(text.strip_prefix(b"curl.exe"))
        .is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_whitespace))
}

/// Reads a `curl` command in the quoting of a POSIX shell, `$'…'` of bash included.
///
/// A body that the command takes from a file (`@file`) is not read: give it with
/// [`Capture::with_body`].
///
/// # Errors
///
/// [`CaptureError`] if the text is no `curl` command, a quote is not closed, or it has a variable or a command that
/// only a shell could replace.
pub fn from_curl(text: &[u8]) -> Result<Capture, CaptureError> {
    let start = text.trim_ascii();
    if !is_curl(start) {
        return Err(CaptureError::new("this is no `curl` command"));
    }
    if start.windows(2).any(|pair| pair == b"^\"") {
        return Err(CaptureError::new(
            "this is a command for the prompt of Windows (`^\"`): choose \"Copy as cURL (bash)\"",
        ));
    }
    let words = words(start.strip_prefix(b"$ ").unwrap_or(start))?;
    let mut words = words.into_iter().skip(1);
    let mut command = Command::default();
    while let Some(word) = words.next() {
        let (option, mut attached) = split(&word);
        let mut value = || {
            attached.take().or_else(|| words.next()).ok_or_else(|| {
                CaptureError::new(format!(
                    "the option {option} of the `curl` command has no value"
                ))
            })
        };
        match option.as_str() {
            "-H" | "--header" => command.header(&value()?)?,
            "-X" | "--request" => command.method = Some(text_of(value()?)?),
            "-d" | "--data" | "--data-ascii" => command.data(value()?, true),
            "--data-binary" => command.data(value()?, false),
            "--json" => {
                command.data(value()?, false);
            }
            "--data-raw" => {
                let data = value()?;
                command.join(&data);
            }
            "--url" => command.url = Some(text_of(value()?)?),
            "-F" | "--form" | "--data-urlencode" | "-T" | "--upload-file" => {
                return Err(CaptureError::new(format!(
                    "the option {option} of the `curl` command is not read: give headers and body as files"
                )));
            }
            option if WITH_VALUE.contains(&option) => {
                value()?;
            }
            option if option.starts_with('-') && option.len() > 1 => {}
            _ => command.url = Some(text_of(word)?),
        }
    }
    Ok(command.capture())
}

#[derive(Default)]
struct Command {
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    notes: Vec<String>,
}

impl Command {
    fn header(&mut self, line: &[u8]) -> Result<(), CaptureError> {
        if self.headers.len() == MAX_HEADERS {
            return Err(CaptureError::new("it has more than 256 headers"));
        }
        let colon = line.iter().position(|&byte| byte == b':');
        if let Some((name, value)) = colon.and_then(|at| line.split_at_checked(at)) {
            let name = text_of(name.to_vec())?;
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            self.headers.push((name, value.to_vec()));
        }
        Ok(())
    }

    fn data(&mut self, data: Vec<u8>, drops_line_breaks: bool) {
        let Some(file) = data.strip_prefix(b"@") else {
            return self.join(&data);
        };
        // Of several files nobody could give the bodies.
        if !self.notes.is_empty() {
            return;
        }
        self.notes.push(format!(
            "the body is in the file {0}, which the command names: give it as the body (`--body {0}`)",
            file.escape_ascii()
        ));
        if drops_line_breaks {
            self.notes.push(
                "`curl -d @file` leaves out the line breaks of the file: with `--data-binary` the body is sent as it is"
                    .to_owned(),
            );
        }
    }

    /// Several are joined by `&`, as curl does.
    fn join(&mut self, data: &[u8]) {
        let body = self.body.get_or_insert_default();
        if !body.is_empty() {
            body.push(b'&');
        }
        body.extend_from_slice(data);
    }

    fn capture(self) -> Capture {
        let method = match (self.method, &self.body) {
            (Some(method), _) => method,
            (None, None) if self.notes.is_empty() => "GET".to_owned(),
            (None, _) => "POST".to_owned(),
        };
        let target = path_of(self.url.as_deref().unwrap_or("/")).to_owned();
        let capture = Capture::new(self.headers, self.body.unwrap_or_default())
            .with_request_line(method, target);
        self.notes.into_iter().fold(capture, Capture::with_note)
    }
}

fn text_of(bytes: Vec<u8>) -> Result<String, CaptureError> {
    String::from_utf8(bytes)
        .map_err(|_| CaptureError::new("the `curl` command is no text in UTF-8"))
}

/// `--name=value` and `-Xvalue` as option and value.
fn split(word: &[u8]) -> (String, Option<Vec<u8>>) {
    let text = String::from_utf8_lossy(word);
    if let Some((name, _)) = text.split_once('=')
        && name.starts_with("--")
    {
        return (
            name.to_owned(),
            word.get(name.len() + 1..).map(<[u8]>::to_vec),
        );
    }
    let short = text.get(..2).filter(|short| {
        text.len() > 2 && !text.starts_with("--") && matches!(*short, "-H" | "-X" | "-d")
    });
    match short {
        Some(short) => (short.to_owned(), word.get(2..).map(<[u8]>::to_vec)),
        None => (text.into_owned(), None),
    }
}

/// The words of a command. Nothing is run or replaced.
fn words(text: &[u8]) -> Result<Vec<Vec<u8>>, CaptureError> {
    let open = |quote| {
        CaptureError::new(format!(
            "a quote ({quote}) in the `curl` command is not closed"
        ))
    };
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => words.extend(word.take()),
            b'\\' => match bytes.next() {
                Some(b'\n') | None => {}
                Some(b'\r') => {
                    bytes.next_if_eq(&b'\n');
                }
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next().ok_or_else(|| open("'"))? {
                        b'\'' => break,
                        byte => word.push(byte),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next().ok_or_else(|| open("\""))? {
                        b'"' => break,
                        b'\\' => match bytes.next().ok_or_else(|| open("\""))? {
                            b'\n' => {}
                            escaped @ (b'"' | b'\\' | b'$' | b'`') => word.push(escaped),
                            other => word.extend([b'\\', other]),
                        },
                        byte @ (b'$' | b'`') => return Err(needs_a_shell(byte)),
                        byte => word.push(byte),
                    }
                }
            }
            b'$' if bytes.next_if_eq(&b'\'').is_some() => {
                let word = word.get_or_insert_default();
                ansi_c(&mut bytes, word)?;
            }
            byte @ (b'$' | b'`') => return Err(needs_a_shell(byte)),
            // What follows is another command.
            b';' | b'|' | b'&' | b'>' | b'<' if word.is_none() => break,
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    Ok(words)
}

fn needs_a_shell(byte: u8) -> CaptureError {
    CaptureError::new(format!(
        "the `curl` command has `{}`, which only a shell can replace: write the value in its place",
        char::from(byte)
    ))
}

/// The rest of `$'…'`, in which bash reads the escapes of C.
fn ansi_c(
    bytes: &mut std::iter::Peekable<impl Iterator<Item = u8>>,
    word: &mut Vec<u8>,
) -> Result<(), CaptureError> {
    let open = || CaptureError::new("a quote ($') in the `curl` command is not closed");
    loop {
        match bytes.next().ok_or_else(open)? {
            b'\'' => return Ok(()),
            b'\\' => match bytes.next().ok_or_else(open)? {
                b'n' => word.push(b'\n'),
                b'r' => word.push(b'\r'),
                b't' => word.push(b'\t'),
                b'u' => {
                    let code = hexadecimal(bytes, 4);
                    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                    word.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
                b'x' => word.push(u8::try_from(hexadecimal(bytes, 2)).unwrap_or_default()),
                escaped @ (b'\'' | b'"' | b'\\' | b'?') => word.push(escaped),
                other => word.extend([b'\\', other]),
            },
            byte => word.push(byte),
        }
    }
}

/// The number that the next hexadecimal digits write, at most so many.
fn hexadecimal(bytes: &mut std::iter::Peekable<impl Iterator<Item = u8>>, digits: usize) -> u32 {
    let mut number = 0;
    for _ in 0..digits {
        let digit = bytes.peek().and_then(|&byte| char::from(byte).to_digit(16));
        let Some(digit) = digit else { break };
        number = number * 16 + digit;
        bytes.next();
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_may_look_like() {
        for (name, text, method, target, body) in [
            (
                "plain",
                r#"curl -H 'webhook-id: 1' -d '{"a": 1}' http://x/cb"#,
                "POST",
                "/cb",
                r#"{"a": 1}"#,
            ),
            (
                "from Chrome",
                "curl 'http://x/cb?a=b' \\\n  -H 'webhook-id: 1' \\\n  --data-raw $'{\"a\":\"\\u00fc\\'\\n\"}' \\\n  --compressed",
                "POST",
                "/cb?a=b",
                "{\"a\":\"ü'\n\"}",
            ),
            (
                "double quotes",
                r#"curl --header="webhook-id: 1" --data-binary "{\"a\":\"\\/\"}" --url http://x"#,
                "POST",
                "/",
                r#"{"a":"\/"}"#,
            ),
            (
                "attached",
                r#"$ curl -XPUT -Hwebhook-id:1 -d{} http://x/cb -o out.txt -sS"#,
                "PUT",
                "/cb",
                "{}",
            ),
            (
                "joined",
                r#"curl -H webhook-id:1 -d a -d b http://x/"#,
                "POST",
                "/",
                "a&b",
            ),
            (
                "then another",
                r#"curl -H webhook-id:1 http://x/cb -d {} | jq . -d x"#,
                "POST",
                "/cb",
                "{}",
            ),
            (
                "no body",
                "curl -H webhook-id:1 http://x/cb",
                "GET",
                "/cb",
                "",
            ),
        ] {
            let capture =
                from_curl(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(
                capture.header("webhook-id").next(),
                Some(b"1".as_slice()),
                "{name}"
            );
            assert_eq!(capture.method(), Some(method), "{name}");
            assert_eq!(capture.target(), Some(target), "{name}");
            assert_eq!(capture.body(), body, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, says) in [
            ("wget http://x", "no `curl` command"),
            (
                "curl ^\"http://x^\" ^\n -H ^\"a: b^\"",
                "Copy as cURL (bash)",
            ),
            ("curl 'http://x", "is not closed"),
            ("curl \"http://x", "is not closed"),
            ("curl -d $'x", "is not closed"),
            ("curl -d \"$BODY\" http://x", "only a shell"),
            ("curl -d `cat x` http://x", "only a shell"),
            ("curl -F a=b http://x", "is not read"),
            ("curl http://x -H", "has no value"),
        ] {
            let error = from_curl(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let capture = from_curl(b"curl -d @body.json http://x").unwrap();
        assert!(
            capture.notes()[0].contains("body.json") && capture.notes()[1].contains("line breaks")
        );
        assert_eq!(capture.method(), Some("POST"));
    }
}
