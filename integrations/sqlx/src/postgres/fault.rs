//! What an error of PostgreSQL or of the way to it means for a guard.

use std::error::Error;
use std::fmt;

use gemini_webhooks::replay::{GuardError, GuardErrorKind};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgSeverity};

use GuardErrorKind::{Broken, Unavailable};

/// What went wrong, where, and what to do.
///
/// Of an error of the server it keeps only the message and the code: its details can show a row, with
/// the token of a claim.
pub(super) struct Fault {
    kind: GuardErrorKind,
    place: String,
    what: String,
    advice: Option<&'static str>,
    source: Option<sqlx::Error>,
}

impl Fault {
    /// The error of a guard, for what sqlx says.
    pub(super) fn of(pool: &PgPool, error: sqlx::Error) -> GuardError {
        Self::new(&pool.connect_options(), error).into()
    }

    pub(super) fn new(options: &PgConnectOptions, error: sqlx::Error) -> Self {
        let (kind, advice) = judge(&error);
        let (what, source) = match database(&error) {
            Some(server) => (
                format!("{} (SQLSTATE {})", server.message(), server.code()),
                None,
            ),
            None => (error.to_string(), Some(error)),
        };
        Self {
            kind,
            place: place_of(options),
            what,
            advice,
            source,
        }
    }

    /// The error of a guard, for what the guard has found by itself.
    pub(super) fn found(
        pool: &PgPool,
        kind: GuardErrorKind,
        what: impl Into<String>,
    ) -> GuardError {
        Self::found_at(&pool.connect_options(), kind, what)
    }

    pub(super) fn found_at(
        options: &PgConnectOptions,
        kind: GuardErrorKind,
        what: impl Into<String>,
    ) -> GuardError {
        let fault = Self {
            kind,
            place: place_of(options),
            what: what.into(),
            advice: None,
            source: None,
        };
        fault.into()
    }

    /// The error of a guard, with another advice.
    pub(super) fn advising(self, advice: &'static str) -> GuardError {
        let advice = Some(advice);
        Self { advice, ..self }.into()
    }
}

impl From<Fault> for GuardError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            Broken => Self::broken(fault),
            _ => Self::unavailable(fault),
        }
    }
}

/// Where the server is, without the password.
fn place_of(options: &PgConnectOptions) -> String {
    let server = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!(
        "PostgreSQL at {server}:{}, database {:?}",
        options.get_port(),
        // As the server does.
        options.get_database().unwrap_or(options.get_username()),
    )
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

fn database(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error
        .as_database_error()?
        .try_downcast_ref::<PgDatabaseError>()
}

/// The SQLSTATE, by which errors are told. Messages are translated and change.
pub(super) fn code(error: &sqlx::Error) -> Option<&str> {
    database(error).map(PgDatabaseError::code)
}

/// Whether the server has not carried out the statement, and will not.
///
/// An error that ends the session does not say so: a server that is shut down may have committed.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    database(error).is_some_and(|error| error.severity() == PgSeverity::Error)
}

/// Whether the same statement may succeed if it is tried again: it met another in a way that the
/// isolation level forbids, or each waited for the other.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(code(error), Some("40001" | "40P01"))
}

/// Whether the connection can be used again.
pub(super) fn spoils_connection(error: &sqlx::Error) -> bool {
    match code(error) {
        // After a failover the next connection may lead to the new primary.
        Some("25006" | "25P02") => true,
        _ => !is_refusal(error),
    }
}

const UNLIKE: &str = "the table is not as PostgresGuard::migrate() makes it; call migrate(), which says what differs";

