//! Events on their way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::State;
use super::fault::DeliveryFault;
use super::fields::{WebhookConfig, set};
use super::keys;
use super::random::Random;
use super::secrets::Secrets;
use super::time::Now;
use super::webhooks::WebhookState;
use crate::headers::WEBHOOK_SIGNATURE;
use crate::testing::sign_v1;

/// Between the first attempt and the second; then it doubles. Google's intervals are unknown.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(60 * 60);
/// For how long Google tries again (its guide).
const TRIES_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Twice the age that a receiver may accept.
const STALE: Duration = Duration::from_secs(10 * 60);

/// An event for one URI, with all attempts to deliver it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SentEvent {
    /// The `webhook-id`, the same in all attempts.
    pub id: String,
    /// The event's type, such as `batch.succeeded`.
    pub event_type: String,
    /// The registered webhook that it is for; `None` for a URI of the job itself.
    pub webhook_id: Option<String>,
    /// The URI that it goes to, as it was registered.
    pub uri: String,
    /// The event as it was signed.
    pub body: Bytes,
    /// The attempts, the oldest first.
    pub attempts: Vec<Attempt>,
    /// Whether an attempt was answered with a 2xx.
    pub is_delivered: bool,
    /// Whether it is retried unless the present attempt succeeds.
    pub is_pending: bool,
}

/// One attempt to deliver an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The `webhook-timestamp`, in seconds since the Unix epoch.
    pub timestamp: u64,
    /// The `webhook-signature`.
    pub signature: String,
    /// The status that the receiver answered, or why there was no answer.
    pub answer: Result<u16, String>,
}

pub(super) struct Outbox {
    events: Vec<Outgoing>,
}

struct Outgoing {
    sent: SentEvent,
    began: Instant,
    /// `None` when it is not tried again.
    due: Option<Instant>,
    /// The attempt that is under way.
    under_way: Option<UnderWay>,
}

struct UnderWay {
    copies: usize,
    succeeded: bool,
}

/// One request to a receiver.
pub(super) struct Sending {
    /// Its event's place in the outbox.
    place: usize,
    pub(super) uri: String,
    pub(super) headers: [(&'static str, String); 3],
    pub(super) body: Bytes,
    timestamp: u64,
}

/// The envelope of an event. Where `user_metadata` is in it is unknown: here it is at the top.
pub(super) fn event(of_type: &str, data: Value, metadata: Option<&Value>, now: Now) -> Bytes {
    let mut event = json!({
        "type": of_type,
        "version": "v1",
        "timestamp": now.rfc3339(),
        "data": data,
    });
    if let Some(metadata) = metadata {
        set(&mut event, "user_metadata", metadata.clone());
    }
    event.to_string().into()
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { events: Vec::new() }
    }

    /// To a webhook or to a job's own URI, due at once.
    pub(super) fn push(
        &mut self,
        random: &mut Random,
        now: Now,
        (webhook, uri): (Option<&str>, &str),
        event_type: &str,
        body: Bytes,
    ) {
        self.events.push(Outgoing {
            sent: SentEvent {
                id: format!("msg_{}", random.hex()),
                event_type: event_type.to_owned(),
                webhook_id: webhook.map(str::to_owned),
                uri: uri.to_owned(),
                body,
                attempts: Vec::new(),
                is_delivered: false,
                is_pending: true,
            },
            began: now.monotonic,
            due: Some(now.monotonic),
            under_way: None,
        });
    }

    pub(super) fn sent(&self) -> Vec<SentEvent> {
        self.events.iter().map(|event| event.sent.clone()).collect()
    }

    /// Whoever is waited for is tried now.
    pub(super) fn hurry(&mut self, now: Now) {
        for event in &mut self.events {
            event.due = event.due.map(|due| due.min(now.monotonic));
        }
    }

    /// Nothing more goes to a webhook that is deleted or disabled.
    pub(super) fn give_up(&mut self, webhook: &str) {
        let of_it = |event: &&mut Outgoing| event.sent.webhook_id.as_deref() == Some(webhook);
        self.events
            .iter_mut()
            .filter(of_it)
            .for_each(Outgoing::give_up);
    }
}

impl Outgoing {
    fn give_up(&mut self) {
        self.due = None;
        self.sent.is_pending = false;
    }

    fn is_due(&self, now: Now) -> bool {
        self.under_way.is_none() && self.due.is_some_and(|due| due <= now.monotonic)
    }
}

impl State {
    /// Sends an event of this type to whom it concerns: the URIs of the job, if it has any, else
    /// the webhooks that are subscribed.
    pub(super) fn emit(
        &mut self,
        now: Now,
        project: usize,
        event_type: &str,
        data: Value,
        config: Option<&WebhookConfig>,
    ) {
        let metadata = config.and_then(|config| config.user_metadata.as_ref());
        let body = event(event_type, data, metadata, now);
        let Self {
            webhooks,
            outbox,
            random,
            ..
        } = self;
        let own = config.map_or(&[] as &[String], |config| &config.uris);
        for uri in own {
            outbox.push(random, now, (None, uri), event_type, body.clone());
        }
        if !own.is_empty() {
            return;
        }
        let subscribed = webhooks.iter().filter(|(_, webhook)| {
            let mut events = webhook.subscribed_events.iter();
            webhook.project == project
                && webhook.state == WebhookState::Enabled
                && events.any(|subscribed| subscribed == event_type)
        });
        for (id, webhook) in subscribed {
            let to = (Some(id.as_str()), webhook.uri.as_str());
            outbox.push(random, now, to, event_type, body.clone());
        }
    }

