//! The verdict: what was lost, and what explains each second run.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::clock::Moment;
use crate::events::Event;
use crate::journal::{Answer, Attempt, Death, Entries, How, Life, Outage, Run};
use crate::store::DeadLetter;

/// Where nothing is broken, an event is marked as handled that soon after its line, in milliseconds.
const MARKED: u64 = 1_000;
/// This program may notice a line so late.
const LATE: u64 = 1_000;
/// A process that starts while the store is down may end by itself within this time.
const START: u64 = 8_000;

/// What a set-up promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Events that have exactly one row in the app's table.
    pub(crate) rows: Rows,
    /// The handler runs within the delivery. So it ends with the sender's patience.
    pub(crate) runs_in_delivery: bool,
    /// So long after a run nobody else can have its event, whatever fails, unless its own process gave it
    /// back. In milliseconds; 0 if that is not known.
    pub(crate) held: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rows {
    None,
    /// Of batches only.
    Batches,
    All,
}

impl Rows {
    fn has(self, event: &Event) -> bool {
        match self {
            Self::None => false,
            Self::Batches => event.is_batch(),
            Self::All => true,
        }
    }
}

/// Each list but the explained ones is a breach.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) events: usize,
    pub(crate) forged: usize,
    pub(crate) done: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) unexplained: Vec<String>,
    /// Rows that are missing or too many, and lines without their row.
    pub(crate) rows: Vec<String>,
    /// Events that ran, and of which the sender never heard.
    pub(crate) unanswered: Vec<String>,
    /// Deliveries that had to be refused and were not, and runs of what nobody with a key has sent.
    pub(crate) foreign: Vec<String>,
    pub(crate) dead_unexplained: Vec<String>,
    /// Processes that ended by themselves, or not in order when they were asked to.
    pub(crate) processes: Vec<String>,
    /// Kinds of faults that did not happen: it says little then.
    pub(crate) not_tried: Vec<&'static str>,
    pub(crate) explained: Vec<String>,
    pub(crate) dead: usize,
    pub(crate) answers: BTreeMap<Answer, usize>,
    /// Deliveries of events that had been answered with a 2xx already.
    pub(crate) repeats: usize,
}

impl Verdict {
    /// Every list that must be empty, with its name.
    pub(crate) fn breaches(&self) -> [(&'static str, &[String]); 7] {
        [
            ("lost", &self.lost),
            ("unexplained second runs", &self.unexplained),
            ("wrong rows", &self.rows),
            ("never answered with a 2xx", &self.unanswered),
            ("forged or unknown events that were taken", &self.foreign),
            ("dead letters against the plan", &self.dead_unexplained),
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
    pub(crate) events: &'a [Event],
    pub(crate) entries: &'a Entries,
    pub(crate) rows: Option<&'a HashMap<String, i64>>,
    pub(crate) dead: &'a [DeadLetter],
    pub(crate) names: &'a [String],
    /// There is a store that can fail.
    pub(crate) breakable: bool,
}

pub(crate) fn judge(evidence: Evidence<'_>, rules: Rules) -> Verdict {
    let Evidence {
        events, entries, ..
    } = evidence;
    let mut verdict = Verdict::default();
    let mut attempts: Vec<Vec<&Attempt>> = vec![Vec::new(); events.len()];
    for attempt in &entries.attempts {
        *verdict.answers.entry(attempt.answer.clone()).or_default() += 1;
        if let Some(list) = attempts.get_mut(attempt.event) {
            let answered = list.iter().any(|earlier| earlier.answer.is_success());
            verdict.repeats += usize::from(answered);
            list.push(attempt);
        }
    }
    let mut runs: HashMap<&str, Vec<&Run>> = HashMap::new();
    for run in &entries.runs {
        runs.entry(&run.webhook_id).or_default().push(run);
    }
    let dead: HashMap<&str, &DeadLetter> = evidence
        .dead
        .iter()
        .map(|letter| (letter.webhook_id.as_str(), letter))
        .collect();
    for (event, attempts) in events.iter().zip(&attempts) {
        let answered = attempts.iter().any(|attempt| attempt.answer.is_success());
        verdict.forged += usize::from(event.is_forged());
        if event.is_forged() && answered {
            let text = format!("{} was answered with a 2xx: {:?}", event.id, event.habit);
            verdict.foreign.push(text);
        }
        if event.shares_id {
            // Its runs are those of the genuine one.
            continue;
        }
        let runs = runs.remove(event.id.as_str()).unwrap_or_default();
        let row = evidence
            .rows
            .and_then(|rows| rows.get(&event.id))
            .copied()
            .unwrap_or(0);
        if event.is_forged() {
            if !runs.is_empty() || row > 0 {
                let text = format!("{} was handled: {:?}", event.id, event.habit);
                verdict.foreign.push(text);
            }
            continue;
        }
        verdict.events += 1;
        let story = Story {
            event,
            attempts,
            answered,
            runs: &runs,
            row,
            dead: dead.get(event.id.as_str()).copied(),
        };
        story.judge(evidence, rules, &mut verdict);
    }
    verdict
        .foreign
        .extend(runs.keys().map(|id| (*id).to_owned()));
    let known: HashSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    let rows = evidence.rows.into_iter().flat_map(HashMap::keys);
    let foreign = rows.filter(|id| !known.contains(id.as_str()));
    verdict.foreign.extend(foreign.cloned());
    verdict.processes = judge_deaths(entries, evidence.names);
    verdict.not_tried = not_tried(entries, evidence.names.len(), evidence.breakable);
    verdict
}

pub(crate) fn not_tried(
    Entries {
        deaths, outages, ..
    }: &Entries,
    processes: usize,
    breakable: bool,
) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !deaths.iter().any(|death| death.how == How::Killed) {
        missing.push("no process was killed");
    }
    // At the end all are stopped.
    let stopped = deaths
        .iter()
        .filter(|death| matches!(death.how, How::Stopped(_) | How::Hung));
    if stopped.count() <= processes {
        missing.push("no process was stopped in order");
    }
    if breakable && outages.is_empty() {
        missing.push("the store did not fail");
    }
    missing
}

/// What happened to one event.
struct Story<'a> {
    event: &'a Event,
    attempts: &'a [&'a Attempt],
    /// With a 2xx, at least once.
    answered: bool,
    runs: &'a [&'a Run],
    row: i64,
    dead: Option<&'a DeadLetter>,
}

