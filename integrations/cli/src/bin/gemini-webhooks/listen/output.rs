//! Shows deliveries at the terminal, or as JSON.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gemini_webhooks::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::delivery::{Answer, Delivery, Verdict, add_body, text};
use crate::exit::Failure;
use crate::shown::{self, BAD, FAINT, GOOD, plain};
use crate::uri::without_tokens;

/// So much of the app's answer is shown on its line.
const FIRST_PART: usize = 200;
/// A request that is no POST is shown at most so often: it costs a scanner nothing.
const STRAY_PAUSE: Duration = Duration::from_secs(1);

/// Where deliveries are shown, and what was seen.
#[derive(Debug)]
pub(super) struct Output {
    is_json: bool,
    is_full: bool,
    arrived: AtomicU64,
    in_flight: AtomicU64,
    verified: AtomicU64,
    repeats: AtomicU64,
    refused: AtomicU64,
    strays: Mutex<Strays>,
    failed: mpsc::Sender<Failure>,
}

/// The requests that are no POST, of which not each is shown.
#[derive(Debug, Default)]
struct Strays {
    shown: Option<Instant>,
    more: u64,
}

impl Strays {
    /// Whether the one that arrives at this time is shown. If not, it is counted.
    fn shows(&mut self, now: Instant) -> bool {
        let is_shown = self
            .shown
            .is_none_or(|at| now.saturating_duration_since(at) >= STRAY_PAUSE);
        if is_shown {
            self.shown = Some(now);
        } else {
            self.more += 1;
        }
        is_shown
    }

    /// How many were not shown since this was last asked.
    fn take(&mut self) -> Option<u64> {
        let more = std::mem::take(&mut self.more);
        (more > 0).then_some(more)
    }
}

impl Output {
    /// Makes an output. The receiver gets the failure if nothing can be written any more.
    pub(super) fn new(is_json: bool, is_full: bool) -> (Self, mpsc::Receiver<Failure>) {
        let (failed, failure) = mpsc::channel(1);
        let output = Self {
            is_json,
            is_full,
            arrived: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            verified: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            strays: Mutex::default(),
            failed,
        };
        (output, failure)
    }

    /// Begins the next delivery.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight {
            number: self.arrived.fetch_add(1, Ordering::Relaxed) + 1,
            output: self,
        }
    }

    /// What the user is told when the program is to end. `None` if nothing is waited for.
    pub(super) fn waits_for(&self, at_most: Duration) -> Option<String> {
        let waits_for = match self.in_flight.load(Ordering::Relaxed) {
            0 => return None,
            1 => "1 delivery".to_owned(),
            several => format!("{several} deliveries"),
        };
        Some(format!(
            "waiting up to {} for {waits_for}; Ctrl-C again ends at once",
            shown::seconds(at_most)
        ))
    }

    pub(super) fn delivery(&self, delivery: &Delivery) {
        let count = if delivery.is_verified() {
            &self.verified
        } else {
            &self.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
        if delivery.repeat_of.is_some() {
            self.repeats.fetch_add(1, Ordering::Relaxed);
        }
        if delivery.is_stray() {
            let now = SystemClock.monotonic();
            if !self.lock_strays().shows(now) {
                return;
            }
        }
        if self.is_json {
            self.line(as_json(delivery));
        } else {
            self.line(Ok(lines(delivery, self.is_full)));
        }
    }

    pub(super) fn sent_again(&self, number: u64, answer: &Answer) {
        self.line(Ok(if self.is_json {
            json!({ "what": "sent_again", "number": number, "app": answer.to_json() }).to_string()
        } else {
            format!("#{number} sent to the app again\n    {}", app_line(answer))
        }));
    }

    /// Says now and then how many requests were not shown.
    pub(super) async fn count_strays(&self) {
        loop {
            sleep(STRAY_PAUSE).await;
            self.say_strays();
        }
    }

    /// Says how many requests were not shown, if there are some.
    pub(super) fn say_strays(&self) {
        let more = self.lock_strays().take();
        let Some(more) = more else {
            return;
        };
        self.line(Ok(if self.is_json {
            json!({ "what": "not_shown", "requests": more }).to_string()
        } else {
            let requests = if more == 1 { "request" } else { "requests" };
            format!("{FAINT}and {more} more {requests} without POST{FAINT:#}")
        }));
    }

    fn lock_strays(&self) -> MutexGuard<'_, Strays> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen, for the end.
    pub(super) fn summary(&self) -> String {
        let [verified, repeats, refused, arrived] =
            [&self.verified, &self.repeats, &self.refused, &self.arrived]
                .map(|count| count.load(Ordering::Relaxed));
        let mut text = match arrived {
            0 => return "ended: nothing arrived".to_owned(),
            1 => "ended: 1 delivery".to_owned(),
            all => format!("ended: {all} deliveries"),
        };
        let repeats = match repeats {
            0 => String::new(),
            1 => " (1 of them a repeat)".to_owned(),
            repeats => format!(" ({repeats} of them repeats)"),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, ", {verified} verified{repeats}, {refused} refused");
        // The sender gave up, or the program ended.
        match arrived.saturating_sub(verified + refused) {
            0 => {}
            number => {
                let _ = write!(text, ", {number} cut off without an answer");
            }
        }
        text
    }

    fn line(&self, text: Result<String, Failure>) {
        if let Err(failure) = text.and_then(shown::line) {
            // One failure is enough to end the program.
            let _ = self.failed.try_send(failure);
        }
    }
}

