//! Who may ask for a page and its data.
//!
//! Web sites that the user visits can send requests to ports of this machine, and a host name of theirs can be made to
//! point here. So each request has to name this machine as its host, the API takes none that another site caused, and
//! it wants a token, which only the user has: it is in the fragment of the printed URL, which browsers send nowhere.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::exit::Failure;

const TOKEN_HEADER: &str = "x-page-token";
const TOKEN_BYTES: usize = 24;

/// What each request is checked against.
#[derive(Clone)]
pub(super) struct Guard {
    hosts: Arc<[String]>,
    token: Arc<Zeroizing<String>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Host,
    Method,
    Site,
    Origin,
    Token,
}

impl Refused {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Site | Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "this page has another host: open the URL that the program printed",
            Self::Method => "the page is read with GET",
            Self::Site | Self::Origin => "another site may not ask for this",
            Self::Token => "the token is missing or wrong: open the URL that the program printed",
        })
    }
}

impl Guard {
    /// Makes a guard with a new token for the page at `address`.
    pub(super) fn new(address: SocketAddr) -> Result<Self, Failure> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|error| {
            Failure::new(format!(
                "the operating system gives no random bytes: {error}"
            ))
        })?;
        Ok(Self::with_token(
            address,
            URL_SAFE_NO_PAD.encode(bytes.as_slice()),
        ))
    }

    fn with_token(address: SocketAddr, token: String) -> Self {
        let port = address.port();
        let mut hosts = vec![
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
        ];
        // Another address of the loopback, such as 127.0.0.2.
        if !hosts.contains(&address.to_string()) {
            hosts.push(address.to_string());
        }
        Self {
            hosts: hosts.into(),
            token: Arc::new(Zeroizing::new(token)),
        }
    }

    /// The URL for the user, with the token.
    pub(super) fn url(&self, address: SocketAddr) -> String {
        format!("http://{address}/#{}", self.token.as_str())
    }

    /// Whether a request may pass.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        let host = one(headers, header::HOST.as_str()).ok_or(Refused::Host)?;
        // A request to a proxy names its host in the first line as well.
        let named = uri.authority().map_or(host, |authority| authority.as_str());
        if named != host || !self.hosts.iter().any(|known| known == host) {
            return Err(Refused::Host);
        }
        if uri.path() == "/api" || uri.path().starts_with("/api/") {
            self.check_api(host, headers)
        } else {
            check_asset(method, headers)
        }
    }

    fn check_api(&self, host: &str, headers: &HeaderMap) -> Result<(), Refused> {
        if headers.contains_key("sec-fetch-site")
            && one(headers, "sec-fetch-site") != Some("same-origin")
        {
            return Err(Refused::Site);
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = one(headers, header::ORIGIN.as_str());
            if origin.and_then(|origin| origin.strip_prefix("http://")) != Some(host) {
                return Err(Refused::Origin);
            }
        }
        let token = one(headers, TOKEN_HEADER).ok_or(Refused::Token)?;
        if bool::from(token.as_bytes().ct_eq(self.token.as_bytes())) {
            Ok(())
        } else {
            Err(Refused::Token)
        }
    }
}

/// The page and its parts have no secrets in them. A link on another site may lead to the page, but no other site
/// needs its parts.
fn check_asset(method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    if method != Method::GET && method != Method::HEAD {
        return Err(Refused::Method);
    }
    match one(headers, "sec-fetch-site") {
        Some("same-origin" | "none") => Ok(()),
        None if !headers.contains_key("sec-fetch-site") => Ok(()),
        _ if one(headers, "sec-fetch-mode") == Some("navigate")
            && one(headers, "sec-fetch-dest") == Some("document") =>
        {
            Ok(())
        }
        _ => Err(Refused::Site),
    }
}

