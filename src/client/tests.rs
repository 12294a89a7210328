//! The client against a server that answers as it is told, with the clock stopped.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::clock::{Clock, SystemClock};

const KEY: &str = "fake-key-123";
const WEBHOOK: &str = r#"{"id":"abc","uri":"https://a.example/x"}"#;

/// What the server does with one connection.
#[derive(Clone, Debug)]
enum Does {
    /// Sends these bytes and hangs up.
    Send(String),
    /// Hangs up without an answer.
    HangUp,
    /// Never answers.
    Stall,
}

fn answer(status: u16, headers: &str, body: &str) -> Does {
    let length = body.len();
    Does::Send(format!(
        "HTTP/1.1 {status} \r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    ))
}

fn ok(body: &str) -> Does {
    answer(200, "", body)
}

fn status(status: u16) -> Does {
    answer(status, "", "")
}

/// A server that does one of these with each connection, in order, and the last from then on.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(script: impl IntoIterator<Item = Does>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script: Vec<Does> = script.into_iter().collect();
        tokio::spawn({
            let requests = Arc::clone(&requests);
            async move {
                let mut script = script.into_iter().peekable();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let now = script.next().unwrap();
                    if script.peek().is_none() {
                        script = vec![now.clone()].into_iter().peekable();
                    }
                    tokio::spawn(serve(stream, now, Arc::clone(&requests)));
                }
            }
        });
        Self { url, requests }
    }

    fn service(&self) -> WebhookService {
        service(&self.url, |builder| builder)
    }

    /// The head and the body of each request.
    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, does: Does, requests: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
            return;
        }
    }
    requests
        .lock()
        .unwrap()
        .push(String::from_utf8(request).unwrap());
    match does {
        Does::Send(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.shutdown().await;
            // What closes before the other side has read all may take back what it has sent.
            while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {}
        }
        Does::HangUp => {}
        Does::Stall => {
            let _ = stream.read_buf(&mut Vec::new()).await;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap())
}

/// Time as tokio has it, which a test can stop.
#[derive(Debug)]
struct TokioClock;

#[expect(clippy::disallowed_methods, reason = "tokio's clock is stopped here")]
impl Clock for TokioClock {
    fn now(&self) -> SystemTime {
        SystemClock.now()
    }

