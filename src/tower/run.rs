//! Which task runs the inner service.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;

use crate::adapter::{DetachedRun, Flight, Run};
use crate::error::VerifyError;

/// Says which task runs the inner service `S`: [`Inline`] or [`Detached`].
///
/// You need it only to name the type of a layer in a bound. Nothing else implements it.
pub trait Mode<S: Service<Request<Full<Bytes>>>> {
    /// The future of the run, which ends when the claim is settled or released.
    type Future: Future<Output = Result<Result<S::Response, S::Error>, VerifyError>>;

    /// Begins the run.
    fn run(inner: S::Future, flight: Flight) -> Self::Future;
}

/// The handler runs in the request's task, and is dropped if the sender leaves. The default.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Inline;

/// The handler runs in a task of its own, which goes on if the sender leaves.
///
/// [`VerifyLayer::finish_once_started`](super::VerifyLayer::finish_once_started) turns it on.
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
