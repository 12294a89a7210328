//! The statements about jobs that are expected, under the same rules as those about events.

/// The statements of one database.
#[derive(Debug)]
pub(crate) struct JobStatements {
    pub(crate) migrations: &'static [&'static str],
    pub(crate) expect: &'static str,
    pub(crate) announce: &'static str,
    pub(crate) is_unnamed: &'static str,
    pub(crate) name: &'static str,
    pub(crate) withdraw: &'static str,
    pub(crate) find: &'static str,
    pub(crate) standing: &'static str,
    pub(crate) counts: &'static str,
    pub(crate) mark_answered: &'static str,
    pub(crate) answer: &'static str,
    pub(crate) clean_up: &'static str,
    #[cfg(feature = "client")]
    pub(crate) watching: Watching,
}

/// The statements of the watcher.
#[cfg(feature = "client")]
#[derive(Debug)]
pub(crate) struct Watching {
    pub(crate) lead: &'static str,
    pub(crate) leave: &'static str,
    pub(crate) due: &'static str,
    pub(crate) unnamed: &'static str,
    pub(crate) postpone: &'static str,
    pub(crate) end: &'static str,
    pub(crate) put: &'static str,
    pub(crate) last_event: &'static str,
}

/// What is read of a job, in the order of [`Expectation::read`](crate::jobs::Expectation::read).
macro_rules! expectation {
    () => {
        "own_id, kind, COALESCE(id, ''), COALESCE(metadata, ''), written_at, answer_by, state"
    };
}

/// What the watcher reads of jobs that are due, and which these are, in the order of
/// `Due::read` of the watcher.
#[cfg(feature = "client")]
macro_rules! due {
    ($now:literal) => {
        concat!(
            $crate::store::jobs::expectation!(),
            ", number, asked, denied, round, ",
            $now,
            "
FROM gemini_webhooks_inbox_jobs
WHERE namespace = $1 AND state = 0 AND ask_at <= ",
            $now
        )
    };
}

