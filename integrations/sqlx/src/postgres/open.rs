//! A pool of the guard's own.

use std::str::FromStr as _;
use std::time::Duration;

use gemini_webhooks::replay::{GuardError, GuardErrorKind};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::PostgresGuard;
use super::fault::Fault;

/// A statement takes a millisecond or two.
const CONNECTIONS: u32 = 8;
/// Longer than a receiver waits by default, so that it notices an outage by its time-outs.
const ACQUIRE: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tried before it is used: the server may have gone.
const TRIED_AFTER: Duration = Duration::from_secs(1);

impl PostgresGuard {
    /// Connects to the database of a URL, with a pool of its own of at most 8 connections.
    ///
    /// The URL is as sqlx reads it, such as `postgres://user:password@host/database`.
    ///
    /// # Errors
    ///
    /// The URL is invalid, or no connection can be made within 5 seconds. The error does not show the
    /// password.
    pub async fn connect(url: &str) -> Result<Self, GuardError> {
        let options = options(url)?;
        // The pool would only say that its time is over.
        match timeout(ACQUIRE, options.connect()).await {
            Ok(Ok(connection)) => drop(connection.close().await),
            Ok(Err(error)) => return Err(Fault::new(&options, error).into()),
            Err(_) => {
                let what = format!(
                    "it has not answered in {ACQUIRE:?}; check the address, and whether the server runs"
                );
                let kind = GuardErrorKind::Unavailable;
                return Err(Fault::found_at(&options, kind, what));
            }
        }
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            // It would be a round trip for each statement.
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for > TRIED_AFTER {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool })
    }
}

/// Reads a URL. Errors show nothing of it that could be its password.
fn options(url: &str) -> Result<PgConnectOptions, GuardError> {
    let Some(rest) = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
    else {
        return Err(GuardError::broken(
            "the URL of the database does not start with `postgres://`; give one such as \
             `postgres://user:password@host/database`",
        ));
    };
    // A password with one of these ends what is read as the host, and would be shown as the database.
    let behind_host = rest.split_once(['/', '?', '#']);
    if behind_host.is_some_and(|(_, behind)| behind.contains('@')) {
        return Err(GuardError::broken(
            "the URL of the database has an `@` behind its host; special characters in the password must be \
             percent-encoded, such as `%2F` for `/`, and `@` elsewhere as `%40`",
        ));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        GuardError::broken(format!(
            "the URL of the database cannot be read: {error}; special characters in the password must be \
             percent-encoded, such as `%2F` for `/`"
        ))
    })?;
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("gemini-webhooks"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says() {
        let here = options("postgres://app:hush@db.example/orders").unwrap();
        assert_eq!(here.get_host(), "db.example");
        assert_eq!(here.get_database(), Some("orders"));
        assert_eq!(here.get_application_name(), Some("gemini-webhooks"));
        let named = options("postgresql://app@db.example/orders?application_name=shop").unwrap();
        assert_eq!(named.get_application_name(), Some("shop"));
        let encoded = options("postgres://app:a%2Fb%40c@db.example/d%40e").unwrap();
        assert_eq!(encoded.get_database(), Some("d@e"));
    }

    #[test]
    fn a_password_is_not_shown_that_is_not_encoded() {
        for url in [
            "postgres://app:hu/sh@db.example/orders",
            "postgres://app:12/hush@db.example/orders",
            "postgres://app:12?hush@db.example/orders",
            "postgres://app:12#hush@db.example/orders",
            "postgres://app:hush:x/@db.example/orders",
            "mysql://app:hush@db.example/orders",
            "app:hush@db.example",
            "postgres://app:hush@db.example:port/orders",
        ] {
            let error = options(url).unwrap_err();
            assert_eq!(error.kind(), GuardErrorKind::Broken, "{url}");
            let says = format!("{error} {error:?}");
            assert!(!says.contains("hush") && !says.contains("12"), "{says}");
        }
    }
}
