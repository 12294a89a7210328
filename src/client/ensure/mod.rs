//! Making the project's webhook what the code says.

use std::fmt;

use super::error::{ClientError, ClientErrorKind};
use super::names::WebhookState;
use super::secret::NewSecret;
use super::service::WebhookService;
use super::spec::WebhookSpec;
use super::update::WebhookField;
use super::webhook::Webhook;

mod plan;

const ENSURE: &str = "webhooks.ensure";

/// How often it begins anew because somebody deletes the webhook meanwhile.
const ROUNDS: usize = 3;

impl WebhookService {
    /// Makes the project's webhook what `spec` says, and returns what it did.
    ///
    /// Call it when your app starts. If nothing differs, it changes nothing.
    ///
    /// - It finds the webhook by its URI. The endpoint token in the URI is ignored, so a webhook with
    ///   another token is the same webhook, and gets the new URI.
    /// - If there is none, it creates one. Store its [secret](Ensured::secret) then.
    /// - If its URI, its events or its name differ, it updates them.
    /// - If the service switched the webhook off because deliveries failed, it enables it again. If a
    ///   person switched it off, it stays off.
    /// - If the app does not have the secret of an existing webhook, it says so, or it rotates the secret
    ///   if the spec [asks for that](WebhookSpec::rotate_if_not_at_hand).
    /// - If two processes create a webhook at the same time, the older one stays (by `create_time`, then
    ///   by `id`). Each process deletes only what it created itself. The process that did returns
    ///   [`EnsuredSecret::OfAnother`]. This relies on the service listing a webhook as soon as it is
    ///   created.
    ///
    /// Further webhooks with the same URI are left alone, and [returned](Ensured::others).
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
    /// [`ClientError`]. If it has created a webhook and then cannot list them, it deletes what it
    /// created, so that no webhook stays whose secret nobody has.
    pub async fn ensure(&self, spec: &WebhookSpec) -> Result<Ensured, ClientError> {
        spec.check(ENSURE)?;
        let endpoint = plan::endpoint(spec).ok_or_else(|| {
            ClientError::refused(
                ENSURE,
                "the URI of the spec is not an `http` or `https` URL",
            )
        })?;
        for _ in 0..ROUNDS {
            if let Some(ensured) = self.ensure_once(spec, &endpoint).await? {
                return Ok(ensured);
            }
        }
        Err(ClientError::refused(
            ENSURE,
            format!("the webhook was deleted {ROUNDS} times while this call worked on it"),
        )
        .advise("find out who deletes it"))
    }

    /// `None` if somebody deletes the webhook meanwhile.
    async fn ensure_once(
        &self,
        spec: &WebhookSpec,
        endpoint: &str,
    ) -> Result<Option<Ensured>, ClientError> {
        let all = self.list().collect().await?;
        let mut found = plan::matching(all, spec, endpoint, None);
        let mut lost = false;
        if found.is_empty() {
            let (own, secret) = self.create(spec).await?.into_parts();
            found = match self.list().collect().await {
                Ok(all) => plan::matching(all, spec, endpoint, Some(&own)),
                Err(error) => return Err(self.undo(&own, error).await),
            };
            if found.first().map(Webhook::id) == Some(own.id()) {
                // There is nothing to update, and nothing must fail now: the secret would be lost.
                let others = found.split_off(1);
                return Ok(Some(Ensured {
                    webhook: own,
                    did: vec![Action::Created],
                    secret: EnsuredSecret::New(secret),
                    others,
                }));
            }
            self.give_way(&own).await?;
            found.retain(|webhook| webhook.id() != own.id());
            lost = true;
        }
        let mut found = found.into_iter();
        let Some(mut webhook) = found.next() else {
            return Ok(None);
        };
        let mut did = Vec::new();
        let update = plan::changes(spec, &webhook);
        if !update.is_empty() {
            did.extend(update.fields().into_iter().map(Action::Updated));
            webhook = match there(self.update(webhook.id(), &update).await)? {
                Some(updated) => updated,
                None => return Ok(None),
            };
        }
        let secret = match &spec.rotate {
            _ if lost => EnsuredSecret::OfAnother,
            _ if plan::is_at_hand(spec, &webhook) => EnsuredSecret::AtHand,
            None => EnsuredSecret::NotAtHand,
            Some(behavior) => {
                let rotated = self.rotate_signing_secret(webhook.id(), behavior.clone());
                let Some(secret) = there(rotated.await)? else {
                    return Ok(None);
                };
                did.push(Action::Rotated);
                EnsuredSecret::New(secret)
            }
        };
        Ok(Some(Ensured {
            webhook,
            did,
            secret,
            others: found.collect(),
        }))
    }

    /// Deletes what was created later than another's.
    async fn give_way(&self, own: &Webhook) -> Result<(), ClientError> {
        let id = own.id();
        there(self.delete(id).await).map(drop).map_err(|error| {
            error.advise(format!(
                "webhook {id:?} was created while another process created one too, and could not be deleted: delete it"
            ))
        })
    }

    /// Deletes what was just created, since it cannot be known whether it is to stay.
    async fn undo(&self, own: &Webhook, error: ClientError) -> ClientError {
        let id = own.id();
        error.advise(match self.delete(id).await {
            Ok(()) => "the webhook that was just created has been deleted: call `ensure` again".to_owned(),
            Err(_) => format!(
                "webhook {id:?} was created and could not be deleted, and nobody knows its secret: delete it, or rotate its secret"
            ),
        })
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
    /// In your app: a secret that the spec names ends with the same characters as one of the webhook's.
    AtHand,
    /// Not known: the webhook existed, and the service shows a secret only once. If your app does not
    /// have it, rotate the secret, or let the spec
    /// [ask for that](WebhookSpec::rotate_if_not_at_hand).
    NotAtHand,
    /// In another process, which created the webhook at the same time. Read it from where that process
    /// stores it. A rotation would end the secret of that process.
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
    others: Vec<Webhook>,
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

    /// Returns further webhooks with the same URI, which existed before and were left alone.
    ///
    /// They get deliveries too, signed with secrets of their own.
    #[must_use]
    pub fn others(&self) -> &[Webhook] {
        &self.others
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
        match self.webhook.state() {
            None | Some(WebhookState::Enabled) => {}
            Some(WebhookState::Disabled) => {
                f.write_str("; it gets no deliveries, because somebody switched it off")?;
            }
            Some(state) => write!(f, "; its state is `{state}`")?,
        }
        match self.others.len() {
            0 => Ok(()),
            n => write!(
                f,
                "; there are {n} more of the same URI: delete those that are not needed"
            ),
        }
    }
}
