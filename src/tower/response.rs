use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::error::{VerifyError, VerifyErrorKind};

/// Makes the response to a delivery that is refused. Closures do.
///
/// It is for the sender, who may be anyone: tell nothing of keys or digests. The error itself is
/// put into the response's extensions afterwards.
pub trait RefusalResponse: Send + Sync + 'static {
    /// The response to `error`; [`VerifyError::status`] is the status it should have.
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

/// The default: `{"error":"<code>"}` with the [code](VerifyErrorKind::code) of the error's kind,
/// `Retry-After` where the sender should wait, and `Allow` with a 405.
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
