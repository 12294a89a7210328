//! Serves the public key of dynamic webhooks in Google's place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::exit::Failure;

/// A server of the public key. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Served {
    url: String,
    fetches: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Served {
    pub(super) async fn start(address: SocketAddr, key_set: String) -> Result<Self, Failure> {
        let listening = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok::<_, std::io::Error>((listener, address))
        };
        let (listener, address) = listening.await.map_err(|error| {
            Failure::unusable(format!(
                "the public key cannot be served at {address}: {error}; end what listens there, or give another \
                 address with --jwks-address"
            ))
        })?;
        let fetches = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&fetches);
        let answer = move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            ([(CONTENT_TYPE, "application/json")], key_set)
        };
        let app = Router::new().route("/.well-known/jwks.json", get(answer));
        let task = tokio::spawn(async move {
            // It never returns by itself.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            url: format!("http://{address}/.well-known/jwks.json"),
            fetches,
            task,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How often somebody asked for the key.
    pub(super) fn fetches(&self) -> u64 {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
