//! Which inbox is meant, and how it is opened: only if it is there.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use gemini_webhooks_inbox::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use gemini_webhooks_inbox::sqlx::sqlite::SqliteConnectOptions;
use gemini_webhooks_inbox::sqlx::{ConnectOptions as _, Connection as _, Postgres, Sqlite};
use gemini_webhooks_inbox::{Inbox, InboxError, InboxErrorKind};
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::input;
use crate::shown::{self, plain};

/// A page, and what it is asked beside that.
const CONNECTIONS: u32 = 2;
/// A server that is there answers sooner.
const CONNECT_TIME: Duration = Duration::from_secs(10);

const VARIABLE: &str = "DATABASE_URL";

const HOW_TO_NAME: &str = "give an SQLite database by --sqlite PATH, or set the variable DATABASE_URL, or give \
                           --database-file FILE with the URL in it (postgres://… or sqlite:…)";

/// Where the inbox is.
#[derive(Debug, Args)]
#[command(next_help_heading = "The inbox")]
pub(super) struct Place {
    /// The SQLite database with the inbox.
    #[arg(long, global = true, value_name = "PATH")]
    sqlite: Option<PathBuf>,

    /// A file that holds the URL of the database, `postgres://…` or `sqlite:…`; `-` reads standard input. Without it and
    /// --sqlite the variable DATABASE_URL is read. A URL can hold a password, so it is not taken as an argument.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "sqlite")]
    database_file: Option<PathBuf>,

    /// The namespace that the app gives to its inbox, if it gives one.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "default",
        value_parser = NonEmptyStringValueParser::new()
    )]
    namespace: String,
}

/// An inbox that is there.
pub(super) enum Opened {
    Sqlite(Inbox<Sqlite>),
    Postgres(Inbox<Postgres>),
}

/// Which database a text means.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

fn kind(text: &str) -> Result<Kind, Failure> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some("postgres" | "postgresql") => Ok(Kind::Postgres),
        None | Some("sqlite") => Ok(Kind::Sqlite),
        // No more of it: what follows may be a password.
        Some(other) if other.chars().all(|char| char.is_ascii_alphanumeric()) => {
            Err(Failure::unusable(format!(
                "an inbox is in SQLite or PostgreSQL, and not in {other}: {HOW_TO_NAME}"
            )))
        }
        Some(_) => Err(Failure::unusable(format!(
            "this is no URL of a database: {HOW_TO_NAME}"
        ))),
    }
}

impl Place {
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Opens the inbox, and returns what its database is called. The name shows no password.
    ///
    /// `kept` is for how long the app keeps events that are over.
    pub(super) async fn open(&self, kept: Duration) -> Result<(Opened, String), Failure> {
        let meant = self.meant().await?;
        match kind(&meant.text)? {
            Kind::Sqlite => self.sqlite(&meant, kept).await,
            Kind::Postgres => self.postgres(&meant, kept).await,
        }
    }

    async fn meant(&self) -> Result<Meant, Failure> {
        if let Some(path) = &self.sqlite {
            let Some(text) = path.to_str() else {
                let name = input::name(path);
                return Err(Failure::unusable(format!(
                    "--sqlite {name}: the path is no text in UTF-8"
                )));
            };
            if !matches!(kind(text), Ok(Kind::Sqlite)) {
                return Err(Failure::unusable(
                    "--sqlite takes the path of an SQLite database. The URL of another database can hold a password, \
                     and all users of the machine can read arguments: put it into the variable DATABASE_URL, or into \
                     a file for --database-file",
                ));
            }
            return Ok(Meant {
                text: Zeroizing::new(text.to_owned()),
                from: None,
            });
        }
        if let Some(path) = &self.database_file {
            let text = input::read_secret(path, "URL of the database").await?;
            let from = input::name(path);
            if text.trim().is_empty() {
                return Err(Failure::unusable(format!("{from} holds no URL")));
            }
            return Ok(Meant {
                text: Zeroizing::new(text.trim().to_owned()),
                from: Some(from),
            });
        }
        match input::variable(VARIABLE)? {
            Some(text) => Ok(Meant {
                text,
                from: Some(VARIABLE.to_owned()),
            }),
            None => Err(Failure::unusable(format!("no database: {HOW_TO_NAME}"))),
        }
    }

    async fn sqlite(&self, meant: &Meant, kept: Duration) -> Result<(Opened, String), Failure> {
        let text = meant.text.as_str();
        let file = if text.starts_with("sqlite:") {
            SqliteConnectOptions::from_str(text)
                .map_err(|error| meant.is_no_url_of_sqlite(&error))?
                .get_filename()
                .to_owned()
        } else {
            PathBuf::from(text)
        };
        check_file(&file, meant)?;
        check_format(&file, meant)?;
        let name = format!("the SQLite database {}", input::name(&file));
        let opened = Inbox::sqlite(text)
            .namespace(&self.namespace)
            .connections(CONNECTIONS)
            .keep_done(kept)
            .keep_dead(kept)
            .without_migrating()
            .await
            .map_err(|error| not_opened(&error, &name))?;
        Ok((Opened::Sqlite(opened), name))
    }

