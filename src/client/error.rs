//! The error of a call.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::retry::Failure;
use super::shown::Hidden;
use crate::error::{BoxError, Plain};
use crate::json::{members, string, string_or_number};

/// The kind of a [`ClientError`]: what went wrong, as a plain value to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// The API key is missing, wrong, or not allowed to do this.
    ///
    /// Status 401, 403, and 400 if the service says that the key is not valid. Check the key.
    Auth,
    /// There is no such webhook or job, or it belongs to another project. Status 404, 410.
    NotFound,
    /// The request is not valid: any other 4xx.
    ///
    /// A request that this client refuses before it is sent has no [status](ClientError::status).
    InvalidArgument,
    /// Somebody else changed the same thing at the same time. Status 409.
    Conflict,
    /// The project has made too many calls. Status 429.
    RateLimited,
    /// The service failed. Status 5xx, 408.
    Server,
    /// There was no connection, or it broke.
    Transport,
    /// There was no answer within the [deadline](super::WebhookServiceBuilder::deadline).
    Timeout,
    /// The answer is longer than 4 MiB, or is not what this call returns.
    Decode,
    /// The service answered with a redirect. It is not followed, because it would take the API key
    /// along. Status 3xx.
    Redirected,
}

/// The error when a call of the client fails.
///
/// [`kind`](Self::kind) is for programs. `Display` says which call it was, what happened and what to
/// do; text of the service is escaped and bounded in it. Neither contains the API key, a signing secret,
/// or what of a URL could be an endpoint token.
pub struct ClientError(Box<Inner>);

struct Inner {
    call: &'static str,
    kind: ClientErrorKind,
    status: Option<u16>,
    said: Said,
    retry_after: Option<Duration>,
    carried_out: bool,
    tries: u32,
    detail: String,
    advice: Option<String>,
    source: Option<BoxError>,
}

/// What the service says about an error, in either shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    code: Option<String>,
    /// Of Google's error details, such as `API_KEY_INVALID`.
    reason: Option<String>,
    message: Option<String>,
}