/// Makes the statements of a database.
macro_rules! job_statements {
    (
        number: $number:literal,
        bytes: $bytes:literal,
        now: $now:literal,
        skip_locked: $skip_locked:literal,
    ) => {
        $crate::store::jobs::JobStatements {
            migrations: &[
                concat!(
                    "\
CREATE TABLE IF NOT EXISTS gemini_webhooks_inbox_jobs (
    number ", $number, ",
    namespace text NOT NULL,
    own_id text NOT NULL UNIQUE,
    kind text NOT NULL,
    id text,
    key ", $bytes, " UNIQUE,
    metadata text,
    state bigint NOT NULL,
    written_at bigint NOT NULL,
    answer_by bigint NOT NULL,
    ask_at bigint NOT NULL,
    asked bigint NOT NULL,
    denied bigint NOT NULL,
    expected_at bigint NOT NULL,
    round bigint NOT NULL,
    ended_at bigint
)"
                ),
                "\
CREATE INDEX IF NOT EXISTS gemini_webhooks_inbox_jobs_due
ON gemini_webhooks_inbox_jobs (namespace, ask_at) WHERE state = 0",
                "\
CREATE INDEX IF NOT EXISTS gemini_webhooks_inbox_jobs_unnamed
ON gemini_webhooks_inbox_jobs (namespace, kind) WHERE id IS NULL",
                "\
CREATE INDEX IF NOT EXISTS gemini_webhooks_inbox_jobs_ended
ON gemini_webhooks_inbox_jobs (namespace, ended_at) WHERE state >= 1",
                concat!(
                    "\
CREATE TABLE IF NOT EXISTS gemini_webhooks_inbox_leases (
    namespace text NOT NULL,
    name text NOT NULL,
    holder ", $bytes, " NOT NULL,
    held_until bigint NOT NULL,
    PRIMARY KEY (namespace, name)
)"
                ),
            ],
            // `$1` namespace, `$2` own id, `$3` kind, `$4` id, `$5` key, `$6` metadata, `$7` time for the answer.
            expect: concat!(
                "\
INSERT INTO gemini_webhooks_inbox_jobs (
    namespace, own_id, kind, id, key, metadata, state,
    written_at, answer_by, ask_at, asked, denied, expected_at, round
)
VALUES (
    $1, $2, $3, $4, $5, $6, 0,
    ", $now, ", ", $now, " + $7, ", $now, " + $7, 0, 0, ", $now, ", 0
)
ON CONFLICT (key) DO UPDATE SET
    metadata = excluded.metadata,
    state = 0,
    answer_by = excluded.answer_by,
    ask_at = excluded.ask_at,
    asked = 0,
    denied = 0,
    expected_at = excluded.expected_at,
    round = gemini_webhooks_inbox_jobs.round + 1,
    ended_at = NULL
RETURNING own_id"
            ),
            // `$1` namespace, `$2` own id, `$3` kind, `$4` metadata, `$5` time for the answer, `$6` time for its name.
            announce: concat!(
                "\
INSERT INTO gemini_webhooks_inbox_jobs (
    namespace, own_id, kind, metadata, state,
    written_at, answer_by, ask_at, asked, denied, expected_at, round
)
VALUES (
    $1, $2, $3, $4, 0,
    ", $now, ", ", $now, " + $5, ", $now, " + $6, 0, 0, ", $now, ", 0
)
RETURNING own_id"
            ),
            // `$1` namespace, `$2` own id, `$3` kind.
            is_unnamed: "\
SELECT number
FROM gemini_webhooks_inbox_jobs
WHERE namespace = $1 AND own_id = $2 AND kind = $3 AND id IS NULL",
            // `$1` namespace, `$2` own id, `$3` kind, `$4` id, `$5` key. What was given up for want of a name is expected
            // again.
            name: concat!(
                "\
UPDATE gemini_webhooks_inbox_jobs SET
    id = $4,
    key = $5,
    state = 0,
    ask_at = CASE WHEN answer_by > ", $now, " THEN answer_by ELSE ", $now, " END,
    asked = 0,
    denied = 0,
    round = round + 1,
    ended_at = NULL
WHERE namespace = $1 AND own_id = $2 AND kind = $3 AND id IS NULL
    AND NOT EXISTS (SELECT 1 FROM gemini_webhooks_inbox_jobs WHERE key = $5)
RETURNING number"
            ),
            // `$1` namespace, `$2` own id.
            withdraw: "\
DELETE FROM gemini_webhooks_inbox_jobs
WHERE namespace = $1 AND own_id = $2 AND id IS NULL
RETURNING number",
            // `$1` key.
            find: concat!(
                "SELECT ",
                $crate::store::jobs::expectation!(),
                "
FROM gemini_webhooks_inbox_jobs
WHERE key = $1"
            ),
            // 2 if the job is written down or its end is in the inbox, 1 if it may be one that has no name yet, else 0. `$1`
            // namespace, `$2` key, `$3` kind.
            standing: "\
SELECT CAST(CASE
    WHEN EXISTS (SELECT 1 FROM gemini_webhooks_inbox_jobs WHERE key = $2) THEN 2
    WHEN EXISTS (SELECT 1 FROM gemini_webhooks_inbox WHERE key = $2) THEN 2
    WHEN EXISTS (
        SELECT 1 FROM gemini_webhooks_inbox_jobs
        WHERE namespace = $1 AND kind = $3 AND id IS NULL AND state = 0
    ) THEN 1
    ELSE 0
