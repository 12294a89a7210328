//! The jobs of a run, drawn from the seed before it begins.

use std::time::Duration;

use gemini_webhooks::event::JobKind;
use gemini_webhooks::testing::google::{
    BatchOutcome, DeliveryFault, InteractionStatus, VideoOutcome,
};

/// A job that is to be started, and what becomes of it. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) kind: JobKind,
    /// When it is started.
    pub(crate) due: u64,
    /// It is expected only after it has started. Otherwise it is written down before.
    pub(crate) expects_after: bool,
    /// Within which an answer is wanted.
    pub(crate) within: u64,
    /// It has a `webhook_config` of its own.
    pub(crate) calls_back: bool,
    /// Between its start and the writing down of its name, if it is announced.
    pub(crate) pause: u64,
    pub(crate) end: End,
    /// After its start.
    pub(crate) ends_after: u64,
    pub(crate) delivery: Option<DeliveryFault>,
    /// The process that starts it is killed so long after it was asked to.
    pub(crate) kill: Option<u64>,
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Batch(BatchOutcome),
    Interaction(InteractionStatus),
    Video(VideoOutcome),
    /// The service has no such job any more.
    Forgotten,
    /// It runs on and on.
    Never,
}

impl End {
    /// The type of the event that the app must have handled.
    pub(crate) fn event(self) -> Option<&'static str> {
        Some(match self {
            Self::Batch(BatchOutcome::Succeeded) => "batch.succeeded",
            Self::Batch(BatchOutcome::Failed) => "batch.failed",
            Self::Batch(BatchOutcome::Expired) => "batch.expired",
            Self::Batch(_) => "batch.cancelled",
            Self::Interaction(InteractionStatus::Completed) => "interaction.completed",
            Self::Interaction(InteractionStatus::Failed) => "interaction.failed",
            Self::Interaction(InteractionStatus::Cancelled) => "interaction.cancelled",
            Self::Interaction(InteractionStatus::RequiresAction) => REQUIRES_ACTION,
            Self::Interaction(InteractionStatus::Incomplete) => {
                "gemini-webhooks.interaction.incomplete"
            }
            Self::Interaction(_) => "gemini-webhooks.interaction.budget_exceeded",
            Self::Video(VideoOutcome::Generated) => "video.generated",
            Self::Video(_) => "gemini-webhooks.video.failed",
            Self::Forgotten | Self::Never => return None,
        })
    }
}

/// It may be handled twice: a webhook tells it, and the watcher finds it.
pub(crate) const REQUIRES_ACTION: &str = "interaction.requires_action";

const BATCHES: [BatchOutcome; 4] = [
    BatchOutcome::Succeeded,
    BatchOutcome::Failed,
    BatchOutcome::Expired,
    BatchOutcome::Cancelled,
];

const INTERACTIONS: [InteractionStatus; 6] = [
    InteractionStatus::Completed,
    InteractionStatus::Failed,
    InteractionStatus::Cancelled,
    InteractionStatus::RequiresAction,
    InteractionStatus::Incomplete,
    InteractionStatus::BudgetExceeded,
];

const VIDEOS: [VideoOutcome; 2] = [VideoOutcome::Generated, VideoOutcome::Failed];

/// The same seed gives the same jobs, `rate` of them a second.
pub(crate) fn draw(random: &mut fastrand::Rng, jobs: usize, rate: u32) -> Vec<Wish> {
    let mut next_kill = random.u64(2_000..5_000);
    let mut wishes = Vec::new();
    for number in 0..jobs {
        let due = number as u64 * 1_000 / u64::from(rate.max(1));
        let mut wish = one(random, number, due);
        if due >= next_kill {
            wish.kill = Some(random.u64(0..40));
            next_kill += random.u64(10_000..20_000);
        }
        wishes.push(wish);
    }
    wishes
}

fn one(random: &mut fastrand::Rng, number: usize, due: u64) -> Wish {
    let kind = match random.u32(..5) {
        0 | 1 => JobKind::Batch,
        2 | 3 => JobKind::Interaction,
        _ => JobKind::Video,
    };
    let end = match number % 200 {
        50 => End::Forgotten,
        150 => End::Never,
        _ => match kind {
            JobKind::Batch => End::Batch(often(random, BatchOutcome::Succeeded, &BATCHES)),
            JobKind::Interaction => {
                let first = InteractionStatus::Completed;
                End::Interaction(often(random, first, &INTERACTIONS))
            }
            _ => End::Video(often(random, VideoOutcome::Generated, &VIDEOS)),
        },
    };
    let within = random.u64(2_000..6_000);
    let ends_after = match random.u32(..10) {
        // Its name may not be written down by then.
        0 => 0,
        1..6 => random.u64(0..within),
        _ => random.u64(within..within + 4_000),
    };
    let delivery = match random.u32(..100) {
        0..10 => Some(DeliveryFault::Lose),
        10..15 => Some(DeliveryFault::Duplicate),
        15..20 => {
            let delay = Duration::from_millis(random.u64(500..8_000));
            Some(DeliveryFault::Delay(delay))
        }
        _ => None,
    };
    Wish {
        kind,
        due,
        expects_after: random.u32(..10) == 0,
        within,
        calls_back: random.bool(),
        pause: random.u64(0..500),
        end,
        ends_after,
        delivery,
        kill: None,
    }
}

/// Half of all jobs end in the first way, and others in any.
fn often<T: Copy>(random: &mut fastrand::Rng, first: T, all: &[T]) -> T {
    match random.bool() {
        true => first,
        false => random.choice(all).copied().unwrap_or(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_jobs_of_every_sort() {
        let draw = |seed| super::draw(&mut fastrand::Rng::with_seed(seed), 2_000, 100);
        let wishes = draw(5);
        assert_eq!(wishes, draw(5));
        assert_ne!(wishes, draw(6));
        let share = |is: fn(&Wish) -> bool| wishes.iter().filter(|wish| is(wish)).count();
        let batches = BATCHES.map(End::Batch).to_vec();
        let interactions = INTERACTIONS.map(End::Interaction).to_vec();
        let videos = VIDEOS.map(End::Video).to_vec();
        let others = vec![End::Forgotten, End::Never];
        for end in [batches, interactions, videos, others].concat() {
            assert!(wishes.iter().any(|wish| wish.end == end), "{end:?}");
        }
        assert_eq!(share(|wish| wish.end == End::Never), 10);
        assert_eq!(share(|wish| wish.end == End::Forgotten), 10);
        assert!((900..1_100).contains(&share(|wish| wish.calls_back)));
        assert!((150..250).contains(&share(|wish| wish.expects_after)));
        assert!((150..250).contains(&share(|wish| wish.delivery == Some(DeliveryFault::Lose))));
        assert!((700..1_100).contains(&share(|wish| wish.ends_after > wish.within)));
        // 20 seconds.
        assert!((1..3).contains(&share(|wish| wish.kill.is_some())));
    }
}
