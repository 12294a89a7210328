//! An app that deliveries are passed to. It keeps each request as it came.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    /// In their order, names as they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Request>>>,
}

impl App {
    /// An app that gives this answer to each request. An empty one is never given.
    pub(crate) fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&mut stream) else {
                    continue;
                };
                kept.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).unwrap();
                if answer.is_empty() {
                    held.push(stream);
                }
            }
        });
        Self { address, got }
    }

    pub(crate) fn got(&self) -> Vec<Request> {
        self.got.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = str::from_utf8(&bytes[..end]).unwrap();
            let mut lines = head.lines();
            let line = lines.next().unwrap().to_owned();
            let headers: Vec<(String, String)> = lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let length = headers
                .iter()
                .find(|line| line.0.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map_or(0, |line| line.1.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..].to_vec();
                return Some(Request {
                    line,
                    headers,
                    body,
                });
            }
        }
        match stream.read(&mut part).unwrap() {
            0 => return None,
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
}
