//! The statements, which are the same text for all databases but for a few words.
//!
//! Each is carried out as a whole or not at all. Times are milliseconds since 1970, by the database's
//! clock, and all numbers are `bigint`: a parameter then has the type that its column has.

use super::jobs::JobStatements;

/// The statements of one database.
#[derive(Debug)]
#[expect(unnameable_types, reason = "part of the sealed trait")]
pub struct Statements {
    pub(crate) migrations: &'static [&'static str],
    pub(crate) put: &'static str,
    /// [`put`](Self::put) before its row, the row, and after it: a statement of many rows is made of them.
    #[cfg(feature = "sqlite")]
    pub(crate) put_parts: [&'static str; 3],
    pub(crate) known: &'static str,
    pub(crate) room: &'static str,
    pub(crate) due: &'static str,
    pub(crate) take: &'static str,
    pub(crate) beat: &'static str,
    pub(crate) end: &'static str,
    pub(crate) give_back: &'static str,
    pub(crate) depth: &'static str,
    pub(crate) list: &'static str,
    pub(crate) list_newest: &'static str,
    pub(crate) count: &'static str,
    pub(crate) retry: &'static str,
    pub(crate) discard: &'static str,
    pub(crate) clean_up: &'static str,
    pub(crate) jobs: JobStatements,
}

macro_rules! put_into {
    () => {
        "\
INSERT INTO gemini_webhooks_inbox (
    namespace, key, webhook_id, scheme, key_id, sent_at, type, body,
    copies_until, state, attempts, runs, due_at, received_at, history
)
VALUES "
    };
}

macro_rules! put_row {
    ($now:literal) => {
        concat!(
            "(
    $1, $2, $3, $4, $5, $6, $7, $8,
    ",
            $now,
            " + $9, 0, 0, 0, ",
            $now,
            ", ",
            $now,
            ",
    '{\"at\":' || ",
            $now,
            " || ',\"what\":\"stored\"}'
)"
        )
    };
}

macro_rules! put_once {
    () => {
        "
ON CONFLICT (key) DO NOTHING
RETURNING key"
    };
}

/// What is read of an event that is listed, in the order of [`Entry::read`](crate::entry::Entry::read).
macro_rules! listed {
    () => {
        "number, webhook_id, scheme, key_id, sent_at, body, state, attempts, received_at, due_at, ended_at, history"
    };
}

/// Which events are meant: `$1` namespace, `$2` state, `$3` type, `$4` `webhook-id`, `$5` number, `$6` after and `$7`
/// before which number. All but the first may be null, which leaves them open. Numbers begin at 1. The first two
/// comparisons of them are for the index, of which SQLite uses one bound on either side: without them a later page of a
/// list would cost more than the first.
macro_rules! filter {
    () => {
        "namespace = $1
    AND (CAST($2 AS bigint) IS NULL OR state = $2)
    AND (CAST($3 AS text) IS NULL OR type = $3)
    AND (CAST($4 AS text) IS NULL OR webhook_id = $4)
    AND number >= COALESCE(CAST($5 AS bigint), CAST($6 AS bigint), 0)
    AND number <= COALESCE(CAST($5 AS bigint), CAST($7 AS bigint), 9223372036854775807)
    AND number > COALESCE(CAST($6 AS bigint), 0)
    AND number < COALESCE(CAST($7 AS bigint), 9223372036854775807)"
    };
}

