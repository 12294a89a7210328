//! What is known of the delivery that brought an event.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::WebhookReceiver;
use super::builder::DAY;
use super::claims::retention;
use crate::event::JobId;
use crate::replay::Claim;
use crate::scheme::Scheme;
use crate::trace::Who;
use crate::verifier::Verified;

/// Describes the delivery that brought an event: its id, its time, and how it was signed.
///
/// A *delivery* is one HTTP request about an event. With the feature `axum` or `actix-web`, name
/// this type in a handler's signature, beside [`GeminiEvent`](crate::GeminiEvent). In a tower
/// service, it is in the request's extensions. It is cheap to clone.
///
/// ```
/// use gemini_webhooks::{Delivery, GeminiEvent};
///
/// /// The key of a row in a table of handled events.
/// async fn on_event(delivery: Delivery, event: GeminiEvent) -> String {
///     println!("{:?} in {}", event.type_name(), delivery.id());
///     format!("{}:{}", delivery.scheme(), delivery.claim_id())
/// }
/// # use gemini_webhooks::adapter::{Finished, Received};
/// # use gemini_webhooks::{Clock as _, DeliveryHeaders, WebhookReceiver, testing};
/// # use gemini_webhooks::testing::ManualClock;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let clock = ManualClock::default();
/// # let body = testing::SAMPLE_EVENTS[0];
/// # let lines = testing::sign_v1(&testing::SECRET.parse()?, "msg_1", clock.unix_seconds(), body);
/// # let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
/// # let receiver = WebhookReceiver::builder()
/// #     .signing_secret(testing::SECRET)
/// #     .clock(clock)
/// #     .build()?;
/// # let mut intake = receiver.admit("/", &headers, None)?;
/// # intake.push(body.as_bytes())?;
/// # let Finished::Run(Received { event, delivery, .. }) = intake.finish().await? else {
/// #     panic!("it is new");
/// # };
/// # assert!(delivery.id_is_signed());
/// assert_eq!(on_event(delivery, event).await, "v1:msg_1");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Delivery {
    inner: Arc<DeliveryInner>,
}

struct DeliveryInner {
    id: Arc<str>,
    timestamp: u64,
    scheme: Scheme,
    key_id: Arc<str>,
    /// Where it is not the id.
    claim_id: Option<Arc<str>>,
    /// Where the job is what is claimed.
    job: Option<Arc<str>>,
    copies_until: SystemTime,
    claim: Option<Claim>,
    /// Whether the app settles the claim.
    handed_over: AtomicBool,
    /// The receiver that verified it.
    receiver: u64,
}

impl Delivery {
    pub(crate) fn new(
        id: Arc<str>,
        verified: &Verified<'_>,
        receiver: &WebhookReceiver,
        now: SystemTime,
    ) -> Self {
        #[cfg(feature = "jwt")]
        let claim_id = verified.token().map(|token| Arc::clone(&token.claim_id));
        #[cfg(not(feature = "jwt"))]
        let claim_id: Option<Arc<str>> = None;
        #[cfg(feature = "jwt")]
        let accepted_until = verified.token_valid_until();
        #[cfg(not(feature = "jwt"))]
        let accepted_until = None;
        let shared = &receiver.shared;
        let retention = retention(shared.retention, shared.delay, accepted_until, now);
        let claim = receiver.claims().map(|claims| {
            let id = Arc::clone(claim_id.as_ref().unwrap_or(&id));
            claims.of(verified.scheme(), id, retention)
        });
        Self {
            inner: Arc::new(DeliveryInner {
                id,
                timestamp: verified.timestamp(),
                scheme: verified.scheme(),
                key_id: Arc::clone(verified.shared_key_id()),
                claim_id,
                job: None,
                copies_until: later(now, retention),
                claim,
                handed_over: AtomicBool::new(false),
                receiver: receiver.shared.id,
            }),
        }
    }

