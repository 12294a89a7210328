//! How the service says no.

use serde_json::{Value, json};

use super::fields::set;

/// The shape of the errors that the mock answers with. Google has both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorShape {
    /// `{"error":{"code":400,"message":"…","status":"INVALID_ARGUMENT","details":[…]}}`
    #[default]
    Status,
    /// `{"error":{"message":"…","code":"invalid_request"}}`
    Code,
}

/// What a call comes to.
pub(super) type Answered = Result<Value, Refusal>;

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    message: String,
    reason: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            reason: None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self::new(404, format!("{what} {id} not found."))
    }

    /// As the Gemini API answers everywhere: 400, and only the reason tells what it is about.
    pub(super) fn wrong_api_key() -> Self {
        Self {
            reason: Some("API_KEY_INVALID"),
            ..Self::invalid("API key not valid. Please pass a valid API key.")
        }
    }

    pub(super) fn no_api_key() -> Self {
        Self::new(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). \
             Please use API Key or other form of API consumer identity to call this API.",
        )
    }

    pub(super) fn body(&self, shape: ErrorShape) -> Value {
        let status = match self.status {
            400 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            408 | 504 => "DEADLINE_EXCEEDED",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            501 => "UNIMPLEMENTED",
            503 => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        match shape {
            ErrorShape::Status => {
                let mut error =
                    json!({"code": self.status, "message": self.message, "status": status});
                if let Some(reason) = self.reason {
                    set(
                        &mut error,
                        "details",
                        json!([{
                            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                            "reason": reason,
                            "domain": "googleapis.com",
                        }]),
                    );
                }
                json!({ "error": error })
            }
            // Only the code of 400 has been seen; the others are guesses after it.
            ErrorShape::Code => {
                let code = match self.status {
                    400 => "invalid_request".to_owned(),
                    _ => status.to_lowercase(),
                };
                json!({"error": {"message": self.message, "code": code}})
            }
        }
    }
}
