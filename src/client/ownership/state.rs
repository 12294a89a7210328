//! What is known of whose jobs, and whether more may be asked: rules without I/O, which take the time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Outcome;
use super::error::Why;
use super::job::Job;

/// As long as Google retries, and an hour more.
const MINE_LASTS: Duration = Duration::from_secs(25 * 60 * 60);

/// A job that has just begun may not be visible yet.
const OTHER_LASTS: Duration = Duration::from_secs(5 * 60);

/// Of each sort, so that strangers' jobs do not push out one's own.
const MAX_KNOWN: usize = 10_000;

/// Jobs that wait for an answer.
pub(super) const MAX_ASKING: usize = 64;

const PER_MINUTE: u32 = 120;
const MINUTE: Duration = Duration::from_secs(60);

/// After a 429 that does not say how long.
const PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct State {
    mine: Known,
    others: Known,
    pub(super) asking: HashMap<Arc<Job>, watch::Receiver<Option<Outcome>>>,
    pub(super) per_minute: u32,
    /// The questions of the last minute, the oldest first.
    asked: VecDeque<Instant>,
    /// Since when, and for how long, nothing is asked.
    paused: Option<(Instant, Duration)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            mine: Known::new(MINE_LASTS, MAX_KNOWN),
            others: Known::new(OTHER_LASTS, MAX_KNOWN),
            asking: HashMap::new(),
            per_minute: PER_MINUTE,
            asked: VecDeque::new(),
            paused: None,
        }
    }
}

impl State {
    /// Whether the job is this project's, if that is known.
    pub(super) fn known(&self, job: &Job, now: Instant) -> Option<bool> {
        let mine = self.mine.has(job, now);
        (mine || self.others.has(job, now)).then_some(mine)
    }

    pub(super) fn learn(&mut self, job: &Arc<Job>, owned: bool, now: Instant) {
        let known = if owned {
            &mut self.mine
        } else {
            &mut self.others
        };
        known.add(job, now);
    }

    /// Whether a question about one more job may wait for its turn.
    pub(super) fn may_ask(&mut self, now: Instant) -> Result<(), Why> {
        if self.asking.len() >= MAX_ASKING {
            return Err(Why::Busy);
        }
        self.may_send(now)
    }

    /// Counts a request that is about to be sent, if one may be.
    pub(super) fn count(&mut self, now: Instant) -> Result<(), Why> {
        self.may_send(now)?;
        self.asked.push_back(now);
        Ok(())
    }

    fn may_send(&mut self, now: Instant) -> Result<(), Why> {
        if let Some((since, pause)) = self.paused {
            let left = pause.saturating_sub(now.saturating_duration_since(since));
            if !left.is_zero() {
                return Err(Why::Paused(left));
            }
            self.paused = None;
        }
        let is_over = |asked: &Instant| now.saturating_duration_since(*asked) >= MINUTE;
        while self.asked.front().is_some_and(is_over) {
            self.asked.pop_front();
        }
        let asked = u32::try_from(self.asked.len()).unwrap_or(u32::MAX);
        if asked >= self.per_minute {
            return Err(Why::PerMinute(self.per_minute));
        }
        Ok(())
    }

    /// After a 429. A long wait is cut: a stranger's job may have caused it.
    pub(super) fn pause(&mut self, now: Instant, retry_after: Option<Duration>) {
        let pause = retry_after.filter(|wait| !wait.is_zero());
        self.paused = Some((now, pause.unwrap_or(PAUSE).min(MINUTE)));
    }
}

/// Jobs with the same answer, each for the same time.
#[derive(Debug)]
struct Known {
    lasts: Duration,
    max: usize,
    since: HashMap<Arc<Job>, Instant>,
    /// The oldest first.
    order: VecDeque<Arc<Job>>,
}

