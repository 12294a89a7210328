//! What goes wrong only where jobs are expected, drawn from the seed.

use gemini_webhooks::testing::google::{Call, Fault};

use crate::clock::Moment;

#[derive(Clone, Debug)]
pub(crate) enum Mischief {
    /// The next call of each of these fails.
    Api(Vec<Call>, Fault),
    /// Nobody can reach the registered webhook for so many milliseconds. Google switches it off.
    Unreachable(u64),
    /// SIGKILL to the process whose watcher does the work, and a restart after so many milliseconds.
    KillLeader { down: u64 },
}

const STARTS: [Call; 3] = [
    Call::BatchesCreate,
    Call::InteractionsCreate,
    Call::VideosCreate,
];

const QUESTIONS: [Call; 4] = [
    Call::BatchesGet,
    Call::InteractionsGet,
    Call::VideosGet,
    Call::BatchesList,
];

/// In a run whose jobs are started for so many milliseconds.
pub(crate) fn draw(random: &mut fastrand::Rng, length: u64) -> Vec<(Moment, Mischief)> {
    let mut plan = Vec::new();
    let is_short = length < 60_000;
    let mut lane = |from: u64, to: u64, one: &mut dyn FnMut(&mut fastrand::Rng) -> Mischief| {
        let mut at = random.u64(from / 2..from);
        while at < length {
            plan.push((Moment(at), one(random)));
            at += random.u64(from..to);
        }
    };
    lane(2_000, 5_000, &mut |random| {
        let call = random.choice(STARTS).unwrap_or(Call::BatchesCreate);
        Mischief::Api(vec![call; random.usize(1..3)], fault(random))
    });
    // After most of these the watcher asks nothing for ten seconds.
    let (from, to) = if is_short {
        (15_000, 30_000)
    } else {
        (30_000, 60_000)
    };
    lane(from, to, &mut |random| {
        let call = random.choice(QUESTIONS).unwrap_or(Call::BatchesGet);
        Mischief::Api(vec![call], fault(random))
    });
    let (from, to) = if is_short {
        (8_000, 12_000)
    } else {
        (20_000, 40_000)
    };
    lane(from, to, &mut |random| {
        Mischief::Unreachable(random.u64(1_000..3_000))
    });
    let (from, to) = if is_short {
        (8_000, 16_000)
    } else {
        (15_000, 30_000)
    };
    lane(from, to, &mut |random| Mischief::KillLeader {
        down: random.u64(100..1_500),
    });
    plan
}

fn fault(random: &mut fastrand::Rng) -> Fault {
    match random.u32(..7) {
        0 => Fault::RetryAfter(429, "1".to_owned()),
        1 => Fault::Status(503),
        2 => Fault::Status(500),
        3 => Fault::CloseBefore,
        4 => Fault::CloseAfter,
        5 => Fault::Truncated,
        _ => Fault::NoAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_every_kind_and_ends_in_time() {
        let plan = draw(&mut fastrand::Rng::with_seed(7), 400_000);
        let count = |is: fn(&Mischief) -> bool| plan.iter().filter(|(_, it)| is(it)).count();
        assert!(
            count(
                |it| matches!(it, Mischief::Api(calls, _) if calls.iter().all(|call| STARTS.contains(call)))
            ) > 30
        );
        assert!(
            count(
                |it| matches!(it, Mischief::Api(calls, _) if calls.iter().all(|call| QUESTIONS.contains(call)))
            ) > 5
        );
        assert!(count(|it| matches!(it, Mischief::Unreachable(_))) > 4);
        assert!(count(|it| matches!(it, Mischief::KillLeader { .. })) > 10);
        assert!(plan.iter().all(|(at, _)| at.0 < 400_000));
    }
}