    async fn postgres(&self, meant: &Meant, kept: Duration) -> Result<(Opened, String), Failure> {
        let options = PgConnectOptions::from_str(&meant.text)
            .map_err(|_| meant.is_no_url_of_postgres())?
            .application_name("gemini-webhooks inbox");
        let name = name(&options);
        // By hand, because a pool goes on trying where nobody listens, and then says no more than that time is up.
        let connecting = tokio::time::timeout(CONNECT_TIME, options.connect()).await;
        let cannot = |why: String| Failure::new(format!("cannot connect to {name}: {why}"));
        let connection = connecting
            .map_err(|_| cannot(format!("no answer within {CONNECT_TIME:?}")))?
            .map_err(|error| cannot(plain(error)))?;
        // It has answered, and that was all that it was for.
        let _ = connection.close().await;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy_with(options);
        let opened = Inbox::postgres(pool)
            .namespace(&self.namespace)
            .connections(CONNECTIONS)
            .keep_done(kept)
            .keep_dead(kept)
            .without_migrating()
            .await
            .map_err(|error| not_opened(&error, &name))?;
        Ok((Opened::Postgres(opened), name))
    }
}

fn name(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    plain(format!(
        "PostgreSQL at {}:{}, database {database:?}",
        options.get_host(),
        options.get_port()
    ))
}

/// Which database is meant, in words that can hold a password.
struct Meant {
    text: Zeroizing<String>,
    /// The variable or the file that says so. Then nothing of the text is shown: it may be a secret that came there by
    /// mistake. None for an argument, which is no secret.
    from: Option<String>,
}

impl Meant {
    /// What a file is called in an error.
    fn name(&self, file: &Path) -> String {
        match &self.from {
            Some(from) => format!("the file that {from} names"),
            None => input::name(file),
        }
    }

    fn is_not_there(&self, file: &Path) -> Failure {
        let first = match &self.from {
            Some(from) => format!(
                "{from} names no file that is there, and no URL of PostgreSQL, which begins with postgres://"
            ),
            None => format!("there is no file {}", input::name(file)),
        };
        Failure::unusable(format!(
            "{first}: give the SQLite database of your app. The app makes it when it opens its inbox"
        ))
    }

    fn is_no_url_of_sqlite(&self, error: &dyn std::error::Error) -> Failure {
        Failure::unusable(match &self.from {
            // The error repeats settings.
            Some(from) => {
                format!(
                    "{from} has no URL of SQLite: it looks like sqlite:PATH or sqlite:PATH?mode=rw"
                )
            }
            None => {
                let text = shown::without_secrets(&plain(&*self.text));
                format!("{text}: no URL of SQLite: {}", plain(error))
            }
        })
    }

    fn is_no_url_of_postgres(&self) -> Failure {
        let from = self.from.as_deref().unwrap_or("the argument");
        // The error of a setting repeats its value, which may be a password.
        let why = match reqwest::Url::parse(&self.text) {
            Err(error) => error.to_string(),
            Ok(_) => "a setting behind its `?` has a value that is not known".to_owned(),
        };
        Failure::unusable(format!(
            "the URL of the database in {from} cannot be read: {why}. It looks like \
             postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded"
        ))
    }
}

fn check_file(file: &Path, meant: &Meant) -> Result<(), Failure> {
    let name = meant.name(file);
    match std::fs::metadata(file) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(Failure::unusable(format!(
            "{name} is no file: give the SQLite database of your app"
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(meant.is_not_there(file)),
        Err(error) => Err(Failure::unusable(format!("cannot look at {name}: {error}"))),
    }
}

/// Checks how the file begins: SQLite itself says only late that it is none of its databases.
fn check_format(file: &Path, meant: &Meant) -> Result<(), Failure> {
    const BEGIN: &[u8] = b"SQLite format 3\0";
    let name = meant.name(file);
    let mut begin = Vec::new();
    File::open(file)
        .and_then(|file| file.take(BEGIN.len() as u64).read_to_end(&mut begin))
        .map_err(|error| Failure::unusable(format!("cannot read {name}: {error}")))?;
    // Before the first table is made, the file is empty.
    if begin.is_empty() || begin == BEGIN {
        return Ok(());
    }
    Err(Failure::unusable(format!(
        "{name} is not a database of SQLite: give the SQLite database of your app"
    )))
}

fn not_opened(error: &InboxError, name: &str) -> Failure {
    match error.kind() {
        InboxErrorKind::Invalid => Failure::unusable(format!(
            "there is no inbox in {name}: it does not have the tables of one, or not yet all of them. See whether it is \
             the right database. In PostgreSQL the tables may be in another schema: add \
             `?options[search_path]=SCHEMA` to the URL. Your app makes the tables when it opens its inbox"
        )),
        _ => super::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_database_a_text_means() {
        for (name, text, expected) in [
            ("a path", "webhooks.db", Some(Kind::Sqlite)),
            (
                "a whole path",
                "/var/lib/app/webhooks.db",
                Some(Kind::Sqlite),
            ),
            (
                "a path in a URL",
                "sqlite:webhooks.db?mode=rw",
                Some(Kind::Sqlite),
            ),
            (
                "a URL of SQLite",
                "sqlite:///var/lib/app/webhooks.db",
                Some(Kind::Sqlite),
            ),
            (
                "PostgreSQL",
                "postgres://u:p@localhost/db",
                Some(Kind::Postgres),
            ),
            ("its longer name", "postgresql:///db", Some(Kind::Postgres)),
            ("another database", "mysql://u:p4ss@localhost/db", None),
            ("a mistake", "u:p4ss://x", None),
        ] {
            match (kind(text), expected) {
                (Ok(kind), Some(expected)) => assert_eq!(kind, expected, "{name}"),
                (Err(failure), None) => {
                    assert!(
                        !format!("{failure:?}").contains("p4ss"),
                        "{name}: {failure:?}"
                    );
                }
                (kind, expected) => panic!("{name}: {kind:?}, not {expected:?}"),
            }
        }
    }
}
