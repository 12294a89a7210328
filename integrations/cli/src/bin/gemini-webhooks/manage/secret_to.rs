//! Where a new signing secret goes, which Google shows once.
//!
//! The place is made before the call that makes the secret. So a wrong path or a full disk is known while there is
//! nothing that could be lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::Output;
use crate::exit::Failure;
use crate::shown::{self, plain};

/// More than a secret with its line break has. It is written first, so that the disk has room for the secret.
const ROOM: [u8; 512] = [b'\n'; 512];

/// The option of the commands that may get a secret.
#[derive(Debug, Args)]
#[command(next_help_heading = "The signing secret")]
pub(crate) struct SecretTo {
    /// Where a new signing secret goes, which Google shows once: a new file, which only you can read, or `-` for
    /// standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) secret_to: Option<PathBuf>,

    /// Replace the file of --secret-to if it exists. It is replaced at once, so that nobody reads half a secret.
    #[arg(long, requires = "secret_to")]
    pub(super) force: bool,
}

/// A place for a secret.
#[derive(Debug)]
pub(super) enum Place {
    Stdout,
    File(Reserved),
}

/// A file that will hold the secret. When it is dropped without one, nothing is left of it.
#[derive(Debug)]
pub(super) struct Reserved {
    /// As the user wrote it.
    named: PathBuf,
    /// Where a link leads.
    target: PathBuf,
    /// Whether the target was made for this, and is empty.
    is_new: bool,
    /// Who could read the file that is to be replaced, if it was more than its owner.
    before: Option<String>,
    /// In the same folder as the target. It takes its place by a rename.
    temporary: Option<NamedTempFile>,
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
                let path = plain(reserved.named.display());
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

#[derive(Debug)]
struct NotStored {
    why: io::Error,
    /// A file that has the secret all the same.
    left: Option<PathBuf>,
}

impl Reserved {
    fn make(path: &Path, force: bool) -> Result<Self, Failure> {
        let name = plain(path.display());
        let unusable =
            |error: io::Error| Failure::unusable(format!("cannot write to {name}: {error}"));
        let mut reserved = match new_file(path) {
            Ok(_) => Self {
                named: path.to_owned(),
                target: path.to_owned(),
                is_new: true,
                before: None,
                temporary: None,
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && force => Self {
                named: path.to_owned(),
                // Not the link is replaced.
                target: fs::canonicalize(path).map_err(unusable)?,
                is_new: false,
                before: None,
                temporary: None,
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::unusable(format!(
                    "{name} exists: name another file, or give --force to replace it"
                )));
            }
            Err(error) => return Err(unusable(error)),
        };
        let metadata = fs::metadata(&reserved.target).map_err(unusable)?;
        // A device or a pipe must not be replaced by a file.
        if !metadata.is_file() {
            return Err(Failure::unusable(format!(
                "{name} is no regular file: name a file, or give --secret-to - for standard output"
            )));
        }
        let temporary = temporary_beside(&reserved.target).map_err(unusable)?;
        if !reserved.is_new {
            reserved.before = readers(&metadata, &temporary).map_err(unusable)?;
        }
        reserved.temporary = Some(temporary);
        Ok(reserved)
    }

    /// Writes the secret and a line break. Returns the path of the file.
    fn store(mut self, secret: &str) -> Result<PathBuf, NotStored> {
        let Some(mut temporary) = self.temporary.take() else {
            let why = io::Error::other("the temporary file is gone");
            return Err(NotStored { why, left: None });
        };
        write(temporary.as_file_mut(), secret).map_err(|why| NotStored { why, left: None })?;
        if let Err(error) = temporary.persist(&self.target) {
            let why = error.error;
            let left = error.file.keep().ok().map(|(_, path)| path);
            // The folder may have been deleted, and the file with it.
            let left = left.filter(|path| {
                fs::read_to_string(path).is_ok_and(|text| text.trim_end() == secret)
            });
            return Err(NotStored { why, left });
        }
        self.is_new = false;
        let path = plain(self.named.display());
        if let Err(error) = sync_folder(&self.target) {
            shown::warning(format_args!(
                "the folder of {path} could not be synchronised ({error}). If the machine loses power in the next \
                 seconds, look whether the file is there"
            ));
        }
        if let Some(before) = &self.before {
            shown::warning(format_args!(
                "{path} had {before} before. Now only its owner, which is you, can read it: check that your app still can"
            ));
        }
        Ok(self.named.clone())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_new {
            return;
        }
        let is_empty = fs::metadata(&self.target).is_ok_and(|file| file.len() == 0);
        if is_empty && let Err(error) = fs::remove_file(&self.target) {
            shown::warning(format_args!(
                "the empty file {} cannot be removed: {error}",
                plain(self.named.display())
            ));
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file that only its owner can read, with room for a secret.
fn temporary_beside(target: &Path) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(".gemini-webhooks-")
        .tempfile_in(folder(target))?;
    file.write_all(&ROOM)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn write(file: &mut File, secret: &str) -> io::Result<()> {
    let mut text = zeroize::Zeroizing::new(secret.to_owned());
    text.push('\n');
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// So that the new name is on the disk, too.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// The mode and the owner of a file, if others than the owner of `new` could read it.
#[cfg(unix)]
fn readers(old: &fs::Metadata, new: &NamedTempFile) -> io::Result<Option<String>> {
    use std::os::unix::fs::MetadataExt as _;

    let is_same_owner = old.uid() == new.as_file().metadata()?.uid();
    let mode = old.mode() & 0o777;
    let is_same = is_same_owner && mode & 0o077 == 0;
    Ok((!is_same).then(|| format!("mode {mode:o} and the owner with the uid {}", old.uid())))
}

#[cfg(not(unix))]
fn readers(_old: &fs::Metadata, _new: &NamedTempFile) -> io::Result<Option<String>> {
    Ok(None)
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

    #[test]
    fn what_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let reserved = Reserved::make(&path, false).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(
            Reserved::make(&path, false).is_err(),
            "another one came first"
        );
        drop(reserved);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_others_wrote_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let reserved = Reserved::make(&path, false).unwrap();
        fs::write(&path, "theirs").unwrap();
        drop(reserved);
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    }

    #[test]
    fn a_secret_that_cannot_take_its_place_is_left_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let reserved = Reserved::make(&path, false).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let left = reserved.store("whsec_x").unwrap_err().left.unwrap();
        assert_eq!(fs::read_to_string(left).unwrap(), "whsec_x\n");
    }

    #[test]
    fn in_a_folder_that_is_gone_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let reserved = Reserved::make(&folder.path().join("secret"), false).unwrap();
        folder.close().unwrap();
        assert!(reserved.store("whsec_x").unwrap_err().left.is_none());
    }
}