impl Known {
    fn new(lasts: Duration, max: usize) -> Self {
        Self {
            lasts,
            max,
            since: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    fn has(&self, job: &Job, now: Instant) -> bool {
        let since = self.since.get(job);
        since.is_some_and(|since| now.saturating_duration_since(*since) < self.lasts)
    }

    fn add(&mut self, job: &Arc<Job>, now: Instant) {
        while let Some(oldest) = self.order.front() {
            if self.since.len() < self.max && self.has(oldest, now) {
                break;
            }
            self.since.remove(oldest);
            self.order.pop_front();
        }
        if self.since.insert(Arc::clone(job), now).is_none() {
            self.order.push_back(Arc::clone(job));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};
    use crate::event::GeminiEvent;

    fn job(number: usize) -> Arc<Job> {
        let body = format!(r#"{{"type":"batch.failed","data":{{"id":"{number}"}}}}"#);
        Job::of(&GeminiEvent::parse(body)).unwrap()
    }

    #[test]
    fn how_long_an_answer_is_remembered() {
        let start = SystemClock.monotonic();
        for (owned, seconds, known) in [
            (true, 0, Some(true)),
            (true, 25 * 3600 - 1, Some(true)),
            (true, 25 * 3600, None),
            (false, 0, Some(false)),
            (false, 299, Some(false)),
            (false, 300, None),
        ] {
            let mut state = State::default();
            state.learn(&job(1), owned, start);
            let now = start + Duration::from_secs(seconds);
            assert_eq!(state.known(&job(1), now), known, "{owned} {seconds}");
            assert_eq!(state.known(&job(2), now), None);
        }
        // A job that was not visible yet.
        let mut state = State::default();
        state.learn(&job(1), false, start);
        let later = start + OTHER_LASTS;
        state.learn(&job(1), true, later);
        assert_eq!(state.known(&job(1), later), Some(true));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let start = SystemClock.monotonic();
        let minute = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut known = Known::new(Duration::from_secs(600), 3);
        for number in 1..=4 {
            known.add(&job(number), start);
        }
        assert!(!known.has(&job(1), start), "the oldest gives way");
        assert!((2..=4).all(|number| known.has(&job(number), start)));
        // Not twice, and what has ended makes room.
        known.add(&job(5), minute(10));
        known.add(&job(5), minute(11));
        assert_eq!((known.since.len(), known.order.len()), (1, 1));
        // Strangers' jobs, however many, leave one's own alone.
        let mut state = State::default();
        state.learn(&job(0), true, start);
        for number in 1..=MAX_KNOWN + 1 {
            state.learn(&job(number), false, start);
        }
        assert_eq!(state.known(&job(0), start), Some(true));
        assert_eq!(state.known(&job(1), start), None);
        assert_eq!(state.others.since.len(), MAX_KNOWN);
    }

    #[test]
    fn how_often_is_asked() {
        let start = SystemClock.monotonic();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut state = State {
            per_minute: 2,
            ..State::default()
        };
        for (second, may) in [
            (0, true),
            (30, true),
            (59, false),
            (60, true),
            (60, false),
            (89, false),
            (90, true),
        ] {
            assert_eq!(state.may_ask(at(second)).is_ok(), may, "{second}");
            assert_eq!(state.count(at(second)).is_ok(), may, "{second}");
        }
        assert_eq!(state.asked.len(), 2, "no longer than the limit");
        state.per_minute = 0;
        assert!(matches!(state.count(at(1000)), Err(Why::PerMinute(0))));
    }

    #[test]
    fn how_long_it_pauses() {
        let start = SystemClock.monotonic();
        let asked = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        for (name, retry_after, seconds) in [
            ("nothing said", None, 10),
            ("zero says nothing", Some(0), 10),
            ("as told", Some(3), 3),
            ("too long", Some(3600), 60),
        ] {
            let mut state = State::default();
            state.pause(start, asked(retry_after));
            let end = start + Duration::from_secs(seconds);
            let before = end - Duration::from_millis(1);
            assert!(
                matches!(state.may_ask(before), Err(Why::Paused(_))),
                "{name}"
            );
            assert!(state.may_ask(end).is_ok(), "{name}");
        }
    }

    #[test]
    fn how_many_wait() {
        let mut state = State::default();
        let now = SystemClock.monotonic();
        for number in 0..MAX_ASKING {
            assert!(state.may_ask(now).is_ok(), "{number}");
            let (_, answer) = watch::channel(None);
            state.asking.insert(job(number), answer);
        }
        assert!(matches!(state.may_ask(now), Err(Why::Busy)));
    }
}
