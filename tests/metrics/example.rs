//! The example, as a process of its own.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::SystemTime;

use gemini_webhooks::{Clock as _, SystemClock, testing};
use reqwest::Client;

/// Where cargo puts the examples: it builds them before the tests.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples/metrics")
}

struct Example {
    process: Child,
    client: Client,
    webhook: String,
    metrics: String,
}

/// If the process ends before it tells, so does its log.
fn url_of(what: &str, log: &mut Lines<BufReader<ChildStderr>>) -> String {
    let mut urls = log.filter_map(|line| Some(line.unwrap().split_once(what)?.1.to_owned()));
    urls.next().expect("it listens")
}

impl Example {
    fn start() -> Self {
        let mut process = Command::new(program())
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("WEBHOOK_SIGNING_SECRET", testing::SECRET)
            .env("RUST_LOG", "metrics=info")
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let webhook = url_of("the webhook is at ", &mut log);
        let metrics = url_of("the metrics are at ", &mut log);
        // What it logs later must not fill the pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            process,
            client: Client::builder().no_proxy().build().unwrap(),
            webhook,
            metrics,
        }
    }

    /// Signed by the official library, and then perhaps changed.
    async fn deliver(&self, id: &str, signed: &str, sent: &'static str) -> u16 {
        let now = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap().as_secs()).unwrap();
        let signer = standardwebhooks::Webhook::new(testing::SECRET).unwrap();
        let signature = signer.sign(id, now, signed.as_bytes()).unwrap();
        let request = self
            .client
            .post(format!("{}/gemini-callback", self.webhook))
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(sent);
        request.send().await.unwrap().status().as_u16()
    }

    async fn metrics_at(&self, address: &str) -> reqwest::Response {
        let request = self.client.get(format!("{address}/metrics"));
        request.send().await.unwrap()
    }
}

#[cfg(unix)]
impl Example {
    fn ends_in_order(mut self) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }
}

/// If it has not ended before.
impl Drop for Example {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_shows_a_good_and_a_bad_delivery() {
    let example = Example::start();
    let [good, other, ..] = testing::SAMPLE_EVENTS;
    assert_eq!(example.deliver("msg_1", good, good).await, 200);
    assert_eq!(example.deliver("msg_2", good, other).await, 400);

    let scraped = example.metrics_at(&example.metrics).await;
    let scraped = scraped.text().await.unwrap();
    for line in [
        "# TYPE gemini_webhooks_deliveries_total counter",
        "# TYPE gemini_webhooks_handler_seconds histogram",
        "# TYPE gemini_webhooks_claims_in_flight gauge",
        r#"gemini_webhooks_deliveries_total{scheme="v1",type="batch.succeeded",outcome="handled",code=""} 1"#,
        r#"gemini_webhooks_deliveries_total{scheme="none",type="none",outcome="refused",code="signature_mismatch"} 1"#,
        r#"gemini_webhooks_handler_seconds_bucket{outcome="handled",le="+Inf"} 1"#,
        r#"gemini_webhooks_verification_seconds_count{scheme="v1"} 1"#,
        r#"gemini_webhooks_guard_seconds_count{operation="claim"} 1"#,
        "gemini_webhooks_claims_in_flight 0",
        "gemini_webhooks_buffered_bytes 0",
    ] {
        assert!(
            scraped.lines().any(|found| found == line),
            "{line} is not in:\n{scraped}"
        );
    }
    assert!(
        scraped.contains("# HELP gemini_webhooks_deliveries_total "),
        "{scraped}"
    );
    // They are not on the public address.
    assert_eq!(example.metrics_at(&example.webhook).await.status(), 404);
    #[cfg(unix)]
    example.ends_in_order();
}