impl Story<'_> {
    fn judge(&self, evidence: Evidence<'_>, rules: Rules, verdict: &mut Verdict) {
        let id = &self.event.id;
        let done = self.row > 0 || !self.runs.is_empty();
        match self.dead {
            Some(_) if self.event.poison && !done => verdict.dead += 1,
            Some(letter) => {
                let text = format!("{id} is one: {}", letter.last);
                verdict.dead_unexplained.push(text);
            }
            None if self.event.poison && done => {
                let text = format!("{id} is none, although its handler always fails");
                verdict.dead_unexplained.push(text);
            }
            None if !done => verdict.lost.push(self.loss()),
            None if !self.answered => verdict.unanswered.push(self.loss()),
            None => verdict.done += 1,
        }
        if rules.rows.has(self.event) {
            let lines = self.runs.len();
            // An event without a line and without a row is lost, which is said above.
            if self.row > 1 || self.row == 0 && lines > 0 || self.row > 0 && self.dead.is_some() {
                let rows = self.row;
                let text = format!("{id} has {rows} rows, after {lines} successful runs");
                verdict.rows.push(text);
            }
        }
        for pair in self.runs.windows(2) {
            let [first, second] = pair else { continue };
            let names = (self.name(evidence, first), self.name(evidence, second));
            let text = format!(
                "{id}: by {} at {}, and by {} at {}",
                names.0, first.at, names.1, second.at
            );
            match self.explain(first, second, evidence, rules) {
                Some(why) => verdict.explained.push(format!("{text}: {why}")),
                None => {
                    let near = near(evidence, first);
                    verdict.unexplained.push(format!("{text}; {near}"));
                }
            }
        }
    }

    fn loss(&self) -> String {
        let id = &self.event.id;
        let answered = self
            .attempts
            .iter()
            .find(|attempt| attempt.answer.is_success());
        let tries = self.attempts.len();
        match answered {
            Some(attempt) => format!(
                "{id}: answered with a 2xx at {}, and never run",
                attempt.ended
            ),
            None => format!("{id}: not answered with a 2xx in {tries} attempts"),
        }
    }

    fn name(&self, evidence: Evidence<'_>, run: &Run) -> String {
        name(evidence.names, run.life)
    }

    /// What kept the first run from being marked, before the second.
    fn explain(
        &self,
        first: &Run,
        second: &Run,
        evidence: Evidence<'_>,
        rules: Rules,
    ) -> Option<String> {
        // After an answer of 2xx the event is marked, sooner or later, as long as its process lives.
        let mut marked = self.attempts.iter().filter(|_| rules.runs_in_delivery);
        let marked = marked.any(|attempt| {
            let early = first.at.before(LATE) <= attempt.ended && attempt.ended <= second.at;
            attempt.answer.is_success() && early
        });
        let Evidence { entries, names, .. } = evidence;
        let broken = broken_between(entries, names, (first, second), rules.held, marked);
        if broken.is_some() || first.once || !rules.runs_in_delivery {
            return broken;
        }
        let (from, to) = span(first, second);
        let left = self.attempts.iter().find(|attempt| {
            let left = matches!(attempt.answer, Answer::TimedOut | Answer::Broken);
            left && from <= attempt.ended && attempt.ended <= to
        })?;
        Some(match left.answer {
            Answer::TimedOut => format!("the sender had no more patience at {}", left.ended),
            _ => format!("the delivery's connection broke at {}", left.ended),
        })
    }
}

