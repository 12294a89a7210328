//! HTTP requests as somebody kept them.

use std::fmt;

use bytes::Bytes;

/// One HTTP request as it arrived: header lines and body, and the method and target if they are known.
///
/// Header lines stay as they are, in their order, repeated ones as well: what a proxy did to them is part of what
/// there is to find.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    method: Option<String>,
    target: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl Capture {
    /// Makes a capture of header lines and a body.
    #[must_use]
    pub fn new<N, V>(headers: impl IntoIterator<Item = (N, V)>, body: impl Into<Bytes>) -> Self
    where
        N: Into<String>,
        V: Into<Vec<u8>>,
    {
        Self {
            method: None,
            target: None,
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            body: body.into(),
        }
    }

    /// Adds the method and the target: the path with the query.
    #[must_use]
    pub fn with_request_line(
        mut self,
        method: impl Into<String>,
        target: impl Into<String>,
    ) -> Self {
        self.method = Some(method.into());
        self.target = Some(target.into());
        self
    }

    /// Returns the method, if it is known.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Returns the path and query, if they are known.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Returns the header lines, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Reads a whole HTTP request.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] if it is none.
    pub fn from_http(_text: &[u8]) -> Result<Self, CaptureError> {
        Err(CaptureError::new("to be written"))
    }
}

/// The error when a text holds no request that could be read.
#[derive(Clone, Debug)]
pub struct CaptureError(String);

impl CaptureError {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CaptureError {}
