use super::*;
use crate::events::{Forgery, Habit};
use crate::journal::Outage;

const GUARD: Rules = Rules {
    rows: Rows::None,
    runs_in_delivery: true,
    held: 4_500,
};
const ONCE: Rules = Rules {
    rows: Rows::All,
    runs_in_delivery: true,
    held: 4_500,
};
const INBOX: Rules = Rules {
    rows: Rows::None,
    runs_in_delivery: false,
    held: 0,
};
const OTHER: Life = Life {
    replica: 1,
    start: 1,
};
const FIRST: Life = Life {
    replica: 0,
    start: 3,
};

fn event(habit: Habit, poison: bool) -> Event {
    Event {
        id: "msg_1".to_owned(),
        dynamic: false,
        name: "batch.succeeded",
        body: Vec::new(),
        due: Moment(0),
        shares_id: false,
        habit,
        poison,
    }
}

/// What happened to the one event, at 10 s and later.
#[derive(Default)]
struct Case {
    poison: bool,
    forged: bool,
    answers: Vec<(u64, Answer)>,
    runs: Vec<(u64, Life, bool)>,
    deaths: Vec<(u64, Life, How)>,
    born: u64,
    outage: Option<(u64, u64)>,
    rows: Option<i64>,
    dead: bool,
}

impl Case {
    fn judge(self, rules: Rules) -> Verdict {
        let habit = if self.forged {
            Habit::Forged(Forgery::Body)
        } else {
            Habit::Plain
        };
        let entries = Entries {
            attempts: self
                .answers
                .into_iter()
                .map(|(ended, answer)| Attempt {
                    event: 0,
                    ended: Moment(ended),
                    answer,
                })
                .collect(),
            runs: self
                .runs
                .into_iter()
                .map(|(at, life, once)| Run {
                    webhook_id: "msg_1".to_owned(),
                    at: Moment(at),
                    life,
                    once,
                })
                .collect(),
            deaths: self
                .deaths
                .into_iter()
                .map(|(at, life, how)| Death {
                    life,
                    born: Moment(self.born),
                    at: Moment(at),
                    how,
                })
                .collect(),
            outages: self
                .outage
                .into_iter()
                .map(|(from, to)| Outage {
                    what: "the store was paused".to_owned(),
                    from: Moment(from),
                    to: Moment(to),
                })
                .collect(),
            others: Vec::new(),
        };
        let rows = self.rows.map(|count| {
            let row = (count > 0).then(|| ("msg_1".to_owned(), count));
            row.into_iter().collect()
        });
        let letter = DeadLetter {
            webhook_id: "msg_1".to_owned(),
            last: "why".to_owned(),
        };
        let evidence = Evidence {
            events: &[event(habit, self.poison)],
            entries: &entries,
            rows: rows.as_ref(),
            dead: if self.dead { &[letter] } else { &[] },
            names: &["replica 1".to_owned(), "replica 2".to_owned()],
            breakable: true,
        };
        judge(evidence, rules)
    }
}

fn ok(at: u64) -> (u64, Answer) {
    (at, Answer::Status(200))
}

fn twice() -> Vec<(u64, Life, bool)> {
    vec![(10_000, FIRST, false), (20_000, OTHER, false)]
}

/// Which lists have something in them, by their first words.
fn found(verdict: &Verdict) -> Vec<&'static str> {
    let breaches = verdict.breaches().into_iter();
    let full = breaches.filter(|(_, list)| !list.is_empty());
    full.map(|(name, _)| name).collect()
}

