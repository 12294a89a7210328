//! Making the project's webhook what the code says.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::error::{ClientError, ClientErrorKind};
use super::names::WebhookState;
use super::secret::NewSecret;
use super::service::WebhookService;
use super::spec::WebhookSpec;
use super::update::WebhookField;
use super::webhook::Webhook;

mod plan;

const ENSURE: &str = "webhooks.ensure";

/// How often it looks, while others create and delete the webhook.
const ROUNDS: u32 = 8;

/// It begins nothing more after so many times the deadline of one call.
const DEADLINES: u32 = 3;

/// More of one URI than anybody has.
const MAX_FOUND: usize = 1000;

impl WebhookService {
    /// Makes the project's webhook what `spec` says, and returns what it did.
    ///
    /// - The webhook is found by its URI, in which an endpoint token in the query does not count: with
    ///   another token it is the same webhook, which gets the new URI. One in the path counts, with
    ///   [two exceptions](WebhookSpec::endpoint_token).
    /// - If it is not there, it is created. Store its [secret](Ensured::secret) then.
    /// - If its URI, its events or its name differ, it is updated.
    /// - If the service switched it off because deliveries had failed, it is enabled again. If a
    ///   person switched it off, it stays off.
    /// - If it is there and its secret is not at hand, it says so, or rotates if the spec
    ///   [asks for that](WebhookSpec::rotate_if_not_at_hand).
    /// - If two processes create one at the same time, the oldest stays. Each process deletes only
    ///   what it created itself, and the one that did says that the secret is
    ///   [the other's](EnsuredSecret::OfAnother). If both have the same `create_time`, which may be in
    ///   whole seconds, neither knows which one is older: each that sees the other deletes its own,
    ///   waits for a random time, and looks again. This relies on a list that has what was just
    ///   created in it.
    ///
    /// Further webhooks of the same URI are left alone, and [named](Ensured::others). If there is one
    /// that was created in the last ten seconds, it waits up to a second and looks again, since
    /// another process may be about to delete it.
    ///
    /// It begins nothing more after three times the [deadline](super::WebhookServiceBuilder::deadline)
    /// of one call, which is 3 minutes by default, and so takes at most four times as long as a call.
    ///
    /// **It is not cancel safe.** If the future is dropped after it created or rotated, for example by
    /// `tokio::time::timeout`, the new secret is lost. Set the deadline instead, or run it in a task of
    /// its own.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use gemini_webhooks::client::{EnsuredSecret, SubscribedEvent, WebhookService, WebhookSpec};
    /// # fn store(_: &str) -> Result<(), std::io::Error> { Ok(()) }
    ///
    /// let uri = "https://example.com/gemini-callback";
    /// let spec = WebhookSpec::new(uri, SubscribedEvent::ALL);
    /// let ensured = WebhookService::from_env()?.ensure(&spec).await?;
    /// println!("{ensured}");
    /// if let EnsuredSecret::New(secret) = ensured.secret() {
    ///     store(secret.expose())?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ClientError`]. Once the webhook is created, a failure to look for others is no error: the
    /// webhook and its secret are returned, and
    /// [`could_not_look`](Ensured::could_not_look) has the failure.
    pub async fn ensure(&self, spec: &WebhookSpec) -> Result<Ensured, ClientError> {
        spec.check(ENSURE)?;
        self.ensuring(spec)?.run().await
    }

    /// Returns the webhooks that [`ensure`](Self::ensure) would take for the one that `spec`
    /// describes, the oldest first. It changes nothing.
    ///
    /// If there is none, `ensure` would create it. Of several, it would take the first.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn find(&self, spec: &WebhookSpec) -> Result<Vec<Webhook>, ClientError> {
        self.ensuring(spec)?.look(None).await
    }

    fn ensuring<'s>(&'s self, spec: &'s WebhookSpec) -> Result<Ensuring<'s>, ClientError> {
        let endpoint = plan::Endpoint::of(spec).ok_or_else(|| {
            ClientError::refused(ENSURE, "the URI of the spec is no URL of HTTP or HTTPS")
        })?;
        Ok(Ensuring {
            service: self,
            spec,
            endpoint,
            start: self.http().monotonic(),
        })
    }
}

struct Ensuring<'s> {
    service: &'s WebhookService,
    spec: &'s WebhookSpec,
    endpoint: plan::Endpoint<'s>,
    start: Instant,
}

/// What came of creating.
enum Created {
    Stays(Box<Ensured>),
    /// Another may have been first. What was created is deleted again.
    GaveWay,
}

