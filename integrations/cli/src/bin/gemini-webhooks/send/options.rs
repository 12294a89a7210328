//! The options of `send`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use jiff::SignedDuration;
use serde_json::Value;

use super::tamper::Tamper;
use crate::values;

pub(super) const EXAMPLES: &str = "\
Examples:
  Send one event of a static webhook, signed with the secret in WEBHOOK_SIGNING_SECRET:
    gemini-webhooks send http://127.0.0.1:8000/gemini-callback

  The same event three times: the handler of the app must run once:
    gemini-webhooks send http://127.0.0.1:8000/gemini-callback --repeat 3

  See whether the app refuses a body that was changed on its way:
    gemini-webhooks send http://127.0.0.1:8000/gemini-callback --tamper body

  A dynamic webhook. The app runs with GEMINI_JWKS_URL=http://127.0.0.1:8788/.well-known/jwks.json:
    gemini-webhooks send http://127.0.0.1:8000/gemini-webhook-dynamic --ed25519 \\
      --endpoint-token-file token.txt --key-file sample.pem

  A thousand events, fifty a second, and a summary:
    gemini-webhooks send http://127.0.0.1:8000/gemini-callback --count 1000 --rate 50

  Start this first and the app then. It tries until the app answers with a 2xx:
    gemini-webhooks send http://127.0.0.1:8000/gemini-callback --retry --retry-for 5m

Exit codes: 0 each delivery was answered as it should be; 1 one was not; 2 the input or an option cannot be used; \
130 ended by Ctrl-C.
Without --expect, a delivery should be answered with a 2xx; but what a receiver refuses by default should be refused, \
and so: what --tamper changed, a --clock-offset beyond 5 minutes, a malformed --id.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "`--help` has examples and explains each option.")]
pub(crate) struct Options {
    /// Where your app receives, such as http://127.0.0.1:8000/gemini-callback.
    pub(super) url: String,
    /// Write one line of JSON for each answer, and one for the summary.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) event: EventOptions,
    #[command(flatten)]
    pub(super) signed: SignedOptions,
    #[command(flatten)]
    pub(super) course: CourseOptions,
}

/// What is sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is sent")]
pub(super) struct EventOptions {
    /// The type of the sample event. Of another type than the nine of Google's guide, a small event is made up.
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "batch.succeeded",
        conflicts_with = "body"
    )]
    pub(super) type_name: String,

    /// Send this JSON as the event's `data`, instead of the sample's.
    #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "body")]
    pub(super) data: Option<Value>,

    /// Send this JSON as the event's `user_metadata`. Without it the event has none.
    #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "body")]
    pub(super) user_metadata: Option<Value>,

    /// Send these bytes as they are, instead of a sample; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) body: Option<PathBuf>,

    /// The `webhook-id`. By default it is a new one for each event: `msg_` and a UUID.
    #[arg(long, value_name = "ID", conflicts_with = "count")]
    pub(super) id: Option<String>,
}

/// How it is signed.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it is signed")]
#[command(group = ArgGroup::new("public").args(["ed25519", "jwt"]))]
pub(super) struct SignedOptions {
    /// A file with the signing secret of a static webhook (`whsec_…`); `-` reads standard input. Several secrets,
    /// separated by white space or in several files, all sign, as during a rotation. Without it the variable
    /// WEBHOOK_SIGNING_SECRET is read.
    #[arg(long, value_name = "FILE", conflicts_with = "public")]
    pub(super) secret_file: Vec<PathBuf>,

    /// Sign as a dynamic webhook (`v1a`), with a key of this program. It serves the public key while it runs.
    #[arg(long)]
    pub(super) ed25519: bool,

    /// Sign as a dynamic webhook in the form of Google's guide: a JWT (RS256) for this audience.
    #[arg(long, value_name = "AUDIENCE")]
    pub(super) jwt: Option<String>,

    /// Keep the private key in this file, a PKCS#8 in PEM. It is made if it is missing. Without it, each run makes
    /// a new key, and an app that knows the previous one refuses the new one for up to 30 seconds.
    #[arg(long, value_name = "FILE", requires = "public")]
    pub(super) key_file: Option<PathBuf>,

    /// Where the public key is served. Start your app with GEMINI_JWKS_URL, or whatever it passes to `jwks_url`, as
    /// http://ADDRESS:PORT/.well-known/jwks.json.
    #[arg(long, value_name = "ADDRESS:PORT|PORT", value_parser = values::address, default_value = "127.0.0.1:8788")]
    pub(super) jwks_address: SocketAddr,

    /// A file with the endpoint token, which is added to the URL; `-` reads standard input. Without it the variable
    /// WEBHOOK_ENDPOINT_TOKEN is read for a dynamic webhook, unless the URL has a token.
    #[arg(long, value_name = "FILE")]
    pub(super) endpoint_token_file: Option<PathBuf>,

    /// Change the delivery after it was signed, or sign something malformed, to see it refused.
    #[arg(long, value_name = "WHAT")]
    pub(super) tamper: Option<Tamper>,

    /// Sign as if the clock were off by this much, such as `-10m` or `+1h`.
    #[arg(long, value_name = "DURATION", value_parser = values::offset, allow_hyphen_values = true)]
    pub(super) clock_offset: Option<SignedDuration>,
}

/// How often and how fast.
#[derive(Debug, Args)]
#[command(next_help_heading = "How often and how fast")]
#[command(group = ArgGroup::new("many").args(["count", "repeat"]).multiple(true))]
pub(super) struct CourseOptions {
    /// Send this many events, each with an id of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) count: u32,

    /// Send each event this many times, with the same id and body, as a retry is: the handler should run once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) repeat: u32,

    /// Begin this many deliveries a second. By default the next one begins as soon as one is answered.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate, requires = "many")]
    pub(super) rate: Option<f64>,

    /// How many deliveries may be in flight at once. 1 by default, and 100 with --rate. With --repeat and 2 or more,
    /// the same event is in flight twice.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), requires = "many")]
    pub(super) concurrency: Option<u16>,

    /// Send again what is not answered as it should be, with the same id and a new timestamp and signature. The
    /// pauses grow from 1 second to 30, whatever a `Retry-After` asks: what Google's are is not known.
    #[arg(long)]
    pub(super) retry: bool,

    /// For how long --retry goes on with a delivery.
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "1m", requires = "retry")]
    pub(super) retry_for: Duration,

    /// How long an answer may take. A receiver lets a handler run for 30 seconds by default. Google waits a few.
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "40s")]
    pub(super) timeout: Duration,

    /// The status that each delivery should be answered with, for the exit code.
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..=599))]
    pub(super) expect: Option<u16>,

    /// Send more than 20 deliveries, or at a rate, to another machine. Do so only if it is yours.
    #[arg(long)]
    pub(super) allow_remote: bool,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("write a number from 0.001 to 100000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, good) in [
            ("50", true),
            ("0.5", true),
            ("0", false),
            ("-1", false),
            ("NaN", false),
            ("inf", false),
        ] {
            assert_eq!(rate(text).is_ok(), good, "{text:?}");
        }
    }
}
