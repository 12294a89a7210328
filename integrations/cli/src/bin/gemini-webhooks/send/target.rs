//! Where deliveries go.

use gemini_webhooks::EndpointToken;
use reqwest::Url;

use crate::exit::Failure;
use crate::uri::without_tokens;
use crate::{shown, values};

/// More than this many deliveries are a load, which needs a word of the user if it goes to another machine.
const FEW: u64 = 20;

/// A URL, which may hold an endpoint token and so is shown without its query.
#[derive(Clone, Debug)]
pub(super) struct Target {
    url: Url,
}

impl Target {
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        let url = values::app_url(text).map_err(Failure::unusable)?;
        let host = url.host_str().unwrap_or_default();
        if let Some(domain) = ["googleapis.com", "google.com"]
            .into_iter()
            .find(|domain| host == *domain || host.ends_with(&format!(".{domain}")))
        {
            return Err(Failure::unusable(format!(
                "the URL is one of Google's ({domain}): give the URL of your app, where Google sends to"
            )));
        }
        Ok(Self { url })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn has_token(&self) -> bool {
        self.url.query_pairs().any(|(name, _)| name == "token")
    }

    pub(super) fn with_token(&self, token: &EndpointToken) -> Result<Self, Failure> {
        Self::new(&token.url(self.url.as_str()))
    }

    /// With another token than the one in the query.
    pub(super) fn with_other_token(&self, token: &EndpointToken) -> Result<Self, Failure> {
        let others: Vec<(String, String)> = self
            .url
            .query_pairs()
            .filter(|(name, _)| name != "token")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let mut url = self.url.clone();
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        Self { url }.with_token(token)
    }

    /// The URL without what may be secret: no user, no password, no query, and no part of the path that could be a token.
    pub(super) fn shown(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}"));
        let (scheme, path) = (self.url.scheme(), self.url.path());
        let port = port.unwrap_or_default();
        shown::plain(without_tokens(&format!("{scheme}://{host}{port}{path}")))
    }

    /// The host and port, without anything else.
    pub(super) fn address(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        shown::plain(format!("{host}:{port}"))
    }

    pub(super) fn is_loopback(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || address
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// Whether everybody on the way can read what is sent.
    pub(super) fn is_open(&self) -> bool {
        self.url.scheme() == "http" && !self.is_loopback()
    }

    /// A load goes to another machine only if the user says so.
    pub(super) fn may_take(
        &self,
        deliveries: u64,
        at_a_rate: bool,
        allowed: bool,
    ) -> Result<(), Failure> {
        if self.is_loopback() || allowed || (deliveries <= FEW && !at_a_rate) {
            return Ok(());
        }
        let what = if at_a_rate {
            "at a rate".to_owned()
        } else {
            format!("{deliveries} times")
        };
        Err(Failure::unusable(format!(
            "this would send {what} to {}, which is another machine: give --allow-remote if it is yours and may be \
             loaded; without it at most {FEW} deliveries are sent there",
            self.address()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_urls_can_be_used() {
        for (text, reason) in [
            ("http://127.0.0.1:8000/x", None),
            ("https://example.com", None),
            ("https://notgoogle.com/x", None),
            ("https://app-1.run.app/x", None),
            ("127.0.0.1:8000/x", Some("must begin with http://")),
            ("localhost:8000/x", Some("must begin with http://")),
            ("http://", Some("cannot be used (empty host)")),
            (
                "https://generativelanguage.googleapis.com/x",
                Some("one of Google's"),
            ),
            ("https://google.com/x", Some("one of Google's")),
        ] {
            let reached = Target::new(text)
                .map(drop)
                .map_err(|failure| format!("{failure:?}"));
            match reason {
                None => assert_eq!(reached, Ok(()), "{text}"),
                Some(reason) => assert!(reached.unwrap_err().contains(reason), "{text}"),
            }
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let token = EndpointToken::new("Zm9yLWRvY3VtZW50YXRpb24tb25seQ").unwrap();
        for (text, shown) in [
            ("http://localhost:8000/x?a=b", "http://localhost:8000/x"),
            (
                "https://user:password@example.com/x#y",
                "https://example.com/x",
            ),
            ("http://[::1]:80/x", "http://[::1]/x"),
            (
                "http://localhost:8000/QW5vdGhlci10b2tlbi1mb3ItdGVzdHM/x",
                "http://localhost:8000/…/x",
            ),
        ] {
            let target = Target::new(text).unwrap().with_token(&token).unwrap();
            assert!(target.has_token(), "{text}");
            assert_eq!(target.shown(), shown, "{text}");
        }
    }

    #[test]
    fn another_token_takes_the_place_of_the_first() {
        let other = EndpointToken::new("QW5vdGhlci10b2tlbi1mb3ItdGVzdHM").unwrap();
        for (text, url) in [
            (
                "http://a.example/x?token=one",
                "http://a.example/x?token=QW5vdGhlci10b2tlbi1mb3ItdGVzdHM",
            ),
            (
                "http://a.example/x?y=1&token=one",
                "http://a.example/x?y=1&token=QW5vdGhlci10b2tlbi1mb3ItdGVzdHM",
            ),
        ] {
            let target = Target::new(text).unwrap().with_other_token(&other).unwrap();
            assert_eq!(target.url().as_str(), url);
        }
    }

    #[test]
    fn what_may_be_sent_where() {
        for (name, url, deliveries, at_a_rate, allowed, may) in [
            (
                "many to this machine",
                "http://127.0.0.1:1",
                1_000_000,
                true,
                false,
                true,
            ),
            (
                "many to this machine by name",
                "http://localhost:1",
                1_000_000,
                true,
                false,
                true,
            ),
            (
                "many to this machine, v6",
                "http://[::1]:1",
                1_000_000,
                true,
                false,
                true,
            ),
            (
                "one to another",
                "https://example.com",
                1,
                false,
                false,
                true,
            ),
            (
                "a few to another",
                "https://example.com",
                20,
                false,
                false,
                true,
            ),
            (
                "many to another",
                "https://example.com",
                21,
                false,
                false,
                false,
            ),
            (
                "a rate to another",
                "https://example.com",
                2,
                true,
                false,
                false,
            ),
            (
                "many to another, allowed",
                "https://example.com",
                1_000_000,
                true,
                true,
                true,
            ),
            (
                "a name that looks like this machine",
                "http://localhost.example.com",
                21,
                false,
                false,
                false,
            ),
        ] {
            let target = Target::new(url).unwrap();
            assert_eq!(
                target.may_take(deliveries, at_a_rate, allowed).is_ok(),
                may,
                "{name}"
            );
        }
    }
}