    /// Claims the job that the event ends, in the place of the event.
    pub(crate) fn about(mut self, job: &JobId, receiver: &WebhookReceiver) -> Self {
        // Nobody else has it yet.
        if let Some(inner) = Arc::get_mut(&mut self.inner)
            && let Some((claims, claim)) = receiver.claims().zip(inner.claim.as_mut())
        {
            // Another's report may be a JWT that is accepted for a day more.
            let retention = claim.retention().saturating_add(DAY);
            *claim = claims.of_job(job, retention);
            inner.job = Some(claim.key().shared_id());
        }
        self
    }

    /// Returns the `webhook-id`, which is the same in all retries of one event.
    ///
    /// The text is opaque. If [`id_is_signed`](Self::id_is_signed) is false, the sender may have
    /// chosen any id: use [`claim_id`](Self::claim_id) to recognise duplicates.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Returns the `webhook-timestamp`: when Google sent this delivery, in seconds since the Unix
    /// epoch.
    ///
    /// A retry has a later one than the first delivery (Standard Webhooks). For when the event
    /// happened, see [`GeminiEvent::timestamp`](crate::GeminiEvent::timestamp). If
    /// [`id_is_signed`](Self::id_is_signed) is false, the sender may have chosen any time within
    /// the tolerance.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.inner.timestamp
    }

    /// Returns how the delivery was signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.inner.scheme
    }

    /// Returns whether the id and the timestamp were signed together with the event.
    ///
    /// They are in [`Scheme::V1`] and [`Scheme::V1a`]. In [`Scheme::Jwt`] only the JWT is signed.
    #[must_use]
    pub fn id_is_signed(&self) -> bool {
        self.inner.scheme != Scheme::Jwt
    }

    /// Returns the text by which a duplicate of the event is recognised.
    ///
    /// It is the [id](Self::id), except for a JWT: there it is the `jti` claim, or a digest of the
    /// JWT if it has none. A retry whose JWT is signed anew and has no `jti` cannot be recognised.
    ///
    /// It is unique within one [scheme](Self::scheme). So if you keep handled events in a database,
    /// use scheme and claim id together as the key. If each job is to be handled once, whoever says that it has ended,
    /// use [`GeminiEvent::ended_job`](crate::GeminiEvent::ended_job) where there is one.
    #[must_use]
    pub fn claim_id(&self) -> &str {
        self.inner.claim_id.as_ref().unwrap_or(&self.inner.id)
    }

    /// Hands the claim on the event over to the app, which settles it in its own transaction.
    ///
    /// A *claim* marks the event as being handled; *settling* it marks the event as handled. The
    /// receiver does that after a 2xx. If your guard keeps its rows in the database that your
    /// handler writes to, the handler can settle the claim in the same transaction as its work: then
    /// either both are stored or neither is. The crates of such guards have a function for it,
    /// `settle_in`, which calls this method.
    ///
    /// From then on the receiver does not settle the claim. After a 2xx of the handler it asks the
    /// guard whether the claim is settled. If it is not, because the transaction was rolled back or
    /// not committed, it releases the claim and answers 503
    /// ([`VerifyErrorKind::NotSettled`](crate::VerifyErrorKind::NotSettled)), so that Google retries.
    ///
    /// It may be called again, for instance when a transaction is tried again. `None` if the receiver
    /// was built
    /// [`without_replay_protection`](crate::WebhookReceiverBuilder::without_replay_protection).
    #[must_use]
    pub fn hand_over_claim(&self) -> Option<&Claim> {
        let claim = self.inner.claim.as_ref()?;
        self.inner.handed_over.store(true, Ordering::Release);
        Some(claim)
    }

    /// Returns until when copies of this event may come, by wall time.
    ///
    /// If you remember handled events yourself, remember them until then. It is the time of this
    /// delivery and the [`retention`](crate::WebhookReceiverBuilder::retention), with a margin, or the
    /// end of the JWT that brought the event, if that is later.
    #[must_use]
    pub fn copies_until(&self) -> SystemTime {
        self.inner.copies_until
    }

    pub(crate) fn claim(&self) -> Option<&Claim> {
        self.inner.claim.as_ref()
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.inner.handed_over.load(Ordering::Acquire)
    }

    pub(crate) fn is_of(&self, receiver: &WebhookReceiver) -> bool {
        self.inner.receiver == receiver.shared.id
    }

    /// For the log.
    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            id: self.id(),
            claim_id: self.inner.job.as_deref().or(self.inner.claim_id.as_deref()),
            scheme: self.scheme(),
            key_id: self.key_id(),
        }
    }

    /// Returns the name of the key that signed the delivery.
    ///
    /// For a signing secret it is [`SigningSecret::key_id`](crate::SigningSecret::key_id), for a
    /// public key its `kid`. After a rotation it tells whether the old secret is still in use.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.inner.key_id
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id())
            .field("timestamp", &self.timestamp())
            .field("scheme", &self.scheme())
            .field("key_id", &self.key_id())
            .field("claim_id", &self.claim_id())
            .finish()
    }
}

