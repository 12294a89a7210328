//! What a reader is told at the end.

use std::fmt::{self, Display};

use crate::jobs::judge::Verdict;
use crate::report::{list, result};

/// So many of a list are printed, at most.
const LONGEST: usize = 50;

pub(crate) struct Summary<'a> {
    pub(crate) title: &'a str,
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) asked_for: usize,
    pub(crate) started: usize,
    pub(crate) deliveries: Deliveries,
    /// Requests about jobs that were started.
    pub(crate) requests: usize,
    pub(crate) passes: usize,
    pub(crate) switched_off: usize,
    /// Calls to Google that were made to fail.
    pub(crate) failed_calls: usize,
    /// Kills of the process whose watcher did the work, and of one that had to start a job.
    pub(crate) leaders_killed: usize,
    pub(crate) killed_at_start: usize,
    pub(crate) faults: String,
    pub(crate) verdict: &'a Verdict,
}

/// What became of the events that Google sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) events: usize,
    pub(crate) attempts: usize,
    /// Not even tried.
    pub(crate) lost: usize,
    /// Never answered with a 2xx.
    pub(crate) undelivered: usize,
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict;
        let result = result(verdict.holds(), verdict.not_tried.is_empty());
        let (title, seed, seconds) = (self.title, self.seed, self.seconds);
        writeln!(f, "{result}: {title} (seed {seed}, {seconds} s)")?;
        writeln!(
            f,
            "  jobs asked for {}, started {}: handled {} (told {}, found {}), dead letters as planned {}, running on {}, lost {}",
            self.asked_for,
            self.started,
            verdict.told + verdict.found,
            verdict.told,
            verdict.found,
            verdict.forgotten + verdict.nameless,
            verdict.running,
            verdict.lost.len()
        )?;
        let kinds = verdict
            .jobs
            .iter()
            .map(|(what, count)| format!("{what} {count}"));
        writeln!(f, "  by outcome: {}", kinds.collect::<Vec<_>>().join(", "))?;
        writeln!(
            f,
            "  dead letters: forgotten {}, without a name {}, never started {}; not written down, as `expect` came too late {}; strangers' jobs refused {}",
            verdict.forgotten,
            verdict.nameless,
            verdict.never_started,
            verdict.not_expected,
            verdict.strangers
        )?;
        writeln!(
            f,
            "  second runs: explained {}, unexplained {}; told and found, as they require action {}",
            verdict.explained.len(),
            verdict.unexplained.len(),
            verdict.acted_twice
        )?;
        let Deliveries {
            events,
            attempts,
            lost,
            undelivered,
        } = self.deliveries;
        writeln!(
            f,
            "  events sent {events} in {attempts} deliveries: lost {lost}, never taken {undelivered}; the registered webhook was switched off {} times",
            self.switched_off
        )?;
        writeln!(
            f,
            "  asked in {} passes: {} requests, {:.2} for each job; found events were late by {}",
            self.passes,
            self.requests,
            self.requests as f64 / self.started.max(1) as f64,
            late(&verdict.late)
        )?;
        writeln!(
            f,
            "  calls to Google that failed {}; kills at a start {}, of the watcher at work {}",
            self.failed_calls, self.killed_at_start, self.leaders_killed
        )?;
        writeln!(f, "  {}", self.faults)?;
        for missing in &verdict.not_tried {
            writeln!(f, "  {missing}: start more jobs, or fewer a second")?;
        }
        list(f, "explained second runs", &verdict.explained, usize::MAX)?;
        for (name, breaches) in verdict.breaches() {
            list(f, name, breaches, LONGEST)?;
        }
        Ok(())
    }
}

/// The median, and the worst.
fn late(times: &[u64]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let seconds = |time: &u64| format!("{}.{} s", time / 1_000, time % 1_000 / 100);
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(worst)) => {
            format!("{} (median), {} (worst)", seconds(median), seconds(worst))
        }
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_late_they_were() {
        assert_eq!(late(&[]), "none");
        assert_eq!(late(&[900]), "0.9 s (median), 0.9 s (worst)");
        assert_eq!(late(&[7_250, 100, 1_200]), "1.2 s (median), 7.2 s (worst)");
    }
}
