use gemini_webhooks::event::JobKind;
use gemini_webhooks::testing::google::{BatchOutcome, InteractionStatus, VideoOutcome};

use super::*;
use crate::journal::{Death, How, Life, Outage, Told};

const LIFE: Life = Life {
    replica: 0,
    start: 1,
};
const ENDS: End = End::Interaction(InteractionStatus::Completed);
const ACTS: End = End::Interaction(InteractionStatus::RequiresAction);

/// One job, which is started at 1 s, wants an answer within 3 s, and ends at 2 s.
#[derive(Clone)]
struct Case {
    kind: JobKind,
    expects_after: bool,
    answer: Answer,
    end: End,
    /// When its event was handled, and whether it was found.
    runs: Vec<(u64, bool)>,
    r#type: Option<&'static str>,
    /// Whether each has a name.
    letters: Vec<bool>,
    delivered: bool,
    asked: bool,
    open: bool,
    died: Option<u64>,
    outage: Option<(u64, u64)>,
}

fn case() -> Case {
    Case {
        kind: JobKind::Interaction,
        expects_after: false,
        answer: Answer::Started,
        end: ENDS,
        runs: Vec::new(),
        r#type: None,
        letters: Vec::new(),
        delivered: false,
        asked: false,
        open: false,
        died: None,
        outage: None,
    }
}

impl Case {
    /// Everything that the verdict counts or blames, in one line.
    fn verdict(&self) -> String {
        let id = format!("{}/1", self.kind.as_str());
        let wish = Wish {
            kind: self.kind,
            due: 0,
            expects_after: self.expects_after,
            within: 3_000,
            calls_back: true,
            pause: 0,
            end: self.end,
            ends_after: 1_000,
            delivery: None,
            kill: None,
        };
        let start = Start {
            wish: 0,
            began: Moment(1_000),
            answer: self.answer,
            ended: Moment(1_100),
        };
        let job = Job {
            name: "1".to_owned(),
            id: id.clone(),
            start: Some(0),
            end: self.end,
            ended: Some(Moment(2_000)),
        };
        let runs = self.runs.iter().map(|(at, found)| Run {
            webhook_id: "msg_1".to_owned(),
            at: Moment(*at),
            life: LIFE,
            once: false,
            told: Some(Told {
                job: id.clone(),
                r#type: self.r#type.or(self.end.event()).unwrap().to_owned(),
                found: *found,
            }),
        });
        let death = |at| Death {
            life: LIFE,
            born: Moment(0),
            at: Moment(at),
            how: How::Killed,
        };
        let outage = |(from, to)| Outage {
            what: "the store was paused".to_owned(),
            from: Moment(from),
            to: Moment(to),
        };
        let entries = Entries {
            runs: runs.collect(),
            deaths: self.died.map(death).into_iter().collect(),
            outages: self.outage.map(outage).into_iter().collect(),
            ..Entries::default()
        };
        let letter = |is_named: &bool| Letter {
            webhook_id: "asked_1".to_owned(),
            start: Some(0),
            is_named: *is_named,
            why: "gone".to_owned(),
        };
        let dead: Vec<Letter> = self.letters.iter().map(letter).collect();
        let one = |is| is_one(is, &id);
        let verdict = judge(Evidence {
            wishes: &[wish],
            starts: &[start],
            jobs: &[job],
            entries: &entries,
            names: &[],
            dead: &dead,
            delivered: &one(self.delivered),
            asked: &one(self.asked),
            open: &one(self.open),
        });
        said(&verdict)
    }
}

fn is_one(is: bool, id: &str) -> HashSet<String> {
    is.then(|| id.to_owned()).into_iter().collect()
}

fn said(verdict: &Verdict) -> String {
    let counts = [
        ("told", verdict.told),
        ("found", verdict.found),
        ("acted twice", verdict.acted_twice),
        ("forgotten", verdict.forgotten),
        ("running", verdict.running),
        ("nameless", verdict.nameless),
        ("never started", verdict.never_started),
        ("not expected", verdict.not_expected),
        ("stranger", verdict.strangers),
        ("explained", verdict.explained.len()),
    ];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let breaches = verdict.breaches();
    let breaches = breaches.iter().filter(|(_, list)| !list.is_empty());
    let words = counts.map(|(name, _)| (*name).to_owned());
    let words = words.chain(breaches.map(|(name, _)| name.to_uppercase()));
    words.collect::<Vec<_>>().join(", ")
}

