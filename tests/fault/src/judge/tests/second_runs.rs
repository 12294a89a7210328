use super::*;

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
        (How::Stopped(Some(1)), 9_000, Some((5_000, 9_500)), vec![]),
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
