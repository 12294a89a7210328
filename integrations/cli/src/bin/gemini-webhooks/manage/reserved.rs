//! A file for a secret that is yet to come.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::Failure;
use crate::shown::{self, plain};

/// More than a secret with its line break has. It is written first, so that the disk has room for the secret.
const ROOM: [u8; 512] = [b'\n'; 512];

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

/// Why the secret is not where it should be.
#[derive(Debug)]
pub(super) struct NotStored {
    pub(super) why: io::Error,
    /// A file that has the secret all the same.
    pub(super) left: Option<PathBuf>,
}

impl Reserved {
    /// Makes the file, or checks that it can be replaced.
    pub(super) fn make(path: &Path, force: bool) -> Result<Self, Failure> {
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
                target: behind_links(path).map_err(unusable)?,
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

    /// The path as the user wrote it.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    /// Writes the secret and a line break. Returns the path of the file.
    pub(super) fn store(self, secret: &str) -> Result<PathBuf, NotStored> {
        self.store_with(secret, File::sync_all)
    }

    fn store_with(
        mut self,
        secret: &str,
        sync: impl Fn(&File) -> io::Result<()>,
    ) -> Result<PathBuf, NotStored> {
        let Some(mut temporary) = self.temporary.take() else {
            let why = io::Error::other("the temporary file is gone");
            return Err(NotStored { why, left: None });
        };
        let written = write(temporary.as_file_mut(), secret);
        if let Err(why) = written.and_then(|()| sync(temporary.as_file())) {
            let left = keep(temporary, secret);
            return Err(NotStored { why, left });
        }
        if let Err(error) = temporary.persist(&self.target) {
            let (why, left) = (error.error, keep(error.file, secret));
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
    file.set_len(text.len() as u64)
}

/// Leaves the temporary file where it is, if it has the whole secret: the disk may have failed, or the folder may have
/// been deleted, and the file with it.
fn keep(temporary: NamedTempFile, secret: &str) -> Option<PathBuf> {
    let text = zeroize::Zeroizing::new(fs::read_to_string(temporary.path()).ok()?);
    if text.trim_end() != secret {
        return None;
    }
    temporary.keep().ok().map(|(_, path)| path)
}

/// The file that links lead to. In a folder where all may write, a link of somebody else could lead to any file of
/// ours.
#[cfg(unix)]
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;

    /// As many as Linux follows.
    const LINKS: usize = 40;
    let own = rustix::process::geteuid().as_raw();
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let metadata = fs::symlink_metadata(&path)?;
        if !metadata.is_symlink() {
            return Ok(path);
        }
        if !may_follow(metadata.uid(), own) {
            return Err(io::Error::other(format!(
                "{} is a link of another user, with the uid {}, and may lead anywhere. Name the file itself",
                plain(path.display()),
                metadata.uid()
            )));
        }
        path = folder(&path).join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many links lead to each other"))
}

#[cfg(unix)]
fn may_follow(owner_of_link: u32, own: u32) -> bool {
    const ROOT: u32 = 0;
    [ROOT, own].contains(&owner_of_link)
}

#[cfg(not(unix))]
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
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
    fn a_secret_that_may_not_be_on_the_disk_yet_is_left_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let reserved = Reserved::make(&path, false).unwrap();
        let fails = |_: &File| Err(io::Error::other("the disk fails"));
        let not_stored = reserved.store_with("whsec_x", fails).unwrap_err();
        assert_eq!(not_stored.why.to_string(), "the disk fails");
        let left = not_stored.left.unwrap();
        assert_eq!(fs::read_to_string(&left).unwrap(), "whsec_x\n");
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 1, "nothing else is left: {files:?}");
    }

    #[cfg(unix)]
    #[test]
    fn whose_links_are_followed() {
        for (name, owner, own, may) in [
            ("ours", 1000, 1000, true),
            ("that of root", 0, 1000, true),
            ("that of another user", 1001, 1000, false),
            ("that of a user, for root", 1000, 0, false),
        ] {
            assert_eq!(may_follow(owner, own), may, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_only_if_it_is_ours() {
        use std::os::unix::fs::{lchown, symlink};

        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("target"), "precious").unwrap();
        symlink("target", at("first")).unwrap();
        symlink(at("first"), at("second")).unwrap();
        symlink("third", at("third")).unwrap();
        assert_eq!(behind_links(&at("second")).unwrap(), at("target"));
        assert!(behind_links(&at("third")).is_err(), "it leads to itself");
        // Only root can give a link away.
        if lchown(at("first"), Some(12_345), None).is_err() {
            return;
        }
        for name in ["first", "second"] {
            let refused = Reserved::make(&at(name), true).unwrap_err();
            let says = "is a link of another user, with the uid 12345";
            assert!(refused.text().contains(says), "{refused:?}");
            assert_eq!(fs::read_to_string(at("target")).unwrap(), "precious");
        }
    }

    #[test]
    fn in_a_folder_that_is_gone_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let reserved = Reserved::make(&folder.path().join("secret"), false).unwrap();
        folder.close().unwrap();
        assert!(reserved.store("whsec_x").unwrap_err().left.is_none());
    }
}
