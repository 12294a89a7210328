//! Where a new signing secret goes, which Google shows once.
//!
//! The place is made before the call that makes the secret. So a wrong path or a full disk is known while there is
//! nothing that could be lost.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::Output;
use super::reserved::{NotStored, Reserved};
use crate::exit::Failure;
use crate::shown::{self, plain};

/// The option of the commands that may get a secret.
#[derive(Debug, Args)]
#[command(next_help_heading = "The signing secret")]
pub(crate) struct SecretTo {
    /// Where a new signing secret goes, which Google shows once: a new file, which only you can read, or `-` for
    /// standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) secret_to: Option<PathBuf>,

    /// Replace the file of --secret-to if it exists. That is one step, so that nobody reads half a secret.
    #[arg(long, requires = "secret_to")]
    pub(super) force: bool,
}

/// A place for a secret.
#[derive(Debug)]
pub(super) enum Place {
    Stdout,
    File(Reserved),
}

impl SecretTo {
    /// Whether the option names a place that may be written.
    pub(super) fn is_free(&self) -> bool {
        match &self.secret_to {
            None => false,
            Some(path) => self.force || is_stdout(path) || fs::symlink_metadata(path).is_err(),
        }
    }

    /// Makes the place.
    pub(super) fn reserve(&self) -> Result<Place, Failure> {
        let Some(path) = &self.secret_to else {
            return Err(Failure::unusable(
                "there will be a new signing secret, which Google shows once: say where it goes, with \
                 --secret-to FILE, or --secret-to - to print it",
            ));
        };
        if is_stdout(path) {
            return Ok(Place::Stdout);
        }
        Reserved::make(path, self.force).map(Place::File)
    }
}

pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

impl Place {
    /// What was kept where, for JSON: the name of the file, or the secret itself for standard output.
    pub(super) fn store(self, secret: &str, remedy: &str) -> Result<Stored, Failure> {
        match self {
            Self::Stdout => Ok(Stored::Shown(secret.to_owned().into())),
            Self::File(reserved) => {
                let path = plain(reserved.named().display());
                match reserved.store(secret) {
                    Ok(file) => Ok(Stored::InFile(file)),
                    Err(NotStored {
                        why,
                        left: Some(left),
                    }) => Err(Failure::new(format!(
                        "{path} cannot be written: {why}. The new secret is in {}: move it to its place, for Google \
                         does not show it again",
                        plain(left.display())
                    ))),
                    Err(NotStored { why, left: None }) => Err(lost(
                        &format!("{path} cannot be written: {why}"),
                        secret,
                        remedy,
                    )),
                }
            }
        }
    }
}

/// Where the secret is now.
#[derive(Debug)]
pub(super) enum Stored {
    InFile(PathBuf),
    /// It is to be printed with the result.
    Shown(zeroize::Zeroizing<String>),
}

impl Stored {
    /// Prints the result, and the secret if it is to be shown: in JSON as a member, else as the only line of
    /// standard output. `lines` are for people.
    pub(super) fn print(
        &self,
        mut json: Value,
        lines: &[String],
        output: Output,
        remedy: &str,
    ) -> Result<(), Failure> {
        let (name, value) = match self {
            Self::InFile(path) => ("secret_file", path.display().to_string()),
            Self::Shown(secret) => ("secret", secret.to_string()),
        };
        if output.json {
            if let Some(members) = json.as_object_mut() {
                members.insert(name.to_owned(), json!(value));
            }
            return match self {
                Self::InFile(_) => shown::json(&json),
                Self::Shown(secret) => print_secret(&json.to_string(), secret, remedy),
            };
        }
        match self {
            Self::InFile(path) => {
                for line in lines {
                    shown::line(line)?;
                }
                shown::note(format_args!("The secret is in {}.", plain(path.display())));
                Ok(())
            }
            Self::Shown(secret) => {
                print_secret(secret, secret, remedy)?;
                for line in lines {
                    shown::note(line);
                }
                Ok(())
            }
        }
    }
}

/// Unlike [`shown::line`] it is an error here if nobody reads standard output: the secret would be lost.
fn print_secret(text: &str, secret: &str, remedy: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| {
            lost(
                &format!("cannot write to standard output: {error}"),
                secret,
                remedy,
            )
        })
}

/// The failure when a secret could not be kept. At a terminal it is shown as a last resort. Elsewhere it is not: what is
/// written there ends in logs.
pub(super) fn lost(why: &str, secret: &str, remedy: &str) -> Failure {
    let stderr_is_terminal = io::stderr().is_terminal();
    Failure::new(lost_text(why, secret, remedy, stderr_is_terminal))
}

fn lost_text(why: &str, secret: &str, remedy: &str, may_show: bool) -> String {
    if may_show {
        let secret = plain(secret);
        format!(
            "{why}. This is the secret. Store it now, for Google does not show it again:\n{secret}"
        )
    } else {
        format!("{why}. So the new secret is lost, for Google does not show it again. {remedy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_secret_is_shown_at_a_terminal_only() {
        for (may_show, has, has_not) in [(true, "whsec_x", "rotate"), (false, "rotate", "whsec_x")]
        {
            let text = lost_text("the disk is full", "whsec_x", "rotate it", may_show);
            assert!(text.starts_with("the disk is full. "), "{text}");
            assert!(text.contains(has) && !text.contains(has_not), "{text}");
        }
    }
}
