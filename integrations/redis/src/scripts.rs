//! The scripts that the server runs: each of the operations is one of them, over one key.
//!
//! The value of a key is `f` (in flight) or `s` (settled), and the 16 bytes of the holder's token.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gemini_webhooks::replay::{Claimed, Settled};
use redis::Value;

/// Reads the value. An error is handed out as it is: `redis.call` would put it into a text of its
/// own before Redis 7.0, and its code would be lost.
const READ: &str = r"
local value = redis.pcall('GET', KEYS[1])
";

/// Takes apart what was read.
const CHECK: &str = r"
if type(value) == 'table' then return value end
local state, holder
if value then
  state, holder = string.sub(value, 1, 1), string.sub(value, 2)
  if #value ~= 17 or (state ~= 'f' and state ~= 's') then return -3 end
end
";

/// A claim whose time ends while the script runs has nothing left, which is not an answer below zero.
const CLAIM: &str = r"
if not value then
  local made = redis.pcall('SET', KEYS[1], 'f' .. ARGV[1], 'PX', ARGV[2])
  if made.err then return made end
  return -1
end
if state == 's' then return -2 end
if holder == ARGV[1] then return -1 end
local left = redis.pcall('PTTL', KEYS[1])
if type(left) == 'table' then return left end
if left == -1 then return -4 end
return math.max(left, 0)
";

/// Before the value is taken apart: it nearly always is the claim that is settled.
const SETTLE: &str = r"
if not value or value == 'f' .. ARGV[1] then
  local made = redis.pcall('SET', KEYS[1], 's' .. ARGV[1], 'PX', ARGV[2])
  if made.err then return made end
  return 1
end
";

const SETTLED: &str = r"
if holder == ARGV[1] then return 1 end
return 0
";

const RELEASE: &str = r"
if state == 'f' and holder == ARGV[1] then
  local removed = redis.pcall('DEL', KEYS[1])
  if type(removed) == 'table' then return removed end
end
return 1
";

/// A script, and the digest by which a server that knows it is asked to run it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) text: String,
    pub(crate) digest: String,
    /// For the claim: whether the server may know the command that does the same where there is no
    /// value yet.
    command: Option<AtomicBool>,
}

impl Script {
    /// Returns whether to try the command first: `SET` with `NX` and `GET`, from Redis 7.0 on. A script
    /// costs the server more.
    pub(crate) fn has_command(&self) -> bool {
        self.command
            .as_ref()
            .is_some_and(|known| known.load(Ordering::Relaxed))
    }

    /// The server does not know the command.
    pub(crate) fn without_command(&self) {
        if let Some(known) = &self.command {
            known.store(false, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) claim: Script,
    pub(crate) settle: Script,
    pub(crate) release: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let script = |parts: &[&str]| {
            let text = parts.concat();
            let digest = redis::Script::new(&text).get_hash().to_owned();
            Script {
                text,
                digest,
                command: None,
            }
        };
        Self {
            claim: Script {
                command: Some(AtomicBool::new(true)),
                ..script(&[READ, CHECK, CLAIM])
            },
            settle: script(&[READ, SETTLE, CHECK, SETTLED]),
            release: script(&[READ, CHECK, RELEASE]),
        }
    }
}

/// What is under a key is not the guard's, so nothing may be concluded from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOurs {
    /// A value that the guard does not write.
    Value,
    /// A claim that never ends.
    NoExpiry,
    /// The server ran something else than the script.
    Answer,
}

/// What the script of the claim answers where the event is this holder's.
pub(crate) const CLAIMED: i64 = -1;

pub(crate) fn claimed(answer: &Value) -> Result<Claimed, NotOurs> {
    match number(answer)? {
        CLAIMED => Ok(Claimed::Claimed),
        -2 => Ok(Claimed::Settled),
        left => {
            let left = u64::try_from(left).map_err(|_| NotOurs::Answer)?;
            let left = Some(Duration::from_millis(left));
            Ok(Claimed::InFlight { left })
        }
    }
}

pub(crate) fn settled(answer: &Value) -> Result<Settled, NotOurs> {
    match number(answer)? {
        0 => Ok(Settled::Lost),
        1 => Ok(Settled::Settled),
        _ => Err(NotOurs::Answer),
    }
}

pub(crate) fn released(answer: &Value) -> Result<(), NotOurs> {
    match number(answer)? {
        1 => Ok(()),
        _ => Err(NotOurs::Answer),
    }
}

fn number(answer: &Value) -> Result<i64, NotOurs> {
    match *answer {
        Value::Int(-3) => Err(NotOurs::Value),
        Value::Int(-4) => Err(NotOurs::NoExpiry),
        Value::Int(number) => Ok(number),
        _ => Err(NotOurs::Answer),
    }
}

/// A time as a server takes it: whole milliseconds, at least one, at most a hundred years.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let time = time.min(CENTURY);
    let rounded_up = time.as_nanos().div_ceil(1_000_000).max(1);
    u64::try_from(rounded_up).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_what_they_say() {
        let in_flight = |left| {
            let left = Some(Duration::from_millis(left));
            Ok(Claimed::InFlight { left })
        };
        for (answer, claim, settle, release) in [
            (
                1500,
                in_flight(1500),
                Err(NotOurs::Answer),
                Err(NotOurs::Answer),
            ),
            (1, in_flight(1), Ok(Settled::Settled), Ok(())),
            (0, in_flight(0), Ok(Settled::Lost), Err(NotOurs::Answer)),
            (
                -1,
                Ok(Claimed::Claimed),
                Err(NotOurs::Answer),
                Err(NotOurs::Answer),
            ),
            (
                -2,
                Ok(Claimed::Settled),
                Err(NotOurs::Answer),
                Err(NotOurs::Answer),
            ),
            (
                -3,
                Err(NotOurs::Value),
                Err(NotOurs::Value),
                Err(NotOurs::Value),
            ),
            (
                -4,
                Err(NotOurs::NoExpiry),
                Err(NotOurs::NoExpiry),
                Err(NotOurs::NoExpiry),
            ),
            (
                -5,
                Err(NotOurs::Answer),
                Err(NotOurs::Answer),
                Err(NotOurs::Answer),
            ),
        ] {
            let value = Value::Int(answer);
            assert_eq!(claimed(&value), claim, "{answer}");
            assert_eq!(settled(&value), settle, "{answer}");
            assert_eq!(released(&value), release, "{answer}");
        }
        assert_eq!(claimed(&Value::Nil), Err(NotOurs::Answer));
        assert_eq!(settled(&Value::Okay), Err(NotOurs::Answer));
    }

    #[test]
    fn times_are_bounded_and_rounded_up() {
        for (time, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_micros(1001), 2),
            (Duration::from_secs(120), 120_000),
            (Duration::MAX, 3_153_600_000_000),
        ] {
            assert_eq!(milliseconds(time), expected, "{time:?}");
        }
    }
}
