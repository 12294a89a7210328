//! The table and the statements, each of which is carried out as a whole or not at all.
//!
//! Times are milliseconds since 1970, by the clock of SQLite, which is that of the machine.

macro_rules! create_table {
    () => {
        "\
CREATE TABLE IF NOT EXISTS gemini_webhooks_claims (
    key BLOB NOT NULL PRIMARY KEY,
    token BLOB NOT NULL,
    settled INTEGER NOT NULL,
    until INTEGER NOT NULL,
    born INTEGER NOT NULL
) WITHOUT ROWID"
    };
}

macro_rules! create_index {
    () => {
        "\
CREATE INDEX IF NOT EXISTS gemini_webhooks_claims_until
ON gemini_webhooks_claims (until)"
    };
}

/// SQLite reads its clock once in a statement, and after it has waited for other writers.
/// `unixepoch('subsec')` would be shorter, and needs SQLite 3.42.
macro_rules! now {
    () => {
        "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"
    };
}

/// The SQL that [`migrate`](super::SqliteGuard::migrate) runs, for those who run it by hand.
///
/// It can be run twice, and by several processes at once.
pub const MIGRATION: &str = concat!(create_table!(), ";\n\n", create_index!(), ";\n");

/// Without a rowid, an entry is in one page instead of two.
pub(super) const CREATE_TABLE: &str = create_table!();

/// Finds what has expired.
pub(super) const CREATE_INDEX: &str = create_index!();

/// Name, type and place in the primary key of each column.
pub(super) const COLUMNS: &str = "\
SELECT name, type, pk
FROM pragma_table_info('gemini_webhooks_claims')
ORDER BY cid";

pub(super) const HAS_INDEX: &str = "\
SELECT count(*)
FROM pragma_index_list('gemini_webhooks_claims')
WHERE name = 'gemini_webhooks_claims_until'";

/// Returns a row if the event (`?1` key) is claimed or settled: whether it is settled, whether by this token
/// (`?2`), and for how long yet. It waits for no writer if the database is in WAL mode.
pub(super) const LOOK: &str = concat!(
    "\
SELECT settled, token = ?2, until - ",
    now!(),
    "
FROM gemini_webhooks_claims
WHERE key = ?1 AND until > ",
    now!()
);

/// Claims the event (`?1` key, `?2` token, `?3` lease) if it is free, and returns the row as it is then, as
/// [`LOOK`] does.
pub(super) const CLAIM: &str = concat!(
    "\
INSERT INTO gemini_webhooks_claims (key, token, settled, until, born)
VALUES (?1, ?2, 0, ",
    now!(),
    " + ?3, ",
    now!(),
    ")
ON CONFLICT (key) DO UPDATE SET
    token = iif(until > ",
    now!(),
    ", token, excluded.token),
    settled = iif(until > ",
    now!(),
    ", settled, 0),
    until = iif(until > ",
    now!(),
    ", until, excluded.until),
    born = iif(until > ",
    now!(),
    ", born, excluded.born)
RETURNING settled, token = ?2, until - ",
    now!()
);

/// Returns a row if the event is marked as handled (`?1` key, `?2` token, `?3` retention).
pub(super) const SETTLE: &str = concat!(
    "\
INSERT INTO gemini_webhooks_claims (key, token, settled, until, born)
VALUES (?1, ?2, 1, ",
    now!(),
    " + ?3, ",
    now!(),
    ")
ON CONFLICT (key) DO UPDATE SET token = excluded.token, settled = 1, until = excluded.until
WHERE token = excluded.token OR until <= ",
    now!(),
    "
RETURNING 1"
);

/// Marks the event as handled in a transaction of the app (`?1` key, `?2` token, `?3` retention). It
/// changes a row if the claim is still this holder's.
pub(super) const SETTLE_IN: &str = concat!(
    "\
UPDATE gemini_webhooks_claims
SET settled = 1, until = ",
    now!(),
    " + ?3
WHERE key = ?1 AND token = ?2 AND NOT settled"
);

/// Removes the claim (`?1` key, `?2` token).
pub(super) const RELEASE: &str = "\
DELETE FROM gemini_webhooks_claims
WHERE key = ?1 AND token = ?2 AND NOT settled";

/// Removes some rows that have expired, the oldest first (`?1` how many).
pub(super) const CLEAN_UP: &str = concat!(
    "\
DELETE FROM gemini_webhooks_claims
WHERE key IN (
    SELECT key
    FROM gemini_webhooks_claims
    WHERE until <= ",
    now!(),
    "
    ORDER BY until
    LIMIT ?1
)"
);

/// Removes nothing, as no key is empty, but fails as a claim would if the database cannot be written.
pub(super) const WRITE_NOTHING: &str = "\
DELETE FROM gemini_webhooks_claims
WHERE key = x''";
