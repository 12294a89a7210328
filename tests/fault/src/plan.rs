//! The faults of a run, drawn from the seed before it begins.

use gemini_webhooks_harness::Direction;

use crate::clock::Moment;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// SIGKILL to a replica, as soon as it has printed a line, and a restart after so many milliseconds.
    Kill {
        replica: usize,
        down: u64,
    },
    /// SIGTERM to a replica, and a restart, as a deployment does.
    Stop {
        replica: usize,
        down: u64,
    },
    Store(StoreFault),
    Keys(KeyFault),
    /// A new signing secret. The old one is valid for a while.
    RotateSecret,
}

/// What happens to the store. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum StoreFault {
    /// It answers nothing for a while.
    Pause(u64),
    /// It is stopped in order, and started again.
    Stop(u64),
    /// It is killed, and started again.
    Kill(u64),
    /// One connection is cut, in the middle of what goes this way.
    Cut(Direction, u64),
    /// All connections are cut.
    CutAll,
    /// The network holds everything back.
    Hold(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum KeyFault {
    Fail(u64),
    Stall(u64),
    /// A new key signs. It was among the published ones before, or else it is published at that moment.
    Rotate {
        announced: bool,
    },
}

/// What there is to break.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// How long events are sent, in milliseconds.
    pub(crate) length: u64,
    pub(crate) replicas: usize,
    pub(crate) store: Breakable,
}

/// What can happen to the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Breakable {
    /// A server, with a network before it.
    Server,
    /// A file, which another process locks.
    File,
    Nothing,
}

/// The same seed gives the same plan.
pub(crate) fn draw(random: &mut fastrand::Rng, scene: Scene) -> Vec<(Moment, Fault)> {
    let mut plan = Vec::new();
    let mut lane =
        |from: u64, to: u64, fault: &mut dyn FnMut(&mut fastrand::Rng) -> Option<Fault>| {
            let mut at = random.u64(from / 2..from);
            while at < scene.length {
                plan.extend(fault(random).map(|fault| (Moment(at), fault)));
                at += random.u64(from..to);
            }
        };
    let replicas = scene.replicas;
    let mut turn = 0;
    lane(2_000, 5_000, &mut |random| {
        let (replica, down) = (random.usize(..replicas), random.u64(100..1_500));
        turn += 1;
        Some(match turn % 4 {
            2 => Fault::Stop { replica, down },
            _ => Fault::Kill { replica, down },
        })
    });
    if scene.store != Breakable::Nothing {
        let mut kinds = Vec::new();
        // A short run has most of them, too.
        let (from, to) = match scene.length {
            ..60_000 => (1_500, 4_000),
            _ => (3_000, 8_000),
        };
        lane(from, to, &mut |random| {
            if scene.store == Breakable::File {
                return Some(Fault::Store(StoreFault::Pause(random.u64(200..4_000))));
            }
            if kinds.is_empty() {
                kinds = server_faults(random);
                random.shuffle(&mut kinds);
            }
            kinds.pop().map(Fault::Store)
        });
    }
    lane(6_000, 14_000, &mut |random| {
        let time = random.u64(1_000..5_000);
        Some(Fault::Keys(match random.bool() {
            true => KeyFault::Fail(time),
            false => KeyFault::Stall(time),
        }))
    });
    // A receiver that has just fetched the keys asks for an unknown one after half a minute only. So a short
    // run has no surprise.
    let mut announced = true;
    lane(10_000, 60_000, &mut |_| {
        let rotate = KeyFault::Rotate { announced };
        announced = !announced || scene.length < 120_000;
        Some(Fault::Keys(rotate))
    });
    let mut secrets = 3;
    let between = (scene.length / 4).max(12_000);
    lane(between, between + 5_000, &mut |_| {
        secrets -= 1;
        (secrets >= 0).then_some(Fault::RotateSecret)
    });
    plan.sort_by_key(|(at, _)| *at);
    plan
}

/// One of each kind.
fn server_faults(random: &mut fastrand::Rng) -> Vec<StoreFault> {
    vec![
        StoreFault::Pause(random.u64(500..4_000)),
        StoreFault::Stop(random.u64(300..2_000)),
        StoreFault::Kill(random.u64(300..2_000)),
        // A statement or an answer is some hundred bytes.
        StoreFault::Cut(Direction::ToServer, random.u64(..2_000)),
        StoreFault::Cut(Direction::ToClient, random.u64(..2_000)),
        StoreFault::CutAll,
        StoreFault::Hold(random.u64(500..4_000)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, length: u64) -> Vec<(Moment, Fault)> {
        let scene = Scene {
            length,
            replicas: 3,
            store: Breakable::Server,
        };
        draw(&mut fastrand::Rng::with_seed(seed), scene)
    }

    #[test]
    fn a_seed_gives_one_plan() {
        assert_eq!(plan(1, 60_000), plan(1, 60_000));
        assert_ne!(plan(1, 60_000), plan(2, 60_000));
    }

    #[test]
    fn a_long_plan_has_every_fault_and_ends_in_time() {
        let plan = plan(7, 400_000);
        let has = |name: &str, is: fn(&Fault) -> bool| {
            assert!(plan.iter().any(|(_, fault)| is(fault)), "no {name}");
        };
        has("kill", |it| matches!(it, Fault::Kill { .. }));
        has("stop", |it| matches!(it, Fault::Stop { .. }));
        has("pause of the store", |it| {
            matches!(it, Fault::Store(StoreFault::Pause(_)))
        });
        has("stop of the store", |it| {
            matches!(it, Fault::Store(StoreFault::Stop(_)))
        });
        has("kill of the store", |it| {
            matches!(it, Fault::Store(StoreFault::Kill(_)))
        });
        has("cut", |it| matches!(it, Fault::Store(StoreFault::Cut(..))));
        has("cut of all", |it| {
            matches!(it, Fault::Store(StoreFault::CutAll))
        });
        has("hold", |it| matches!(it, Fault::Store(StoreFault::Hold(_))));
        has("failure of the keys", |it| {
            matches!(it, Fault::Keys(KeyFault::Fail(_)))
        });
        has("stall of the keys", |it| {
            matches!(it, Fault::Keys(KeyFault::Stall(_)))
        });
        has("known key", |it| {
            matches!(it, Fault::Keys(KeyFault::Rotate { announced: true }))
        });
        has("surprising key", |it| {
            matches!(it, Fault::Keys(KeyFault::Rotate { announced: false }))
        });
        let secrets = plan.iter().filter(|(_, it)| *it == Fault::RotateSecret);
        assert_eq!(secrets.count(), 3);
        assert!(plan.iter().all(|(at, _)| at.0 < 400_000));
    }
}