    fn monotonic(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

fn service(
    url: &str,
    set: impl FnOnce(WebhookServiceBuilder) -> WebhookServiceBuilder,
) -> WebhookService {
    let builder = WebhookService::builder()
        .api_key(KEY)
        .base_url(url)
        .clock(TokioClock);
    set(builder).build().unwrap()
}

/// How long something takes.
async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = TokioClock.monotonic();
    let output = future.await;
    (output, TokioClock.monotonic() - start)
}

fn spec() -> WebhookSpec {
    WebhookSpec::new("https://a.example/x", ["batch.failed"])
}

fn within(took: Duration, seconds: std::ops::RangeInclusive<f64>) -> bool {
    seconds.contains(&took.as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn a_call_is_sent_with_the_key_and_its_length() {
    let server = Server::start([ok(WEBHOOK)]).await;
    let webhook = server.service().get("a/b").await.unwrap();
    assert_eq!(webhook.id(), "abc");
    server.service().ping("abc").await.unwrap();
    let requests = server.requests();
    assert!(
        requests[0].starts_with("GET /v1/webhooks/a%2Fb HTTP/1.1\r\n"),
        "{requests:?}"
    );
    for request in &requests {
        for line in [
            "x-goog-api-key: fake-key-123\r\n",
            "accept: application/json\r\n",
        ] {
            assert!(request.contains(line), "{request}");
        }
        assert!(
            request.contains("user-agent: gemini-webhooks/"),
            "{request}"
        );
    }
    assert_eq!(
        requests[1].matches("content-length: 0\r\n").count(),
        1,
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_5xx_is_weathered_or_told() {
    let server = Server::start([
        status(500),
        status(502),
        status(503),
        status(504),
        ok(WEBHOOK),
    ])
    .await;
    let (webhook, took) = timed(server.service().get("abc")).await;
    assert_eq!(webhook.unwrap().id(), "abc");
    assert_eq!(server.requests().len(), 5);
    // 500 ms, doubling, less a quarter at most.
    assert!(within(took, 5.6..=7.6), "{took:?}");

    let server = Server::start([status(503)]).await;
    let error = server.service().get("abc").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ClientErrorKind::Server, Some(503))
    );
    assert_eq!(server.requests().len(), 5);
    let shown = error.to_string();
    assert_eq!(
        shown,
        "webhooks.get failed: the service answered 503 (after 5 tries)"
    );

    let server = Server::start([status(503)]).await;
    let never = service(&server.url, |builder| builder.max_retries(0));
    never.get("abc").await.unwrap_err();
    assert_eq!(server.requests().len(), 1);

    let server = Server::start([status(503)]).await;
    let service = server.service();
    let never = service.without_retries();
    let error = never.batches().get("abc").await.unwrap_err();
    assert!(!error.to_string().contains("tries"), "{error}");
    assert_eq!(server.requests().len(), 1);
    service.get("abc").await.unwrap_err();
    assert_eq!(server.requests().len(), 6, "the other one is as it was");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let seconds = answer(429, "retry-after: 17\r\n", "");
    let server = Server::start([seconds, ok(WEBHOOK)]).await;
    let (webhook, took) = timed(server.service().get("abc")).await;
    assert!(webhook.is_ok() && within(took, 17.0..=17.5), "{took:?}");

    let date = SystemClock.now() + Duration::from_secs(30);
    let date = format!("retry-after: {}\r\n", httpdate::fmt_http_date(date));
    let server = Server::start([answer(503, &date, ""), ok(WEBHOOK)]).await;
    let (webhook, took) = timed(server.service().get("abc")).await;
    assert!(webhook.is_ok() && within(took, 25.0..=30.5), "{took:?}");

    // What lies beyond the deadline is not waited for, and told.
    let server = Server::start([answer(429, "retry-after: 61\r\n", "")]).await;
    let (error, took) = timed(server.service().get("abc")).await;
    let error = error.unwrap_err();
    assert!(within(took, 0.0..=0.5), "{took:?}");
    assert_eq!(error.kind(), ClientErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(61)));
    assert!(error.to_string().contains("asks to wait 61 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_would_make_another_is_not_sent_twice() {
    type Case = (Does, usize, bool);
    let cases: [Case; 6] = [
        (status(503), 1, true),
        (answer(503, "retry-after: 1\r\n", ""), 1, true),
        (Does::HangUp, 1, true),
        (status(409), 1, false),
        (status(400), 1, false),
        (status(429), 5, false),
    ];
    for (does, tries, doubtful) in cases {
        let server = Server::start([does.clone()]).await;
        let service = server.service();
        let created = service.create(&spec()).await.unwrap_err();
        let rotated = service
            .rotate_signing_secret("abc", RevocationBehavior::AfterH24)
            .await
            .unwrap_err();
        let config = WebhookConfig::new().uri("https://a.example/x");
        let batch = service
            .batches()
            .create("m", serde_json::json!({"batch": {}}), Some(&config))
            .await
            .unwrap_err();
        let interaction = service
            .interactions()
            .create(serde_json::json!({"input": "x"}), Some(&config))
            .await
            .unwrap_err();
        assert_eq!(server.requests().len(), 4 * tries, "{does:?}");
        for (error, advice) in [
            (
                created,
                "call `list` to look, then `delete` or `rotate_signing_secret`",
            ),
            (
                rotated,
                "call `rotate_signing_secret` again, and store what it returns",
            ),
            (batch, "may have been started"),
            (interaction, "may have been started"),
        ] {
            assert_eq!(
                error.may_have_been_carried_out(),
                doubtful,
                "{does:?} {error}"
            );
            assert_eq!(
                error.to_string().contains(advice),
                doubtful,
                "{does:?} {error}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_whose_answer_is_of_no_use_has_advice() {
    for body in ["{}", r#"{"id":"abc","uri":"u"}"#, "<html>", "\u{0}"] {
        let server = Server::start([ok(body)]).await;
        let error = server.service().create(&spec()).await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Decode, "{body}");
        assert!(error.to_string().contains("call `list`"), "{error}");
        let error = server
            .service()
            .rotate_signing_secret("abc", None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Decode, "{body}");
        assert!(
            error.to_string().contains("`rotate_signing_secret` again"),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_listens_nothing_was_sent() {
    // The port is taken, so that no other test listens on it.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let (error, took) = timed(service(&url, |builder| builder).create(&spec())).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ClientErrorKind::Transport, None)
    );
    assert!(!error.may_have_been_carried_out());
    assert!(within(took, 5.6..=7.6), "{took:?}");
    let shown = error.to_string();
    assert!(
        shown.contains("the connection failed") && shown.contains("(after 5 tries)"),
        "{shown}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_is_left() {
    // Each try has 30 seconds, the call 60.
    let server = Server::start([Does::Stall]).await;
    let (error, took) = timed(server.service().get("abc")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::Timeout);
    assert!(error.may_have_been_carried_out());
    assert_eq!(server.requests().len(), 2);
    assert!(within(took, 60.0..=60.1), "{took:?}");
    assert!(
        error
            .to_string()
            .contains("no answer within 60s (after 2 tries)"),
        "{error}"
    );

    let server = Server::start([Does::Stall]).await;
    let hasty = service(&server.url, |builder| {
        builder
            .max_retries(1)
            .http(|client| client.timeout(Duration::from_secs(2)))
    });
    let (error, took) = timed(hasty.get("abc")).await;
    assert_eq!(error.unwrap_err().kind(), ClientErrorKind::Timeout);
    assert!(within(took, 4.3..=4.6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let cut = Does::Send("HTTP/1.1 200 \r\ncontent-length: 100\r\n\r\n{\"id\":".to_owned());
    let server = Server::start([cut.clone(), Does::HangUp, ok(WEBHOOK)]).await;
    assert!(server.service().get("abc").await.is_ok());
    assert_eq!(server.requests().len(), 3);

    let server = Server::start([cut]).await;
    let error = server.service().get("abc").await.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::Transport);
    let error = server.service().create(&spec()).await.unwrap_err();
    assert!(error.may_have_been_carried_out(), "{error}");
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_have_4_mib() {
    let limit = 4 * 1024 * 1024;
    let full = |length: usize| format!("{WEBHOOK}{}", " ".repeat(length - WEBHOOK.len()));
    let unannounced =
        |body: String| Does::Send(format!("HTTP/1.1 200 \r\nconnection: close\r\n\r\n{body}"));
    let lying = Does::Send("HTTP/1.1 200 \r\ncontent-length: 99999999999\r\n\r\n".to_owned());
    for (does, fits) in [
        (ok(&full(limit)), true),
        (unannounced(full(limit)), true),
        (ok(&full(limit + 1)), false),
        (unannounced(full(limit + 1)), false),
        (lying, false),
    ] {
        let server = Server::start([does]).await;
        match server.service().get("abc").await {
            Ok(webhook) => assert!(fits, "{webhook:?}"),
            Err(error) => {
                assert!(!fits, "{error}");
                assert_eq!(error.kind(), ClientErrorKind::Decode, "{error}");
                assert!(error.to_string().contains("longer than 4 MiB"), "{error}");
                assert_eq!(server.requests().len(), 1, "it is not asked for again");
            }
        }
    }
    // The status counts, even where the rest of the error is too long to be read.
    let server = Server::start([answer(404, "", &"x".repeat(limit + 1))]).await;
    assert_eq!(
        server.service().get("abc").await.unwrap_err().kind(),
        ClientErrorKind::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_no_webhook_is_said() {
    for (body, part) in [
        ("", "not a webhook: it is not a JSON object"),
        ("<html>", "not a webhook: it is not a JSON object"),
        ("{}", "not a webhook: it has no `id`"),
        (r#"{"id":"abc"}"#, "not a webhook: it has no `uri`"),
    ] {
        let server = Server::start([ok(body)]).await;
        let error = server.service().get("abc").await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Decode);
        assert!(error.to_string().contains(part), "{error}");
    }
    for (body, part) in [
        (
            r#"{"webhooks":{}}"#,
            "`webhooks` of the answer is not an array",
        ),
        (
            r#"{"webhooks":[{}]}"#,
            "an element of the list cannot be read",
        ),
        ("[]", "not a JSON object"),
        (r#"{"error":{"code":503}}"#, "the answer is an error"),
        (r#"{"webhooks":[],"error":null}"#, "the answer is an error"),
        (
            r#"{"status":"login"}"#,
            "neither `webhooks` nor `next_page_token`",
        ),
        (
            r#"{"nextPageToken":"x"}"#,
            "neither `webhooks` nor `next_page_token`",
        ),
        (
            r#"{"webhooks":[],"next_page_token":7}"#,
            "`next_page_token` of the answer is not a text",
        ),
    ] {
        let server = Server::start([ok(body)]).await;
        let error = server.service().ensure(&spec()).await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Decode, "{body}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(methods(&server), ["GET"], "no second webhook is made");
    }
    for body in [
        "{}",
        " { } ",
        r#"{"webhooks":null}"#,
        r#"{"next_page_token":null}"#,
        r#"{"webhooks":[],"next_page_token":""}"#,
    ] {
        let server = Server::start([ok(body)]).await;
        assert!(
            server.service().list().collect().await.unwrap().is_empty(),
            "{body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn both_shapes_of_errors_arrive() {
    for (body, code) in [
        (
            r#"{"error":{"code":400,"message":"Bad uri.","status":"INVALID_ARGUMENT","details":[]}}"#,
            "INVALID_ARGUMENT",
        ),
        (
            r#"{"error":{"message":"Bad uri.","code":"invalid_request"}}"#,
            "invalid_request",
        ),
    ] {
        let server = Server::start([answer(400, "", body)]).await;
        let error = server.service().create(&spec()).await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::InvalidArgument);
        assert_eq!(
            (error.status(), error.code(), error.message()),
            (Some(400), Some(code), Some("Bad uri."))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_are_not_followed() {
    let other = Server::start([ok(WEBHOOK)]).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/v1/webhooks/abc\r\n", other.url);
        let server = Server::start([answer(status, &location, "")]).await;
        let willing = service(&server.url, |builder| {
            builder.http(|client| client.redirect(reqwest::redirect::Policy::limited(5)))
        });
        for service in [server.service(), willing] {
            let error = service.get("abc").await.unwrap_err();
            assert_eq!(
                (error.kind(), error.status()),
                (ClientErrorKind::Redirected, Some(status))
            );
        }
    }
    assert!(other.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_try_deleted_is_deleted() {
    let server = Server::start([Does::HangUp, status(404)]).await;
    server.service().delete("abc").await.unwrap();
    let server = Server::start([status(503), status(404)]).await;
    server.service().delete("abc").await.unwrap();
    // Nothing was carried out before.
    for script in [vec![status(404)], vec![status(429), status(404)]] {
        let server = Server::start(script).await;
        let error = server.service().delete("abc").await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn what_returns_nothing_has_to_be_answered_all_the_same() {
    for (body, is_done) in [
        ("", true),
        (" {}\n", true),
        (r#"{"a":1}"#, true),
        ("<html>log in</html>", false),
        ("[]", false),
        ("null", false),
    ] {
        let server = Server::start([ok(body)]).await;
        let service = server.service();
        for done in [service.delete("abc").await, service.ping("abc").await] {
            assert_eq!(done.is_ok(), is_done, "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_in_the_list_without_a_uri_is_passed_over() {
    let other = r#"{"id":"other","name":"of tomorrow"}"#.to_owned();
    let server = Server::start([list(&[other, listed("ours", 1)])]).await;
    let ensured = server.service().ensure(&spec()).await.unwrap();
    assert_eq!(ensured.webhook().id(), "ours");
    assert!(ensured.actions().is_empty() && ensured.others().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_not_begun_in_the_last_moment() {
    let server = Server::start([answer(429, "retry-after: 59\r\n", "")]).await;
    let service = server.service();
    let (error, took) = timed(service.rotate_signing_secret("abc", None)).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(59)));
    assert!(!error.may_have_been_carried_out());
    assert!(within(took, 0.0..=0.5), "{took:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_ends_is_told() {
    let webhook = listed("abc", 1);
    let secrets = r#""signing_secrets":[{"truncated_secret":"whsec_...LaSw","expire_time":"2100-03-01T00:00:00Z"},{"truncated_secret":"whsec_...b7oD"}]}"#;
    let webhook = format!("{},{secrets}", webhook.trim_end_matches('}'));
    let server = Server::start([list(&[webhook])]).await;
    let ensured = server
        .service()
        .ensure(&spec().secret_at_hand("whsec_LaSw"))
        .await
        .unwrap();
    assert!(matches!(ensured.secret(), EnsuredSecret::AtHand));
    assert!(ensured.secret_expires().is_some());
    let shown = ensured.to_string();
    assert!(
        shown.ends_with("the app has its secret until Mon, 01 Mar 2100 00:00:00 GMT, for it was rotated: store the new one too"),
        "{shown}"
    );
    let ensured = server
        .service()
        .ensure(&spec().secret_at_hand("whsec_b7oD"))
        .await
        .unwrap();
    assert_eq!(ensured.secret_expires(), None);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_pages_are_encoded_byte_for_byte() {
    let page = r#"{"webhooks":[{"id":"a","uri":"u"}],"next_page_token":"\b\u0012a b\n/+&=é"}"#;
    let server = Server::start([ok(page), ok("{}")]).await;
    let all = server.service().list().collect().await.unwrap();
    assert_eq!(all.len(), 1);
    let requests = server.requests();
    let target = "GET /v1/webhooks?page_token=%08%12a%20b%0A%2F%2B%26%3D%C3%A9 HTTP/1.1\r\n";
    assert!(requests[1].starts_with(target), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_sent() {
    let server = Server::start([ok(WEBHOOK)]).await;
    let service = server.service();
    let refused = WebhookSpec::new("https://a.example/x", ["batch.cancelled"]);
    for error in [
        service.create(&refused).await.unwrap_err(),
        service.ensure(&refused).await.unwrap_err(),
        service
            .ensure(&WebhookSpec::new("a.example", ["batch.failed"]))
            .await
            .unwrap_err(),
        service
            .update("abc", &WebhookUpdate::new())
            .await
            .unwrap_err(),
        service.get("..").await.unwrap_err(),
        service.delete("").await.unwrap_err(),
        service.batches().get("batches/").await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.status()),
            (ClientErrorKind::InvalidArgument, None),
            "{error}"
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_key_is_in_no_error() {
    let echo = format!(r#"{{"error":{{"message":"bad key {KEY}","code":"{KEY}"}}}}"#);
    let server = Server::start([answer(400, "", &echo)]).await;
    let service = server.service();
    let error = service.get("abc").await.unwrap_err();
    for shown in [
        error.to_string(),
        format!("{error:?}"),
        format!("{:?} {:?}", error.message(), error.code()),
        format!("{service:?} {:?} {:?}", service.batches(), service.list()),
    ] {
        assert!(!shown.contains(KEY), "{shown}");
    }
}

/// A webhook as it is listed, created at this second.
fn listed(id: &str, second: u8) -> String {
    format!(
        r#"{{"id":"{id}","uri":"https://a.example/x","subscribed_events":["batch.failed"],"create_time":"2026-01-22T12:00:0{second}Z"}}"#
    )
}

fn list(webhooks: &[String]) -> Does {
    ok(&format!(r#"{{"webhooks":[{}]}}"#, webhooks.join(",")))
}

/// The answer to `create`.
fn created(id: &str, second: u8) -> Does {
    let webhook = listed(id, second);
    let members = webhook.trim_end_matches('}');
    ok(&format!(
        r#"{members},"new_signing_secret":"whsec_of_{id}"}}"#
    ))
}

/// The methods of the requests.
fn methods(server: &Server) -> Vec<String> {
    let requests = server.requests();
    let method = |request: &String| request.split(' ').next().unwrap().to_owned();
    requests.iter().map(method).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_created_stays_where_it_cannot_be_looked_at() {
    // The process that created later may have given way to it already.
    for script in [
        vec![ok("{}"), created("abc", 1), status(403)],
        vec![
            ok("{}"),
            created("abc", 1),
            list(&[listed("abc", 1), listed("def", 2)]),
            status(403),
        ],
    ] {
        let server = Server::start(script).await;
        let ensured = server.service().ensure(&spec()).await.unwrap();
        assert_eq!(ensured.webhook().id(), "abc");
        assert!(matches!(ensured.secret(), EnsuredSecret::New(_)));
        let error = ensured.could_not_look().unwrap();
        assert_eq!(error.kind(), ClientErrorKind::Auth);
        let shown = ensured.to_string();
        assert!(
            shown.contains("created; store its new secret; it could not look")
                && shown.contains("answered 403"),
            "{shown}"
        );
        assert!(!methods(&server).contains(&"DELETE".to_owned()));
    }
}

/// The first process has created, seen only its own, and returned, before the second one, which had
/// found nothing, creates in the same second. Whatever the ids are, the second one gives way.
#[tokio::test(start_paused = true)]
async fn of_two_in_one_second_the_one_that_sees_the_other_gives_way() {
    for (second, id) in [(1, "aaa"), (1, "zzz"), (2, "aaa")] {
        let first = listed("mmm", 1);
        let both = list(&[listed(id, second), first.clone()]);
        let server = Server::start([
            ok("{}"),
            created(id, second),
            both,
            ok("{}"),
            list(&[first]),
        ])
        .await;
        let ensured = server.service().ensure(&spec()).await.unwrap();
        assert_eq!(ensured.webhook().id(), "mmm");
        assert!(matches!(ensured.secret(), EnsuredSecret::OfAnother));
        assert_eq!(methods(&server), ["GET", "POST", "GET", "DELETE", "GET"]);
        assert!(server.requests()[3].starts_with(&format!("DELETE /v1/webhooks/{id} ")));
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_stays_and_names_only_what_stays_too() {
    let both = list(&[listed("own", 1), listed("other", 2)]);
    for (last, others) in [(list(&[listed("own", 1)]), 0), (both.clone(), 1)] {
        let server = Server::start([ok("{}"), created("own", 1), both.clone(), last]).await;
        let (ensured, took) = timed(server.service().ensure(&spec())).await;
        let ensured = ensured.unwrap();
        assert_eq!(ensured.webhook().id(), "own");
        assert!(matches!(ensured.secret(), EnsuredSecret::New(_)));
        assert_eq!(ensured.others().len(), others);
        assert!(within(took, 0.25..=1.1), "{took:?}");
    }
    // One that is listed twice, as where a page begins anew, is one.
    let twice = list(&[listed("own", 1), listed("own", 1)]);
    let server = Server::start([twice]).await;
    let ensured = server.service().ensure(&spec()).await.unwrap();
    assert!(ensured.others().is_empty(), "{ensured}");
}

#[tokio::test(start_paused = true)]
async fn one_that_lost_does_not_rotate_in_a_later_round() {
    let own_and_other = list(&[listed("own", 2), listed("other", 1)]);
    let changed = listed("other", 1).replace("batch.failed", "x.y");
    let server = Server::start([
        ok("{}"),
        created("own", 2),
        own_and_other,
        ok("{}"),
        list(&[changed]),
        status(404),
        list(&[listed("third", 3)]),
    ])
    .await;
    let spec = spec().rotate_if_not_at_hand(RevocationBehavior::Immediately);
    let ensured = server.service().ensure(&spec).await.unwrap();
    assert_eq!(ensured.webhook().id(), "third");
    assert!(matches!(ensured.secret(), EnsuredSecret::OfAnother));
}

#[tokio::test(start_paused = true)]
async fn ensure_ends_in_time_and_keeps_what_it_made() {
    // Each page comes in time; there is always another.
    let pages = (0..1000).map(|page| ok(&format!(r#"{{"next_page_token":"{page}"}}"#)));
    let server = Server::start(pages).await;
    let error = server.service().ensure(&spec()).await.unwrap_err();
    assert!(error.to_string().contains("more than 100 pages"), "{error}");
    assert!(server.requests()[0].starts_with("GET /v1/webhooks?page_size=1000 "));

    // 180 s in all. The list after the creation does not come in what is left of them.
    let wait = answer(429, "retry-after: 50\r\n", "");
    let script = [
        wait.clone(),
        ok(r#"{"next_page_token":"a"}"#),
        wait.clone(),
        ok(r#"{"next_page_token":"b"}"#),
        wait.clone(),
        ok("{}"),
        created("own", 1),
        wait,
        ok("{}"),
    ];
    let server = Server::start(script).await;
    let (ensured, took) = timed(server.service().ensure(&spec())).await;
    let ensured = ensured.unwrap();
    let error = ensured.could_not_look().unwrap();
    assert_eq!(error.kind(), ClientErrorKind::Timeout);
    assert!(error.to_string().contains("within 180s"), "{error}");
    assert!(within(took, 180.0..=180.1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_deleted_meanwhile_is_looked_for_again() {
    let there = r#"{"webhooks":[{"id":"a","uri":"https://a.example/x"}]}"#;
    let gone = (0..8).flat_map(|_| [ok(there), status(404)]);
    let server = Server::start(gone).await;
    let error = server.service().ensure(&spec()).await.unwrap_err();
    assert!(error.to_string().contains("8 times"), "{error}");
    assert_eq!(server.requests().len(), 16);

    // A service that has no webhooks at all is another thing.
    let server = Server::start([status(404)]).await;
    let error = server.service().ensure(&spec()).await.unwrap_err();
    assert!(
        error.to_string().starts_with("webhooks.list failed"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);

    let as_it_should_be = r#"{"webhooks":[{"id":"b","uri":"https://a.example/x","subscribed_events":["batch.failed"]}]}"#;
    let server = Server::start([ok(there), status(404), ok(as_it_should_be)]).await;
    let ensured = server.service().ensure(&spec()).await.unwrap();
    assert_eq!(ensured.webhook().id(), "b");
    assert!(ensured.actions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_the_service_writes_otherwise_is_still_ours() {
    let created = r#"{"id":"a","uri":"https://a.example/X","new_signing_secret":"whsec_x"}"#;
    let listed = r#"{"webhooks":[{"id":"a","uri":"https://a.example/X"}]}"#;
    let server = Server::start([ok("{}"), ok(created), ok(listed)]).await;
    let ensured = server.service().ensure(&spec()).await.unwrap();
    assert_eq!(ensured.actions(), [Action::Created]);
    assert!(matches!(ensured.secret(), EnsuredSecret::New(_)));
    assert_eq!(
        server.requests().len(),
        3,
        "nothing that could fail comes after it"
    );
}
