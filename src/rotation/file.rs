//! Secrets in a file.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::{SecretFuture, SecretSet, SecretSource};
use crate::error::BoxError;
use crate::secret::Secret;

/// More than any list of secrets.
const MAX_BYTES: usize = 64 * 1024;

/// Between two readings that must agree. Who writes a file in place is done by then.
const PAUSE: Duration = Duration::from_millis(50);

/// So often it is read until two readings agree.
const READINGS: usize = 20;

/// A file with one secret a line, as [`SecretSet::from_lines`] reads it.
///
/// The file may be replaced, as Kubernetes does with what it mounts, or written in place: it is read until two
/// readings, 50 milliseconds apart, agree. It may have 64 KiB.
#[derive(Clone, Debug)]
pub struct SecretFile {
    path: Arc<Path>,
    /// A file system that hangs holds one thread, and not one more for each reading.
    turn: Arc<Semaphore>,
}

impl SecretFile {
    /// Names the file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into().into(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    async fn read(&self) -> Result<Zeroizing<Vec<u8>>, BoxError> {
        let turn = Arc::clone(&self.turn).acquire_owned().await?;
        let path = Arc::clone(&self.path);
        let reading = spawn_blocking(move || {
            let _turn = turn;
            read(&path)
        });
        let failed = |error| format!("{}: {error}", self.path.display());
        Ok(reading.await?.map_err(failed)?)
    }
}

impl<S: Secret> SecretSource<S> for SecretFile {
    fn fetch(&self) -> SecretFuture<'_, S> {
        Box::pin(async move {
            let mut last = self.read().await;
            for _ in 0..READINGS {
                sleep(PAUSE).await;
                let next = self.read().await;
                match (last, next) {
                    (Ok(last), Ok(next)) if last == next => {
                        let text = Zeroizing::new(String::from_utf8_lossy(&next).into_owned());
                        return Ok(SecretSet::from_lines(&text));
                    }
                    (Err(_), Err(error)) => return Err(error),
                    (_, next) => last = next,
                }
            }
            Err(format!("{}: it does not stop changing", self.path.display()).into())
        })
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // To open a pipe would wait for who writes it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    // With room for all: where it had to grow, its parts would stay in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    File::open(path)?
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::other("it has more than 64 KiB"));
    }
    Ok(bytes)
}