#[test]
fn what_has_ended_is_handled_once() {
    for (name, case, verdict) in [
        (
            "by a webhook",
            Case {
                runs: vec![(2_100, false)],
                ..case()
            },
            "told",
        ),
        (
            "by asking",
            Case {
                runs: vec![(4_500, true)],
                ..case()
            },
            "found",
        ),
        ("not", case(), "LOST"),
        (
            "not, and its process died",
            Case {
                answer: Answer::None,
                died: Some(1_100),
                ..case()
            },
            "LOST",
        ),
        (
            "as another event",
            Case {
                runs: vec![(2_100, false)],
                r#type: Some("interaction.failed"),
                ..case()
            },
            "told, EVENTS OF NO JOB, OR OF THE WRONG TYPE",
        ),
        (
            "twice",
            Case {
                runs: vec![(2_100, false), (4_500, true)],
                ..case()
            },
            "told, UNEXPLAINED SECOND RUNS",
        ),
        (
            "twice, as the process died after the first",
            Case {
                runs: vec![(2_100, false), (6_000, false)],
                died: Some(2_150),
                ..case()
            },
            "told, explained",
        ),
        (
            "twice, as the store failed at the first",
            Case {
                runs: vec![(4_100, true), (9_000, true)],
                outage: Some((4_000, 5_000)),
                ..case()
            },
            "found, explained",
        ),
        (
            "told and found, as it requires action",
            Case {
                end: ACTS,
                runs: vec![(2_100, false), (4_500, true)],
                ..case()
            },
            "told, acted twice",
        ),
        (
            "told twice, although it requires action",
            Case {
                end: ACTS,
                runs: vec![(2_100, false), (4_500, false)],
                ..case()
            },
            "told, UNEXPLAINED SECOND RUNS",
        ),
    ] {
        assert_eq!(case.verdict(), verdict, "{name}");
    }
}

#[test]
fn a_dead_letter_has_a_reason() {
    const DEAD: &str = "DEAD LETTERS AGAINST THE PLAN";
    let forgotten = Case {
        end: End::Forgotten,
        ..case()
    };
    let nameless = Case {
        answer: Answer::Unknown,
        letters: vec![false],
        ..case()
    };
    for (name, case, verdict) in [
        (
            "forgotten",
            Case {
                letters: vec![true],
                ..forgotten.clone()
            },
            "forgotten".to_owned(),
        ),
        (
            "forgotten, and no letter",
            forgotten.clone(),
            "LOST".to_owned(),
        ),
        (
            "forgotten, two letters",
            Case {
                letters: vec![true, true],
                ..forgotten
            },
            format!("LOST, {DEAD}"),
        ),
        (
            "Google has it",
            Case {
                letters: vec![true],
                ..case()
            },
            format!("LOST, {DEAD}"),
        ),
        (
            "handled as well",
            Case {
                letters: vec![true],
                runs: vec![(2_100, false)],
                ..case()
            },
            format!("told, {DEAD}"),
        ),
        (
            "nobody knows its name",
            nameless.clone(),
            "nameless".to_owned(),
        ),
        (
            "nobody knows its name, and it came",
            Case {
                delivered: true,
                ..nameless.clone()
            },
            "LOST".to_owned(),
        ),
        (
            "nobody knows its name, and it was handled",
            Case {
                runs: vec![(2_100, false)],
                ..nameless.clone()
            },
            "told".to_owned(),
        ),
        (
            "a batch can be listed",
            Case {
                kind: JobKind::Batch,
                end: End::Batch(BatchOutcome::Succeeded),
                ..nameless.clone()
            },
            "LOST".to_owned(),
        ),
        (
            "its name was told",
            Case {
                answer: Answer::Started,
                ..nameless.clone()
            },
            format!("LOST, {DEAD}"),
        ),
        (
            "its name was told, and could not be written",
            Case {
                answer: Answer::Started,
                outage: Some((900, 1_500)),
                ..nameless.clone()
            },
            "nameless".to_owned(),
        ),
        (
            "it was to be expected afterwards",
            Case {
                expects_after: true,
                letters: Vec::new(),
                ..nameless
            },
            "not expected".to_owned(),
        ),
    ] {
        assert_eq!(case.verdict(), verdict, "{name}");
    }
}