impl Ensuring<'_> {
    async fn run(&self) -> Result<Ensured, ClientError> {
        let mut lost = false;
        for round in 0..ROUNDS {
            let found = self.look(None).await?;
            let is_settled = round > 0 || !plan::is_unsettled(&found, self.wall());
            if found.is_empty() {
                match self.create(round).await? {
                    Created::Stays(ensured) => return Ok(*ensured),
                    Created::GaveWay => lost = true,
                }
            } else if is_settled && let Some(ensured) = self.take(found, lost).await? {
                return Ok(ensured);
            }
            self.pause(round).await;
        }
        Err(ClientError::refused(
            ENSURE,
            format!(
                "the webhook was deleted, or others were created, {ROUNDS} times while it was being looked at"
            ),
        )
        .advise("find out who else creates or deletes it"))
    }

    /// Creates the webhook, and looks for one that another process created meanwhile.
    ///
    /// At most one of several processes keeps its own: of two, the one that created later sees the
    /// other's if that one stays, since it lists after it created, and keeps its own only if that one
    /// is strictly younger. An id must not decide between two of the same time: the one that created
    /// earlier may have looked and gone before the other one was there.
    async fn create(&self, round: u32) -> Result<Created, ClientError> {
        if self.left().is_zero() {
            return Err(self.overdue());
        }
        let (own, secret) = self.service.create(self.spec).await?.into_parts();
        let mut looked = self.look(Some(&own)).await;
        if looked
            .as_ref()
            .is_ok_and(|found| plan::stays_among_others(&own, found))
        {
            // Who created the others is about to delete them. They are named if they stay.
            self.pause(round).await;
            looked = self.look(Some(&own)).await;
        }
        let (others, could_not_look) = match looked {
            Ok(found) if !plan::stays(&own, &found) => {
                self.give_way(&own).await?;
                return Ok(Created::GaveWay);
            }
            Ok(mut found) => {
                found.retain(|webhook| webhook.id() != own.id());
                (found, None)
            }
            // The other process may have given way already, so this one has to stay.
            Err(error) => (Vec::new(), Some(Arc::new(error))),
        };
        // There is nothing to update, and nothing must fail now: the secret would be lost.
        Ok(Created::Stays(Box::new(Ensured {
            webhook: own,
            did: vec![Action::Created],
            secret: EnsuredSecret::New(secret),
            others,
            secret_expires: None,
            could_not_look,
        })))
    }

    /// Makes the first of what was found what the spec says. `None` if somebody deletes it meanwhile.
    async fn take(&self, found: Vec<Webhook>, lost: bool) -> Result<Option<Ensured>, ClientError> {
        let mut found = found.into_iter();
        let Some(mut webhook) = found.next() else {
            return Ok(None);
        };
        let Self { service, spec, .. } = self;
        let mut did = Vec::new();
        let update = plan::changes(spec, &webhook);
        if !update.is_empty() {
            did.extend(update.fields().into_iter().map(Action::Updated));
            webhook = match there(service.update(webhook.id(), &update).await)? {
                Some(updated) => updated,
                None => return Ok(None),
            };
        }
        let at_hand = plan::at_hand(spec, &webhook, self.wall());
        let secret = match &spec.rotate {
            _ if lost => EnsuredSecret::OfAnother,
            _ if at_hand.is_some() => EnsuredSecret::AtHand,
            None => EnsuredSecret::NotAtHand,
            Some(behavior) => {
                let rotated = service.rotate_signing_secret(webhook.id(), behavior.clone());
                let Some(secret) = there(rotated.await)? else {
                    return Ok(None);
                };
                did.push(Action::Rotated);
                EnsuredSecret::New(secret)
            }
        };
        let is_at_hand = matches!(secret, EnsuredSecret::AtHand);
        Ok(Some(Ensured {
            webhook,
            did,
            secret,
            secret_expires: at_hand.filter(|_| is_at_hand).and_then(|it| it.until),
            others: found.collect(),
            could_not_look: None,
        }))
    }

    /// The webhooks of this endpoint, and `own` whatever the service made of its URI: each once, the
    /// oldest first.
    async fn look(&self, own: Option<&Webhook>) -> Result<Vec<Webhook>, ClientError> {
        let matching = async {
            let mut all = self.service.list_in_few_pages();
            let mut found: Vec<Webhook> = Vec::new();
            while let Some(webhook) = all.next().await {
                let webhook = webhook?;
                let is_own = own.is_some_and(|own| own.id() == webhook.id());
                let is_of = is_own || self.endpoint.is_of(&webhook);
                if !is_of || found.iter().any(|other| other.id() == webhook.id()) {
                    continue;
                }
                if found.len() == MAX_FOUND {
                    return Err(ClientError::unreadable(
                        ENSURE,
                        format!("there are more than {MAX_FOUND} webhooks of this URI"),
                    )
                    .advise("delete what is not needed"));
                }
                found.push(webhook);
            }
            found.sort_by(|one, other| plan::age(one).cmp(&plan::age(other)));
            Ok(found)
        };
        let looked = tokio::time::timeout(self.left(), matching).await;
        looked.unwrap_or_else(|_| Err(self.overdue()))
    }

    /// Deletes what was created. The webhook of another, which may have been first, stays.
    async fn give_way(&self, own: &Webhook) -> Result<(), ClientError> {
        let id = own.id();
        there(self.service.delete(id).await)
            .map(drop)
            .map_err(|error| {
                error.advise(format!(
                    "webhook {id:?} was created while another process created one too: delete it"
                ))
            })
    }

    async fn pause(&self, round: u32) {
        let pause = plan::pause(round, self.service.http().random());
        tokio::time::sleep(pause.min(self.left())).await;
    }

    fn wall(&self) -> SystemTime {
        self.service.http().wall()
    }

    fn limit(&self) -> Duration {
        self.service.http().deadline().saturating_mul(DEADLINES)
    }

    fn left(&self) -> Duration {
        let now = self.service.http().monotonic();
        let elapsed = now.saturating_duration_since(self.start);
        self.limit().saturating_sub(elapsed)
    }

    fn overdue(&self) -> ClientError {
        let limit = self.limit();
        ClientError::timeout(ENSURE, format!("it was not done within {limit:?}"))
    }
}

