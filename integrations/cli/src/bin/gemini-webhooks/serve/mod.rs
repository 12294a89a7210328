//! Serves HTTP/1 with limits: how many connections and requests on each there may be, and how long a head, an answer
//! that nobody reads, and the end may take.

mod patient;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::exit::Failure;
use patient::Patient;

/// A head that is longer is answered with 431.
const MAX_HEAD: usize = 64 * 1024;
/// How long the next try waits if a connection cannot be accepted, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After so many answers a connection ends: a client that never reads could have asked for any number.
const MAX_REQUESTS: u32 = 100;

/// What one server may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// So many connections at a time. More wait in the queue of the operating system.
    pub(crate) connections: usize,
    /// The longest time for the head of a request, and for an idle connection.
    pub(crate) head_time: Duration,
    /// How long requests in flight may go on after a stop.
    pub(crate) grace: Duration,
}

/// Opens a port.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::unusable(format!(
            "cannot listen on {address}: {error}. Give another port, or end the program that has it"
        ))
    })
}

/// The address that a listener has.
pub(crate) fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener
        .local_addr()
        .map_err(|error| Failure::new(format!("cannot tell the address of a port: {error}")))
}

/// Whether only programs of this machine reach the address.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Serves until `stop` is done. Then it accepts no more, and lets what is in flight come to its end within
/// [`Limits::grace`].
pub(crate) async fn serve<S>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let mut stop = pin!(stop);
    let places = Arc::new(Semaphore::new(limits.connections));
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            Some(_) = connections.join_next() => continue,
            () = stop.as_mut() => break,
        };
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (service, stopped) = (service.clone(), stopped.clone());
        connections.spawn(async move {
            connection(stream, service, limits, stopped).await;
            drop(place);
        });
    }
    drop(listener);
    // Fails only if there is no connection.
    let _ = stopping.send(());
    let _ = timeout(limits.grace, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    connections.shutdown().await;
}

/// Serves one connection. How it breaks off concerns the other side only.
async fn connection<S>(
    stream: TcpStream,
    service: S,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    // An answer is small, and the other side waits for it.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(MAX_HEAD);
    let answered = AtomicU32::new(0);
    let service = service_fn(move |request| {
        let answer = service.call(request);
        let is_last = answered.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_REQUESTS;
        async move {
            let mut answer = answer.await?;
            if is_last {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(Patient::new(stream)), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => {}
    }
    Pin::as_mut(&mut connection).graceful_shutdown();
    let _ = connection.await;
}
