//! A small server that notes what it is sent, and answers as it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Fails unless the official library of Standard Webhooks accepts it under this secret.
    pub(crate) fn is_verified_with(&self, secret: &str) {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        webhook.verify(&self.body, &self.headers).unwrap();
    }
}

/// What is answered: a whole response; `None` holds the connection open without one.
type Script = dyn FnMut(usize, &Request) -> Option<String> + Send;

pub(crate) struct Server {
    port: u16,
    requests: Receiver<Request>,
}

impl Server {
    /// Starts one. The script is given the number of the request, from 0.
    pub(crate) fn start(
        script: impl FnMut(usize, &Request) -> Option<String> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = channel();
        let script: Box<Script> = Box::new(script);
        let script = Arc::new(Mutex::new((0, script)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (sender, script) = (sender.clone(), Arc::clone(&script));
                std::thread::spawn(move || {
                    serve(stream.unwrap(), &sender, &script);
                });
            }
        });
        Self { port, requests }
    }

    /// Starts one that gives the same answer each time.
    pub(crate) fn answering(response: &str) -> Self {
        let response = response.to_owned();
        Self::start(move |_, _| Some(response.clone()))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// The next request, once it has arrived.
    pub(crate) fn next(&self) -> Request {
        self.requests
            .recv_timeout(PATIENCE)
            .expect("a request arrives")
    }

    /// All that arrived since.
    pub(crate) fn rest(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }
}

/// A response with this status, these header lines and this body.
pub(crate) fn response(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} \r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn serve(stream: TcpStream, sender: &Sender<Request>, script: &Mutex<(usize, Box<Script>)>) {
    let mut reader = BufReader::new(&stream);
    while let Some(request) = read(&mut reader) {
        let answer = {
            let mut script = script.lock().unwrap();
            let (number, script) = &mut *script;
            *number += 1;
            script(*number - 1, &request)
        };
        if sender.send(request).is_err() {
            return;
        }
        let Some(answer) = answer else {
            // Until the other side hangs up.
            let _ = reader.read(&mut [0; 1]);
            return;
        };
        let is_last = answer.contains("connection: close");
        if (&stream).write_all(answer.as_bytes()).is_err() || is_last {
            return;
        }
    }
}

/// A request, unless the connection has ended.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = HeaderMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let length = headers.get("content-length");
    let length = length.map_or(0, |length| length.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: line.trim_end().to_owned(),
        headers,
        body,
    })
}
