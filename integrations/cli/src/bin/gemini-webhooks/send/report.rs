//! What is shown of the answers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anstyle::Style;
use gemini_webhooks::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::answer::{Answer, Outcome};
use super::course::{Attempt, End, Listener, Next, Plan};
use super::meaning::{Meaning, Situation, explain};
use super::served::Served;
use super::words::{
    as_milliseconds, beginning, deliveries, milliseconds, name, percentile, trouble_name,
};
use crate::exit::Failure;
use crate::shown;

/// Of more deliveries than this only a summary is shown.
const LISTED: u64 = 20;
/// Longer than the few seconds that Google waits.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Report<'a> {
    plan: &'a Plan,
    served: Option<&'a Served>,
    is_json: bool,
    begun: Instant,
    url: String,
    address: String,
    explained: BTreeSet<String>,
    statuses: BTreeMap<String, u64>,
    took: Vec<Duration>,
    attempts: u64,
    /// Deliveries of which no attempt follows.
    done: u64,
    /// Of these, those that were answered as they should be.
    good: u64,
}

impl<'a> Report<'a> {
    pub(super) fn new(plan: &'a Plan, served: Option<&'a Served>, is_json: bool) -> Self {
        Self {
            plan,
            served,
            is_json,
            begun: SystemClock.monotonic(),
            url: plan.target.shown(),
            address: plan.target.address(),
            explained: BTreeSet::new(),
            statuses: BTreeMap::new(),
            took: Vec::new(),
            attempts: 0,
            done: 0,
            good: 0,
        }
    }

    /// Whether all deliveries were answered as they should be.
    pub(super) fn all_good(&self) -> bool {
        self.good == self.plan.total()
    }