impl ClientError {
    fn new(call: &'static str, kind: ClientErrorKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            call,
            kind,
            status: None,
            said: Said::default(),
            retry_after: None,
            carried_out: false,
            tries: 0,
            detail: detail.into(),
            advice: None,
            source: None,
        }))
    }

    /// Refused here, before anything was sent.
    pub(super) fn refused(call: &'static str, detail: impl Into<String>) -> Self {
        Self::new(call, ClientErrorKind::InvalidArgument, detail)
    }

    /// The service did what it was asked for, and the answer says something else than it should.
    pub(super) fn unreadable(call: &'static str, detail: impl Into<String>) -> Self {
        let mut error = Self::new(call, ClientErrorKind::Decode, detail);
        error.0.carried_out = true;
        error
    }

    /// It did not come to an answer. The URL must have been taken out of the error.
    pub(super) fn transport(call: &'static str, error: BoxError) -> Self {
        let mut it = Self::new(call, ClientErrorKind::Transport, "the connection failed");
        it.0.source = Some(error);
        it
    }

    pub(super) fn timeout(call: &'static str, detail: impl Into<String>) -> Self {
        Self::new(call, ClientErrorKind::Timeout, detail)
    }

    /// An answer with another status than 2xx. `hidden` is what it must not repeat.
    pub(super) fn answered(
        call: &'static str,
        status: u16,
        body: &[u8],
        retry_after: Option<Duration>,
        hidden: &Hidden<'_>,
    ) -> Self {
        let said = Said::read(body, hidden);
        let mut error = Self::new(call, kind(status, &said), String::new());
        error.0.status = Some(status);
        error.0.said = said;
        error.0.retry_after = retry_after;
        error
    }

    /// How the last try failed, how many there were, and whether one before may have been carried
    /// out.
    pub(super) fn after(mut self, tries: u32, failure: Failure, doubtful: bool) -> Self {
        self.0.tries = tries;
        self.0.carried_out = doubtful || failure.may_be_carried_out();
        self
    }

    /// What to do, for a call that may have been carried out.
    pub(super) fn if_carried_out(self, advice: &str) -> Self {
        if self.0.carried_out {
            self.advise(advice)
        } else {
            self
        }
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Returns what went wrong, as a value to match on.
    #[must_use]
    pub fn kind(&self) -> ClientErrorKind {
        self.0.kind
    }

    /// Returns the HTTP status of the answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the error code of the service, such as `INVALID_ARGUMENT` or `invalid_request`.
    ///
    /// The service has these two styles (Google's SDKs).
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.said.code.as_deref()
    }

    /// The message of the service, as it came, but for the API key, signing secrets, and what of URLs
    /// could be an endpoint token. Escape it before you log it.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.said.message.as_deref()
    }

    /// Returns how long the service asks to wait (`Retry-After` of the last answer).
    ///
    /// The client has not waited for it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns whether the service may have done what the call asks for, in any of its tries.
    ///
    /// That is so if an answer was lost. Look before you make a call again that creates something.
    #[must_use]
    pub fn may_have_been_carried_out(&self) -> bool {
        self.0.carried_out
    }

    /// Returns whether this is Google's word that the project of the API key has no such job.
    ///
    /// Use it to tell a job that is gone, or that belongs to somebody else, from a call that failed and may go better
    /// later. It is `true` for a 404 or 410 with the code of that status, and for a 403 that denies permission to read
    /// the job, in either form of Google's errors. What Google answers about the jobs of others is not known: these are
    /// the answers that its APIs give for such things.
    ///
    /// It is `false` for what others answer in Google's place, such as a gateway's 404, because that says nothing about
    /// the job. It is also `false` for a 403 about something else, such as an API key that is blocked or a project that
    /// is switched off.
    #[must_use]
    pub fn means_no_such_job(&self) -> bool {
        let code = self.code().unwrap_or_default();
        match self.status() {
            Some(404 | 410) => matches!(code, "NOT_FOUND" | "not_found"),
            Some(403) if matches!(code, "PERMISSION_DENIED" | "permission_denied") => {
                let message = self.message().unwrap_or_default();
                let of_job = ["does not have permission", "do not have permission"];
                let has_reason = self.0.said.reason.is_some();
                !has_reason && of_job.iter().any(|part| message.contains(part))
            }
            _ => false,
        }
    }

    fn next_step(&self) -> Option<&str> {
        if self.0.advice.is_some() {
            return self.0.advice.as_deref();
        }
        match self.kind() {
            ClientErrorKind::Auth => Some(
                "check that the API key is valid, and that it is allowed to use the Gemini API",
            ),
            ClientErrorKind::Redirected => Some(
                "redirects are not followed, because they would take the API key along: set `base_url` to where the API is",
            ),
            _ => None,
        }
    }
}

/// An answer that is no success.
fn kind(status: u16, said: &Said) -> ClientErrorKind {
    // Google answers 400 for a key that it does not know.
    let has_reason = said
        .reason
        .as_deref()
        .is_some_and(|reason| reason.starts_with("API_KEY_"));
    // The shape with a `code` alone has no reason.
    let of_key = has_reason
        || said
            .message
            .as_deref()
            .is_some_and(|message| message.starts_with("API key not valid"));
    match status {
        _ if of_key => ClientErrorKind::Auth,
        401 | 403 => ClientErrorKind::Auth,
        404 | 410 => ClientErrorKind::NotFound,
        409 => ClientErrorKind::Conflict,
        429 => ClientErrorKind::RateLimited,
        408 | 500.. => ClientErrorKind::Server,
        400..=499 => ClientErrorKind::InvalidArgument,
        _ => ClientErrorKind::Redirected,
    }
}

impl Said {
    /// From `{"error":{"code":400,"message":"…","status":"INVALID_ARGUMENT","details":[…]}}` or
    /// `{"error":{"message":"…","code":"invalid_request"}}`. A proxy may answer anything.
    fn read(body: &[u8], hidden: &Hidden<'_>) -> Self {
        let text = str::from_utf8(body).unwrap_or_default();
        let error = members(text, &["error"]).and_then(|[error]| error);
        let found =
            error.and_then(|error| members(error.get(), &["code", "status", "message", "details"]));
        let Some([code, status, message, details]) = found else {
            return Self::default();
        };
        // A number says no more than the status of the answer.
        let code = status
            .and_then(string)
            .or_else(|| code.and_then(string_or_number));
        Self {
            code: code.map(|code| hidden.out_of(&code)),
            reason: details.and_then(|details| reason(details.get())),
            message: message
                .and_then(string)
                .map(|message| hidden.out_of(&message)),
        }
    }
}

