//! `verify`: why a delivery was refused.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_cli::capture::{self, MAX_BYTES};
use gemini_webhooks_cli::{Capture, Setup, diagnose, verdict};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::stop::Stop;
use crate::trust::{Trust, key_set, split_secrets};
use crate::{input, shown};

const EXAMPLES: &str = "\
Examples:
  A request that a proxy or `tcpdump` kept, with its headers and body:
    gemini-webhooks verify request.txt --secret-file secret.txt
  A HAR file, a `curl` command, or the log of a receiver that was built with `log_refused_deliveries()`:
    gemini-webhooks verify traffic.har --secret-file secret.txt
    gemini-webhooks verify app.log --secret-file secret.txt
  What `listen --json` printed:
    gemini-webhooks verify deliveries.jsonl --secret-file secret.txt
  Headers and body in files of their own:
    gemini-webhooks verify --headers headers.txt --body body.json --secret-file secret.txt
  Perhaps another webhook's secret signed it:
    gemini-webhooks verify request.txt --secret-file secret.txt --other-secret-file staging.txt

Exit codes: 0 verified; 1 refused, and it said why; 2 the input cannot be used.";

/// Looking for the causes of one can take a second.
const MAX_EXPLAINED: u32 = 20;

/// Say why a delivery was refused, and what most probably went wrong.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// What was captured: an HTTP request as text, a HAR file, a `curl` command, a log, or what `listen --json` printed.
    /// `-`, or nothing, reads standard input.
    #[arg(value_name = "FILE", conflicts_with = "headers")]
    capture: Option<PathBuf>,

    /// The header lines, where they are kept apart: lines `name: value`, or a JSON object.
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,

    /// The body, where it is kept apart; byte for byte as it arrived.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// What the capture is.
    #[arg(long, value_enum, default_value_t = Format::Auto, conflicts_with = "headers")]
    format: Format,

    /// When the delivery arrived: `now`, `sent` for its own timestamp, or a time such as 2026-01-22T12:00:00Z. By
    /// default the time that the capture has, for a log that of sending, else `now`.
    #[arg(long, value_name = "TIME")]
    received_at: Option<ReceivedAt>,

    /// A file with signing secrets that the receiver does not have, to see whether one of them signed; `-` reads
    /// standard input.
    #[arg(long, value_name = "FILE")]
    other_secret_file: Vec<PathBuf>,

    /// Public keys that the receiver does not have: `google`, another URL, or a file.
    #[arg(long, value_name = "google|URL|FILE")]
    other_keys: Option<String>,

    /// Write one line of JSON for each delivery.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trust: Trust,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Whichever it looks like.
    Auto,
    /// An HTTP request as text.
    Http,
    /// A HAR file, as browsers and proxies write it.
    Har,
    /// A `curl` command.
    Curl,
    /// The log of a receiver with `log_refused_deliveries`.
    Log,
}

#[derive(Clone, Copy, Debug)]
enum ReceivedAt {
    Now,
    Sent,
    At(SystemTime),
}

impl std::str::FromStr for ReceivedAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Self::Now),
            "sent" => Ok(Self::Sent),
            time => {
                let time: jiff::Timestamp = time.parse().map_err(|_| {
                    "give `now`, `sent`, or a time with its zone, such as 2026-01-22T12:00:00Z"
                        .to_owned()
                })?;
                let time = SystemTime::try_from(time);
                time.map(Self::At).map_err(|error| error.to_string())
            }
        }
    }
}

