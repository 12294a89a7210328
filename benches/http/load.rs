//! A sender that never sleeps. One that does, as load generators do, is kept awake by the faster server
//! and has to be woken by the slower one, by a system call that is then counted against the server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock};

use crate::Error;

const CONNECTIONS: usize = 32;

pub(crate) struct Sender {
    connections: Vec<TcpStream>,
}

impl Sender {
    pub(crate) fn connect(address: &str) -> Result<Self, Error> {
        let connect = |_| {
            let connection = TcpStream::connect(address)?;
            connection.set_nodelay(true)?;
            connection.set_nonblocking(true)?;
            Ok(connection)
        };
        let connections = (0..CONNECTIONS)
            .map(connect)
            .collect::<Result<_, Error>>()?;
        Ok(Self { connections })
    }

    /// Sends each of `requests` once, for so long at most, one at a time on each connection. Returns how
    /// many were answered, all with 200, and in how many seconds.
    pub(crate) fn send(
        &mut self,
        requests: &[Vec<u8>],
        time: Duration,
    ) -> Result<(f64, f64), Error> {
        let mut requests = requests.iter();
        let mut waiting = Vec::new();
        let mut answered = 0_u32;
        let begun = SystemClock.monotonic();
        let elapsed = || SystemClock.monotonic().saturating_duration_since(begun);
        for connection in &mut self.connections {
            if let Some(request) = requests.next() {
                connection.write_all(request)?;
                waiting.push(connection);
            }
        }
        let mut answer = [0; 1024];
        while !waiting.is_empty() {
            let more = elapsed() < time;
            let mut failed = None;
            waiting.retain_mut(|connection| match connection.read(&mut answer) {
                Ok(length) => {
                    let answer = answer.get(..length).unwrap_or_default();
                    if !(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"\r\n\r\n")) {
                        failed = Some(format!("not 200: {}", answer.escape_ascii()).into());
                    }
                    answered += 1;
                    let Some(next) = requests.next().filter(|_| more) else {
                        return false;
                    };
                    if let Err(error) = connection.write_all(next) {
                        failed = Some(error.into());
                    }
                    true
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => true,
                Err(error) => {
                    failed = Some(error.into());
                    false
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        if requests.len() == 0 {
            return Err("more requests than were made for a turn".into());
        }
        Ok((f64::from(answered), elapsed().as_secs_f64()))
    }
}