#[test]
fn what_runs_on_is_asked_about() {
    let runs_on = Case {
        kind: JobKind::Video,
        end: End::Never,
        ..case()
    };
    for (name, case, verdict) in [
        (
            "expected and asked",
            Case {
                open: true,
                asked: true,
                ..runs_on.clone()
            },
            "running",
        ),
        (
            "never asked",
            Case {
                open: true,
                ..runs_on.clone()
            },
            "running, RUNNING, AND NOT EXPECTED ANY MORE",
        ),
        (
            "not expected",
            runs_on.clone(),
            "RUNNING, AND NOT EXPECTED ANY MORE",
        ),
        (
            "handled",
            Case {
                runs: vec![(4_000, true)],
                r#type: Some("video.generated"),
                ..runs_on
            },
            "found, EVENTS OF NO JOB, OR OF THE WRONG TYPE",
        ),
        (
            "ended after all",
            Case {
                kind: JobKind::Video,
                end: End::Video(VideoOutcome::Failed),
                runs: vec![(4_500, true)],
                ..case()
            },
            "found",
        ),
    ] {
        assert_eq!(case.verdict(), verdict, "{name}");
    }
}

#[test]
fn a_stranger_and_what_was_not_started_have_no_event() {
    let job = |start| Job {
        name: "batches/1".to_owned(),
        id: "batch/1".to_owned(),
        start,
        end: End::Batch(BatchOutcome::Succeeded),
        ended: Some(Moment(2_000)),
    };
    let run = Run {
        webhook_id: "msg_1".to_owned(),
        at: Moment(2_100),
        life: LIFE,
        once: false,
        told: Some(Told {
            job: "batch/1".to_owned(),
            r#type: "batch.succeeded".to_owned(),
            found: false,
        }),
    };
    let letter = Letter {
        webhook_id: "announced_1".to_owned(),
        start: Some(0),
        is_named: false,
        why: "no name".to_owned(),
    };
    const FOREIGN: &str = "EVENTS OF NO JOB, OR OF THE WRONG TYPE";
    let start = |answer| Start {
        wish: 0,
        began: Moment(1_000),
        answer,
        ended: Moment(1_100),
    };
    for (name, jobs, runs, dead, answer, verdict) in [
        (
            "a stranger's",
            vec![job(None)],
            vec![],
            vec![],
            Answer::None,
            "stranger".to_owned(),
        ),
        (
            "a stranger's, handled",
            vec![job(None)],
            vec![run.clone()],
            vec![],
            Answer::None,
            format!("stranger, {FOREIGN}"),
        ),
        (
            "unknown",
            vec![],
            vec![run],
            vec![],
            Answer::None,
            FOREIGN.to_owned(),
        ),
        (
            "not started",
            vec![],
            vec![],
            vec![letter.clone()],
            Answer::None,
            "never started".to_owned(),
        ),
        (
            "started, says the app",
            vec![],
            vec![],
            vec![letter],
            Answer::Started,
            "DEAD LETTERS AGAINST THE PLAN".to_owned(),
        ),
    ] {
        let entries = Entries {
            runs,
            ..Entries::default()
        };
        let none = HashSet::new();
        let judged = judge(Evidence {
            wishes: &[],
            starts: &[start(answer)],
            jobs: &jobs,
            entries: &entries,
            names: &[],
            dead: &dead,
            delivered: &none,
            asked: &none,
            open: &none,
        });
        assert_eq!(said(&judged), verdict, "{name}");
    }
}
