//! What the worst requests of a stranger cost, beyond reading them. The bar is 200 µs.
//!
//! `cargo bench --bench refusal`

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use bytes::Bytes;
use gemini_webhooks::{Clock as _, SystemClock, VerifyLayer, WebhookReceiver, testing};
use gemini_webhooks_benches::{Contender, compare};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Collected, Full};
use tower::{Layer as _, Service as _, service_fn};

type Error = Box<dyn std::error::Error>;

const LIMIT: usize = 64 * 1024;
const FOREIGN: &str = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCwgbm90IG91cnM=";

fn main() -> Result<(), Error> {
    let seconds = SystemClock
        .now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs();
    let [_, timestamp, (_, wrong)] = testing::sign_v1(&FOREIGN.parse()?, "msg_1", seconds, "");
    let sixteen = vec![wrong.as_str(); 16].join(" ");
    let fullest = format!("{sixteen}{}", " ".repeat(4096 - sixteen.len()));
    let longest_id = "a.".repeat(128);
    let signed = |id: &str, signature: &str| -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse()?);
        headers.insert("webhook-timestamp", timestamp.1.parse()?);
        headers.insert("webhook-signature", signature.parse()?);
        Ok(headers)
    };
    let mut repeated = signed("msg_1", &wrong)?;
    for n in 0..10_000 {
        repeated.append(
            HeaderName::from_static("webhook-signature"),
            HeaderValue::from(n),
        );
    }
    let whole = || Frames::new(LIMIT, LIMIT);
    let (longest, most) = (
        signed(&longest_id, &fullest)?,
        "16 signatures, a list of 4 KiB, an id of 256 bytes",
    );
    measure(&format!("{most}, 64 KiB"), 1, &longest, whole())?;
    measure(
        &format!("{most}, 64 KiB, two secrets"),
        2,
        &longest,
        whole(),
    )?;
    measure(
        &format!("{most}, 64 KiB in frames of 1 KiB"),
        1,
        &longest,
        Frames::new(LIMIT, 1024),
    )?;
    measure(
        &format!("{most}, 64 KiB in frames of 16 bytes"),
        1,
        &longest,
        Frames::new(LIMIT, 16),
    )?;
    measure(
        &format!("{most}, 64 KiB in frames of 1 byte"),
        1,
        &longest,
        Frames::new(LIMIT, 1),
    )?;
    measure("10,000 signature lines", 1, &repeated, whole())?;
    measure("unsigned", 1, &HeaderMap::new(), whole())?;
    Ok(())
}

/// Reading a request, beside refusing it. Both include making it.
fn measure(title: &str, secrets: usize, headers: &HeaderMap, body: Frames) -> Result<(), Error> {
    let request = || {
        let mut request = Request::new(body.clone());
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = headers.clone();
        request
    };
    let mut builder = WebhookReceiver::builder();
    for _ in 0..secrets {
        builder = builder.signing_secret(testing::SECRET);
    }
    let inner = service_fn(|_: Request<Full<Bytes>>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let layer = VerifyLayer::new(builder.build()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let _inside = runtime.enter();
    compare(
        title,
        vec![
            Contender::new("reading it", || {
                finish(request().into_body().collect()).map(Collected::to_bytes)
            }),
            Contender::new("refusing it", || {
                let refused = finish(layer.layer(inner).call(request()));
                assert!(matches!(refused, Ok(response) if response.status() == 400));
            }),
        ],
    );
    Ok(())
}

fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// A body in frames of one size.
#[derive(Clone)]
struct Frames {
    rest: Bytes,
    size: usize,
}

impl Frames {
    fn new(length: usize, size: usize) -> Self {
        let rest = Bytes::from(vec![b'x'; length]);
        Self { rest, size }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = self.size.min(self.rest.len());
        let part = self.rest.split_to(size);
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(part))))
    }
}
