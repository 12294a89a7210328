//! Passes a delivery to an app of the user, as it came.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::header::{CONNECTION, EXPECT, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName};
use bytes::{Bytes, BytesMut};
use gemini_webhooks::{Clock as _, SystemClock};
use reqwest::{Client, Method, Request, Url, redirect};
use tokio::time::timeout;

use super::delivery::{Answer, Given, NoAnswer};
use crate::exit::Failure;
use crate::{serve, shown, values};

/// More of an answer is not read. Google looks at the status only.
const MAX_ANSWER: usize = 1024 * 1024;
/// Where nothing listens, the machine says so at once.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Meant for the next connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// The app that deliveries are passed to.
#[derive(Debug)]
pub(super) struct App {
    client: Client,
    url: Url,
    patience: Duration,
}

/// Reads the option: a URL, or a port of this machine.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let whole = match text.parse::<u16>() {
        Ok(port) => format!("http://127.0.0.1:{port}/"),
        Err(_) => text.to_owned(),
    };
    let url = values::app_url(&whole)
        .map_err(|error| format!("{error}. Or give a port of this machine alone, such as 8000"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL may not hold a user name or a password".to_owned());
    }
    Ok(url)
}

impl App {
    /// Makes a client for the app. `own` is where this program listens.
    pub(super) fn new(url: &Url, patience: Duration, own: SocketAddr) -> Result<Self, Failure> {
        let is_loopback = is_loopback(url);
        if is_loopback && url.port_or_known_default() == Some(own.port()) {
            return Err(Failure::unusable(format!(
                "--forward {url} is where this program listens itself: give the port of your app"
            )));
        }
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd();
        if is_loopback {
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| Failure::new(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self {
            client,
            url: url.clone(),
            patience,
        })
    }

    /// The URL for people.
    pub(super) fn shown(&self) -> String {
        shown::plain(&self.url)
    }

    /// Sends a delivery, and returns what the app says.
    pub(super) async fn send(&self, target: &str, headers: &HeaderMap, body: Bytes) -> Answer {
        let at = SystemClock.now();
        let begun = SystemClock.monotonic();
        let mut request = Request::new(Method::POST, aim(&self.url, target));
        *request.headers_mut() = end_to_end(headers);
        *request.body_mut() = Some(body.into());
        let outcome = match timeout(self.patience, self.exchange(request)).await {
            Ok(outcome) => outcome.map_err(|error| NoAnswer {
                status: 502,
                code: "app_unreachable",
                reason: unreachable(&self.url, error),
            }),
            Err(_) => Err(NoAnswer {
                status: 504,
                code: "app_timeout",
                reason: format!("the app did not answer within {:?}", self.patience),
            }),
        };
        let took = SystemClock.monotonic().saturating_duration_since(begun);
        Answer { at, took, outcome }
    }

    async fn exchange(&self, request: Request) -> Result<Given, reqwest::Error> {
        let mut answer = self.client.execute(request).await?;
        let (status, headers) = (answer.status().as_u16(), end_to_end(answer.headers()));
        let mut body = BytesMut::new();
        let mut is_cut = false;
        while let Some(part) = answer.chunk().await? {
            let room = MAX_ANSWER - body.len();
            body.extend_from_slice(part.get(..room).unwrap_or(&part));
            if part.len() > room {
                is_cut = true;
                break;
            }
        }
        Ok(Given {
            status,
            headers,
            body: body.freeze(),
            is_cut,
        })
    }
}

/// What happened, and what to do.
fn unreachable(url: &Url, error: reqwest::Error) -> String {
    let could_not_connect = error.is_connect();
    // The query may hold a secret.
    let text = shown::plain(shown::chain(&error.without_url()));
    if could_not_connect {
        let port = url.port_or_known_default().unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        format!(
            "the app cannot be reached: {text}. Is it running, and does it listen on port {port} of {host}?"
        )
    } else {
        format!("the app did not answer in full: {text}. Look at its log")
    }
}

/// The URL of the app for a delivery: its path, or that of the delivery if it has none, and the queries of both.
fn aim(app: &Url, target: &str) -> Url {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut url = app.clone();
    if app.path() == "/" {
        url.set_path(path);
    }
    match (app.query(), query) {
        (Some(first), Some(second)) => url.set_query(Some(&format!("{first}&{second}"))),
        (None, Some(query)) => url.set_query(Some(query)),
        (_, None) => {}
    }
    url
}

/// The header lines that are meant for the other end. The host is that of the app, whose server may take no other.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let is_meant = |name: &HeaderName| {
        // The client frames the body itself, and has it already.
        let is_ours = [&HOST, &TRANSFER_ENCODING, &EXPECT].contains(&name);
        !is_ours
            && !HOP_BY_HOP.contains(&name.as_str())
            && !named.iter().any(|named| named == name.as_str())
    };
    let mut meant = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if is_meant(name) {
            meant.append(name.clone(), value.clone());
        }
    }
    meant
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || ip.parse::<IpAddr>().is_ok_and(serve::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_option_takes() {
        for (name, text, expected) in [
            ("a port", "8000", Ok("http://127.0.0.1:8000/")),
            (
                "a URL",
                "http://localhost:8000/hook",
                Ok("http://localhost:8000/hook"),
            ),
            (
                "another host",
                "https://staging.example/x?y=1",
                Ok("https://staging.example/x?y=1"),
            ),
            ("no scheme", "localhost:8000", Err("begin with http://")),
            (
                "another scheme",
                "ftp://localhost/",
                Err("begin with http://"),
            ),
            ("no URL", "my app", Err("Or give a port")),
            ("no port", "70000", Err("Or give a port")),
            (
                "a password",
                "http://me:secret@localhost/",
                Err("may not hold"),
            ),
        ] {
            match (url(text), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected, "{name}"),
                (Err(error), Err(expected)) => {
                    assert!(error.contains(expected), "{name}: {error}");
                    assert!(!error.contains("secret"), "{name}: {error}");
                }
                (got, expected) => panic!("{name}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn where_a_delivery_goes() {
        for (name, app, target, expected) in [
            (
                "no path: the delivery's",
                "http://a:1",
                "/hook?token=t",
                "http://a:1/hook?token=t",
            ),
            (
                "a path: its own",
                "http://a:1/own",
                "/hook",
                "http://a:1/own",
            ),
            (
                "a path, and a query",
                "http://a:1/own",
                "/hook?token=t",
                "http://a:1/own?token=t",
            ),
            (
                "two queries",
                "http://a:1/own?x=1",
                "/hook?token=t",
                "http://a:1/own?x=1&token=t",
            ),
            (
                "its query only",
                "http://a:1/?x=1",
                "/hook",
                "http://a:1/hook?x=1",
            ),
            (
                "a path like a host",
                "http://a:1",
                "//evil.example/x",
                "http://a:1//evil.example/x",
            ),
            (
                "a path like a user",
                "http://a:1",
                "@evil.example",
                "http://a:1/@evil.example",
            ),
            (
                "a path like a URL",
                "http://a:1",
                "/http://evil.example",
                "http://a:1/http://evil.example",
            ),
            (
                "escapes stay",
                "http://a:1",
                "/a%2Fb?c=%20d",
                "http://a:1/a%2Fb?c=%20d",
            ),
        ] {
            assert_eq!(aim(&url(app).unwrap(), target).as_str(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_meant_for_the_app() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "tunnel.example"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic eA=="),
            ("webhook-id", "msg_1"),
            ("x-twice", "a"),
            ("x-twice", "b"),
        ] {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let meant = end_to_end(&headers);
        let meant: Vec<_> = meant
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            meant,
            [("webhook-id", "msg_1"), ("x-twice", "a"), ("x-twice", "b")]
        );
    }

    #[test]
    fn it_does_not_send_to_itself() {
        let own: SocketAddr = "127.0.0.1:8787".parse().unwrap();
        for (target, is_taken) in [
            ("http://127.0.0.1:8787/x", false),
            ("http://localhost:8787/", false),
            ("http://[::1]:8787/", false),
            ("http://127.0.0.1:8788/", true),
            ("http://staging.example:8787/", true),
        ] {
            let app = App::new(&url(target).unwrap(), Duration::from_secs(1), own);
            assert_eq!(app.is_ok(), is_taken, "{target}");
        }
    }
}
