//! Three replicas, each a process of its own, follow one file of secrets while Google's deliveries come to all of
//! them and the secret is rotated: no genuine delivery is refused, and in the end the old secret is refused.
//!
//! The official library signs.
#![cfg(all(feature = "axum", unix))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and waits by the machine's clock"
)]

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use gemini_webhooks::rotation::SecretFile;
use gemini_webhooks::{Clock as _, Keyring, SystemClock, VerifyLayer, WebhookReceiver};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking, yield_now};
use tokio::time::{sleep, timeout};

const EVENT: &str = r#"{"type":"batch.succeeded","version":"v1","data":{"id":"batches/1"}}"#;
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// How often a replica reads the file.
const EVERY: Duration = Duration::from_millis(200);

/// Within this everything has happened that should, also on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// What tells a process that it is a replica.
const SECRETS: &str = "FLEET_TEST_SECRETS";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced() {
    rotated(Way::Renamed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_place() {
    rotated(Way::InPlace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_kubernetes_mounts() {
    rotated(Way::Mounted).await;
}

/// The life of a secret, from the last day of the old one on.
async fn rotated(way: Way) {
    let store = Store::new(way);
    store.write(&[OLD]).await;
    let fleet = Fleet::start(&store.file);

    // Google signs with the old one, and somebody touches the file.
    fleet.signs(&[OLD]).await;
    store.write(&["# to be rotated today", OLD]).await;
    fleet.has_answered_more().await;

    // Google has rotated. Who did it has not written the file yet, then has, and does so again.
    fleet.signs(&[OLD, NEW]).await;
    assert_eq!(fleet.ask_all(&[NEW]).await, [400; 3]);
    store.write(&[NEW, OLD]).await;
    fleet.until_all_answer(200, &[NEW]).await;
    store
        .write(&["# the new one", NEW, "", "# until tomorrow", OLD])
        .await;
    fleet.signs(&[NEW, OLD]).await;
    fleet.until_all_answer(200, &[OLD]).await;

    // A slip in the file is seen, and costs no delivery.
    store.write(&[NEW, OLD, "whsec_no secret"]).await;
    fleet.until_all_are(StatusCode::SERVICE_UNAVAILABLE).await;
    fleet.has_answered_more().await;
    store.write(&[NEW, OLD]).await;
    fleet.until_all_are(StatusCode::OK).await;

    // A day is over: Google signs with the new one alone. Then the old line goes.
    fleet.signs(&[NEW]).await;
    store.write(&[NEW]).await;
    fleet.until_all_answer(400, &[OLD]).await;
    fleet.has_answered_more().await;
    fleet.until_all_are(StatusCode::OK).await;
    fleet.stop().await;
}

/// How the file is written.
#[derive(Clone, Copy)]
enum Way {
    Renamed,
    InPlace,
    Mounted,
}

/// Where the secrets are kept.
struct Store {
    way: Way,
    folder: PathBuf,
    /// What replicas read.
    file: PathBuf,
    written: AtomicUsize,
}

impl Store {
    fn new(way: Way) -> Self {
        let name = match way {
            Way::Renamed => "renamed",
            Way::InPlace => "in-place",
            Way::Mounted => "mounted",
        };
        let name = format!("fleet-{}-{name}", process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self {
            way,
            file: folder.join("secrets"),
            folder,
            written: AtomicUsize::new(0),
        }
    }

    async fn write(&self, lines: &[&str]) {
        let text = lines.join("\n") + "\n";
        let time = self.written.fetch_add(1, Ordering::Relaxed);
        match self.way {
            Way::Renamed => {
                let next = self.folder.join("next");
                fs::write(&next, text).unwrap();
                fs::rename(&next, &self.file).unwrap();
            }
            Way::InPlace => {
                let mut file = File::create(&self.file).unwrap();
                // A slow writer: who reads meanwhile finds nothing, a part of a line, or a part of the lines.
                let (before, after) = text.split_at(text.len() / 2 + 7);
                for part in [before, after] {
                    if time > 0 {
                        sleep(EVERY).await;
                    }
                    file.write_all(part.as_bytes()).unwrap();
                    file.sync_all().unwrap();
                }
            }
            // As kubelet does: a link to a folder is replaced, and then the folder before is removed.
            Way::Mounted => {
                let (name, before) = (format!("..{time}"), self.folder.join("..data"));
                fs::create_dir(self.folder.join(&name)).unwrap();
                fs::write(self.folder.join(&name).join("secrets"), text).unwrap();
                let link = self.folder.join("..data_tmp");
                symlink(&name, &link).unwrap();
                let replaced = fs::read_link(&before).ok();
                fs::rename(&link, &before).unwrap();
                match replaced {
                    Some(folder) => fs::remove_dir_all(self.folder.join(folder)).unwrap(),
                    None => symlink("..data/secrets", &self.file).unwrap(),
                }
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Replicas, and what sends deliveries to each of them all the time.
struct Fleet {
    replicas: [Replica; 3],
    /// With what Google signs now.
    signing: Arc<Mutex<Vec<&'static str>>>,
    senders: [JoinHandle<()>; 3],
}

impl Fleet {
    fn start(secrets: &Path) -> Self {
        let replicas = [(); 3].map(|()| Replica::start(secrets));
        let signing = Arc::new(Mutex::new(vec![OLD]));
        let senders = [0, 1, 2].map(|number: usize| {
            let (signing, caller) = (Arc::clone(&signing), replicas[number].caller.clone());
            tokio::spawn(async move {
                loop {
                    let secrets = signing.lock().unwrap().clone();
                    let status = caller.deliver(&secrets).await;
                    assert_eq!(status, 200, "a genuine delivery was refused: {secrets:?}");
                    caller.accepted.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            })
        });
        Self {
            replicas,
            signing,
            senders,
        }
    }

    /// Google signs with these secrets from now on, and does so for a while.
    async fn signs(&self, secrets: &[&'static str]) {
        *self.signing.lock().unwrap() = secrets.to_vec();
        self.has_answered_more().await;
    }

    /// Each replica has answered more genuine deliveries, for longer than it takes it to read the file.
    async fn has_answered_more(&self) {
        let counts = || {
            let of = |replica: &Replica| replica.caller.accepted.load(Ordering::Relaxed);
            self.replicas.each_ref().map(of)
        };
        let (before, began) = (counts(), Instant::now());
        self.until("more deliveries", async || {
            let more = counts()
                .iter()
                .zip(before)
                .all(|(now, then)| *now > then + 20);
            more && began.elapsed() > EVERY * 2
        })
        .await;
    }

    async fn until_all_answer(&self, status: u16, secrets: &[&str]) {
        let what = format!("{status} for {secrets:?}");
        self.until(&what, async || self.ask_all(secrets).await == [status; 3])
            .await;
    }

    /// What the replicas say of whether they are ready.
    async fn until_all_are(&self, expected: StatusCode) {
        self.until(&format!("{expected}"), async || {
            for replica in &self.replicas {
                if replica.caller.ready().await != expected {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// What each replica answers to a delivery that is signed so.
    async fn ask_all(&self, secrets: &[&str]) -> [u16; 3] {
        let mut answers = [0; 3];
        for (answer, replica) in answers.iter_mut().zip(&self.replicas) {
            *answer = replica.caller.deliver(secrets).await;
        }
        answers
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let waiting = async {
            while !is_so().await {
                self.is_unharmed();
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, waiting)
            .await
            .unwrap_or_else(|_| panic!("not soon: {what}"));
        self.is_unharmed();
    }

    /// A sender ends when a genuine delivery was refused, and has said which.
    fn is_unharmed(&self) {
        let harmed = self.senders.iter().any(JoinHandle::is_finished);
        assert!(!harmed, "a genuine delivery was refused");
    }

    async fn stop(self) {
        self.is_unharmed();
        for sender in self.senders {
            sender.abort();
            assert!(sender.await.unwrap_err().is_cancelled());
        }
        for replica in self.replicas {
            replica.stop();
        }
    }
}

/// A process. It ends when its input does, so also when the test dies.
struct Replica {
    process: Child,
    caller: Caller,
}

impl Replica {
    fn start(secrets: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_replica", "--ignored", "--nocapture"])
            .env(SECRETS, secrets)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, address) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listening on ") {
                    drop(sender.send(address.to_owned()));
                }
            }
        });
        // Made before the wait, so that it is ended if that fails.
        let mut replica = Self {
            process,
            caller: Caller::default(),
        };
        replica.caller.address = address.recv_timeout(SOON).expect("it starts").into();
        replica
    }

    fn stop(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[derive(Clone)]
struct Caller {
    address: Arc<str>,
    client: Client<HttpConnector, Body>,
    accepted: Arc<AtomicUsize>,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            address: Arc::default(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            accepted: Arc::default(),
        }
    }
}

impl Caller {
    /// Sends an event of its own, with one signature by each secret.
    async fn deliver(&self, secrets: &[&str]) -> u16 {
        static SENT: AtomicUsize = AtomicUsize::new(0);
        let id = format!("msg_{}", SENT.fetch_add(1, Ordering::Relaxed));
        let now = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap().as_secs()).unwrap();
        let sign = |secret: &&str| {
            let webhook = Webhook::new(secret).unwrap();
            webhook.sign(&id, now, EVENT.as_bytes()).unwrap()
        };
        let signatures: Vec<_> = secrets.iter().map(sign).collect();
        let request = Request::post(format!("http://{}/", self.address))
            .header("webhook-id", &id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signatures.join(" "))
            .body(EVENT.into());
        self.send(request.unwrap()).await.as_u16()
    }

    async fn ready(&self) -> StatusCode {
        let request = Request::get(format!("http://{}/readyz", self.address));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> StatusCode {
        let answer = timeout(SOON, self.client.request(request)).await;
        answer.expect("it answers").unwrap().status()
    }
}

#[tokio::test]
#[ignore = "the process that other tests start"]
async fn a_replica() {
    let secrets = std::env::var_os(SECRETS).unwrap();
    let source = SecretFile::new(secrets);
    let keyring = Keyring::follow(source).every(EVERY).await.unwrap();
    let receiver = WebhookReceiver::builder().keyring(keyring).build().unwrap();
    let layer = VerifyLayer::new(receiver.clone());
    let is_ready = async move || match receiver.ready().await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let app = Router::new()
        .route("/", post(async || StatusCode::OK).layer(layer))
        .route("/readyz", get(is_ready));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    let input = spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    tokio::select! {
        served = axum::serve(listener, app) => served.unwrap(),
        ended = input => drop(ended.unwrap().unwrap()),
    }
}