    fn is_listed(&self) -> bool {
        self.plan.total() <= LISTED
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            signer: &self.plan.signer,
            url: &self.url,
            address: &self.address,
            has_token: self.plan.target.has_token(),
            keys: self.served.map(|served| (served.url(), served.fetches())),
        }
    }

    /// What it means, if it needs explaining: what is as it should be does not, and a success neither.
    fn meaning(&self, answer: &Answer) -> Option<Meaning> {
        let wanted = self.plan.wanted;
        if wanted.is_met_by(answer) || wanted.is_the_refusal(answer) {
            return None;
        }
        match wanted.refusal {
            Some(kind) if answer.is_success() => Some(Meaning {
                what: format!(
                    "The app accepted what a receiver refuses by default ({}).",
                    kind.code()
                ),
                remedy: "Check that the layer is on this route, and the tolerance and the limits that it was given."
                    .to_owned(),
            }),
            _ if answer.is_success() => None,
            Some(kind) => {
                let Meaning { what, remedy } = explain(answer, &self.situation());
                Some(Meaning {
                    what: format!("It should be refused, but with {}. {what}", kind.code()),
                    remedy,
                })
            }
            None => Some(explain(answer, &self.situation())),
        }
    }

    fn line(&self, attempt: &Attempt, meaning: Option<&Meaning>) -> Result<(), Failure> {
        let mut line = String::new();
        if self.plan.total() > 1 {
            line = format!("{}  ", shown::plain(&attempt.id));
        }
        if attempt.attempt > 1 {
            line += &format!("attempt {}  ", attempt.attempt);
        }
        let style = self.style(&attempt.answer);
        line += &format!(
            "{style}{}{style:#}  {}",
            name(&attempt.answer),
            milliseconds(attempt.answer.took)
        );
        if let Outcome::Answered(reply) = &attempt.answer.outcome {
            if let Some(after) = reply.retry_after {
                line += &format!("  Retry-After: {} s", after.as_secs());
            }
            if !reply.body.is_empty() {
                line += &format!("  {}", beginning(reply));
            }
        }
        if let Some(remark) = self.remark(attempt) {
            line += &format!("  ({remark})");
        }
        shown::line(line)?;
        if let Some(Meaning { what, remedy }) = meaning {
            shown::note(format_args!("  {what}\n  {remedy}"));
        }
        Ok(())
    }

    fn style(&self, answer: &Answer) -> Style {
        if self.plan.wanted.is_met_by(answer) {
            shown::GOOD
        } else {
            shown::BAD
        }
    }

    /// What a line says beside the answer.
    fn remark(&self, attempt: &Attempt) -> Option<Cow<'static, str>> {
        let (answer, wanted) = (&attempt.answer, self.plan.wanted);
        if let Some(remark) = wanted.remark(answer) {
            return Some(remark);
        }
        let Outcome::Answered(reply) = &answer.outcome else {
            return None;
        };
        let is_repeat = attempt.repeat > 1 || attempt.attempt > 1;
        (is_repeat && reply.status == 200 && reply.body.is_empty())
            .then_some("no body, as for an event that was handled before".into())
    }

    fn json(&self, attempt: &Attempt, meaning: Option<&Meaning>) -> Result<(), Failure> {
        let mut value = json!({
            "kind": "answer",
            "delivery": attempt.delivery,
            "repeat": attempt.repeat,
            "attempt": attempt.attempt,
            "webhook_id": &*attempt.id,
            "timestamp": attempt.timestamp,
            "as_it_should_be": self.plan.wanted.is_met_by(&attempt.answer),
            "milliseconds": as_milliseconds(attempt.answer.took),
        });
        let more = match &attempt.answer.outcome {
            Outcome::Answered(reply) => json!({
                "status": reply.status,
                "code": reply.code,
                "body": reply.body,
                "body_is_cut": reply.is_cut,
                "retry_after": reply.retry_after.map(|after| after.as_secs()),
            }),
            Outcome::None(trouble, why) => json!({
                "status": null,
                "trouble": trouble_name(*trouble),
                "why": why,
            }),
        };
        let meaning = meaning.map_or(
            json!({}),
            |Meaning { what, remedy }| json!({"meaning": what, "remedy": remedy}),
        );
        for part in [more, meaning] {
            if let (Value::Object(value), Value::Object(part)) = (&mut value, part) {
                value.extend(part);
            }
        }
        shown::json(&value)
    }

    /// Sums up.
    pub(super) fn finish(&mut self, end: End) -> Result<(), Failure> {
        self.took.sort_unstable();
        self.done += end.waited;
        let passed = SystemClock
            .monotonic()
            .saturating_duration_since(self.begun);
        let total = self.plan.total();
        if self.is_json {
            let at = |hundredth| percentile(&self.took, hundredth).map(as_milliseconds);
            return shown::json(&json!({
                "kind": "summary",
                "deliveries": total,
                "done": self.done,
                "as_they_should_be": self.good,
                "attempts": self.attempts,
                "answers": self.statuses,
                "cut_off": end.cut_off,
                "stopped": end.stopped,
                "seconds": passed.as_secs_f64(),
                "milliseconds": {"p50": at(50), "p95": at(95), "longest": at(100)},
                "key_fetches": self.served.map(Served::fetches),
            }));
        }
        if end.stopped {
            let cut_off = match end.cut_off {
                0 => String::new(),
                number => format!(", and {number} in flight cut off"),
            };
            shown::note(format_args!(
                "stopped: {} of {total} deliveries sent{cut_off}",
                self.done
            ));
        }
        if self.attempts > 1 {
            let statuses: Vec<String> = self
                .statuses
                .iter()
                .map(|(name, number)| format!("{number} × {name}"))
                .collect();
            let sent = if self.attempts > self.done {
                format!("{} in {} attempts", deliveries(self.done), self.attempts)
            } else {
                deliveries(self.done)
            };
            shown::line(format_args!(
                "{sent} in {:.1} s: {}; {} as they should be",
                passed.as_secs_f64(),
                statuses.join(", "),
                self.good
            ))?;
            let at = |hundredth| {
                percentile(&self.took, hundredth).map_or("none".to_owned(), milliseconds)
            };
            shown::line(format_args!(
                "answer time: p50 {}, p95 {}, longest {}",
                at(50),
                at(95),
                at(100)
            ))?;
        }
        if self.took.last().is_some_and(|longest| *longest > SLOW) {
            shown::note(
                "an answer took longer than 5 seconds. Google waits a few seconds, and sends the event again then: \
                 let the handler store the event and answer, and do the work afterwards",
            );
        }
        Ok(())
    }
}

impl Listener for Report<'_> {
    fn attempt(&mut self, attempt: &Attempt) -> Result<(), Failure> {
        let is_good = self.plan.wanted.is_met_by(&attempt.answer);
        self.attempts += 1;
        if matches!(attempt.answer.outcome, Outcome::Answered(_)) {
            self.took.push(attempt.answer.took);
        }
        let name = name(&attempt.answer);
        *self.statuses.entry(name.clone()).or_default() += 1;
        if !matches!(attempt.next, Next::Again(_)) {
            self.done += 1;
            self.good += u64::from(is_good);
        }
        let meaning = self.meaning(&attempt.answer);
        if self.is_json {
            return self.json(attempt, meaning.as_ref());
        }
        // Said once, however often it happens.
        let meaning = meaning.filter(|meaning| self.explained.insert(meaning.what.clone()));
        if self.is_listed() {
            self.line(attempt, meaning.as_ref())?;
            match attempt.next {
                Next::Done => {}
                Next::Again(pause) => shown::note(format_args!("  again in {} s", pause.as_secs())),
                Next::TooLate(pause) => shown::note(format_args!(
                    "  given up: the next attempt would be in {} s, after the time of --retry-for",
                    pause.as_secs()
                )),
            }
        } else if let Some(Meaning { what, remedy }) = meaning {
            shown::note(format_args!("{name}: {what}\n  {remedy}"));
        }
        Ok(())
    }

    fn tick(&mut self) {
        if !self.is_json && !self.is_listed() {
            shown::note(format_args!(
                "{} of {} deliveries done, {} of them as they should be",
                self.done,
                self.plan.total(),
                self.good
            ));
        }
    }
}
