//! How the program ends.

use std::fmt::Display;
use std::process::ExitCode;

/// As a shell has it for a program that SIGINT ended.
const STOPPED: u8 = 130;

/// How a command that did its work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done; for a check, it passed.
    Done,
    /// 1: a check did not pass. Why has been said.
    Refused,
    /// 130: ended by Ctrl-C or SIGTERM, in order.
    Stopped,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Stopped => STOPPED,
        })
    }
}

/// Why a command could not do its work, as sentences that say what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// Something failed: exit code 1.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 1,
        }
    }

    /// The input or an option cannot be used: exit code 2, as clap has it.
    pub(crate) fn unusable(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 2,
        }
    }

    /// Ctrl-C or SIGTERM came: exit code 130.
    pub(crate) fn stopped() -> Self {
        Self {
            text: "Ended by Ctrl-C.".to_owned(),
            code: STOPPED,
        }
    }

    /// Puts what was done when it happened in front.
    pub(crate) fn while_doing(mut self, what: impl Display) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// Writes it to standard error. For a command that goes on all the same.
    pub(crate) fn tell(&self) {
        if self.code == STOPPED {
            crate::shown::note(&self.text);
        } else {
            crate::shown::error(&self.text);
        }
    }

    /// Returns the sentences.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Writes it to standard error, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        self.tell();
        ExitCode::from(self.code)
    }
}
