//! Secrets and other input: from the environment, a file or standard input, never from the arguments, which every
//! user of the machine can read.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::shown;
use crate::stop::Stop;

/// No secret, key or list of them is longer.
const MAX_SECRET: u64 = 64 * 1024;

/// Reads a whole file, or standard input for `-`, of at most `limit` bytes. A pipe may let it wait: Ctrl-C ends that.
pub(crate) async fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let path = path.to_owned();
    unless_stopped(move || read_now(&path, limit)).await
}

fn read_now(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let name = name(path);
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::unusable(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::unusable(format!(
            "{name} is longer than {limit} bytes"
        )));
    }
    Ok(bytes)
}

/// Reads text that is secret from a file, or from standard input for `-`. At a terminal it asks, and does not show
/// what is typed.
pub(crate) async fn read_secret(path: &Path, what: &str) -> Result<Zeroizing<String>, Failure> {
    if path == Path::new("-") && io::stdin().is_terminal() {
        return ask(what).await;
    }
    let bytes = read(path, MAX_SECRET).await?;
    let text = str::from_utf8(&bytes)
        .map_err(|_| Failure::unusable(format!("{} is no text in UTF-8", name(path))))?;
    Ok(Zeroizing::new(text.to_owned()))
}

async fn ask(what: &str) -> Result<Zeroizing<String>, Failure> {
    #[cfg(unix)]
    let _restored = Restored::later();
    let what = what.to_owned();
    unless_stopped(move || {
        let typed = rpassword::prompt_password(format!("{what} (not shown): "));
        typed.map(Zeroizing::new).map_err(|error| {
            // At the prompt Ctrl-C is a key as others are.
            if error.kind() == io::ErrorKind::Interrupted {
                return Failure::stopped();
            }
            Failure::unusable(format!("cannot read {what}: {error}"))
        })
    })
    .await
}

/// What the work returns, which may block. If Ctrl-C or SIGTERM comes first, it is left alone, and ends with the
/// program.
async fn unless_stopped<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let mut stop = Stop::listen()?;
    match stop.unless(tokio::task::spawn_blocking(work)).await {
        Some(Ok(done)) => done,
        Some(Err(error)) => Err(Failure::new(format!("reading broke off: {error}"))),
        None => Err(Failure::stopped()),
    }
}

/// Gives the terminal its settings back when it is dropped: a prompt that a signal ends does not, and then the shell
/// would not show what is typed.
#[cfg(unix)]
struct Restored {
    terminal: File,
    settings: rustix::termios::Termios,
}

#[cfg(unix)]
impl Restored {
    /// `None` if there is no terminal. The prompt says so.
    fn later() -> Option<Self> {
        let terminal = File::open("/dev/tty").ok()?;
        let settings = rustix::termios::tcgetattr(&terminal).ok()?;
        Some(Self { terminal, settings })
    }
}

#[cfg(unix)]
impl Drop for Restored {
    fn drop(&mut self) {
        // If that fails, the terminal is gone.
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(&self.terminal, now, &self.settings);
    }
}

/// What a path is called in a message.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        // Somebody may have given the secret itself.
        shown::without_secrets(&shown::plain(path.display()))
    }
}

/// An environment variable's value, trimmed; `None` if it is unset or empty.
pub(crate) fn variable(name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(value) = std::env::var_os(name) else {
        return Ok(None);
    };
    let value = Zeroizing::new(value.into_encoded_bytes());
    let text = str::from_utf8(&value)
        .map_err(|_| Failure::unusable(format!("the variable {name} is no text in UTF-8")))?;
    let text = text.trim();
    Ok((!text.is_empty()).then(|| Zeroizing::new(text.to_owned())))
}

/// Says of variables that they are set, but empty: to be put behind what is missing. Nothing if none is.
pub(crate) fn if_empty(names: &[&str]) -> String {
    let is_blank = |name: &&&str| {
        let value = std::env::var_os(name);
        value.is_some_and(|value| value.to_str().is_some_and(|value| value.trim().is_empty()))
    };
    let empty: Vec<&str> = names.iter().filter(is_blank).copied().collect();
    match empty.as_slice() {
        [] => String::new(),
        [one] => format!(" ({one} is set, but empty)"),
        several => format!(" ({} are set, but empty)", several.join(" and ")),
    }
}

/// `-` for standard input may be given once only: what is read first takes all of it.
pub(crate) fn at_most_one_dash<'a>(
    paths: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), Failure> {
    let dashes = paths
        .into_iter()
        .filter(|path| path.as_path() == Path::new("-"))
        .count();
    if dashes > 1 {
        return Err(Failure::unusable(
            "`-` (standard input) is given more than once: give files for the others",
        ));
    }
    Ok(())
}