END AS bigint)",
            // `$1` namespace.
            counts: concat!(
                "\
SELECT
    (SELECT count(*) FROM gemini_webhooks_inbox_jobs WHERE namespace = $1 AND state = 0),
    (SELECT count(*) FROM gemini_webhooks_inbox_jobs
        WHERE namespace = $1 AND id IS NULL AND state = 0),
    (SELECT count(*) FROM gemini_webhooks_inbox_jobs
        WHERE namespace = $1 AND state = 0 AND answer_by <= ", $now, "),
    (SELECT ", $now, " - min(answer_by) FROM gemini_webhooks_inbox_jobs
        WHERE namespace = $1 AND state = 0 AND answer_by <= ", $now, ")"
            ),
            // Jobs whose time is over and whose end is in the inbox, from an `ask_at` on. `$1` namespace, `$2` how many,
            // `$3` from when on.
            mark_answered: concat!(
                "\
UPDATE gemini_webhooks_inbox_jobs SET
    state = 1,
    ended_at = ", $now, "
WHERE number IN (
    SELECT number
    FROM gemini_webhooks_inbox_jobs AS job
    WHERE namespace = $1 AND state = 0 AND ask_at <= ", $now, " AND ask_at >= $3
        AND EXISTS (SELECT 1 FROM gemini_webhooks_inbox AS event WHERE event.key = job.key)
    ORDER BY ask_at
    LIMIT $2
    ", $skip_locked, "
)
RETURNING ask_at"
            ),
            // `$1` key of the job, `$2` key of the event. An event that was there before the job was expected anew does not
            // answer it.
            answer: concat!(
                "\
UPDATE gemini_webhooks_inbox_jobs SET
    state = 1,
    ended_at = ", $now, "
WHERE key = $1 AND state <> 1
    AND expected_at <= (SELECT received_at FROM gemini_webhooks_inbox WHERE key = $2)
RETURNING number"
            ),
            // A job is kept as long as its event. `$1` namespace, `$2` how long it is kept, `$3` how many, `$4` how long it
            // is kept if it was given up.
            clean_up: concat!(
                "\
DELETE FROM gemini_webhooks_inbox_jobs
WHERE number IN (
    SELECT number
    FROM gemini_webhooks_inbox_jobs AS job
    WHERE namespace = $1 AND state >= 1 AND ended_at <= ", $now, " - $2
        AND (state = 1 OR ended_at <= ", $now, " - $4)
        AND NOT EXISTS (SELECT 1 FROM gemini_webhooks_inbox AS event WHERE event.key = job.key)
    LIMIT $3
    ", $skip_locked, "
)
RETURNING number"
            ),
            #[cfg(feature = "client")]
            watching: $crate::store::jobs::Watching {
                // `$1` namespace, `$2` name, `$3` holder, `$4` for how long. What is held for longer was taken before
                // the clock was set back.
                lead: concat!(
                    "\
INSERT INTO gemini_webhooks_inbox_leases (namespace, name, holder, held_until)
VALUES ($1, $2, $3, ", $now, " + $4)
ON CONFLICT (namespace, name) DO UPDATE SET
    holder = excluded.holder,
    held_until = excluded.held_until
WHERE gemini_webhooks_inbox_leases.holder = excluded.holder
    OR gemini_webhooks_inbox_leases.held_until <= ", $now, "
    OR gemini_webhooks_inbox_leases.held_until > ", $now, " + 2 * $4
RETURNING name"
                ),
                // `$1` namespace, `$2` name, `$3` holder.
                leave: "\
DELETE FROM gemini_webhooks_inbox_leases
WHERE namespace = $1 AND name = $2 AND holder = $3
RETURNING name",
                // `$1` namespace, `$2` how many.
                due: concat!(
                    "SELECT ",
                    $crate::store::jobs::due!($now),
                    " AND id IS NOT NULL
ORDER BY ask_at, number
LIMIT $2"
                ),
                // `$1` namespace, `$2` how many.
                unnamed: concat!(
                    "SELECT ",
                    $crate::store::jobs::due!($now),
                    " AND id IS NULL
ORDER BY ask_at, number
LIMIT $2"
                ),
                // `$1` number, `$2` round, `$3` for how long, `$4` how often it was asked about, `$5` how often in a row it
                // was denied.
                postpone: concat!(
                    "\
UPDATE gemini_webhooks_inbox_jobs SET
    ask_at = ", $now, " + $3,
    asked = $4,
    denied = $5
WHERE number = $1 AND round = $2 AND state = 0
RETURNING number"
                ),
                // `$1` number, `$2` round, `$3` state.
                end: concat!(
                    "\
UPDATE gemini_webhooks_inbox_jobs SET
    state = $3,
    ended_at = ", $now, "
WHERE number = $1 AND round = $2 AND state = 0
RETURNING number"
                ),
                // As `put` of an event; `$10` its state, `$11` what the history says. If `$12` is the number of a job, the
                // job must still be expected as it was, in the round `$13`.
                put: concat!(
                    "\
INSERT INTO gemini_webhooks_inbox (
    namespace, key, webhook_id, scheme, key_id, sent_at, type, body,
    copies_until, state, attempts, runs, due_at, received_at, ended_at, history
)
SELECT
    CAST($1 AS text), CAST($2 AS ", $bytes, "), CAST($3 AS text), CAST($4 AS text), CAST($5 AS text),
    CAST($6 AS bigint), CAST($7 AS text), CAST($8 AS ", $bytes, "),
    ", $now, " + $9, CAST($10 AS bigint), 0, 0, ", $now, ", ", $now, ",
    CASE WHEN CAST($10 AS bigint) >= 2 THEN ", $now, " END,
    '{\"at\":' || ", $now, " || ',' || CAST($11 AS text)
WHERE CAST($12 AS bigint) IS NULL OR EXISTS (
    SELECT 1 FROM gemini_webhooks_inbox_jobs WHERE number = $12 AND round = $13 AND state = 0
)
ON CONFLICT (key) DO NOTHING
RETURNING key"
                ),
                // For how long the youngest event has been here that Google delivered. `$1` namespace, `$2` the
                // scheme of events that were found.
                last_event: concat!(
                    "\
SELECT ", $now, " - max(received_at)
FROM gemini_webhooks_inbox
WHERE namespace = $1 AND scheme <> $2"
                ),
            },
        }
    };
}

#[cfg(feature = "client")]
pub(crate) use due;
pub(crate) use {expectation, job_statements};
