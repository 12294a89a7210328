//! A server of public keys.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::key_set;

/// A server of public keys on a port of this machine, in Google's place.
///
/// It counts how often it is asked, and fails on demand. It ends when it is dropped.
///
/// ```
/// use gemini_webhooks::testing::{Ed25519Signer, JwksServer};
/// use gemini_webhooks::WebhookReceiver;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let signer = Ed25519Signer::new("key-1", [7; 32]);
/// let server = JwksServer::start([signer.jwk()]).await?;
/// let receiver = WebhookReceiver::builder()
///     .jwks_url(server.url())
///     .allow_any_google_project()
///     .build()?;
/// receiver.ready().await?;
/// assert_eq!(server.fetches(), 1);
///
/// server.fail();
/// assert!(receiver.refresh_keys().await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JwksServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    fetches: AtomicUsize,
    answer: Mutex<Answer>,
}

#[derive(Clone, Debug, Default)]
struct Answer {
    /// None: no answer at all.
    status: Option<u16>,
    headers: String,
    body: String,
}

impl JwksServer {
    /// Starts a server with these keys on a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub async fn start(jwks: impl IntoIterator<Item = String>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            fetches: AtomicUsize::new(0),
            answer: Mutex::default(),
        });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move { serve(stream, &shared).await });
                }
            }
        });
        let server = Self {
            address,
            shared,
            task,
        };
        server.publish(jwks);
        Ok(server)
    }

    /// Returns the URL of the keys, for `jwks_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.address)
    }

    /// Returns how often the keys were asked for.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }

    /// Serves these keys from now on.
    pub fn publish(&self, jwks: impl IntoIterator<Item = String>) {
        self.respond(200, [], key_set(jwks));
    }

    /// Serves these keys from now on, with this value of `Cache-Control`.
    pub fn publish_for(&self, jwks: impl IntoIterator<Item = String>, cache_control: &str) {
        self.respond(200, [("cache-control", cache_control)], key_set(jwks));
    }

    /// Answers 503 from now on.
    pub fn fail(&self) {
        self.respond(503, [], "");
    }

    /// Answers 200 with this text instead of a key set from now on.
    pub fn send(&self, body: impl Into<String>) {
        self.respond(200, [], body);
    }

    /// Answers with a redirect to `url` from now on.
    pub fn redirect(&self, url: &str) {
        self.respond(302, [("location", url)], "");
    }

    /// Accepts connections and never answers from now on.
    pub fn stall(&self) {
        self.set(Answer::default());
    }

    /// Answers with this status, these headers and this body from now on.
    pub fn respond<'h>(
        &self,
        status: u16,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        body: impl Into<String>,
    ) {
        let line = |(name, value)| format!("{name}: {value}\r\n");
        self.set(Answer {
            status: Some(status),
            headers: headers.into_iter().map(line).collect(),
            body: body.into(),
        });
    }

    fn set(&self, answer: Answer) {
        let current = self.shared.answer.lock();
        *current.unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request and its answer; whoever asks may leave at any time.
async fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < 8 * 1024 {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    shared.fetches.fetch_add(1, Ordering::SeqCst);
    let answer = shared
        .answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let Answer {
        status: Some(status),
        headers,
        body,
    } = answer
    else {
        // Until the other side hangs up.
        let _ = stream.read_buf(&mut request).await;
        return;
    };
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    );
    if stream.write_all(response.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}