/// The first `reason` of `details`, as in `google.rpc.ErrorInfo`.
fn reason(details: &str) -> Option<String> {
    let details: serde_json::Value = serde_json::from_str(details).ok()?;
    let reasons = details.as_array()?.iter();
    let mut reasons = reasons.filter_map(|detail| detail.get("reason")?.as_str());
    reasons.next().map(str::to_owned)
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            call,
            status,
            said,
            tries,
            detail,
            source,
            ..
        } = &*self.0;
        write!(f, "{call} failed: ")?;
        if let Some(status) = status {
            write!(f, "the service answered {status}")?;
            if let Some(code) = &said.code {
                write!(f, " ({})", Plain::new(code).at_most(64))?;
            }
            if let Some(message) = &said.message {
                write!(f, ": {}", Plain::new(message))?;
            }
        }
        write!(f, "{}", Plain::new(detail))?;
        if let Some(source) = source {
            write!(f, ": {}", Plain::new(source))?;
        }
        if let Some(wait) = self.0.retry_after {
            write!(f, "; the service asks to wait {} s", wait.as_secs())?;
        }
        if *tries > 1 {
            write!(f, " (after {tries} tries)")?;
        }
        match self.next_step() {
            Some(advice) => write!(f, "; {}", Plain::new(advice)),
            None => Ok(()),
        }
    }
}

