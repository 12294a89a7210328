//! The statements. Times are those of the server at that moment: `now()` is when the transaction began.

/// Says in one row what became of a claim (`$1` key, `$2` token, `$3` lease in microseconds):
///
/// - `claimed`: there was no row, or it had expired, and it is this holder's now;
/// - `settled`, `own`, `remaining`: the row as the statement found it, if it holds; all are null if another
///   got in between, or holds the lock of a row that has expired.
///
/// It never waits for a row that a transaction of the app has locked: what is there is read from the
/// statement's snapshot, and a locked row is not taken over. Only rows that were not there are inserted,
/// and those nobody holds for longer than a statement, as the app's transaction only updates.
pub(super) const CLAIM: &str = "\
WITH seen AS MATERIALIZED (
    SELECT token, settled, until, until <= clock_timestamp() AS expired
    FROM gemini_webhooks_claims
    WHERE key = $1
), free AS (
    SELECT key
    FROM gemini_webhooks_claims
    WHERE key = $1 AND (SELECT expired FROM seen) AND until <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE gemini_webhooks_claims AS held
    SET token = $2, settled = false, until = clock_timestamp() + $3::bigint * interval '1 microsecond'
    FROM free
    WHERE held.key = free.key
    RETURNING true
), added AS (
    INSERT INTO gemini_webhooks_claims (key, token, settled, until, born)
    SELECT $1, $2, false, clock_timestamp() + $3::bigint * interval '1 microsecond', clock_timestamp()
    WHERE NOT EXISTS (SELECT FROM seen)
    ON CONFLICT (key) DO NOTHING
    RETURNING true
)
SELECT
    EXISTS (SELECT FROM taken) OR EXISTS (SELECT FROM added) AS claimed,
    seen.settled,
    seen.token = $2 AS own,
    (extract(epoch FROM seen.until - clock_timestamp()) * 1000000)::bigint AS remaining
FROM (VALUES (true)) AS always
LEFT JOIN seen ON NOT seen.expired";

/// Returns a row if the event is marked as handled (`$1` key, `$2` token, `$3` retention in microseconds).
pub(super) const SETTLE: &str = "\
INSERT INTO gemini_webhooks_claims AS held (key, token, settled, until, born)
VALUES ($1, $2, true, clock_timestamp() + $3::bigint * interval '1 microsecond', clock_timestamp())
ON CONFLICT (key) DO UPDATE
SET token = excluded.token, settled = true, until = excluded.until
WHERE held.token = excluded.token OR held.until <= clock_timestamp()
RETURNING true";

/// Removes the claim (`$1` key, `$2` token). It waits for whoever holds the row: if it skipped a row that
/// is locked, a claim at that moment would make it do nothing.
pub(super) const RELEASE: &str = "\
DELETE FROM gemini_webhooks_claims
WHERE key = $1 AND token = $2 AND NOT settled";

/// Looks at the rows behind a place in the order of `born` (`$1` microseconds since the Unix epoch, `$2`
/// key, `$3` how many), and deletes those that have expired and that nobody has locked. Returns how many it
/// has deleted and looked at, and the last place.
pub(super) const CLEANUP: &str = "\
WITH page AS MATERIALIZED (
    SELECT key, born, until
    FROM gemini_webhooks_claims
    WHERE (born, key) > (timestamptz 'epoch' + $1::bigint * interval '1 microsecond', $2)
    ORDER BY born, key
    LIMIT $3
), expired AS (
    SELECT held.key
    FROM gemini_webhooks_claims AS held
    WHERE held.key IN (SELECT key FROM page WHERE until <= clock_timestamp())
        AND held.until <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM gemini_webhooks_claims AS held
    USING expired
    WHERE held.key = expired.key
    RETURNING true
)
SELECT
    (SELECT count(*) FROM deleted) AS deleted,
    (SELECT count(*) FROM page) AS looked_at,
    (extract(epoch FROM last.born) * 1000000)::bigint AS born,
    last.key
FROM (SELECT born, key FROM page ORDER BY born DESC, key DESC LIMIT 1) AS last";
