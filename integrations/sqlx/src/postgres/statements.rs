//! The statements. Times are those of the server at that moment: `now()` is when the transaction began.

/// Claims an event that has no row, and says in one row what it found (`$1` key, `$2` token, `$3` lease in
/// microseconds):
///
/// - `claimed`: there was no row, and it is this holder's now;
/// - `settled`, `own`, `expired`, `remaining`: the row that was there. All are null if another put it there
///   meanwhile;
/// - `left_open`: the statement is part of a transaction that has written before, or that began earlier. Its
///   column comes first, so that it is read before the statement itself writes.
///
/// It waits for no row that a transaction of the app has locked: it reads the row as of the statement's
/// snapshot, and inserts only where it saw none. Such a row others insert in a statement by itself, as the
/// app's transaction only updates.
pub(super) const CLAIM: &str = "\
WITH seen AS MATERIALIZED (
    SELECT token, settled, until
    FROM gemini_webhooks_claims
    WHERE key = $1
), added AS (
    INSERT INTO gemini_webhooks_claims (key, token, settled, until, born)
    SELECT $1, $2, false, clock_timestamp() + $3::bigint * interval '1 microsecond', clock_timestamp()
    WHERE NOT EXISTS (SELECT FROM seen)
    ON CONFLICT (key) DO NOTHING
    RETURNING true
)
SELECT
    pg_current_xact_id_if_assigned() IS NOT NULL
        OR statement_timestamp() - transaction_timestamp() > interval '1 second' AS left_open,
    EXISTS (SELECT FROM added) AS claimed,
    seen.settled,
    seen.token = $2 AS own,
    seen.until <= clock_timestamp() AS expired,
    (extract(epoch FROM seen.until - clock_timestamp()) * 1000000)::bigint AS remaining
FROM (VALUES (true)) AS always
LEFT JOIN seen ON true";

/// Claims an event whose row has expired, and returns a row if it did (`$1` key, `$2` token, `$3` lease in
/// microseconds). It takes over no row that is locked: a transaction of the app may be settling it.
pub(super) const TAKE_OVER: &str = "\
UPDATE gemini_webhooks_claims
SET token = $2, settled = false, until = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE key = (
    SELECT key
    FROM gemini_webhooks_claims
    WHERE key = $1 AND until <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
RETURNING true";

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