/// The value of a header that is there exactly once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => value.to_str().ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "dG9rZW4tb2YtdGhlLXRlc3Q";

    fn guard() -> Guard {
        Guard::with_token("127.0.0.1:8080".parse().unwrap(), TOKEN.to_owned())
    }

    fn check(method: &str, target: &str, lines: &[(&str, &str)]) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: axum::http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        guard().check(&method.parse().unwrap(), &target.parse().unwrap(), &headers)
    }

    #[test]
    fn hosts() {
        for (name, host, expected) in [
            ("as printed", "127.0.0.1:8080", Ok(())),
            ("by name", "localhost:8080", Ok(())),
            ("the other loopback", "[::1]:8080", Ok(())),
            ("another port", "127.0.0.1:8081", Err(Refused::Host)),
            ("no port", "127.0.0.1", Err(Refused::Host)),
            (
                "a name that was made to point here",
                "evil.example:8080",
                Err(Refused::Host),
            ),
            (
                "a longer name",
                "localhost:8080.evil.example",
                Err(Refused::Host),
            ),
            ("another spelling", "LOCALHOST:8080", Err(Refused::Host)),
            ("empty", "", Err(Refused::Host)),
        ] {
            assert_eq!(check("GET", "/", &[("host", host)]), expected, "{name}");
            let api = check("GET", "/api/x", &[("host", host), (TOKEN_HEADER, TOKEN)]);
            assert_eq!(api, expected, "{name}, API");
        }
        assert_eq!(check("GET", "/", &[]), Err(Refused::Host), "none");
        let twice = [("host", "localhost:8080"), ("host", "localhost:8080")];
        assert_eq!(check("GET", "/", &twice), Err(Refused::Host), "twice");
        for (target, expected) in [
            ("http://localhost:8080/", Ok(())),
            ("http://evil.example:8080/", Err(Refused::Host)),
        ] {
            let got = check("GET", target, &[("host", "localhost:8080")]);
            assert_eq!(got, expected, "{target}");
        }
    }

    #[test]
    fn who_may_use_the_api() {
        let own = ("origin", "http://localhost:8080");
        let same = ("sec-fetch-site", "same-origin");
        let token = (TOKEN_HEADER, TOKEN);
        for (name, lines, expected) in [
            ("the page itself", vec![own, same, token], Ok(())),
            ("a program of the user", vec![token], Ok(())),
            ("no token", vec![own, same], Err(Refused::Token)),
            (
                "a wrong token",
                vec![own, (TOKEN_HEADER, "x")],
                Err(Refused::Token),
            ),
            (
                "a part of the token",
                vec![(TOKEN_HEADER, "dG9rZW4")],
                Err(Refused::Token),
            ),
            (
                "an empty token",
                vec![(TOKEN_HEADER, "")],
                Err(Refused::Token),
            ),
            ("two tokens", vec![token, token], Err(Refused::Token)),
            (
                "another site",
                vec![("origin", "http://evil.example"), token],
                Err(Refused::Origin),
            ),
            (
                "another port",
                vec![("origin", "http://localhost:80"), token],
                Err(Refused::Origin),
            ),
            (
                "another scheme",
                vec![("origin", "https://localhost:8080"), token],
                Err(Refused::Origin),
            ),
            (
                "another name of it",
                vec![("origin", "http://127.0.0.1:8080"), token],
                Err(Refused::Origin),
            ),
            (
                "no site",
                vec![("origin", "null"), token],
                Err(Refused::Origin),
            ),
            ("two origins", vec![own, own, token], Err(Refused::Origin)),
            (
                "cross-site",
                vec![("sec-fetch-site", "cross-site"), token],
                Err(Refused::Site),
            ),
            (
                "same-site",
                vec![("sec-fetch-site", "same-site"), token],
                Err(Refused::Site),
            ),
            (
                "typed in",
                vec![("sec-fetch-site", "none"), token],
                Err(Refused::Site),
            ),
        ] {
            let mut lines = lines;
            lines.push(("host", "localhost:8080"));
            for method in ["GET", "POST"] {
                assert_eq!(
                    check(method, "/api/x", &lines),
                    expected,
                    "{name}, {method}"
                );
            }
        }
    }

    #[test]
    fn who_may_see_the_page() {
        let cross = ("sec-fetch-site", "cross-site");
        for (name, method, lines, expected) in [
            ("opened", "GET", vec![("sec-fetch-site", "none")], Ok(())),
            (
                "its parts",
                "GET",
                vec![("sec-fetch-site", "same-origin")],
                Ok(()),
            ),
            ("an old browser", "GET", vec![], Ok(())),
            ("a head", "HEAD", vec![], Ok(())),
            ("a form", "POST", vec![], Err(Refused::Method)),
            (
                "a link",
                "GET",
                vec![
                    cross,
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                ],
                Ok(()),
            ),
            (
                "a frame",
                "GET",
                vec![
                    cross,
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "iframe"),
                ],
                Err(Refused::Site),
            ),
            (
                "a script",
                "GET",
                vec![cross, ("sec-fetch-mode", "no-cors")],
                Err(Refused::Site),
            ),
        ] {
            let mut lines = lines;
            lines.push(("host", "localhost:8080"));
            assert_eq!(check(method, "/page.js", &lines), expected, "{name}");
        }
    }

    #[test]
    fn the_url_carries_the_token() {
        let url = guard().url("[::1]:8080".parse().unwrap());
        assert_eq!(url, format!("http://[::1]:8080/#{TOKEN}"));
        let address = "127.0.0.2:8080".parse().unwrap();
        let first = Guard::new(address).unwrap();
        assert_ne!(
            first.url(address),
            Guard::new(address).unwrap().url(address)
        );
        assert!(first.token.len() >= 22, "128 bits or more");
        assert!(first.hosts.iter().any(|host| host == "127.0.0.2:8080"));
    }
}
