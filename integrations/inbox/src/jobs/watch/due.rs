//! What the watcher reads of a job that is due.

use std::time::{Duration, SystemTime};

use crate::entry::time;
use crate::jobs::Expectation;
use crate::store::Database;

/// A job that is due.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) expectation: Expectation,
    pub(crate) number: i64,
    /// How often it was expected anew. What was learned about another round is old.
    pub(crate) round: i64,
    /// How often it was asked about before.
    pub(super) asked: u32,
    /// How often in a row Google has said that there is none.
    pub(super) denied: u32,
    /// By the database's clock, as all of its times.
    now: SystemTime,
}

impl Due {
    /// In the order of `due!`.
    pub(super) fn read<DB: Database>(row: &DB::Row) -> Result<Self, sqlx::Error> {
        let number = |column| DB::int(row, column).map(Option::unwrap_or_default);
        Ok(Self {
            expectation: Expectation::read::<DB>(row)?,
            number: number(7)?,
            asked: number(8)?.try_into().unwrap_or(u32::MAX),
            denied: number(9)?.try_into().unwrap_or(u32::MAX),
            round: number(10)?,
            now: time(number(11)?),
        })
    }

    /// Number and round, which can be read of any row.
    pub(super) fn place<DB: Database>(row: &DB::Row) -> Result<[i64; 2], sqlx::Error> {
        let number = |column| DB::int(row, column).map(Option::unwrap_or_default);
        Ok([number(7)?, number(10)?])
    }

    /// For how long its time has been over.
    pub(super) fn overdue(&self) -> Duration {
        let over = self.now.duration_since(self.expectation.answer_by());
        over.unwrap_or_default()
    }

    /// How long until its time is over.
    pub(super) fn left(&self) -> Duration {
        let left = self.expectation.answer_by().duration_since(self.now);
        left.unwrap_or_default()
    }
}