    /// The requests that are to be sent now, signed anew.
    pub(super) fn take_due(&mut self, now: Now) -> Vec<Sending> {
        let mut sendings = Vec::new();
        for place in 0..self.outbox.events.len() {
            let event = self.outbox.events.get_mut(place);
            let Some(event) = event.filter(|event| event.is_due(now)) else {
                continue;
            };
            let fault = self.delivery_faults.pop_front();
            match fault {
                Some(DeliveryFault::Lose) => {
                    event.give_up();
                    continue;
                }
                Some(DeliveryFault::Delay(delay)) => {
                    event.due = Some(now.monotonic + delay);
                    continue;
                }
                _ => {}
            }
            let timestamp = match fault {
                Some(DeliveryFault::Stale) => now.unix_seconds().saturating_sub(STALE.as_secs()),
                _ => now.unix_seconds(),
            };
            let id = event.sent.id.clone();
            let body = event.sent.body.clone();
            let copies = 1 + usize::from(fault == Some(DeliveryFault::Duplicate));
            event.under_way = Some(UnderWay {
                copies,
                succeeded: false,
            });
            let uri = event.sent.uri.clone();
            let webhook = event.sent.webhook_id.clone();
            let wrong_key = fault == Some(DeliveryFault::WrongKey);
            let headers = self.sign(now, webhook.as_deref(), wrong_key, &id, timestamp, &body);
            let body = match fault {
                Some(DeliveryFault::Tamper) => [&*body, b" "].concat().into(),
                _ => body,
            };
            sendings.extend((0..copies).map(|_| Sending {
                place,
                uri: uri.clone(),
                headers: headers.clone(),
                body: body.clone(),
                timestamp,
            }));
        }
        sendings
    }

    /// With every secret of the webhook that is valid, or with one of the published keys.
    fn sign(
        &mut self,
        now: Now,
        webhook: Option<&str>,
        wrong_key: bool,
        id: &str,
        timestamp: u64,
        body: &[u8],
    ) -> [(&'static str, String); 3] {
        let Some(webhook) = webhook else {
            let stranger;
            let signer = if wrong_key {
                stranger = keys::signer(&mut self.random);
                &stranger
            } else {
                self.keys.next()
            };
            return signer.sign(id, timestamp, body);
        };
        let stranger;
        let secrets = match self.webhooks.get(webhook) {
            Some(webhook) if !wrong_key => &webhook.secrets,
            _ => {
                (stranger, _) = Secrets::new(&mut self.random);
                &stranger
            }
        };
        let signed = secrets.valid(now.wall);
        let signed = signed.map(|secret| sign_v1(secret, id, timestamp, body));
        let joined = signed.reduce(|mut all, next| {
            for ((name, value), (_, other)) in all.iter_mut().zip(next) {
                if *name == WEBHOOK_SIGNATURE {
                    *value = format!("{value} {other}");
                }
            }
            all
        });
        // The newest secret has no end.
        joined.unwrap_or_default()
    }

    /// Takes down what came of a request, and when to try again.
    pub(super) fn answered(&mut self, sending: Sending, answer: Result<u16, String>, now: Now) {
        let Some(event) = self.outbox.events.get_mut(sending.place) else {
            return;
        };
        let [_, _, (_, signature)] = sending.headers;
        let success = matches!(answer, Ok(200..=299));
        event.sent.attempts.push(Attempt {
            timestamp: sending.timestamp,
            signature,
            answer,
        });
        let Some(under_way) = &mut event.under_way else {
            return;
        };
        under_way.copies -= 1;
        under_way.succeeded |= success;
        if under_way.copies > 0 {
            return;
        }
        let succeeded = under_way.succeeded;
        event.under_way = None;
        let webhook_id = event.sent.webhook_id.clone();
        let webhook = webhook_id.as_ref().and_then(|id| self.webhooks.get_mut(id));
        if succeeded {
            event.sent.is_delivered = true;
            event.give_up();
            if let Some(webhook) = webhook {
                webhook.failed_attempts = 0;
            }
            return;
        }
        let doublings = u32::try_from(event.sent.attempts.len()).unwrap_or(u32::MAX) - 1;
        let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(doublings));
        let next = now.monotonic + wait.min(LONGEST_RETRY);
        event.due = event.due.map(|_| next);
        if next > event.began + TRIES_FOR {
            event.give_up();
        }
        if let Some(webhook) = webhook {
            webhook.failed_attempts += 1;
            if webhook.state == WebhookState::Enabled
                && webhook.failed_attempts >= self.disable_after
            {
                webhook.state = WebhookState::DisabledDueToFailedDeliveries;
            }
            if webhook.state != WebhookState::Enabled {
                self.outbox.give_up(&webhook_id.unwrap_or_default());
            }
        }
    }
}