/// Makes the statements of a database.
macro_rules! statements {
    (
        number: $number:literal,
        bytes: $bytes:literal,
        now: $now:literal,
        skip_locked: $skip_locked:literal,
        max: $max:literal,
    ) => {
        $crate::store::statements::Statements {
            migrations: &[
                concat!(
                    "\
CREATE TABLE IF NOT EXISTS gemini_webhooks_inbox (
    number ", $number, ",
    namespace text NOT NULL,
    key ", $bytes, " NOT NULL UNIQUE,
    webhook_id text NOT NULL,
    scheme text NOT NULL,
    key_id text NOT NULL,
    sent_at bigint NOT NULL,
    type text,
    body ", $bytes, " NOT NULL,
    state bigint NOT NULL,
    attempts bigint NOT NULL,
    runs bigint NOT NULL,
    holder ", $bytes, ",
    due_at bigint NOT NULL,
    received_at bigint NOT NULL,
    ended_at bigint,
    copies_until bigint NOT NULL,
    history text NOT NULL
)"
                ),
                "\
CREATE INDEX IF NOT EXISTS gemini_webhooks_inbox_due
ON gemini_webhooks_inbox (namespace, due_at) WHERE state <= 1",
                "\
CREATE INDEX IF NOT EXISTS gemini_webhooks_inbox_held
ON gemini_webhooks_inbox (holder) WHERE holder IS NOT NULL",
                "\
CREATE INDEX IF NOT EXISTS gemini_webhooks_inbox_ended
ON gemini_webhooks_inbox (namespace, state, ended_at) WHERE state >= 2",
            ],
            // `$1` namespace, `$2` key, `$3` `webhook-id`, `$4` scheme, `$5` key's id, `$6` sent at, `$7` type,
            // `$8` body, `$9` for how long copies may come.
            put: concat!(put_into!(), put_row!($now), put_once!()),
            #[cfg(feature = "sqlite")]
            put_parts: [put_into!(), put_row!($now), put_once!()],
            // `$1` key.
            known: "\
SELECT number
FROM gemini_webhooks_inbox
WHERE key = $1",
            // How many wait or run, at most `$2`.
            room: "\
SELECT count(*)
FROM (
    SELECT 1
    FROM gemini_webhooks_inbox
    WHERE namespace = $1 AND state <= 1
    LIMIT $2
) AS unfinished",
            // Whether something waits, and whether something was begun and never ended: a look costs less than
            // taking nothing. `$1` namespace, `$2` the holder that looks: what it has itself, it still runs.
            due: concat!(
                "\
SELECT
    CAST(CASE WHEN EXISTS (
        SELECT 1 FROM gemini_webhooks_inbox
        WHERE namespace = $1 AND state <= 1 AND state = 0 AND due_at <= ", $now, "
    ) THEN 1 ELSE 0 END AS bigint),
    CAST(CASE WHEN EXISTS (
        SELECT 1 FROM gemini_webhooks_inbox
        WHERE namespace = $1 AND state <= 1 AND state = 1 AND due_at <= ", $now, "
            AND holder <> CAST($2 AS ", $bytes, ")
    ) THEN 1 ELSE 0 END AS bigint)"
            ),
            // `$1` namespace, `$2` holder, `$3` for how long, `$4` how many, `$5` the attempts that there may be,
            // `$6` and `$7` what the history says, `$8` in which state they are. The attempt counts before the
            // run. What has had all its attempts and is still not done has ended its process each time, or
            // outlasted its hold.
            take: concat!(
                "\
WITH due AS MATERIALIZED (
    SELECT number
    FROM gemini_webhooks_inbox
    WHERE namespace = $1 AND state <= 1 AND state = $8 AND due_at <= ", $now, "
        AND (holder IS NULL OR holder <> CAST($2 AS ", $bytes, "))
    ORDER BY due_at, number
    LIMIT $4
    ", $skip_locked, "
)
UPDATE gemini_webhooks_inbox SET
    state = CASE WHEN attempts < $5 THEN 1 ELSE 3 END,
    holder = CASE WHEN attempts < $5 THEN CAST($2 AS ", $bytes, ") END,
    ended_at = CASE WHEN attempts < $5 THEN NULL ELSE ", $now, " END,
    due_at = ", $now, " + $3,
    history = substr(history, ", $max, "(1, length(history) - 16000))
        || ',\n{\"at\":' || ", $now, " || ','
        || CASE WHEN attempts < $5 THEN CAST($6 AS text) ELSE CAST($7 AS text) END,
    runs = runs + 1,
    attempts = CASE WHEN attempts < $5 THEN attempts + 1 ELSE attempts END
WHERE number IN (SELECT number FROM due)
RETURNING number, webhook_id, scheme, key_id, sent_at, body, state, attempts, received_at, runs"
            ),
            // `$1` holder, `$2` for how long. It waits for none that is just coming to its end.
            beat: concat!(
                "\
UPDATE gemini_webhooks_inbox
SET due_at = ", $now, " + $2
WHERE number IN (
    SELECT number
    FROM gemini_webhooks_inbox
    WHERE holder = $1
    ", $skip_locked, "
)
RETURNING number"
            ),
            // `$1` number, `$2` holder, `$3` run, `$4` state, `$5` when it is due, `$6` what the history says.
            // It changes nothing if the event is no longer this holder's.
            end: concat!(
                "\
UPDATE gemini_webhooks_inbox SET
    state = $4,
    holder = NULL,
    due_at = ", $now, " + $5,
    ended_at = CASE WHEN CAST($4 AS bigint) >= 2 THEN ", $now, " END,
    history = substr(history, ", $max, "(1, length(history) - 16000))
        || ',\n{\"at\":' || ", $now, " || ',' || CAST($6 AS text)
WHERE number = $1 AND holder = $2 AND runs = $3
RETURNING number"
            ),
            // `$1` holder, `$2` number or null for all, `$3` attempts that were not begun, `$4` what the history says.
            give_back: concat!(
                "\
UPDATE gemini_webhooks_inbox SET
    state = 0,
    holder = NULL,
    due_at = ", $now, ",
    attempts = attempts - $3,
    history = substr(history, ", $max, "(1, length(history) - 16000))
        || ',\n{\"at\":' || ", $now, " || ',' || CAST($4 AS text)
WHERE holder = $1 AND (CAST($2 AS bigint) IS NULL OR number = $2)
RETURNING number"
            ),
            // `$1` namespace.
            depth: concat!(
                "\
SELECT
    (SELECT count(*) FROM gemini_webhooks_inbox WHERE namespace = $1 AND state <= 1 AND state = 0),
    (SELECT count(*) FROM gemini_webhooks_inbox WHERE namespace = $1 AND state <= 1 AND state = 1),
    (SELECT count(*) FROM gemini_webhooks_inbox WHERE namespace = $1 AND state >= 2 AND state = 3),
    (SELECT ", $now, " - min(received_at) FROM gemini_webhooks_inbox
        WHERE namespace = $1 AND state <= 1)"
            ),
            // `$8` how many.
            list: concat!(
                "\
SELECT ", listed!(), "
FROM gemini_webhooks_inbox
WHERE ", filter!(), "
ORDER BY number
LIMIT $8"
            ),
            list_newest: concat!(
                "\
SELECT ", listed!(), "
FROM gemini_webhooks_inbox
WHERE ", filter!(), "
ORDER BY number DESC
LIMIT $8"
            ),
            count: concat!(
                "\
SELECT count(*)
FROM gemini_webhooks_inbox
WHERE ", filter!()
            ),
            // `$8` how many, `$9` what the history says. What waits or runs is not touched.
            retry: concat!(
                "\
UPDATE gemini_webhooks_inbox SET
    state = 0,
    attempts = 0,
    due_at = ", $now, ",
    ended_at = NULL,
    history = substr(history, ", $max, "(1, length(history) - 16000))
        || ',\n{\"at\":' || ", $now, " || ',' || CAST($9 AS text)
WHERE number IN (
    SELECT number
    FROM gemini_webhooks_inbox
    WHERE state >= 2 AND ", filter!(), "
    ORDER BY number
    LIMIT $8
    ", $skip_locked, "
)
RETURNING number"
            ),
            // `$8` how many, `$9` what the history says. What runs is not touched, and neither is what a worker is just
            // taking.
            discard: concat!(
                "\
WITH meant AS MATERIALIZED (
    SELECT number
    FROM gemini_webhooks_inbox
    WHERE state IN (0, 3) AND ", filter!(), "
    ORDER BY number
    LIMIT $8
    ", $skip_locked, "
)
UPDATE gemini_webhooks_inbox SET
    state = 2,
    ended_at = ", $now, ",
    history = substr(history, ", $max, "(1, length(history) - 16000))
        || ',\n{\"at\":' || ", $now, " || ',' || CAST($9 AS text)
WHERE number IN (SELECT number FROM meant)
RETURNING number"
            ),
            // `$1` namespace, `$2` state, `$3` how long it is kept, `$4` how many. What answers a job is kept until that is
            // noted: else Google would be asked, and it would be handled again.
            clean_up: concat!(
                "\
DELETE FROM gemini_webhooks_inbox
WHERE number IN (
    SELECT number
    FROM gemini_webhooks_inbox
    WHERE namespace = $1 AND state >= 2 AND state = $2
        AND ended_at <= ", $now, " - $3
        AND copies_until <= ", $now, "
        AND NOT EXISTS (
            SELECT 1 FROM gemini_webhooks_inbox_jobs AS job
            WHERE job.key = gemini_webhooks_inbox.key AND job.state = 0
        )
    ORDER BY ended_at
    LIMIT $4
    ", $skip_locked, "
)
RETURNING number"
            ),
            jobs: $crate::store::jobs::job_statements! {
                number: $number,
                bytes: $bytes,
                now: $now,
                skip_locked: $skip_locked,
            },
        }
    };
}

pub(crate) use {filter, listed, put_into, put_once, put_row, statements};
