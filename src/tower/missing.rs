use std::error::Error;
use std::fmt;

use http::StatusCode;

/// Something needs a verified event, but no [`VerifyLayer`](super::VerifyLayer) is around it.
///
/// It is a mistake of the app and so a 500: the sender did nothing wrong and will try again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MissingVerifyLayer;

impl MissingVerifyLayer {
    /// 500.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// What the response says.
    #[must_use]
    pub fn body_text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for MissingVerifyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no `VerifyLayer` of gemini-webhooks is on this route: a layer stands around the routes and \
             methods that were added before it",
        )
    }
}

impl Error for MissingVerifyLayer {}
