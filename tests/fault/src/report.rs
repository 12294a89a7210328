//! What a reader is told, while it runs and at the end.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::clock::Moment;
use crate::journal::{Answer, Entries, How};
use crate::judge::Verdict;

/// So many of a list are printed, at most.
const LONGEST: usize = 50;

pub(crate) fn progress(now: Moment, sent: usize, ended: usize, entries: &Entries) -> String {
    let mut counts = BTreeMap::new();
    for attempt in &entries.attempts {
        *counts.entry(attempt.answer.clone()).or_default() += 1;
    }
    format!(
        "{:>5} s  events sent {sent}, done with {ended}; answers {}; successful runs {} | {}",
        now.0 / 1_000,
        answers(&counts),
        entries.runs.len(),
        Faults(entries)
    )
}

fn answers(counts: &BTreeMap<Answer, usize>) -> String {
    let answers = counts.iter().map(|(answer, count)| {
        let answer = match answer {
            Answer::Status(status) => status.to_string(),
            Answer::TimedOut => "none in time".to_owned(),
            Answer::Broken => "connection broken".to_owned(),
        };
        format!("{answer}: {count}")
    });
    answers.collect::<Vec<_>>().join(", ")
}

/// How much was broken so far.
pub(crate) struct Faults<'a>(pub(crate) &'a Entries);

impl Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deaths =
            |is: fn(&How) -> bool| self.0.deaths.iter().filter(|death| is(&death.how)).count();
        write!(
            f,
            "processes killed {}, aborted {}, stopped {}, ended by themselves {}; store broken {}; key server broken, keys or secrets rotated {}",
            deaths(|how| *how == How::Killed),
            deaths(|how| *how == How::Aborted),
            deaths(|how| matches!(how, How::Stopped(_) | How::Hung)),
            deaths(|how| matches!(how, How::ByItself(_))),
            self.0.outages.len(),
            self.0.others.len(),
        )
    }
}

/// What is said first.
pub(crate) fn result(holds: bool, is_tried: bool) -> &'static str {
    match (holds, is_tried) {
        (true, true) => "HOLDS",
        (true, false) => "TOO SHORT TO SAY",
        (false, _) => "DOES NOT HOLD",
    }
}

/// The end of a set-up.
pub(crate) struct Summary<'a> {
    pub(crate) title: &'a str,
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) faults: String,
    pub(crate) verdict: &'a Verdict,
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict;
        let result = result(verdict.holds(), verdict.not_tried.is_empty());
        writeln!(
            f,
            "{result}: {} (seed {}, {} s)",
            self.title, self.seed, self.seconds
        )?;
        writeln!(
            f,
            "  events {}, and {} forged: handled {}, dead letters as planned {}, lost {}",
            verdict.events,
            verdict.forged,
            verdict.done,
            verdict.dead,
            verdict.lost.len()
        )?;
        writeln!(
            f,
            "  second runs: explained {}, unexplained {}",
            verdict.explained.len(),
            verdict.unexplained.len()
        )?;
        let attempts: usize = verdict.answers.values().sum();
        writeln!(
            f,
            "  deliveries {attempts}, by their answers: {}",
            answers(&verdict.answers)
        )?;
        writeln!(
            f,
            "  deliveries of events that had been answered with a 2xx: {}",
            verdict.repeats
        )?;
        writeln!(f, "  {}", self.faults)?;
        for missing in &verdict.not_tried {
            writeln!(f, "  {missing}: send more events, or fewer a second")?;
        }
        list(f, "explained second runs", &verdict.explained, usize::MAX)?;
        for (name, breaches) in verdict.breaches() {
            list(f, name, breaches, LONGEST)?;
        }
        Ok(())
    }
}

pub(crate) fn list(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    lines: &[String],
    longest: usize,
) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {name}:")?;
    for line in lines.iter().take(longest) {
        writeln!(f, "    {line}")?;
    }
    let more = lines.len().saturating_sub(longest);
    if more > 0 {
        writeln!(f, "    and {more} more")?;
    }
    Ok(())
}