#[test]
fn what_is_missing_or_too_much_is_found() {
    let cases = [
        (
            "a run and a 2xx",
            GUARD,
            Case {
                answers: vec![ok(10_001)],
                runs: vec![(10_000, FIRST, false)],
                ..Case::default()
            },
            vec![],
        ),
        (
            "a 2xx and no run",
            GUARD,
            Case {
                answers: vec![ok(10_000)],
                ..Case::default()
            },
            vec!["lost"],
        ),
        (
            "never a 2xx",
            GUARD,
            Case {
                answers: vec![(10_000, Answer::Status(503))],
                ..Case::default()
            },
            vec!["lost"],
        ),
        (
            "a run and never a 2xx",
            GUARD,
            Case {
                answers: vec![(10_000, Answer::Status(503))],
                runs: vec![(10_000, FIRST, false)],
                ..Case::default()
            },
            vec!["never answered with a 2xx"],
        ),
        (
            "a handler that always fails, and yet a run",
            INBOX,
            Case {
                answers: vec![ok(10_000)],
                runs: vec![(10_000, FIRST, false)],
                poison: true,
                ..Case::default()
            },
            vec!["dead letters against the plan"],
        ),
        (
            "a dead letter that had run",
            INBOX,
            Case {
                answers: vec![ok(10_000)],
                runs: vec![(10_000, FIRST, false)],
                dead: true,
                ..Case::default()
            },
            vec!["dead letters against the plan"],
        ),
        (
            "a forged event that was answered with a 2xx",
            GUARD,
            Case {
                forged: true,
                answers: vec![ok(10_000)],
                ..Case::default()
            },
            vec!["forged or unknown events that were taken"],
        ),
        (
            "a row without a line: the process died in between",
            ONCE,
            Case {
                answers: vec![ok(12_000)],
                rows: Some(1),
                ..Case::default()
            },
            vec![],
        ),
        (
            "two rows",
            ONCE,
            Case {
                answers: vec![ok(12_000)],
                rows: Some(2),
                ..Case::default()
            },
            vec!["wrong rows"],
        ),
        (
            "a line that says it is committed, and no row",
            ONCE,
            Case {
                answers: vec![ok(10_001)],
                runs: vec![(10_000, FIRST, true)],
                rows: Some(0),
                ..Case::default()
            },
            vec!["wrong rows"],
        ),
        (
            "a row and a dead letter",
            ONCE,
            Case {
                rows: Some(1),
                dead: true,
                poison: true,
                ..Case::default()
            },
            vec!["wrong rows", "dead letters against the plan"],
        ),
        (
            "a planned dead letter",
            INBOX,
            Case {
                answers: vec![ok(10_000)],
                poison: true,
                dead: true,
                ..Case::default()
            },
            vec![],
        ),
        (
            "another dead letter",
            INBOX,
            Case {
                answers: vec![ok(10_000)],
                dead: true,
                ..Case::default()
            },
            vec!["dead letters against the plan"],
        ),
        (
            "a forged event that was refused",
            GUARD,
            Case {
                forged: true,
                answers: vec![(10_000, Answer::Status(400))],
                ..Case::default()
            },
            vec![],
        ),
        (
            "a forged event that ran",
            GUARD,
            Case {
                forged: true,
                runs: vec![(10_000, FIRST, false)],
                ..Case::default()
            },
            vec!["forged or unknown events that were taken"],
        ),
    ];
    for (name, rules, case, expected) in cases {
        assert_eq!(found(&case.judge(rules)), expected, "{name}");
    }
}