/// A delivery that is being received or answered, until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight<'a> {
    pub(super) number: u64,
    output: &'a Output,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.output.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn as_json(delivery: &Delivery) -> Result<String, Failure> {
    let mut map = delivery.to_json().map_err(|error| {
        Failure::new(format!(
            "cannot write delivery #{}: {error}",
            delivery.number
        ))
    })?;
    add_body(&mut map, &delivery.body);
    let mut whole = serde_json::Map::from_iter([("what".to_owned(), Value::from("delivery"))]);
    whole.extend(map);
    Ok(shown::harmless_json(&Value::Object(whole).to_string()))
}

/// The lines for people.
fn lines(delivery: &Delivery, is_full: bool) -> String {
    let mut out = format!(
        "{FAINT}{}{FAINT:#}  #{}  ",
        shown::time(delivery.at),
        delivery.number
    );
    match delivery.refusal() {
        None => {
            let event = delivery.event_type().unwrap_or("no type");
            let id = delivery.webhook_id().unwrap_or_default();
            let _ = write!(
                out,
                "{GOOD}verified{GOOD:#}  {}  {}  answered {}",
                plain(event),
                plain(id),
                delivery.answered
            );
        }
        Some((code, _)) => {
            let _ = write!(
                out,
                "{BAD}refused{BAD:#}  {code}  answered {}",
                delivery.answered
            );
        }
    }
    let target = if is_full {
        plain(&delivery.target)
    } else {
        plain(without_tokens(&delivery.target))
    };
    let mut more = vec![format!(
        "{} {target}, {} bytes",
        plain(&delivery.method),
        delivery.body.len()
    )];
    match &delivery.verdict {
        Verdict::Unread(unread) => more.push(plain(&unread.reason)),
        Verdict::Diagnosed(diagnosis) => {
            if let Some(accepted) = diagnosis.accepted() {
                more.push(format!(
                    "signed {} with {}",
                    plain(accepted.scheme()),
                    plain(accepted.key())
                ));
            }
            if let Some(refusal) = diagnosis.refusal() {
                more.push(plain(refusal.reason()));
            }
            for finding in diagnosis.findings() {
                let sure = if finding.is_certain() {
                    ""
                } else {
                    "perhaps: "
                };
                more.push(format!("{sure}{}", plain(finding.what())));
                more.push(format!("  {}", plain(finding.remedy())));
            }
        }
    }
    if let Some(first) = delivery.repeat_of {
        more.push(format!(
            "a repeat of #{first}: an app has to handle the event once only"
        ));
    }
    if let Some(answer) = &delivery.app {
        more.push(app_line(answer));
    }
    if is_full {
        for (name, value) in &delivery.headers {
            more.push(format!("{name}: {}", plain(text(value.as_bytes()))));
        }
        more.push(String::new());
        more.extend(text(&delivery.body).lines().map(plain));
    }
    for line in more {
        let _ = write!(out, "\n    {line}");
    }
    out
}

/// What the app said, on one line.
fn app_line(answer: &Answer) -> String {
    let took = answer.took.as_millis();
    match &answer.outcome {
        Ok(given) => {
            let body = text(&given.body);
            let mut first: String = body.chars().take(FIRST_PART).collect();
            if first.len() < body.len() || given.is_cut {
                first.push('…');
            }
            let style = if given.status < 400 { GOOD } else { BAD };
            let status = given.status;
            let line = format!(
                "app: {style}{status}{style:#} in {took} ms  {}",
                plain(first.trim())
            );
            line.trim_end().to_owned()
        }
        Err(none) => format!("app: {BAD}no answer{BAD:#}: {}", none.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_at_the_end() {
        const GRACE: Duration = Duration::from_secs(5);
        let (output, _failed) = Output::new(false, false);
        assert_eq!(output.summary(), "ended: nothing arrived");
        assert_eq!(output.waits_for(GRACE), None);
        let (one, two) = (output.begin(), output.begin());
        assert_eq!((one.number, two.number), (1, 2));
        let waits_for_two = output.waits_for(GRACE).unwrap();
        assert!(waits_for_two.starts_with("waiting up to 5 s for 2 deliveries; Ctrl-C again"));
        output.refused.fetch_add(1, Ordering::Relaxed);
        drop(one);
        let waits_for_one = output.waits_for(GRACE).unwrap();
        assert!(waits_for_one.starts_with("waiting up to 5 s for 1 delivery; Ctrl-C again"));
        drop(two);
        assert_eq!(output.waits_for(GRACE), None);
        let expected = "ended: 2 deliveries, 0 verified, 1 refused, 1 cut off without an answer";
        assert_eq!(output.summary(), expected);
    }

    #[test]
    fn what_is_no_post_is_shown_once_in_a_second() {
        let begun = SystemClock.monotonic();
        let mut strays = Strays::default();
        for (milliseconds, is_shown, more) in [
            (0, true, None),
            (1, false, None),
            (999, false, Some(2)),
            (999, false, Some(1)),
            (1000, true, None),
            (1999, false, None),
            (9000, true, Some(1)),
        ] {
            let now = begun + Duration::from_millis(milliseconds);
            assert_eq!(strays.shows(now), is_shown, "{milliseconds}");
            if more.is_some() {
                assert_eq!(strays.take(), more, "{milliseconds}");
                assert_eq!(strays.take(), None, "{milliseconds}");
            }
        }
    }
}