/// In which a mark of the first run is made, unless something keeps it from that.
fn span(first: &Run, second: &Run) -> (Moment, Moment) {
    let to = first.at.after(MARKED).min(second.at);
    (first.at.before(LATE), to)
}

/// What of the processes and the store kept the first of two runs from being marked. `held` is that of the rules;
/// `marked` says that it was marked, unless its process died.
pub(crate) fn broken_between(
    entries: &Entries,
    names: &[String],
    (first, second): (&Run, &Run),
    held: u64,
    marked: bool,
) -> Option<String> {
    if first.once || second.at < first.at.after(held) {
        // Its mark was committed with it, or nobody else could have it. Nothing can explain another.
        return None;
    }
    let (from, to) = span(first, second);
    let within = |at: Moment| from <= at && at <= to;
    let death = entries.deaths.iter().find(|death| {
        let died = matches!(death.how, How::Killed | How::Aborted | How::ByItself(_));
        died && death.life == first.life && within(death.at)
    });
    if let Some(Death { at, how, life, .. }) = death {
        let how = match how {
            How::Killed => "was killed",
            How::Aborted => "was aborted",
            _ => "ended",
        };
        return Some(format!("{} {how} at {at}", name(names, *life)));
    }
    let outage = entries.outages.iter().find(|outage| {
        let at_its_time = outage.from <= to && from <= outage.to;
        let ends = outage.to.after(MARKED).min(second.at);
        let died = entries
            .deaths
            .iter()
            .any(|death| death.life == first.life && from <= death.at && death.at <= ends);
        at_its_time && (!marked || died)
    })?;
    let Outage { what, from, to } = outage;
    Some(format!("{what} from {from} to {to}"))
}

/// What was not taken for the reason of a second run, for whoever looks for it.
fn near(evidence: Evidence<'_>, first: &Run) -> String {
    let Entries {
        deaths, outages, ..
    } = evidence.entries;
    let death = deaths.iter().find(|death| death.life == first.life);
    let death = death.map_or("lives".to_owned(), |death| {
        format!("{:?} at {}", death.how, death.at)
    });
    let outage = outages.iter().rfind(|outage| outage.from <= first.at);
    let outage = outage.map_or("none".to_owned(), |outage| {
        format!("{} from {} to {}", outage.what, outage.from, outage.to)
    });
    let once = if first.once { ", committed" } else { "" };
    format!("the first process: {death}{once}; the store before: {outage}")
}

pub(crate) fn name(names: &[String], life: Life) -> String {
    let name = names.get(life.replica);
    let name = name.map_or("a process", String::as_str);
    format!("{name} (start {})", life.start)
}

/// Processes that ended by themselves, or not in order when they were asked to.
pub(crate) fn judge_deaths(entries: &Entries, names: &[String]) -> Vec<String> {
    let mut against_the_plan = Vec::new();
    for Death {
        life,
        born,
        at,
        how,
    } in &entries.deaths
    {
        let name = name(names, *life);
        let starts_in_vain = || {
            let mut outages = entries.outages.iter();
            let young = *at <= born.after(START);
            young && outages.any(|outage| outage.from <= *at && *born <= outage.to)
        };
        let with = |code: &Option<i32>| {
            code.map_or("by a signal".to_owned(), |code| {
                format!("with exit code {code}")
            })
        };
        let against = match how {
            How::Stopped(Some(0)) | How::Killed | How::Aborted => continue,
            // A signal, such as that of a crash, is no answer to an outage.
            How::ByItself(Some(_)) | How::Stopped(Some(_)) if starts_in_vain() => continue,
            How::Stopped(code) => format!("was stopped in order, and ended {}", with(code)),
            How::Hung => "was stopped in order, did not end within 30 s, and was killed".to_owned(),
            How::ByItself(code) => format!("ended by itself {}", with(code)),
        };
        against_the_plan.push(format!("{name} {against} at {at}"));
    }
    against_the_plan
}

#[cfg(test)]
mod tests;
