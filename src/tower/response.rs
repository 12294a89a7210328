use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::error::{VerifyError, VerifyErrorKind};

/// Makes the response to a refused delivery; closures implement it.
///
/// Pass one to [`VerifyLayer::with_response`](super::VerifyLayer::with_response). The sender may be
/// anyone, so tell nothing of keys or digests. Afterwards the layer puts the error into the
/// extensions of the response.
///
/// ```
/// use bytes::Bytes;
/// use gemini_webhooks::VerifyError;
/// use gemini_webhooks::tower::{JsonRefusal, RefusalResponse};
/// use http::Response;
///
/// /// The default answer, with a header of ours.
/// struct Branded;
///
/// impl RefusalResponse for Branded {
///     fn response(&self, error: &VerifyError) -> Response<Bytes> {
///         let mut response = JsonRefusal.response(error);
///         let server = http::HeaderValue::from_static("orders");
///         response.headers_mut().insert("server", server);
///         response
///     }
/// }
/// # let error = gemini_webhooks::VerifyErrorKind::InFlight.into();
/// # assert_eq!(Branded.response(&error).headers()["retry-after"], "5");
/// ```
pub trait RefusalResponse: Send + Sync + 'static {
    /// Returns the response to `error`. Its status should be [`VerifyError::status`].
    fn response(&self, error: &VerifyError) -> Response<Bytes>;
}

impl<F> RefusalResponse for F
where
    F: Fn(&VerifyError) -> Response<Bytes> + Send + Sync + 'static,
{
    fn response(&self, error: &VerifyError) -> Response<Bytes> {
        self(error)
    }
}

/// The default response to a refused delivery: `{"error":"<code>"}`.
///
/// It has the [code](VerifyErrorKind::code) and the status of the error, `Retry-After` if the
/// sender should wait (409 and 503), and `Allow: POST` with a 405.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a name, so that a replacement can fall back on it"
)]
pub struct JsonRefusal;

impl RefusalResponse for JsonRefusal {
    fn response(&self, error: &VerifyError) -> Response<Bytes> {
        let body = format!(r#"{{"error":"{}"}}"#, error.kind().code());
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() =
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = error.retry_after() {
            headers.insert(RETRY_AFTER, after.as_secs().into());
        }
        if error.kind() == VerifyErrorKind::MethodNotAllowed {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
