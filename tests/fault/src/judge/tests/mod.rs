use super::*;
use crate::events::{Forgery, Habit};
use crate::journal::Outage;

mod second_runs;

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
                    told: None,
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
