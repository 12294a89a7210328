//! The verdict: which jobs were not handled, and what explains each second run and each dead letter.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::clock::Moment;
use crate::jobs::book::{Answer, Job, Start};
use crate::jobs::left::Letter;
use crate::jobs::wish::{End, REQUIRES_ACTION, Wish};
use crate::journal::{Entries, Run};
use crate::judge::{broken_between, judge_deaths, name, not_tried};

/// What the store did so shortly before or after a start may have kept the job's name from being written down, in
/// milliseconds.
const NEAR: u64 = 1_000;

/// Each list but the explained ones is a breach.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Jobs of the app, by what they came to.
    pub(crate) jobs: BTreeMap<&'static str, usize>,
    /// Those whose event was handled first as a webhook brought it, and as it was found.
    pub(crate) told: usize,
    pub(crate) found: usize,
    /// Those whose event asked the app to act, and was both.
    pub(crate) acted_twice: usize,
    /// Dead letters of forgotten jobs.
    pub(crate) forgotten: usize,
    /// Those that still run, and are expected.
    pub(crate) running: usize,
    /// Dead letters of jobs whose name nobody could write down, and of those never started.
    pub(crate) nameless: usize,
    pub(crate) never_started: usize,
    /// Jobs that run on, or have a dead letter, for want of a name.
    pub(crate) not_expected: usize,
    /// Jobs of strangers, all of them refused.
    pub(crate) strangers: usize,
    /// From when a job had ended and its time was over until its event, which was found, was handled. In milliseconds.
    pub(crate) late: Vec<u64>,
    pub(crate) explained: Vec<String>,
    pub(crate) lost: Vec<String>,
    pub(crate) unexplained: Vec<String>,
    pub(crate) foreign: Vec<String>,
    pub(crate) dead_unexplained: Vec<String>,
    /// Jobs that run, and are not asked about any more.
    pub(crate) given_up: Vec<String>,
    pub(crate) processes: Vec<String>,
    pub(crate) not_tried: Vec<&'static str>,
}

impl Verdict {
    /// Every list that must be empty, with its name.
    pub(crate) fn breaches(&self) -> [(&'static str, &[String]); 6] {
        [
            ("lost", &self.lost),
            ("unexplained second runs", &self.unexplained),
            ("events of no job, or of the wrong type", &self.foreign),
            ("dead letters against the plan", &self.dead_unexplained),
            ("running, and not expected any more", &self.given_up),
            ("processes that ended against the plan", &self.processes),
        ]
    }

    pub(crate) fn holds(&self) -> bool {
        self.breaches().iter().all(|(_, list)| list.is_empty())
    }
}

/// What is known at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) wishes: &'a [Wish],
    pub(crate) starts: &'a [Start],
    pub(crate) jobs: &'a [Job],
    pub(crate) entries: &'a Entries,
    pub(crate) names: &'a [String],
    pub(crate) dead: &'a [Letter],
    /// Jobs of which a webhook was answered with a 2xx, by kind and id.
    pub(crate) delivered: &'a HashSet<String>,
    /// Jobs that Google was asked about, and those that are expected at the end.
    pub(crate) asked: &'a HashSet<String>,
    pub(crate) open: &'a HashSet<String>,
}

pub(crate) fn judge(evidence: Evidence<'_>) -> Verdict {
    let entries = evidence.entries;
    let mut verdict = Verdict::default();
    let mut runs: HashMap<&str, Vec<&Run>> = HashMap::new();
    for run in &entries.runs {
        match &run.told {
            Some(told) => runs.entry(&told.job).or_default().push(run),
            None => verdict
                .foreign
                .push(format!("{} is about no job", run.webhook_id)),
        }
    }
    let mut letters: HashMap<usize, Vec<&Letter>> = HashMap::new();
    for letter in evidence.dead {
        match letter.start {
            Some(start) => letters.entry(start).or_default().push(letter),
            None => {
                let text = format!("{} is one: {}", letter.webhook_id, letter.why);
                verdict.dead_unexplained.push(text);
            }
        }
    }
    for job in evidence.jobs {
        let runs = runs.remove(job.id.as_str()).unwrap_or_default();
        let Some(number) = job.start else {
            verdict.strangers += 1;
            let handled = runs.iter();
            let handled = handled.map(|run| format!("{} of a stranger, at {}", job.id, run.at));
            verdict.foreign.extend(handled);
            continue;
        };
        let letters = letters.remove(&number).unwrap_or_default();
        let start = evidence.starts.get(number);
        let Some((start, wish)) =
            start.and_then(|start| Some((start, evidence.wishes.get(start.wish)?)))
        else {
            let text = format!("{}: start {number} was never asked for", job.id);
            verdict.foreign.push(text);
            continue;
        };
        let story = Story {
            job,
            number,
            start,
            wish,
            runs: &runs,
            letters: &letters,
        };
        story.judge(evidence, &mut verdict);
    }
    for (number, letters) in letters {
        // Nothing was started, and that could not be written down, or nobody knew it.
        let start = evidence.starts.get(number);
        for letter in letters {
            if start.is_some_and(|start| may_be_nameless(start, entries)) && !letter.is_named {
                verdict.never_started += 1;
            } else {
                let text = format!("start {number}, which made no job: {}", letter.why);
                verdict.dead_unexplained.push(text);
            }
        }
    }
    for (job, runs) in runs {
        let text = format!(
            "{job}, which Google does not have, ran {} times",
            runs.len()
        );
        verdict.foreign.push(text);
    }
    verdict.processes = judge_deaths(entries, evidence.names);
    verdict.not_tried = not_tried(entries, evidence.names.len(), true);
    if verdict.found == 0 {
        verdict.not_tried.push("nothing was found by asking");
    }
    verdict
}

