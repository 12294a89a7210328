//! The server of the examples with axum.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::app::{stopped, variable};

/// How long requests in flight may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(15);

/// Listens on `LISTEN_ADDR`.
pub(crate) async fn listen() -> Result<TcpListener, Box<dyn std::error::Error>> {
    let address = variable("LISTEN_ADDR")?.unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("LISTEN_ADDR: cannot listen on {address}: {error}"))?;
    info!("listening on http://{}", listener.local_addr()?);
    Ok(listener)
}

/// Serves until `stop`, and then for a while what is in flight. The example `axum` of `gemini-webhooks` has
/// a server that also limits idle connections and slow heads.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let server = axum::serve(listener, app).with_graceful_shutdown(stopped(stop.clone()));
    let grace = async {
        stopped(stop).await;
        sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => ended,
        () = grace => {
            warn!("cut off the requests that were still in flight {GRACE:?} after the signal to stop");
            Ok(())
        }
    }
}