#[test]
fn a_second_run_needs_a_reason_of_its_own() {
    let deaths = |at, life, how| vec![(at, life, how)];
    let unexplained = vec!["unexplained second runs"];
    let cases = [
        ("nothing", GUARD, Case::default(), unexplained.clone()),
        (
            "its process was killed",
            GUARD,
            Case {
                deaths: deaths(10_003, FIRST, How::Killed),
                ..Case::default()
            },
            vec![],
        ),
        (
            "its process aborted",
            INBOX,
            Case {
                deaths: deaths(10_003, FIRST, How::Aborted),
                ..Case::default()
            },
            vec![],
        ),
        (
            "its process was killed long after",
            GUARD,
            Case {
                deaths: deaths(14_000, FIRST, How::Killed),
                ..Case::default()
            },
            unexplained.clone(),
        ),
        (
            "its process was killed after the second run",
            GUARD,
            Case {
                runs: vec![(10_000, FIRST, false), (10_002, OTHER, false)],
                deaths: deaths(10_003, FIRST, How::Killed),
                ..Case::default()
            },
            unexplained.clone(),
        ),
        (
            "its process was stopped in order",
            GUARD,
            Case {
                deaths: deaths(10_003, FIRST, How::Stopped(Some(0))),
                ..Case::default()
            },
            unexplained.clone(),
        ),
        (
            "another process was killed",
            GUARD,
            Case {
                deaths: deaths(10_003, OTHER, How::Killed),
                ..Case::default()
            },
            unexplained.clone(),
        ),
        (
            "the store was away",
            GUARD,
            Case {
                outage: Some((8_000, 10_500)),
                ..Case::default()
            },
            vec![],
        ),
        (
            "the store was away, and the other ran while the first had the event",
            GUARD,
            Case {
                runs: vec![(10_000, FIRST, false), (10_011, OTHER, false)],
                outage: Some((8_000, 10_500)),
                ..Case::default()
            },
            unexplained.clone(),
        ),
        (
            "the store was away, and the answer was a 2xx: it was marked later",
            GUARD,
            Case {
                answers: vec![ok(10_001)],
                outage: Some((8_000, 10_500)),
                ..Case::default()
            },
            unexplained.clone(),
        ),
        (
            "the store was away, the answer was a 2xx, and the process died before it could mark it",
            GUARD,
            Case {
                answers: vec![ok(10_001)],
                outage: Some((8_000, 13_000)),
                deaths: deaths(12_500, FIRST, How::Killed),
                ..Case::default()
            },
            vec![],
        ),
        (
            "the store was away before",
            GUARD,
            Case {
                outage: Some((5_000, 8_000)),
                ..Case::default()
            },
            unexplained.clone(),
        ),
        (
            "the sender left",
            GUARD,
            Case {
                answers: vec![(10_100, Answer::TimedOut)],
                ..Case::default()
            },
            vec![],
        ),
        (
            "the sender left, which is nothing to a worker",
            INBOX,
            Case {
                answers: vec![(10_100, Answer::TimedOut)],
                ..Case::default()
            },
            unexplained.clone(),
        ),
        (
            "a refusal at that time",
            GUARD,
            Case {
                answers: vec![(10_100, Answer::Status(503))],
                ..Case::default()
            },
            unexplained.clone(),
        ),
    ];
    for (name, rules, mut case, expected) in cases {
        if case.runs.is_empty() {
            case.runs = twice();
        }
        case.answers.push(ok(60_000));
        let verdict = case.judge(rules);
        assert_eq!(found(&verdict), expected, "{name}");
        assert_eq!(
            verdict.explained.len(),
            usize::from(expected.is_empty()),
            "{name}"
        );
    }
    let committed = Case {
        answers: vec![ok(20_001)],
        runs: vec![(10_000, FIRST, true), (20_000, OTHER, true)],
        deaths: deaths(10_003, FIRST, How::Killed),
        rows: Some(1),
        ..Case::default()
    };
    assert_eq!(found(&committed.judge(ONCE)), unexplained);
}

#[test]
fn processes_end_as_planned() {
    let against = vec!["processes that ended against the plan"];
    for (how, born, outage, expected) in [
        (How::Killed, 0, None, vec![]),
        (How::Aborted, 0, None, vec![]),
        (How::Stopped(Some(0)), 0, None, vec![]),
        (How::Stopped(Some(1)), 0, None, against.clone()),
        (How::Stopped(None), 0, None, against.clone()),
        (How::Hung, 0, None, against.clone()),
        (How::ByItself(Some(1)), 9_000, None, against.clone()),
        // It cannot start without its store.
        (How::ByItself(Some(1)), 9_000, Some((5_000, 9_500)), vec![]),
        (
            How::ByItself(Some(1)),
            9_000,
            Some((12_000, 13_000)),
            against.clone(),
        ),
        (
            How::ByItself(Some(1)),
            9_600,
            Some((5_000, 9_500)),
            against.clone(),
        ),
        // It ran for long.
        (
            How::ByItself(Some(1)),
            0,
            Some((5_000, 9_500)),
            against.clone(),
        ),
        // It crashed.
        (
            How::ByItself(None),
            9_000,
            Some((5_000, 9_500)),
            against.clone(),
        ),
    ] {
        let text = format!("{how:?} {born} {outage:?}");
        let case = Case {
            born,
            answers: vec![ok(1_001)],
            runs: vec![(1_000, FIRST, false)],
            deaths: vec![(10_000, FIRST, how)],
            outage,
            ..Case::default()
        };
        assert_eq!(found(&case.judge(GUARD)), expected, "{text}");
    }
}
