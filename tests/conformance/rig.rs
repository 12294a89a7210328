//! What is sent, what comes back, and the one trait that an adapter's test writes.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use gemini_webhooks::{Delivery, GeminiEvent, Scheme, WebhookReceiver};

/// A way into a handler: an adapter, or the receiver by itself.
///
/// `exchange` sends one request to an app whose only route, for any path and any method, is behind
/// `receiver`. Its handler takes event, delivery, headers and body, tells `handler` of them
/// ([`Handler::called`]) and answers as that says.
pub(crate) trait Rig {
    /// Sends a request and returns what came back.
    async fn exchange(&self, receiver: &WebhookReceiver, sent: &Sent, handler: Handler)
    -> Answered;

    /// Why it cannot do a case of this sort; that is printed.
    fn cannot(&self, _: &Sent) -> Option<&'static str> {
        None
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Script,
}

/// A body, part by part.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) parts: Vec<Bytes>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Whole,
    BreaksOff,
    Never,
    /// Empty parts without end.
    Empty,
}

impl Script {
    pub(crate) fn whole(body: impl Into<Bytes>) -> Self {
        Self {
            parts: vec![body.into()],
            end: End::Whole,
        }
    }
}

/// The body as a stream of parts, each after it was waited for once.
#[derive(Debug)]
pub(crate) struct Parts {
    script: Script,
    waited: bool,
}

impl Parts {
    pub(crate) fn new(script: &Script) -> Self {
        let mut script = script.clone();
        script.parts.reverse();
        Self {
            script,
            waited: false,
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if self.script.end != End::Empty && !std::mem::replace(&mut self.waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waited = false;
        match (self.script.parts.pop(), self.script.end) {
            (Some(part), _) => Poll::Ready(Some(Ok(part))),
            (None, End::Whole) => Poll::Ready(None),
            (None, End::BreaksOff) => Poll::Ready(Some(Err(BrokenOff))),
            (None, End::Empty) => Poll::Ready(Some(Ok(Bytes::new()))),
            (None, End::Never) => Poll::Pending,
        }
    }
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BrokenOff>>> {
        self.poll(cx).map_ok(http_body::Frame::data)
    }
}

#[derive(Debug)]
pub(crate) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body broke off")
    }
}

impl std::error::Error for BrokenOff {}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) content_type: Option<String>,
    pub(crate) retry_after: bool,
    pub(crate) allow: Option<String>,
}

/// What a handler does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Does {
    Answers(u16),
    /// It takes over the claim, does not settle it, and answers.
    TakesOver(u16),
    Never,
}

/// What the handler of an app is to do, and what it was called with.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) does: Does,
    calls: Arc<Mutex<Vec<(Call, BodyHeaders)>>>,
}

/// The lines of a request that say something of its body, in the order of the names.
pub(crate) type BodyHeaders = Vec<(&'static str, String)>;

/// Of the lines that a handler sees, or that were sent, those that say something of the body.
pub(crate) fn body_headers<'a>(lines: impl Iterator<Item = (&'a str, &'a [u8])>) -> BodyHeaders {
    const NAMES: [&str; 5] = [
        "content-encoding",
        "content-length",
        "content-type",
        "trailer",
        "transfer-encoding",
    ];
    let mut found: BodyHeaders = lines
        .filter_map(|(name, value)| {
            let name = NAMES
                .iter()
                .find(|known| name.eq_ignore_ascii_case(known))?;
            Some((*name, String::from_utf8_lossy(value).into_owned()))
        })
        .collect();
    found.sort();
    found
}

/// A call of a handler.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) claim_id: String,
    pub(crate) scheme: Scheme,
    pub(crate) type_name: Option<String>,
    pub(crate) body: Bytes,
}

impl Handler {
    pub(crate) fn new(does: Does) -> Self {
        Self {
            does,
            calls: Arc::default(),
        }
    }

    /// What the body of each handler is. `headers` are those that it sees.
    pub(crate) async fn called(
        &self,
        delivery: &Delivery,
        event: &GeminiEvent,
        headers: BodyHeaders,
        body: Bytes,
    ) -> u16 {
        assert_eq!(event.raw(), &body, "the event is that of the body");
        let call = Call {
            id: delivery.id().to_owned(),
            claim_id: delivery.claim_id().to_owned(),
            scheme: delivery.scheme(),
            type_name: event.type_name().map(str::to_owned),
            body,
        };
        self.calls.lock().unwrap().push((call, headers));
        match self.does {
            Does::Answers(status) => status,
            Does::TakesOver(status) => {
                assert!(delivery.hand_over_claim().is_some());
                status
            }
            Does::Never => std::future::pending().await,
        }
    }

    pub(crate) fn calls(&self) -> Vec<(Call, BodyHeaders)> {
        self.calls.lock().unwrap().clone()
    }
}