/// Whether it may end by itself, and what to do.
type Judgement = (GuardErrorKind, Option<&'static str>);

fn judge(error: &sqlx::Error) -> Judgement {
    match code(error) {
        Some(code) => judge_server(code),
        None => judge_driver(error),
    }
}

fn judge_server(code: &str) -> Judgement {
    match code {
        "42P01" => (
            Broken,
            Some(
                "call PostgresGuard::migrate() before the app takes deliveries, as the same role and with the same search_path",
            ),
        ),
        "42703" | "42804" | "42883" | "42P10" | "23502" | "23514" => (Broken, Some(UNLIKE)),
        "42501" => (
            Broken,
            Some(
                "grant the role SELECT, INSERT, UPDATE and DELETE on the table gemini_webhooks_claims",
            ),
        ),
        "3D000" => (
            Broken,
            Some("create the database, or correct its name in the URL"),
        ),
        "26000" | "42P05" => (
            Broken,
            Some(
                "a connection pooler that does not keep prepared statements apart seems to be in between; connect the guard to PostgreSQL itself, or let PgBouncer keep them apart (1.21 and later: max_prepared_statements)",
            ),
        ),
        "54000" => (
            Broken,
            Some("shorten the receiver's namespace to at most 1,000 bytes"),
        ),
        "25006" => (
            Unavailable,
            Some(
                "this server takes no writes, as a replica or by default_transaction_read_only; if it is not a failover that is about to end, point the guard at the primary",
            ),
        ),
        "53100" => (Unavailable, Some("the server's disk is full: make room")),
        "53200" => (Unavailable, Some("the server is out of memory")),
        "53300" => (
            Unavailable,
            Some("use smaller pools, or raise the server's max_connections"),
        ),
        "57014" => (
            Unavailable,
            Some("the server cancelled the statement; see its statement_timeout"),
        ),
        "55P03" => (
            Unavailable,
            Some("another transaction holds the row longer than lock_timeout allows"),
        ),
        "57P01" | "57P02" | "57P03" => (
            Unavailable,
            Some("the server stops or starts; it is asked again"),
        ),
        "40001" | "40P01" => (
            Unavailable,
            Some(
                "other transactions were in the way each time; the guard works best at the isolation level READ COMMITTED",
            ),
        ),
        _ => match code.get(..2) {
            Some("28") => (
                Broken,
                Some("check the user, the password and the server's pg_hba.conf"),
            ),
            // Syntax, access and schemas; features that are not there; damaged data.
            Some("0A" | "3F" | "42" | "XX") => (Broken, None),
            _ => (Unavailable, None),
        },
    }
}

fn judge_driver(error: &sqlx::Error) -> Judgement {
    match error {
        sqlx::Error::PoolTimedOut => (
            Unavailable,
            Some(
                "the server cannot be reached or takes no more connections, or all connections of the pool are in use; PostgresGuard::ready() tells which",
            ),
        ),
        sqlx::Error::PoolClosed => (Broken, Some("the app has closed the pool of the guard")),
        sqlx::Error::Io(_) => (
            Unavailable,
            Some("check the address, and whether the server runs"),
        ),
        sqlx::Error::Tls(_) => (
            Unavailable,
            Some("check sslmode and the certificates, and whether a TLS feature of sqlx is on"),
        ),
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => (
            Broken,
            Some("correct the URL; special characters in the password must be percent-encoded"),
        ),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. } => (Broken, Some(UNLIKE)),
        _ => (Unavailable, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_code_means() {
        for (name, code, kind, advice) in [
            ("no table", "42P01", Broken, "PostgresGuard::migrate()"),
            ("no column", "42703", Broken, "call migrate()"),
            ("no right", "42501", Broken, "grant the role"),
            ("wrong password", "28P01", Broken, "the password"),
            ("no such role", "28000", Broken, "the password"),
            ("no database", "3D000", Broken, "create the database"),
            ("no schema", "3F000", Broken, ""),
            ("syntax", "42601", Broken, ""),
            ("not there", "0A000", Broken, ""),
            ("damaged", "XX001", Broken, ""),
            ("pooler", "26000", Broken, "PgBouncer"),
            ("pooler", "42P05", Broken, "PgBouncer"),
            ("long key", "54000", Broken, "namespace"),
            ("read-only", "25006", Unavailable, "the primary"),
            ("disk full", "53100", Unavailable, "disk"),
            ("no memory", "53200", Unavailable, "memory"),
            ("too many", "53300", Unavailable, "max_connections"),
            ("stops", "57P01", Unavailable, "stops or starts"),
            ("crashes", "57P02", Unavailable, "stops or starts"),
            ("starts", "57P03", Unavailable, "stops or starts"),
            ("cancelled", "57014", Unavailable, "statement_timeout"),
            ("locked", "55P03", Unavailable, "lock_timeout"),
            ("serialization", "40001", Unavailable, "READ COMMITTED"),
            ("deadlock", "40P01", Unavailable, "READ COMMITTED"),
            ("connection", "08006", Unavailable, ""),
            ("a pooler's", "08P01", Unavailable, ""),
            ("disk", "58030", Unavailable, ""),
            ("new", "ZZZZZ", Unavailable, ""),
            ("odd", "", Unavailable, ""),
        ] {
            let (judged, advised) = judge_server(code);
            assert_eq!(judged, kind, "{name}");
            let advised = advised.unwrap_or_default();
            assert!(advised.contains(advice), "{name}: {advised}");
            assert_eq!(advised.is_empty(), advice.is_empty(), "{name}: {advised}");
        }
    }

    #[test]
    fn what_an_error_of_the_driver_means() {
        let io = || std::io::Error::other("x");
        for (error, kind, advice) in [
            (
                sqlx::Error::PoolTimedOut,
                Unavailable,
                "PostgresGuard::ready()",
            ),
            (sqlx::Error::PoolClosed, Broken, "closed the pool"),
            (
                sqlx::Error::Io(io()),
                Unavailable,
                "whether the server runs",
            ),
            (sqlx::Error::Tls(io().into()), Unavailable, "sslmode"),
            (sqlx::Error::Configuration(io().into()), Broken, "the URL"),
            (sqlx::Error::Decode(io().into()), Broken, "call migrate()"),
            (sqlx::Error::Protocol("x".to_owned()), Unavailable, ""),
            (sqlx::Error::WorkerCrashed, Unavailable, ""),
        ] {
            let (judged, advised) = judge(&error);
            assert_eq!(judged, kind, "{error:?}");
            let advised = advised.unwrap_or_default();
            assert!(advised.contains(advice), "{error:?}: {advised}");
            assert_eq!(advised.is_empty(), advice.is_empty(), "{error:?}");
            // Nobody knows what became of the statement.
            assert!(!is_refusal(&error) && !is_conflict(&error), "{error:?}");
            assert!(spoils_connection(&error), "{error:?}");
        }
    }

    #[test]
    fn it_says_where_and_shows_no_password() {
        let options: PgConnectOptions = "postgres://app:hush@db.example:5433/orders?password=hush"
            .parse()
            .unwrap();
        let error = GuardError::from(Fault::new(&options, sqlx::Error::PoolTimedOut));
        let says = error.to_string();
        let place = "PostgreSQL at db.example:5433, database \"orders\": ";
        assert!(says.contains(place), "{says}");
        let mut source: Option<&dyn Error> = Some(&error);
        while let Some(error) = source {
            for text in [error.to_string(), format!("{error:?}")] {
                assert!(!text.contains("hush"), "{text}");
            }
            source = error.source();
        }
        let socket: PgConnectOptions = "postgres://app@localhost/?host=/run/postgresql"
            .parse()
            .unwrap();
        assert!(
            place_of(&socket).starts_with("PostgreSQL at /run/postgresql:5432, database \"app\"")
        );
    }
}
