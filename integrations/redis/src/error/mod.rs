//! What an error of the driver means for the guard, and what an operator can do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use gemini_webhooks::replay::{GuardError, GuardErrorKind};
use redis::{ErrorKind, RedisError};

use GuardErrorKind::{Broken, Unavailable};

use crate::scripts::NotOurs;

/// What happened, and what to do. The source is the driver's error.
#[derive(Debug)]
struct Failure {
    message: String,
    source: Option<RedisError>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// A sign by which an error is known, what it means, and what to do.
type Row = (&'static str, GuardErrorKind, &'static str);

/// By the code that an answer begins with.
const CODES: &[Row] = &[
    (
        "NOAUTH",
        Broken,
        "It wants a password: put user and password into the URL.",
    ),
    (
        "WRONGPASS",
        Broken,
        "It refuses the user or the password: check both in the URL.",
    ),
    ("NOPERM", Broken, PERMISSIONS),
    (
        READONLY,
        Unavailable,
        "It is a replica, which takes no writes. During a failover that passes; otherwise connect to its \
         master.",
    ),
    (
        "OOM",
        Unavailable,
        "It is out of memory: raise its maxmemory, or remove what others keep there.",
    ),
    (
        "MISCONF",
        Unavailable,
        "It takes no writes because it cannot write to its disk: see its log.",
    ),
    (
        "LOADING",
        Unavailable,
        "It has started and still reads its data.",
    ),
    (
        "BUSY",
        Unavailable,
        "It runs a slow script or function of somebody's: SCRIPT KILL or FUNCTION KILL ends it.",
    ),
    (
        "NOREPLICAS",
        Unavailable,
        "Too few replicas follow it (min-replicas-to-write).",
    ),
    (
        "CLUSTERDOWN",
        Unavailable,
        "A part of the cluster has no master: see CLUSTER INFO.",
    ),
    (
        "TRYAGAIN",
        Unavailable,
        "The cluster moves the key's slot to another node.",
    ),
    (
        "MASTERDOWN",
        Unavailable,
        "It is a replica that has lost its master.",
    ),
    ("MOVED", Broken, NODE),
    ("ASK", Broken, NODE),
    (
        WRONGTYPE,
        Broken,
        "Others must not write keys that begin with `gemini-webhooks:`.",
    ),
];

pub(crate) const READONLY: &str = "READONLY";
pub(crate) const WRONGTYPE: &str = "WRONGTYPE";

const PERMISSIONS: &str = "Its user lacks a permission. The guard needs `~gemini-webhooks:* +eval +evalsha \
    +get +set +del +pttl`, and `+info +config|get` to tell what could be forgotten.";

pub(crate) const NODE: &str = "It is a node of a Redis Cluster: make the guard from a cluster connection (feature \
    `cluster`).";

const BROKE: &str = "The connection broke, and is made anew.";

const CLOSED: &str =
    "It closes new connections: it may have reached its maxclients, or want TLS (rediss:).";

/// By what an answer says, if it has no code of its own.
const TEXTS: &[Row] = &[
    ("The user executing the script can't", Broken, PERMISSIONS),
    // Valkey 9.
    ("ACL failure in script", Broken, PERMISSIONS),
    (
        "max number of clients reached",
        Unavailable,
        "It takes no more connections: raise its maxclients, or close connections of others.",
    ),
    (
        "unknown command",
        Broken,
        "It lacks a command that the guard needs: EVAL, EVALSHA, GET, SET, DEL and PTTL. A proxy in between \
         may be the reason.",
    ),
    (
        "DB index is out of range",
        Broken,
        "Check the number of the database in the URL.",
    ),
    ("SELECT is not allowed in cluster mode", Broken, NODE),
];

/// Makes the guard's error for a URL that the driver does not take.
pub(crate) fn invalid_url(error: RedisError) -> GuardError {
    let message = format!(
        "the URL of the Redis server is invalid: {}. It is like redis://user:password@host:6379/0, or rediss: \
         with TLS (feature `tls-rustls`). In a password, write %40 for @, %2F for /, %3A for :, %3F for ? and \
         %23 for #.",
        said(&error)
    );
    let source = Some(error);
    of(Broken, Failure { message, source })
}

/// Makes the guard's error of one that an attempt to connect ended with.
pub(crate) fn explain_no_connection(server: &str, error: RedisError) -> GuardError {
    match meaning(&error) {
        (_, BROKE) => explained(server, error, Unavailable, CLOSED),
        (kind, advice) => explained(server, error, kind, advice),
    }
}

/// Makes the guard's error of one that a request ended with.
pub(crate) fn explain(server: &str, error: RedisError) -> GuardError {
    let (kind, advice) = meaning(&error);
    explained(server, error, kind, advice)
}

fn explained(
    server: &str,
    error: RedisError,
    kind: GuardErrorKind,
    advice: &'static str,
) -> GuardError {
    let said = said(&error);
    // A server repeats the arguments of a command that it does not know, and the token is one of them.
    let (said, source) = match said.split_once(", with args beginning with") {
        Some((said, _)) => (said.to_owned(), None),
        None => (said, Some(error)),
    };
    let verb = match source.as_ref().map(RedisError::kind) {
        Some(ErrorKind::Io | ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound) => {
            "does not answer"
        }
        _ => "answers with an error",
    };
    let said = said.trim_end_matches('.');
    let message = format!("{server} {verb}: {said}. {advice}");
    of(kind, Failure { message, source })
}

/// Makes the error for what is under a key.
pub(crate) fn not_ours(server: &str, what: NotOurs, key: &[u8]) -> GuardError {
    let key = key.escape_ascii();
    let message = match what {
        NotOurs::Value => format!(
            "{server} holds something under the key \"{key}\" that the guard did not write. Remove the key. \
             Others must not write keys that begin with `gemini-webhooks:`."
        ),
        NotOurs::NoExpiry => format!(
            "{server} holds a claim under the key \"{key}\" that never ends: its expiry was removed. Remove the \
             key."
        ),
        NotOurs::Answer => format!(
            "{server} gives an answer for the key \"{key}\" that the guard's script cannot give. A proxy in \
             between may be the reason."
        ),
    };
    let source = None;
    of(Broken, Failure { message, source })
}

/// Makes an error that is not of the driver.
pub(crate) fn of_message(kind: GuardErrorKind, message: String) -> GuardError {
    let source = None;
    of(kind, Failure { message, source })
}

fn of(kind: GuardErrorKind, failure: Failure) -> GuardError {
    match kind {
        Broken => GuardError::broken(failure),
        _ => GuardError::unavailable(failure),
    }
}

/// Returns whether the server has answered with an error, so that it did nothing.
pub(crate) fn is_answer(error: &RedisError) -> bool {
    error.code().is_some()
}

/// Returns whether the server has answered with this error.
pub(crate) fn has_code(error: &RedisError, code: &str) -> bool {
    row(error).is_some_and(|row| row.0 == code)
}

/// What the server or the driver said, without the driver's frame.
pub(crate) fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}

