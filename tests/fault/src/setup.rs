//! The set-ups: which app, with which store, behind what.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::judge::{Rows, Rules};

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum SetUp {
    /// Three replicas behind nginx, with the guard in Redis.
    Redis,
    /// Three replicas behind HAProxy, with the guard in PostgreSQL and `settle_in`.
    Postgres,
    /// Three receivers behind nginx, and three workers, with an inbox in PostgreSQL.
    InboxPostgres,
    /// One process behind HAProxy, with an inbox in SQLite.
    InboxSqlite,
    /// Three processes behind nginx, which start jobs and expect their events, with an inbox in PostgreSQL.
    JobsPostgres,
    /// One process behind HAProxy, which starts jobs and expects their events, with an inbox in SQLite.
    JobsSqlite,
    /// An app of yours, see --app.
    #[value(skip)]
    Own,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum StoreKind {
    /// `REDIS_URL`
    Redis,
    /// `DATABASE_URL`
    Postgres,
    /// `DATABASE_URL`, a file
    Sqlite,
    /// No variable
    None,
}

/// A mistake in the app that must be found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Plant {
    /// A guard that marks an event as handled before its handler runs (with the set-up redis).
    MarksFirst,
    /// An inbox that answers before it stores (with the set-ups of the inbox).
    AnswersFirst,
    /// A watcher that is never run (with the set-ups of expected jobs).
    NeverAsks,
}

impl Plant {
    /// What tells the app.
    pub(crate) fn variable(self) -> (String, String) {
        let name = match self {
            Self::MarksFirst => "marks-first",
            Self::AnswersFirst => "answers-first",
            Self::NeverAsks => "never-asks",
        };
        ("FAULT_PLANT".to_owned(), name.to_owned())
    }

    /// The set-ups whose app can make this mistake.
    pub(crate) fn setups(self) -> &'static [SetUp] {
        match self {
            Self::MarksFirst => &[SetUp::Redis],
            Self::AnswersFirst => &[SetUp::InboxPostgres, SetUp::InboxSqlite],
            Self::NeverAsks => &[SetUp::JobsPostgres, SetUp::JobsSqlite],
        }
    }
}

/// An app of the user's.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) store: StoreKind,
    pub(crate) replicas: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Front {
    Nginx,
    Haproxy,
}

/// What a set-up is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) title: String,
    pub(crate) program: PathBuf,
    /// The arguments of each process that receives, and of each that does not.
    pub(crate) receivers: Vec<Vec<String>>,
    pub(crate) workers: Vec<Vec<String>>,
    pub(crate) store: StoreKind,
    pub(crate) front: Front,
    pub(crate) has_inbox: bool,
    /// It starts jobs, and no events are sent but theirs.
    pub(crate) has_jobs: bool,
    /// Handlers fail as the app is told, and one clock is off.
    pub(crate) mishaps: bool,
    pub(crate) rules: Rules,
}

impl SetUp {
    pub(crate) const ALL: [Self; 6] = [
        Self::Redis,
        Self::Postgres,
        Self::InboxPostgres,
        Self::InboxSqlite,
        Self::JobsPostgres,
        Self::JobsSqlite,
    ];

    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::InboxPostgres => "inbox-postgres",
            Self::InboxSqlite => "inbox-sqlite",
            Self::JobsPostgres => "jobs-postgres",
            Self::JobsSqlite => "jobs-sqlite",
            Self::Own => "own",
        }
    }

    /// `app` is the program of the set-ups that are not the user's.
    pub(crate) fn parts(self, app: PathBuf, own: Option<&Own>) -> Parts {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let guarded = |title: &str, name, store, front, rows| Parts {
            title: title.to_owned(),
            program: app.clone(),
            receivers: vec![words(&[name]); 3],
            workers: Vec::new(),
            store,
            front,
            has_inbox: false,
            has_jobs: false,
            mishaps: true,
            rules: Rules {
                rows,
                runs_in_delivery: true,
                // The lease of 10 s, of which a handler may have taken 5.
                held: 4_500,
            },
        };
        let inbox = |title: &str, receivers, workers, store, front| Parts {
            title: title.to_owned(),
            program: app.clone(),
            receivers,
            workers,
            store,
            front,
            has_inbox: true,
            has_jobs: false,
            mishaps: true,
            rules: Rules {
                rows: Rows::Batches,
                runs_in_delivery: false,
                held: 0,
            },
        };
        let jobs = |title: &str, processes, store, front| Parts {
            has_jobs: true,
            ..inbox(
                title,
                vec![words(&["jobs"]); processes],
                Vec::new(),
                store,
                front,
            )
        };
        match (self, own) {
            (Self::Own, Some(own)) => Parts {
                title: format!(
                    "{}, {} replicas behind nginx",
                    own.program.display(),
                    own.replicas
                ),
                program: own.program.clone(),
                receivers: vec![own.arguments.clone(); own.replicas],
                workers: Vec::new(),
                store: own.store,
                front: Front::Nginx,
                has_inbox: false,
                has_jobs: false,
                mishaps: false,
                rules: Rules {
                    rows: Rows::None,
                    runs_in_delivery: true,
                    held: 0,
                },
            },
            (Self::Postgres, _) => guarded(
                "guard in PostgreSQL with settle_in, 3 replicas behind HAProxy",
                "postgres",
                StoreKind::Postgres,
                Front::Haproxy,
                Rows::All,
            ),
            (Self::InboxPostgres, _) => inbox(
                "inbox in PostgreSQL, 3 receivers behind nginx and 3 workers",
                vec![words(&["inbox", "receive"]); 3],
                vec![words(&["inbox", "work"]); 3],
                StoreKind::Postgres,
                Front::Nginx,
            ),
            (Self::InboxSqlite, _) => inbox(
                "inbox in SQLite, 1 process behind HAProxy",
                vec![words(&["inbox"])],
                Vec::new(),
                StoreKind::Sqlite,
                Front::Haproxy,
            ),
            (Self::JobsPostgres, _) => jobs(
                "expected jobs in PostgreSQL, 3 processes behind nginx",
                3,
                StoreKind::Postgres,
                Front::Nginx,
            ),
            (Self::JobsSqlite, _) => jobs(
                "expected jobs in SQLite, 1 process behind HAProxy",
                1,
                StoreKind::Sqlite,
                Front::Haproxy,
            ),
            (Self::Redis | Self::Own, _) => guarded(
                "guard in Redis, 3 replicas behind nginx",
                "redis",
                StoreKind::Redis,
                Front::Nginx,
                Rows::None,
            ),
        }
    }
}