/// Shows the kind and the status, and the text of `Display`.
impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("kind", &self.0.kind)
            .field("status", &self.0.status)
            .field("message", &format_args!("{self}"))
            .finish()
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "fake-key-123";

    fn answered(status: u16, body: &str) -> ClientError {
        ClientError::answered(
            "webhooks.create",
            status,
            body.as_bytes(),
            None,
            &Hidden::new(KEY, None),
        )
    }

    #[test]
    fn both_shapes_are_read() {
        let google = answered(
            400,
            r#"{"error":{"code":400,"message":"Invalid uri.","status":"INVALID_ARGUMENT","details":[{"@type":"x"},{"reason":"BAD_URI"}]}}"#,
        );
        assert_eq!(google.kind(), ClientErrorKind::InvalidArgument);
        assert_eq!(google.status(), Some(400));
        assert_eq!(google.code(), Some("INVALID_ARGUMENT"));
        assert_eq!(google.message(), Some("Invalid uri."));
        assert_eq!(
            google.to_string(),
            "webhooks.create failed: the service answered 400 (INVALID_ARGUMENT): Invalid uri."
        );

        let other = answered(
            400,
            r#"{"error":{"message":"No.","code":"invalid_request"}}"#,
        );
        assert_eq!(other.code(), Some("invalid_request"));
        assert_eq!(other.message(), Some("No."));

        for body in [
            "",
            "<html>",
            "{}",
            "[]",
            "\"\"",
            r#"{"error":"no"}"#,
            r#"{"error":null}"#,
            r#"{"error":{"message":7,"status":[]}}"#,
            r#"{"error":{"message":"cut"#,
            "\u{fffd}",
        ] {
            let error = answered(502, body);
            assert_eq!((error.code(), error.message()), (None, None), "{body}");
            assert_eq!(error.kind(), ClientErrorKind::Server);
            assert_eq!(
                error.to_string(),
                "webhooks.create failed: the service answered 502"
            );
        }
    }

    #[test]
    fn which_kind_a_status_is() {
        use ClientErrorKind::*;
        let invalid_key = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
        for (status, body, kind) in [
            (400, "", InvalidArgument),
            (400, invalid_key, Auth),
            (
                400,
                r#"{"error":{"message":"API key not valid. Please pass a valid API key.","code":"invalid_request"}}"#,
                Auth,
            ),
            (
                400,
                r#"{"error":{"message":"Not an API key not valid.","code":"invalid_request"}}"#,
                InvalidArgument,
            ),
            (401, "", Auth),
            (403, "", Auth),
            (404, "", NotFound),
            (408, "", Server),
            (409, "", Conflict),
            (410, "", NotFound),
            (412, "", InvalidArgument),
            (429, "", RateLimited),
            (499, "", InvalidArgument),
            (500, "", Server),
            (503, "", Server),
            (301, "", Redirected),
            (304, "", Redirected),
        ] {
            assert_eq!(answered(status, body).kind(), kind, "{status} {body}");
        }
        let shown = answered(400, invalid_key).to_string();
        assert!(shown.contains("check that the API key is valid"), "{shown}");
        let shown = answered(302, "").to_string();
        assert!(shown.contains("redirects are not followed"), "{shown}");
    }

    #[test]
    fn what_means_no_such_job() {
        let error = |status: &str, message: &str| {
            format!(r#"{{"error":{{"code":0,"message":"{message}","status":"{status}"}}}}"#)
        };
        let not_found = error("NOT_FOUND", "Batch 7 not found.");
        let denied = error("PERMISSION_DENIED", "The caller does not have permission");
        let of_api = r#"{"error":{"message":"x","status":"PERMISSION_DENIED","details":[{"reason":"SERVICE_DISABLED"}]}}"#;
        for (name, status, body, no) in [
            ("not found", 404, not_found.as_str(), true),
            ("gone", 410, &not_found, true),
            (
                "the other shape",
                404,
                r#"{"error":{"message":"no","code":"not_found"}}"#,
                true,
            ),
            ("permission denied", 403, &denied, true),
            ("a proxy's 404", 404, "<html>not here</html>", false),
            ("an empty 404", 404, "", false),
            ("a proxy's 403", 403, "{}", false),
            ("the API is switched off", 403, of_api, false),
            (
                "a leaked key",
                403,
                &error("PERMISSION_DENIED", "Your API key was reported as leaked."),
                false,
            ),
            (
                "the key itself in the text",
                403,
                &error("PERMISSION_DENIED", "fake-key-123 is blocked"),
                false,
            ),
            (
                "a project that is switched off",
                403,
                &error("PERMISSION_DENIED", "Your project has been denied access."),
                false,
            ),
            (
                "a key that is none",
                400,
                &error("INVALID_ARGUMENT", "API key not valid."),
                false,
            ),
            (
                "another 400",
                400,
                &error("INVALID_ARGUMENT", "Invalid id."),
                false,
            ),
            ("no key", 401, &error("UNAUTHENTICATED", "x"), false),
            ("too many", 429, &error("RESOURCE_EXHAUSTED", "x"), false),
            ("a failure", 500, &error("INTERNAL", "x"), false),
            ("a failure", 503, &not_found, false),
        ] {
            assert_eq!(answered(status, body).means_no_such_job(), no, "{name}");
        }
        assert!(!ClientError::timeout("batches.get", "late").means_no_such_job());
        assert!(!ClientError::refused("videos.get", "no name").means_no_such_job());
    }

    #[test]
    fn what_the_service_says_is_one_bounded_line_without_secrets() {
        let message = format!(
            r"no:\r\nforged \u001b[2J key {KEY} at https://a.example/x?token=hidden1 and (http://b.example/?a=hidden2). {}",
            "x".repeat(5000)
        );
        let body = format!(r#"{{"error":{{"message":"{message}","code":"a\nb"}}}}"#);
        let error = answered(400, &body);
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(
                shown.contains(r"no:\r\nforged \u{1b}[2J key (API key) at https://a.example/x?…"),
                "{shown}"
            );
            assert!(!shown.contains("hidden") && !shown.contains(KEY), "{shown}");
            assert!(!shown.contains('\n') && shown.len() < 1500, "{shown}");
        }
        let message = error.message().unwrap();
        assert!(
            !message.contains(KEY) && !message.contains("hidden"),
            "{message}"
        );
    }

    #[test]
    fn advice_is_for_what_may_have_been_carried_out() {
        let doubtful = answered(500, "").after(
            3,
            Failure::Status {
                status: 500,
                retry_after: None,
            },
            false,
        );
        assert!(doubtful.may_have_been_carried_out());
        let shown = doubtful.if_carried_out("look").to_string();
        assert!(
            shown.ends_with("answered 500 (after 3 tries); look"),
            "{shown}"
        );
        let clear = answered(400, "").after(
            1,
            Failure::Status {
                status: 400,
                retry_after: None,
            },
            false,
        );
        assert!(!clear.if_carried_out("look").to_string().contains("look"));
        let earlier = answered(404, "").after(
            2,
            Failure::Status {
                status: 404,
                retry_after: None,
            },
            true,
        );
        assert!(earlier.may_have_been_carried_out());
    }
}
