//! Reads a request's body within its limits.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use gemini_webhooks::VerifyErrorKind;
use gemini_webhooks::adapter::{Drain, Rest};
use hyper::body::{Body as _, Incoming, SizeHint};
use tokio::time::timeout;

use super::delivery::Unread;

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) body: usize,
    pub(super) time: Duration,
}

/// Reads the whole body.
pub(super) async fn read(body: &mut Incoming, limits: Limits) -> Result<Bytes, Unread> {
    let too_large = || {
        let reason = format!(
            "the body is longer than {} bytes. If your deliveries are so long, raise --max-body",
            limits.body
        );
        Unread::new(VerifyErrorKind::BodyTooLarge, reason)
    };
    if is_over(&body.size_hint(), limits.body) {
        return Err(too_large());
    }
    let whole = async {
        let mut bytes = BytesMut::new();
        while let Some(part) = next(body).await {
            let part = part.map_err(|error| {
                let reason = format!("the connection broke before the body was complete: {error}");
                Unread::new(VerifyErrorKind::BodyIncomplete, reason)
            })?;
            if part.len() > limits.body - bytes.len() {
                return Err(too_large());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes.freeze())
    };
    match timeout(limits.time, whole).await {
        Ok(read) => read,
        Err(_) => {
            let reason = format!("the body did not arrive within {:?}", limits.time);
            Err(Unread::new(VerifyErrorKind::BodyTimeout, reason))
        }
    }
}

fn is_over(hint: &SizeHint, limit: usize) -> bool {
    usize::try_from(hint.lower()).map_or(true, |lower| lower > limit)
}

async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        // Trailers are no part of the body.
        match frame.map(|frame| frame.into_data().ok()) {
            Ok(Some(data)) => return Some(Ok(data)),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Reads what is left of a body that was given up, as the crate's own middleware does: a proxy may have sent the next
/// delivery on the same connection already. Returns whether the connection can go on.
pub(super) async fn drain(body: &mut Incoming, headers: &HeaderMap, kind: VerifyErrorKind) -> bool {
    let unasked = headers.contains_key(header::EXPECT) && kind != VerifyErrorKind::BodyIncomplete;
    let left = body.size_hint().lower();
    match Rest::of(&kind.into(), true, unasked, left) {
        Rest::Drain => {
            let mut drain = pin!(Drain::new());
            poll_fn(|cx| {
                drain.as_mut().poll(cx, |cx| {
                    Pin::new(&mut *body)
                        .poll_frame(cx)
                        .map_ok(|frame| frame.into_data().unwrap_or_default())
                })
            })
            .await
        }
        Rest::Leave | Rest::Close => false,
    }
}
