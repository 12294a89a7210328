//! `ensure`.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use gemini_webhooks::SigningSecret;
use gemini_webhooks::client::{
    Action, Ensured, EnsuredSecret, RevocationBehavior, SecretInfo, WebhookField, WebhookSpec,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::api::{Api, Service};
use super::create::{self, Wanted};
use super::refused::About;
use super::secret_to::{self, Place, SecretTo};
use super::wait::{self, Made};
use super::{Output, webhook};
use crate::exit::{Exit, Failure};
use crate::input;
use crate::shown::{self, plain};
use crate::stop::Stop;

/// The library begins nothing more after three times the time of one call.
const CALLS: u32 = 4;

const EXAMPLES: &str = "\
Examples:
  gemini-webhooks ensure --uri https://example.com/callback --secret-to secret
  gemini-webhooks ensure --uri https://example.com/callback \\
      --events batch.succeeded,batch.failed \\
      --secret-to secret --rotate-if-not-at-hand --force

It looks for the webhook by its URI, creates it if there is none, and changes what differs. If nothing differs it \
changes nothing, so it can be run at each deployment. A webhook that Google switched off is enabled again; one that a \
person switched off stays off.

--secret-to is needed if a new secret can come. A secret that is in the file already is taken for the one that your \
app has.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ensure {
    #[command(flatten)]
    wanted: Wanted,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    secret_to: SecretTo,

    /// A file with the signing secrets that your app has, so that it can be told whether one is the webhook's; `-` reads
    /// standard input. Without it the variable WEBHOOK_SIGNING_SECRET is read.
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,

    /// Make a new secret if your app has none of the webhook's. Those before it end in 24 hours.
    #[arg(long)]
    rotate_if_not_at_hand: bool,

    #[command(flatten)]
    api: Api,
}

impl Ensure {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let files = self.api.api_key_file.iter();
        let files = files
            .chain(&self.wanted.endpoint_token_file)
            .chain(&self.secret_file);
        input::at_most_one_dash(files)?;
        let mut stop = Stop::listen()?;
        let service = self.api.service().await?;
        let kept = self.kept_secrets().await?;
        let spec = self.spec(&kept).await?;
        let place = match self.secret_to.is_free() {
            true => Some(self.secret_to.reserve()?),
            false => match self.needs_no_place(&service, &mut stop, &spec).await? {
                true => None,
                false => return Ok(wait::stopped("Nothing was changed.")),
            },
        };

        let limit = service.deadline.saturating_mul(CALLS);
        let ensuring = service.client.ensure(&spec);
        let (ensured, stop) = match wait::for_secret(&mut stop, limit, ensuring).await {
            Made::Ended { value, stop } => (value, stop),
            Made::Abandoned => {
                return Ok(wait::stopped(
                    "The webhook may have been created, changed or rotated, and nobody may know its secret. Run \
                     `ensure` again, and give it the secret that your app has.",
                ));
            }
        };
        let ensured = ensured.map_err(|error| service.failed(&error, About::Project))?;
        self.report(&ensured, place)?;
        self.tell_if_of_another(&ensured, &kept);
        tell_others(&ensured);
        Ok(match stop {
            true => wait::stopped("All was done."),
            false => Exit::Done,
        })
    }

    async fn spec(&self, kept: &[Zeroizing<String>]) -> Result<WebhookSpec, Failure> {
        let spec = self.wanted.spec().await?;
        let at_hand = self.secrets_at_hand().await?;
        let at_hand = at_hand.iter().chain(kept);
        let spec = at_hand.fold(spec, WebhookSpec::secret_at_hand);
        if self.rotate_if_not_at_hand {
            Ok(spec.rotate_if_not_at_hand(RevocationBehavior::AfterH24))
        } else {
            Ok(spec)
        }
    }

    async fn secrets_at_hand(&self) -> Result<Vec<Zeroizing<String>>, Failure> {
        let mut secrets = Vec::new();
        for path in &self.secret_file {
            let name = input::name(path);
            let text = input::read_secret(path, "signing secret").await?;
            let found = words(&text, &name)?;
            if found.is_empty() {
                return Err(Failure::unusable(format!("{name} holds no signing secret")));
            }
            secrets.extend(found);
        }
        if self.secret_file.is_empty()
            && let Some(text) = input::variable("WEBHOOK_SIGNING_SECRET")?
        {
            secrets.extend(words(&text, "WEBHOOK_SIGNING_SECRET")?);
        }
        Ok(secrets)
    }

    /// The secrets that are in the file of --secret-to already.
    async fn kept_secrets(&self) -> Result<Vec<Zeroizing<String>>, Failure> {
        match &self.secret_to.secret_to {
            Some(path)
                if !secret_to::is_stdout(path)
                    && fs::metadata(path).is_ok_and(|file| file.is_file()) =>
            {
                let text = input::read_secret(path, "signing secret").await?;
                match words(&text, &input::name(path)) {
                    // It may be replaced, whatever it is.
                    Err(_) if self.secret_to.force => Ok(Vec::new()),
                    found => found,
                }
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Says if the file of --secret-to has the secret of another webhook: the app would refuse all deliveries.
    fn tell_if_of_another(&self, ensured: &Ensured, kept: &[Zeroizing<String>]) {
        let (Some(path), false) = (
            &self.secret_to.secret_to,
            matches!(ensured.secret(), EnsuredSecret::New(_)),
        ) else {
            return;
        };
        let kept: Vec<&str> = kept.iter().map(|secret| secret.as_str()).collect();
        let listed = ensured.webhook().signing_secrets().iter();
        let truncated: Vec<&str> = listed.filter_map(SecretInfo::truncated).collect();
        let Some(ends) = ends_of_others(&kept, &truncated) else {
            return;
        };
        let (what, is_not) = match kept.as_slice() {
            [_] => ("the secret in", "is not one"),
            _ => ("no secret in", "is one"),
        };
        let to_do = match ensured.secret() {
            EnsuredSecret::NotAtHand => {
                " If no file has it: run this again with --rotate-if-not-at-hand --force."
            }
            _ => "",
        };
        shown::warning(format_args!(
            "{what} {} {is_not} of this webhook, whose secrets end in {ends}.{to_do}",
            input::name(path)
        ));
    }

    /// Looks whether a secret can come, for which there is no place. `false` if Ctrl-C was pressed.
    async fn needs_no_place(
        &self,
        service: &Service,
        stop: &mut Stop,
        spec: &WebhookSpec,
    ) -> Result<bool, Failure> {
        let to_do = match &self.secret_to.secret_to {
            Some(path) => format!(
                "{} exists: give --force to replace it if there is a new secret",
                plain(path.display())
            ),
            None => {
                "Say where it goes, with --secret-to FILE, or --secret-to - to print it".to_owned()
            }
        };
        if self.rotate_if_not_at_hand {
            return Err(Failure::unusable(format!(
                "with --rotate-if-not-at-hand there may be a new secret, which Google shows once. {to_do}"
            )));
        }
        let finding = service.client.find(spec);
        let Some(found) = wait::for_answer(stop, service.deadline, finding).await else {
            return Ok(false);
        };
        let found = found.map_err(|error| service.failed(&error, About::Project))?;
        if found.is_empty() {
            return Err(Failure::unusable(format!(
                "there is no webhook of this URI. The one that is created will have a secret, which Google shows once. \
                 {to_do}"
            )));
        }
        Ok(true)
    }

    fn report(&self, ensured: &Ensured, place: Option<Place>) -> Result<(), Failure> {
        let output = self.output;
        let mut json = as_json(ensured, output);
        // Below it is said where the secret has been stored.
        let in_short = plain(ensured).replace("; store its new secret", "");
        let mut lines = vec![in_short];
        lines.extend(webhook::as_lines(ensured.webhook(), output));
        let EnsuredSecret::New(secret) = ensured.secret() else {
            let stdout_is_for_secret = matches!(place, Some(Place::Stdout));
            if output.json {
                return shown::json(&json);
            }
            for line in lines {
                match stdout_is_for_secret {
                    true => shown::note(line),
                    false => shown::line(line)?,
                }
            }
            return Ok(());
        };
        let remedy = create::remedy(ensured.webhook().id());
        let Some(place) = place else {
            let why = "there is a new secret, since somebody deleted the webhook meanwhile, and --secret-to names no \
                       place for it";
            return Err(secret_to::lost(why, secret.expose(), &remedy));
        };
        if let Some(members) = json.as_object_mut() {
            members.insert("key_id".to_owned(), create::key_id(secret));
        }
        let stored = place.store(secret.expose(), &remedy)?;
        stored.print(json, &lines, output, &remedy)
    }
}

/// The secrets in a text: the words, but for comments, which begin with `#`.
fn words(text: &str, name: &str) -> Result<Vec<Zeroizing<String>>, Failure> {
    let words = text.lines().flat_map(|line| {
        line.split_whitespace()
            .take_while(|word| !word.starts_with('#'))
    });
    words
        .map(|word| {
            word.parse::<SigningSecret>()
                .map(|_| Zeroizing::new(word.to_owned()))
                .map_err(|error| Failure::unusable(format!("{name}: {error}")))
        })
        .collect()
}

/// The ends of a webhook's secrets, as the service shows them, if it shows that none of these is one of them.
fn ends_of_others(kept: &[&str], truncated: &[&str]) -> Option<String> {
    /// So much of a secret's end is shown.
    const SHOWN: usize = 4;
    let end = |secret: &str| {
        let from = secret.char_indices().rev().nth(SHOWN - 1)?.0;
        secret.get(from..).map(str::to_owned)
    };
    let is_one = |secret: &&str| {
        end(secret).is_none_or(|end| truncated.iter().any(|shown| shown.ends_with(&end)))
    };
    let ends: Vec<String> = truncated.iter().filter_map(|shown| end(shown)).collect();
    if kept.is_empty() || ends.is_empty() || kept.iter().any(is_one) {
        return None;
    }
    Some(plain(ends.join(" and ")))
}

fn as_json(ensured: &Ensured, output: Output) -> Value {
    let actions: Vec<String> = ensured
        .actions()
        .iter()
        .map(|action| match action {
            Action::Created => "created".to_owned(),
            Action::Rotated => "rotated".to_owned(),
            Action::Updated(WebhookField::State) => "enabled".to_owned(),
            Action::Updated(field) => format!("updated:{}", field.as_str()),
            other => format!("{other:?}").to_lowercase(),
        })
        .collect();
    let secret = match ensured.secret() {
        EnsuredSecret::New(_) => "new",
        EnsuredSecret::AtHand => "at_hand",
        EnsuredSecret::NotAtHand => "not_at_hand",
        EnsuredSecret::OfAnother => "of_another",
        _ => "unknown",
    };
    let others = ensured.others().iter();
    json!({
        "webhook": webhook::as_json(ensured.webhook(), output),
        "actions": actions,
        "secret_is": secret,
        "secret_expires": webhook::time(ensured.secret_expires()),
        "others": others.map(|other| webhook::as_json(other, output)).collect::<Value>(),
        "could_not_look": ensured.could_not_look().map(ToString::to_string),
    })
}

/// Names the other webhooks of the URI, each of which gets deliveries, too.
fn tell_others(ensured: &Ensured) {
    for other in ensured.others() {
        shown::note(format_args!(
            "Another one of this URI: {}. If it is not needed: `gemini-webhooks delete {}`.",
            webhook::in_short(other),
            plain(other.id())
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const TWO: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn whether_a_secret_is_of_another_webhook() {
        for (name, kept, truncated, expected) in [
            ("it is its own", &[ONE][..], &["whsec_...LaSw"][..], None),
            ("of another", &[ONE], &["whsec_...UK04"], Some("UK04")),
            (
                "an earlier one",
                &[ONE],
                &["whsec_...UK04", "whsec_...LaSw"],
                None,
            ),
            (
                "two of its own",
                &[ONE],
                &["whsec_...UK04", "whsec_...b7oD"],
                Some("UK04 and b7oD"),
            ),
            ("one of several", &[ONE, TWO], &["whsec_...b7oD"], None),
            (
                "none of several",
                &[ONE, TWO],
                &["whsec_...UK04"],
                Some("UK04"),
            ),
            ("an empty file", &[], &["whsec_...UK04"], None),
            ("not shown", &[ONE], &[], None),
            ("shown in part only", &[ONE], &["abc"], None),
            ("foreign text", &[ONE], &["\u{1b}[2J"], Some("\\u{1b}[2J")),
        ] {
            let ends = ends_of_others(kept, truncated);
            assert_eq!(ends.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_secrets_in_a_text() {
        for (text, expected) in [
            (ONE.to_owned(), &[ONE][..]),
            (format!("{ONE}\n"), &[ONE]),
            (format!("{ONE} {TWO}\n"), &[ONE, TWO]),
            (
                format!("# old\n{ONE} # until {TWO}\n\n{TWO}\r\n"),
                &[ONE, TWO],
            ),
            ("\n # nothing\n".to_owned(), &[]),
        ] {
            let found = words(&text, "it").unwrap();
            let found: Vec<&str> = found.iter().map(|word| word.as_str()).collect();
            assert_eq!(found, expected, "{text:?}");
        }
        let failure = format!("{:?}", words("whsec_short", "FILE").unwrap_err());
        assert!(
            failure.contains("FILE: ") && !failure.contains("whsec_short"),
            "{failure}"
        );
    }
}
