//! What was started, and what became of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Moment;
use crate::jobs::wish::{End, Wish};

#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) wishes: Vec<Wish>,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// By their numbers, which the app passes on.
    pub(crate) starts: Vec<Start>,
    /// In the order in which they were noticed.
    pub(crate) jobs: Vec<Job>,
}

/// A request to the app to start a job.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// The place of the job in the list of wishes.
    pub(crate) wish: usize,
    pub(crate) began: Moment,
    pub(crate) answer: Answer,
    pub(crate) ended: Moment,
}

/// What the app says of a start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// Nothing yet, or it died.
    None,
    Started,
    /// It certainly was not started.
    NotStarted,
    /// It may have been started, or its name could not be written down.
    Unknown,
}

/// A job that Google has.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// As Google calls it.
    pub(crate) name: String,
    /// Kind and id, as the app calls it.
    pub(crate) id: String,
    /// `None` if a stranger has started it.
    pub(crate) start: Option<usize>,
    pub(crate) end: End,
    pub(crate) ended: Option<Moment>,
}

impl Book {
    pub(crate) fn new(wishes: Vec<Wish>) -> Self {
        Self {
            wishes,
            pages: Mutex::default(),
        }
    }

    pub(crate) fn open(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wish_of(&self, start: usize) -> Option<Wish> {
        let wish = self.open().starts.get(start)?.wish;
        self.wishes.get(wish).copied()
    }

    /// Returns the number of the start.
    pub(crate) fn begin(&self, wish: usize, now: Moment) -> usize {
        let mut pages = self.open();
        pages.starts.push(Start {
            wish,
            began: now,
            answer: Answer::None,
            ended: now,
        });
        pages.starts.len() - 1
    }

    pub(crate) fn answered(&self, start: usize, answer: Answer, now: Moment) {
        if let Some(start) = self.open().starts.get_mut(start) {
            (start.answer, start.ended) = (answer, now);
        }
    }

    pub(crate) fn has_job_of(&self, start: usize) -> bool {
        let pages = self.open();
        pages.jobs.iter().any(|job| job.start == Some(start))
    }

    pub(crate) fn ended(&self, job: usize, now: Moment) {
        if let Some(job) = self.open().jobs.get_mut(job) {
            job.ended = Some(now);
        }
    }
}
