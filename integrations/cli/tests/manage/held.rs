//! A way to the mock on which answers that may have a secret in them are held back.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use gemini_webhooks::testing::google::MockGoogle;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes on what the program asks. The answers to a POST, such as to create or rotate, pass only when they may.
pub(crate) struct Held {
    address: SocketAddr,
    open: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
}

impl Held {
    pub(crate) async fn start(google: &MockGoogle) -> Self {
        let to = google.base_url().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, opened) = watch::channel(false);
        let server = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let google = TcpStream::connect(&to).await.unwrap();
                tokio::spawn(pass(client, google, opened.clone()));
            }
        });
        Self {
            address,
            open,
            server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the answers pass, from now on.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(mut client: TcpStream, mut google: TcpStream, mut opened: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_google, mut to_google) = google.split();
    let is_post = AtomicBool::new(false);
    let asked = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = from_client.read(&mut bytes).await?;
            if read == 0 {
                return to_google.shutdown().await;
            }
            // The head of a request comes in one piece.
            is_post.fetch_or(bytes[..read].starts_with(b"POST "), Ordering::SeqCst);
            to_google.write_all(&bytes[..read]).await?;
        }
    };
    let answered = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = from_google.read(&mut bytes).await?;
            if is_post.load(Ordering::SeqCst) && opened.wait_for(|open| *open).await.is_err() {
                return Ok(());
            }
            if read == 0 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&bytes[..read]).await?;
        }
    };
    // The program may leave at any time.
    let _: (io::Result<()>, io::Result<()>) = tokio::join!(asked, answered);
}