/// `None` if it is gone.
fn there<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Err(error) if error.kind() == ClientErrorKind::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

/// One change that [`ensure`](WebhookService::ensure) made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// It created the webhook.
    Created,
    /// It changed this field of the webhook. [`State`](WebhookField::State) means that it enabled the
    /// webhook again.
    Updated(WebhookField),
    /// It rotated the signing secret.
    Rotated,
}

/// Says where the signing secret of the webhook is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EnsuredSecret {
    /// Here: it was just created or rotated. Store it.
    New(NewSecret),
    /// In your app: the secret that the spec names ends like one of the webhook's that is valid.
    /// [`secret_expires`](Ensured::secret_expires) tells if it is about to end.
    AtHand,
    /// Not known: the webhook existed, and the service shows a secret only once. If your app does not
    /// have it, rotate the secret, or let the spec
    /// [ask for that](WebhookSpec::rotate_if_not_at_hand).
    NotAtHand,
    /// In another process, which created the webhook at the same time. Read it from where that
    /// process stores it. A rotation would end the secret of that process.
    OfAnother,
}

/// The result of [`ensure`](WebhookService::ensure): the webhook, and what was changed.
///
/// `Display` says it in one line, without a secret.
#[derive(Clone, Debug)]
pub struct Ensured {
    webhook: Webhook,
    did: Vec<Action>,
    secret: EnsuredSecret,
    secret_expires: Option<SystemTime>,
    others: Vec<Webhook>,
    could_not_look: Option<Arc<ClientError>>,
}

impl Ensured {
    /// Returns the webhook as it is now.
    #[must_use]
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Returns the changes, in order. It is empty if nothing differed from the spec.
    #[must_use]
    pub fn actions(&self) -> &[Action] {
        &self.did
    }

    /// Returns the signing secret, or where it is.
    #[must_use]
    pub fn secret(&self) -> &EnsuredSecret {
        &self.secret
    }

    /// When the secret that is [at hand](EnsuredSecret::AtHand) is void, if another one has been made
    /// since. Your app then needs that one too.
    #[must_use]
    pub fn secret_expires(&self) -> Option<SystemTime> {
        self.secret_expires
    }

    /// Further webhooks of the same URI, which also get deliveries, under secrets of their own.
    /// They were left alone.
    #[must_use]
    pub fn others(&self) -> &[Webhook] {
        &self.others
    }

    /// Why it could not look for a webhook that another process created at the same time. There may
    /// be a second one then: call `ensure` again, with this secret [at hand](WebhookSpec::secret_at_hand).
    #[must_use]
    pub fn could_not_look(&self) -> Option<&ClientError> {
        self.could_not_look.as_deref()
    }
}

impl fmt::Display for Ensured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "webhook {:?}", self.webhook.id())?;
        if self.did.is_empty() {
            f.write_str(" is as it should be")?;
        }
        for (n, action) in self.did.iter().enumerate() {
            f.write_str(if n == 0 { ": " } else { ", " })?;
            match action {
                Action::Created => f.write_str("created")?,
                Action::Updated(WebhookField::State) => f.write_str("enabled again")?,
                Action::Updated(field) => write!(f, "`{}` changed", field.as_str())?,
                Action::Rotated => f.write_str("secret rotated")?,
            }
        }
        f.write_str(match self.secret {
            EnsuredSecret::New(_) => "; store its new secret",
            EnsuredSecret::AtHand => "; the app has its secret",
            EnsuredSecret::NotAtHand => {
                "; its secret was shown when it was created: if nobody stored it, rotate it"
            }
            EnsuredSecret::OfAnother => {
                "; another process created it at the same time and has its secret"
            }
        })?;
        if let Some(end) = self.secret_expires {
            let end = httpdate::fmt_http_date(end);
            write!(f, " until {end}, for it was rotated: store the new one too")?;
        }
        match self.webhook.state() {
            None | Some(WebhookState::Enabled) => {}
            Some(WebhookState::Disabled) => {
                f.write_str("; it gets no deliveries, because somebody switched it off")?;
            }
            Some(state) => write!(f, "; its state is `{state}`")?,
        }
        match self.others.len() {
            0 => {}
            n => write!(f, "; {n} more of the same URI: delete what is not needed")?,
        }
        match &self.could_not_look {
            None => Ok(()),
            Some(error) => write!(
                f,
                "; it could not look whether another process created one too, so call `ensure` again ({error})"
            ),
        }
    }
}
