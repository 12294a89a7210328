use std::fmt::Display;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use crate::port::random;

/// The user and the group that a server runs as, if not as those of the test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// The first of these users that the system knows.
    pub(crate) fn first_of(names: &[&str]) -> Self {
        let known = fs::read_to_string("/etc/passwd").expect("/etc/passwd lists the users");
        names
            .iter()
            .find_map(|name| {
                let line = known
                    .lines()
                    .find(|line| line.split(':').next() == Some(name))?;
                let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
                Some(Self {
                    user: ids.next()??,
                    group: ids.next()??,
                })
            })
            .unwrap_or_else(|| panic!("/etc/passwd has none of the users {names:?}"))
    }
}

/// A directory, and a server that works there. Both end with this value, or with the process.
///
/// A shell holds them, since a process that is killed cannot tidy up after itself. It has a
/// session of its own, so that Ctrl-C does not reach it, nor the signals that the system sends to
/// a group with a stopped process when their parent dies.
#[derive(Debug)]
pub(crate) struct Keeper {
    directory: PathBuf,
    shell: Child,
    orders: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Keeper {
    /// Makes the directory. The server starts when [`start`](Self::start) says so; the last signal
    /// is what ends it together with the value.
    pub(crate) fn new(
        account: Option<Account>,
        last_signal: &str,
        program: &Path,
        arguments: &[&str],
    ) -> Self {
        let directory = std::env::temp_dir().join(format!("gemini-webhooks-{:016x}", random()));
        let mut command = Command::new("setsid");
        command
            // Its text is in a variable, so that no file of it is left behind at any moment.
            .args(["/bin/sh", "-c", "eval \"$KEEPER\"", "keeper"])
            .arg(&directory)
            .arg(last_signal)
            .arg(program)
            .args(arguments)
            .current_dir("/")
            // No settings of the caller's, such as PGOPTIONS; messages in English.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .env("KEEPER", include_str!("keeper.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(Account { user, group }) = account {
            command.uid(user).gid(group);
        }
        let mut shell = command
            .spawn()
            .expect("setsid, of Debian's package util-linux");
        let orders = shell
            .stdin
            .take()
            .zip(shell.stdout.take().map(BufReader::new));
        let keeper = Self {
            directory,
            shell,
            orders: Mutex::new(orders),
        };
        // Answers when the directory is there.
        assert_eq!(
            keeper.order("runs"),
            "no",
            "no directory {}",
            keeper.directory.display()
        );
        keeper
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs a program to its end, in the directory, as its owner.
    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) {
        let program = program.to_str().expect("a path in UTF-8");
        let lines = [&["run", program], arguments, &[""]].concat().join("\n");
        if !self.yes(&lines) {
            self.fail(format_args!("was not prepared by {program}"));
        }
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.directory.join("log")).expect("the log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Starts the server and waits until it is ready, which is asked with the id of its process.
    pub(crate) fn start(&self, is_ready: impl Fn(&str) -> bool) {
        if self.yes("runs") {
            self.fail("runs already");
        }
        let id = self.order("start");
        wait_until(|| {
            if !self.yes("runs") {
                self.fail("ended while it started");
            }
            is_ready(&id)
        })
        .unwrap_or_else(|_| self.fail("is not ready after a minute"));
    }

    /// Stops the processes, in their tracks.
    pub(crate) fn pause(&self) {
        self.must("pause");
    }

    pub(crate) fn resume(&self) {
        self.must("resume");
    }

    /// Ends the server in the way that the signal asks it to, and waits for that.
    pub(crate) fn stop(&self, signal: &str) {
        self.must(&format!("stop {signal}"));
    }

    /// Ends all its processes at once, as a crash does.
    pub(crate) fn kill(&self) {
        self.must("kill");
    }

    fn must(&self, order: &str) {
        if !self.yes("runs") {
            self.fail(format_args!("does not run, so it cannot {order}"));
        }
        if !self.yes(order) {
            self.fail(format_args!("did not {order}"));
        }
    }

    fn yes(&self, order: &str) -> bool {
        self.order(order) == "yes"
    }

    fn order(&self, order: &str) -> String {
        let mut orders = lock(&self.orders);
        let (stdin, stdout) = orders.as_mut().expect("taken by drop only");
        let mut answer = String::new();
        writeln!(stdin, "{order}")
            .and_then(|()| stdout.read_line(&mut answer))
            .expect("the keeper");
        answer.trim_end().to_owned()
    }

    fn fail(&self, what: impl Display) -> ! {
        panic!(
            "the server in {} {what}. Its log:\n{}",
            self.directory.display(),
            self.log()
        );
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Closes the shell's standard input.
        drop(lock(&self.orders).take());
        // All is gone when this returns. There is nobody to tell of an error.
        drop(self.shell.wait());
    }
}

/// Whether the test runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// The program, from `PATH` or else from these directories.
pub(crate) fn find(program: &str, package: &str, elsewhere: &[PathBuf]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(elsewhere.iter().cloned())
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!(
                "`{program}` is missing. Install Debian's package {package}, or run scripts/test, which does."
            )
        })
}

/// A mutex of ours holds nothing that a panic leaves half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(crate) struct TooLate;

/// Asks again and again, for a minute.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) -> Result<(), TooLate> {
    for _ in 0..6000 {
        if is_so() {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    Err(TooLate)
}