pub(crate) async fn run(verify: Verify) -> Result<Exit, Failure> {
    let from = verify.headers.as_ref().or(verify.capture.as_ref());
    let stdin = PathBuf::from("-");
    let from = from.unwrap_or(&stdin);
    input::at_most_one_dash(
        [from]
            .into_iter()
            .chain(&verify.body)
            .chain(&verify.trust.secret_file)
            .chain(&verify.other_secret_file)
            .chain(&verify.trust.endpoint_token_file),
    )?;
    let mut stop = Stop::listen()?;
    // First, so that nobody pastes a request in vain.
    let Some(setup) = stop.unless(verify.setup()).await else {
        return Err(Failure::stopped());
    };
    let setup = Arc::new(setup?);
    let captures = verify.captures(from).await?;
    let count = captures.len();
    let (mut all_verified, mut explained) = (true, 0);
    for (index, capture) in captures.into_iter().enumerate() {
        let now = verify.time_of(&capture);
        let setup = Arc::clone(&setup);
        let may_explain = explained < MAX_EXPLAINED;
        // It takes a while for a long one.
        let diagnosing = tokio::task::spawn_blocking(move || {
            let diagnosis = match may_explain {
                true => diagnose(&capture, &setup, now),
                false => verdict(&capture, &setup, now),
            };
            (capture, diagnosis)
        });
        let Some(diagnosed) = stop.unless(diagnosing).await else {
            return Err(Failure::stopped());
        };
        let (capture, diagnosis) =
            diagnosed.map_err(|error| Failure::new(format!("the diagnosis broke off: {error}")))?;
        if !diagnosis.is_verified() {
            if explained == MAX_EXPLAINED {
                shown::warning(
                    "causes are looked for in the first 20 refused deliveries only: give those that matter by themselves",
                );
            }
            explained += 1;
        }
        all_verified &= diagnosis.is_verified();
        if verify.json {
            let mut value = serde_json::to_value(&diagnosis).map_err(|error| {
                Failure::new(format!("the diagnosis cannot be written: {error}"))
            })?;
            if let Some(members) = value.as_object_mut() {
                members.insert("webhook_id".to_owned(), json!(text(&capture, "webhook-id")));
                members.insert("judged_at".to_owned(), json!(shown::time(now)));
            }
            shown::json(&value)?;
            continue;
        }
        if count > 1 {
            let id = text(&capture, "webhook-id").unwrap_or_else(|| "without an id".to_owned());
            let style = shown::FAINT;
            let gap = if index > 0 { "\n" } else { "" };
            shown::line(format_args!(
                "{gap}{style}delivery {} of {}: {}{style:#}",
                index + 1,
                count,
                shown::plain(id)
            ))?;
        }
        let style = if diagnosis.is_verified() {
            shown::GOOD
        } else {
            shown::BAD
        };
        let told = diagnosis.to_string();
        // The verdict is the first word.
        let (verdict, rest) = told.split_once(' ').unwrap_or((&told, ""));
        shown::line(format_args!("{style}{verdict}{style:#} {rest}"))?;
    }
    Ok(if all_verified {
        Exit::Done
    } else {
        Exit::Refused
    })
}

impl Verify {
    async fn captures(&self, from: &Path) -> Result<Vec<Capture>, Failure> {
        if self.headers.is_some() && self.body.is_none() {
            return Err(Failure::unusable(
                "--headers needs --body: the signature is over both",
            ));
        }
        if from == Path::new("-") && io::stdin().is_terminal() {
            shown::note(
                "Paste the request, then press Ctrl-D. A terminal cuts a line after 4095 bytes: save a longer one in a file.",
            );
        }
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        let name = input::name(from);
        let is_long = fs::metadata(from).is_ok_and(|file| file.len() > limit);
        if is_long {
            return Err(Failure::unusable(format!(
                "{name} is longer than 16 MiB. If it is a log, give the lines that matter: `grep capture= {name} | \
                 gemini-webhooks verify …`"
            )));
        }
        let text = input::read(from, limit).await?;
        let body = match &self.body {
            Some(path) => Some(Bytes::copy_from_slice(&input::read(path, limit).await?)),
            None => None,
        };
        let one = |read: Result<Capture, _>| read.map(|capture| vec![capture]);
        let read = if self.headers.is_some() {
            one(capture::from_headers(&text, Bytes::new()))
        } else {
            match self.format {
                Format::Auto => capture::read(&text),
                Format::Http => one(capture::from_http(&text)),
                Format::Har => capture::from_har(&text),
                Format::Curl => one(capture::from_curl(&text)),
                Format::Log => capture::from_log(&text),
            }
        };
        let captures = read.map_err(|error| {
            Failure::unusable(format!(
                "{name}: {error}. `gemini-webhooks verify --help` shows what can be read"
            ))
        })?;
        if self.headers.is_some() && body.is_none() {
            return Err(Failure::unusable(
                "--headers needs --body: the signature is over both",
            ));
        }
        match body {
            None => Ok(captures),
            Some(body) if captures.len() == 1 => Ok(captures
                .into_iter()
                .map(|capture| capture.with_body(body.clone()))
                .collect()),
            Some(_) => Err(Failure::unusable(format!(
                "{name} has {} deliveries, and --body can be that of one only",
                captures.len()
            ))),
        }
    }

    async fn setup(&self) -> Result<Setup, Failure> {
        let mut setup = self.trust.setup().await?;
        for path in &self.other_secret_file {
            let name = input::name(path);
            let text = input::read_secret(path, "other signing secret").await?;
            for (label, secret) in split_secrets(&name, &text)? {
                setup = setup
                    .other_secret(&label, secret)
                    .map_err(|error| Failure::unusable(format!("{label}: {error}")))?;
            }
        }
        if let Some(keys) = &self.other_keys {
            setup = setup.other_keys(key_set(keys).await?);
        }
        Ok(setup)
    }

    fn time_of(&self, capture: &Capture) -> SystemTime {
        let now = || SystemClock.now();
        match self.received_at {
            Some(ReceivedAt::Now) => now(),
            Some(ReceivedAt::At(time)) => time,
            Some(ReceivedAt::Sent) => capture.sent_at().unwrap_or_else(now),
            None => capture.received_at().unwrap_or_else(now),
        }
    }
}

/// The first value of a header.
fn text(capture: &Capture, name: &str) -> Option<String> {
    let value = capture.header(name).next()?;
    Some(String::from_utf8_lossy(value).into_owned())
}
