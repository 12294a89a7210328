use std::error::Error;
use std::fmt;

use http::StatusCode;

/// The error when a handler asks for an event on a route without [`VerifyLayer`](super::VerifyLayer).
///
/// It is a mistake in the app, so the answer is a 500, and Google retries. The answer and the log
/// name the missing layer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MissingVerifyLayer;

impl MissingVerifyLayer {
    /// Returns the status to answer: 500.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// Returns the text of the response.
    #[must_use]
    pub fn body_text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for MissingVerifyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no `VerifyLayer` of gemini-webhooks is on this route: put it on the route, or after the \
             routes and methods that it is to cover, since a layer covers only what was added before it",
        )
    }
}

impl Error for MissingVerifyLayer {}