/// A time that may be beyond what can be told: then a hundred years later.
fn later(now: SystemTime, time: Duration) -> SystemTime {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now.checked_add(time.min(CENTURY)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, ManualClock};
    use crate::{Clock as _, DeliveryHeaders, Keyring, SigningSecret, Verifier};

    #[test]
    fn it_says_what_came() {
        let clock = ManualClock::default();
        let (secret, sent_at) = (
            testing::SECRET.parse::<SigningSecret>(),
            clock.unix_seconds(),
        );
        let secret = secret.unwrap();
        let lines = testing::sign_v1(&secret, "msg_1", sent_at, b"{}");
        let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
        let key_id = secret.key_id().to_owned();
        let verifier = Verifier::new(Keyring::new(secret));
        let verified = verifier.verify(&headers, b"{}", clock.now()).unwrap();
        let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
        let builder = builder.retention(DAY);
        let [receiver, another] = [(); 2].map(|()| builder.clone().build().unwrap());
        let delivery = Delivery::new("msg_1".into(), &verified, &receiver, clock.now());
        assert_eq!((delivery.id(), delivery.claim_id()), ("msg_1", "msg_1"));
        assert_eq!(
            (delivery.timestamp(), delivery.key_id()),
            (sent_at, &*key_id)
        );
        assert_eq!(delivery.scheme(), Scheme::V1);
        assert!(delivery.id_is_signed());
        // The body, the waits behind it, and the guard.
        let margin = Duration::from_secs(10 + 10 + 2);
        assert_eq!(delivery.copies_until(), clock.now() + DAY + margin);
        assert!(delivery.is_of(&receiver) && !delivery.is_of(&another));
        let who = delivery.who();
        assert_eq!(
            (who.id, who.claim_id, who.key_id),
            ("msg_1", None, &*key_id)
        );
        let shown = format!("{delivery:?}");
        for part in ["msg_1", &sent_at.to_string(), "V1", &key_id] {
            assert!(shown.contains(part), "{shown}");
        }
        let claim = delivery.claim().unwrap().clone();
        assert_eq!(
            (claim.key().id(), claim.retention()),
            ("msg_1", DAY + margin)
        );
        assert!(!delivery.is_handed_over());
        assert_eq!(delivery.hand_over_claim().unwrap().token(), claim.token());
        assert!(delivery.is_handed_over());
        let unprotected = builder.without_replay_protection().build().unwrap();
        let delivery = Delivery::new("msg_1".into(), &verified, &unprotected, clock.now());
        assert!(delivery.claim().is_none() && delivery.hand_over_claim().is_none());
    }

    #[test]
    fn a_time_that_cannot_be_told_is_a_century_away() {
        let century = Duration::from_secs(3_153_600_000);
        for (time, expected) in [
            (Duration::ZERO, Duration::ZERO),
            (DAY, DAY),
            (century * 2, century),
            (Duration::MAX, century),
        ] {
            let until = later(SystemTime::UNIX_EPOCH, time);
            assert_eq!(until, SystemTime::UNIX_EPOCH + expected, "{time:?}");
        }
    }
}
