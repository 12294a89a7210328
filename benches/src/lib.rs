//! Measuring side by side: every contender has its turn in every round, so that a machine that
//! slows down slows all of them.

use std::fmt::Display;
use std::hint::black_box;
use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock};

pub mod tasks;

const ROUNDS: usize = 101;
const TURN: Duration = Duration::from_micros(500);

/// One contender: a name and what it does.
pub struct Contender<'a> {
    name: &'a str,
    run: Box<dyn FnMut() + 'a>,
    /// Nanoseconds a call, one for each round.
    times: Vec<f64>,
}

impl<'a> Contender<'a> {
    /// Its result is kept from the optimiser.
    pub fn new<T>(name: &'a str, mut run: impl FnMut() -> T + 'a) -> Self {
        Self {
            name,
            run: Box::new(move || {
                black_box(run());
            }),
            times: Vec::new(),
        }
    }

    /// Runs it once.
    pub fn call(&mut self) {
        (self.run)();
    }

    fn turn(&mut self, calls: u32) -> Duration {
        let start = SystemClock.monotonic();
        for _ in 0..calls {
            self.call();
        }
        SystemClock.monotonic() - start
    }

    fn calls_a_turn(&mut self) -> u32 {
        let mut calls = 1;
        while self.turn(calls) < TURN {
            calls *= 2;
        }
        calls
    }
}

impl std::fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Contender").field(&self.name).finish()
    }
}

/// Runs all in turn and prints a row for each: the median and the middle half of the rounds; and,
/// beside the first one, the ratio and the difference, medians of those within each round.
pub fn compare(title: impl Display, mut contenders: Vec<Contender<'_>>) {
    let calls: Vec<u32> = contenders.iter_mut().map(Contender::calls_a_turn).collect();
    for _ in 0..ROUNDS {
        for (contender, calls) in contenders.iter_mut().zip(&calls) {
            let time = contender.turn(*calls).as_nanos() as f64 / f64::from(*calls);
            contender.times.push(time);
        }
    }
    println!("\n{title}");
    println!(
        "  {:<34} {:>12} {:>25} {:>7} {:>13}",
        "", "median", "middle half", "ratio", "more"
    );
    let Some((first, _)) = contenders.split_first() else {
        return;
    };
    for contender in &contenders {
        let beside =
            |of: fn((&f64, &f64)) -> f64| median(contender.times.iter().zip(&first.times).map(of));
        let quantile = |q| quantile(contender.times.iter().copied(), q);
        println!(
            "  {:<34} {:>9.1} ns {:>9.1} to {:>9.1} ns {:>7.2} {:>10.1} ns",
            contender.name,
            quantile(0.5),
            quantile(0.25),
            quantile(0.75),
            beside(|(time, first)| time / first),
            beside(|(time, first)| time - first),
        );
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index"
)]
/// The value below which such a share of the values lies.
#[must_use]
pub fn quantile(values: impl Iterator<Item = f64>, q: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let index = (values.len().saturating_sub(1) as f64 * q).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

/// The value in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// A `batch.succeeded` of exactly this many bytes, from 198 on.
#[must_use]
pub fn event_of(size: usize) -> String {
    let event = |padding: &str| {
        format!(
            r#"{{"type":"batch.succeeded","version":"v1","timestamp":"2026-01-22T12:00:00Z","data":{{"id":"batches/8kq2","output_file_uri":"files/batch-8kq2-output"}},"user_metadata":{{"job":"{padding}"}}}}"#
        )
    };
    let padding = size.saturating_sub(event("").len());
    event(&"x".repeat(padding))
}