fn row(error: &RedisError) -> Option<&'static Row> {
    let code = error.code()?;
    let by_code = CODES.iter().find(|row| row.0 == code);
    by_code.or_else(|| {
        let said = said(error);
        // Before Redis 7.0 the error of a command within a script comes in a text about the script.
        let inner = CODES
            .iter()
            .find(|row| said.contains(&format!(" -{} ", row.0)));
        inner.or_else(|| TEXTS.iter().find(|row| said.contains(row.0)))
    })
}

fn meaning(error: &RedisError) -> (GuardErrorKind, &'static str) {
    if let Some(&(_, kind, advice)) = row(error) {
        return (kind, advice);
    }
    // The driver calls an answer that breaks off malformed.
    let breaks_off = said(error).contains("Unexpected end of input");
    match error.kind() {
        ErrorKind::Parse if breaks_off => (Unavailable, BROKE),
        ErrorKind::AuthenticationFailed => (
            Broken,
            "It refuses the user or the password: check both in the URL.",
        ),
        ErrorKind::InvalidClientConfig => (
            Broken,
            "Check the URL: it is like redis://user:password@host:6379/0, or rediss: with TLS (feature \
             `tls-rustls`).",
        ),
        ErrorKind::RESP3NotSupported => (Broken, "Add ?protocol=resp2 to the URL."),
        ErrorKind::Parse => (
            Broken,
            "What it says is not Redis's protocol: check host and port, and whether it wants TLS (rediss:).",
        ),
        ErrorKind::UnexpectedReturnType => (Broken, "Is it a Redis or Valkey server?"),
        ErrorKind::ClusterConnectionNotFound => {
            (Unavailable, "No node of the cluster can be reached.")
        }
        ErrorKind::Io => io_meaning(error),
        _ => (Unavailable, "See the server's log."),
    }
}

fn io_meaning(error: &RedisError) -> (GuardErrorKind, &'static str) {
    if error.is_connection_refusal() {
        return (Unavailable, "Is it running, and are host and port right?");
    }
    if error.is_timeout() {
        return (
            Unavailable,
            "It may be overloaded or stopped, or the network is down.",
        );
    }
    if error.is_connection_dropped() {
        return (Unavailable, BROKE);
    }
    match io_error(error).map(io::Error::kind) {
        // From the TLS library.
        Some(io::ErrorKind::InvalidData) => (
            Broken,
            "TLS fails: check the server's certificate, and whether it offers TLS at this port.",
        ),
        _ => (Unavailable, "Check the host and the network."),
    }
}

fn io_error(error: &RedisError) -> Option<&io::Error> {
    let source = error.source()?;
    let shared = source.downcast_ref::<Arc<dyn Error + Send + Sync>>();
    shared.map_or_else(
        || source.downcast_ref(),
        |inner| inner.downcast_ref::<io::Error>(),
    )
}

#[cfg(test)]
mod tests;