/// Whether something may have kept the app from writing the job's name down.
fn may_be_nameless(start: &Start, entries: &Entries) -> bool {
    let (from, to) = (start.began.before(NEAR), start.ended.after(NEAR));
    let mut outages = entries.outages.iter();
    start.answer != Answer::Started || outages.any(|outage| outage.from <= to && from <= outage.to)
}

/// What happened to one job of the app.
struct Story<'a> {
    job: &'a Job,
    number: usize,
    start: &'a Start,
    wish: &'a Wish,
    runs: &'a [&'a Run],
    letters: &'a [&'a Letter],
}

impl Story<'_> {
    fn judge(&self, evidence: Evidence<'_>, verdict: &mut Verdict) {
        let expected = self.job.end.event();
        *verdict.jobs.entry(self.what()).or_default() += 1;
        for run in self.runs {
            let of_type = run.told.as_ref().map(|told| told.r#type.as_str());
            if of_type != expected {
                let text = format!("{} in place of {expected:?} at {}", self.text(), run.at);
                verdict
                    .foreign
                    .push(format!("{} came {text}", of_type.unwrap_or("none")));
            }
        }
        self.judge_second_runs(evidence, verdict);
        self.judge_letters(evidence, verdict);
        if !self.runs.is_empty() {
            self.count_handled(verdict);
            return;
        }
        let is_nameless = self.is_nameless(evidence.entries);
        let may_be_unexpected = self.wish.expects_after && self.start.answer != Answer::Started;
        match (self.job.end, self.letters) {
            (End::Never, []) if evidence.open.contains(&self.job.id) => {
                verdict.running += 1;
                if !evidence.asked.contains(&self.job.id) {
                    let text = format!("{}: Google was never asked", self.text());
                    verdict.given_up.push(text);
                }
            }
            (End::Forgotten, [letter]) if letter.is_named => verdict.forgotten += 1,
            // A batch can be found in a list, and of what has arrived there is an event.
            (end, [letter])
                if !letter.is_named
                    && is_nameless
                    && (end == End::Forgotten
                        || !self.job.id.starts_with("batch/")
                            && !evidence.delivered.contains(&self.job.id)) =>
            {
                verdict.nameless += 1;
            }
            (_, []) if may_be_unexpected => verdict.not_expected += 1,
            (End::Never, _) => verdict.given_up.push(self.text()),
            _ => verdict.lost.push(self.text()),
        }
    }

    fn judge_letters(&self, evidence: Evidence<'_>, verdict: &mut Verdict) {
        for (place, letter) in self.letters.iter().enumerate() {
            // One that has no name is not known to be this job.
            let is_right = match letter.is_named {
                true => self.job.end == End::Forgotten,
                false => self.is_nameless(evidence.entries) || self.took_too_long(),
            };
            if !is_right || place > 0 {
                let text = format!("{}: {}", self.text(), letter.why);
                verdict.dead_unexplained.push(text);
            }
        }
    }

    fn judge_second_runs(&self, evidence: Evidence<'_>, verdict: &mut Verdict) {
        let found = |run: &&&Run| run.told.as_ref().is_some_and(|told| told.found);
        let (by_asking, by_webhook): (Vec<&Run>, Vec<&Run>) = self.runs.iter().partition(found);
        let (first, second) = match self.job.end.event() {
            Some(REQUIRES_ACTION) => {
                let is_both = !by_asking.is_empty() && !by_webhook.is_empty();
                verdict.acted_twice += usize::from(is_both);
                (by_asking, by_webhook)
            }
            _ => (self.runs.to_vec(), Vec::new()),
        };
        for pair in first.windows(2).chain(second.windows(2)) {
            let [first, second] = pair else { continue };
            let names = evidence.names;
            let text = format!(
                "{}: by {} at {}, and by {} at {}",
                self.text(),
                name(names, first.life),
                first.at,
                name(names, second.life),
                second.at
            );
            match broken_between(evidence.entries, names, (first, second), 0, false) {
                Some(why) => verdict.explained.push(format!("{text}: {why}")),
                None => verdict.unexplained.push(text),
            }
        }
    }

    fn count_handled(&self, verdict: &mut Verdict) {
        let [first, ..] = self.runs else { return };
        if !first.told.as_ref().is_some_and(|told| told.found) {
            verdict.told += 1;
            return;
        }
        verdict.found += 1;
        let over = self.start.began.after(self.wish.within);
        let since = self.job.ended.unwrap_or_default().max(over);
        verdict.late.push(first.at.0.saturating_sub(since.0));
    }

    fn is_nameless(&self, entries: &Entries) -> bool {
        !self.wish.expects_after && may_be_nameless(self.start, entries)
    }

    /// The time for its answer was over before its start was.
    fn took_too_long(&self) -> bool {
        let over = self.start.began.after(self.wish.within);
        over <= self.start.ended.after(NEAR)
    }

    fn what(&self) -> &'static str {
        match self.job.end {
            End::Never => "running on",
            End::Forgotten => "forgotten",
            end => end.event().unwrap_or_default(),
        }
    }

    fn text(&self) -> String {
        let Start {
            began,
            ended,
            answer,
            ..
        } = self.start;
        let at = |moment: Option<Moment>| moment.map_or("never".to_owned(), |it| it.to_string());
        format!(
            "{} (start {} from {began} to {ended}, answer {answer:?}, within {} ms, {}; {} at {})",
            self.job.id,
            self.number,
            self.wish.within,
            match (self.wish.expects_after, self.wish.calls_back) {
                (true, _) => "expected after its start",
                (false, true) => "with a webhook of its own",
                (false, false) => "without a webhook of its own",
            },
            self.what(),
            at(self.job.ended),
        )
    }
}

#[cfg(test)]
mod tests;
