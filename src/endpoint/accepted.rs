//! Step 1 of a delivery, the endpoint token: those that a receiver accepts.

use std::fmt;
use std::time::SystemTime;

use super::{EndpointToken, digest, last_segment};
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::secret::{Held, Keyring, valid_at};

/// The tokens that a receiver accepts; several while one replaces another.
#[derive(Clone, Default)]
pub(crate) struct EndpointTokens(Vec<Held<EndpointToken>>);

impl EndpointTokens {
    pub(crate) fn add(&mut self, tokens: Keyring<EndpointToken>) {
        self.0.push(tokens.into());
    }

    pub(crate) fn keyrings(&self) -> &[Held<EndpointToken>] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an error unless `target`, the path and query of the URL as they came, carries one of
    /// the tokens. Digests are compared, all of them and to the end, so that the time taken tells
    /// nothing about how much was right. Nothing is decoded: no honest URL encodes this alphabet.
    pub(crate) fn accept(&self, target: &str, now: SystemTime) -> Result<(), VerifyError> {
        let wrong = |why| VerifyError::new(VerifyErrorKind::WrongEndpoint, Detail::Text(why));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut in_query = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("token="));
        let (carried, why) = match (in_query.next(), in_query.next()) {
            (Some(token), None) => (token, "its query has a `token` with another value"),
            (Some(_), Some(_)) => return Err(wrong("its query has `token` more than once")),
            (None, _) => match last_segment(path) {
                "" => (
                    "",
                    "it has no `token` in its query, and its path is empty. If a router (axum's `nest`) matched the part of the path with the token, it hides that part: put the layer around that router, or the token into the query",
                ),
                segment => (
                    segment,
                    "it has no `token` in its query, and the last segment of its path is not a token that is accepted",
                ),
            },
        };
        let carried = digest(carried);
        let mut found = false;
        for tokens in &self.0 {
            tokens.read(|tokens| {
                for accepted in valid_at(tokens, now) {
                    found |= is_same(&carried, &accepted.digest);
                }
            });
        }
        if found { Ok(()) } else { Err(wrong(why)) }
    }
}

/// To the end, wherever they differ first.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differing = one.iter().zip(other).fold(0, |bits, (a, b)| bits | (a ^ b));
    differing == 0
}

impl fmt::Debug for EndpointTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens: usize = self.0.iter().map(|tokens| tokens.load().len()).sum();
        write!(f, "{tokens} endpoint tokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdefghijkl";
    const TWO: &str = "ABCDEFGHIJKLMNOPQRSTUV-_";

    #[test]
    fn which_urls_carry_one() {
        let mut tokens = EndpointTokens::default();
        tokens.add(Keyring::new(EndpointToken::new(ONE).unwrap()));
        tokens.add(Keyring::new(EndpointToken::new(TWO).unwrap()));
        let encoded = format!("%30{}", &ONE[1..]);
        for (target, accepted) in [
            (format!("/hook?token={ONE}"), true),
            (format!("/hook?token={TWO}"), true),
            (format!("/hook?a=b&token={ONE}&c"), true),
            (format!("/hook/{ONE}"), true),
            (format!("/hook/{ONE}?a=b"), true),
            ("/hook".to_owned(), false),
            ("/hook?token=".to_owned(), false),
            ("/".to_owned(), false),
            (String::new(), false),
            (format!("/hook?token={ONE}&token={ONE}"), false),
            (format!("/hook?token={ONE}&token="), false),
            (format!("/hook/{ONE}?token=wrong"), false),
            (format!("/hook/{ONE}/"), true),
            (format!("/hook/{ONE}/?a=b"), true),
            (format!("/{ONE}"), true),
            (format!("/hook/{ONE}//"), false),
            (format!("/hook/{ONE}/x"), false),
            (format!("/hook?token={ONE}/"), false),
            (format!("/{ONE}/hook"), false),
            (format!("/hook?Token={ONE}"), false),
            (format!("/hook?xtoken={ONE}"), false),
            (format!("/hook?token={encoded}"), false),
            (format!("/hook?%74oken={ONE}"), false),
            (format!("/hook?token={}", &ONE[1..]), false),
            (format!("/hook?token={ONE}0"), false),
            (format!("/hook?token={}", ONE.to_uppercase()), false),
        ] {
            assert_eq!(
                tokens.accept(&target, SystemTime::UNIX_EPOCH).is_ok(),
                accepted,
                "{target}"
            );
        }
    }

    #[test]
    fn the_log_says_which_form_was_seen_and_nothing_of_it() {
        let mut tokens = EndpointTokens::default();
        tokens.add(Keyring::new(EndpointToken::new(ONE).unwrap()));
        assert_eq!(format!("{tokens:?}"), "1 endpoint tokens");
        for (target, part) in [
            (
                format!("/hook?token={TWO}"),
                "its query has a `token` with another value",
            ),
            (format!("/hook?token={TWO}&token={ONE}"), "more than once"),
            (
                format!("/hook/{TWO}"),
                "the last segment of its path is not a token",
            ),
            ("/".to_owned(), "axum's `nest`"),
            (String::new(), "axum's `nest`"),
            ("/?a=b".to_owned(), "axum's `nest`"),
        ] {
            let error = tokens.accept(&target, SystemTime::UNIX_EPOCH).unwrap_err();
            assert_eq!(error.kind(), VerifyErrorKind::WrongEndpoint);
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(shown.contains(part), "{target}: {shown}");
                assert!(
                    ![ONE, TWO].iter().any(|token| shown.contains(token)),
                    "{shown}"
                );
            }
        }
    }

    /// A comparison of a part would accept these.
    #[test]
    fn digests_are_compared_to_the_end() {
        let token = |n: u32| format!("0123456789abcdefghij{n:04}");
        let digests: Vec<[u8; 32]> = (0..2000).map(|n| digest(&token(n))).collect();
        for byte in [0, 31] {
            let is_near = |n: &usize| digests[*n][byte] == digests[0][byte];
            let near = (1..digests.len()).find(is_near).unwrap();
            let mut tokens = EndpointTokens::default();
            tokens.add(Keyring::new(EndpointToken::new(token(0)).unwrap()));
            let near = token(near.try_into().unwrap());
            let accept = |token| tokens.accept(&format!("/{token}"), SystemTime::UNIX_EPOCH);
            assert!(accept(near).is_err(), "byte {byte}");
            assert!(accept(token(0)).is_ok());
        }
        for byte in 0..32 {
            for bit in 0..8 {
                let mut other = digests[0];
                other[byte] ^= 1 << bit;
                assert!(!is_same(&digests[0], &other), "byte {byte}, bit {bit}");
                // Differences do not make up for each other.
                other[(byte + 1) % 32] ^= 1 << bit;
                assert!(!is_same(&digests[0], &other), "byte {byte}, bit {bit}");
            }
        }
        assert!(is_same(&digests[0], &digests[0].clone()));
    }
}
