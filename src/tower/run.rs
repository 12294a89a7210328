//! Whose task runs the inner service.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;

use crate::adapter::{DetachedRun, Flight, Run};
use crate::error::VerifyError;

/// Whose task runs the inner service `S`: [`Inline`] or [`Detached`]. For naming in bounds; there is
/// no third.
pub trait Mode<S: Service<Request<Full<Bytes>>>> {
    /// The run, to its end: with the claim settled or released.
    type Future: Future<Output = Result<Result<S::Response, S::Error>, VerifyError>>;

    /// Begins it.
    fn run(inner: S::Future, flight: Flight) -> Self::Future;
}

/// The request's own: the handler is dropped with the request, when the sender leaves.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Inline;

/// One by itself, which goes on when the sender leaves. See
/// [`VerifyLayer::finish_once_started`](super::VerifyLayer::finish_once_started).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Detached;

impl<S, T> Mode<S> for Inline
where
    S: Service<Request<Full<Bytes>>, Response = Response<T>>,
{
    type Future = Run<S::Future>;

    fn run(inner: S::Future, flight: Flight) -> Self::Future {
        Run::new(inner, flight, status)
    }
}

impl<S, T> Mode<S> for Detached
where
    S: Service<Request<Full<Bytes>>, Response = Response<T>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    T: Send + 'static,
{
    type Future = DetachedRun<Result<Response<T>, S::Error>>;

    fn run(inner: S::Future, flight: Flight) -> Self::Future {
        tokio::spawn(Run::new(inner, flight, status)).into()
    }
}

fn status<T, E>(answer: &Result<Response<T>, E>) -> Option<u16> {
    let response = answer.as_ref().ok()?;
    Some(response.status().as_u16())
}
