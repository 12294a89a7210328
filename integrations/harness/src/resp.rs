use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What Redis answers a command, in RESP2.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    Nil,
    Text(Vec<u8>),
    Error(String),
    Array(Vec<Reply>),
}

impl Reply {
    /// The text, or the texts of an array, a line each.
    pub(crate) fn lines(&self) -> String {
        match self {
            Self::Nil => String::new(),
            Self::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Self::Error(error) => error.clone(),
            Self::Array(items) => items.iter().map(Self::lines).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// A connection to Redis.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        // A test that asks a paused server hangs otherwise.
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn call(&mut self, arguments: &[&[u8]]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            write!(request, "${}\r\n", argument.len())?;
            request.extend_from_slice(argument);
            request.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&request)?;
        self.read()
    }

    fn read(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("{line:?}"));
        let content = line.strip_suffix("\r\n").ok_or_else(malformed)?;
        let (kind, content) = content.split_at_checked(1).ok_or_else(malformed)?;
        let length = || content.parse::<i64>().map_err(|_| malformed());
        Ok(match kind {
            "+" | ":" => Reply::Text(content.into()),
            "-" => Reply::Error(content.to_owned()),
            "$" => match usize::try_from(length()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut text = vec![0; length + 2];
                    self.0.read_exact(&mut text)?;
                    text.truncate(length);
                    Reply::Text(text)
                }
            },
            "*" => match usize::try_from(length()?) {
                Err(_) => Reply::Nil,
                Ok(length) => Reply::Array(
                    (0..length)
                        .map(|_| self.read())
                        .collect::<io::Result<_>>()?,
                ),
            },
            _ => return Err(malformed()),
        })
    }
}
