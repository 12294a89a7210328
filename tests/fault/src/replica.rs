//! The processes of the app: each is kept running, killed and stopped.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks_harness::Port;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::clock::Moment;
use crate::journal::{Death, How, Journal, Life, Run, Told};

/// The signal that a process that calls `abort` ends by.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
/// A process that was stopped in order may take so long.
const ORDERLY_END: Duration = Duration::from_secs(30);
/// A process that has just been started does not yet listen for signals, and no deployment would stop it.
const YOUTH: u64 = 1_000;
/// A kill waits so long for a line, so that it comes between the work and its mark.
const LINE: Duration = Duration::from_millis(700);
/// What a service manager waits before it starts a process again that ended by itself.
const RESTART: Duration = Duration::from_millis(500);

/// How a replica is started.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    /// The log of all its processes.
    pub(crate) log: PathBuf,
    /// From which each process has a number of its own, if mishaps are wanted.
    pub(crate) mishaps: Option<u64>,
    /// So many seconds its clock is ahead.
    pub(crate) clock_ahead: i64,
}

/// A replica with its keeper.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Keeps it from others while the process is down.
    _port: Port,
    orders: mpsc::UnboundedSender<Order>,
    keeper: JoinHandle<Result<(), Error>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Kill {
        down: u64,
    },
    /// Without waiting for a line.
    KillAtOnce {
        down: u64,
    },
    Stop {
        down: u64,
    },
    End,
}

/// What of a line of the app is read.
#[derive(Deserialize)]
struct Line {
    webhook_id: String,
    #[serde(default)]
    once: bool,
    #[serde(flatten)]
    told: Option<Told>,
}

impl Replica {
    pub(crate) fn start(index: usize, spec: Spec, port: Port, journal: Arc<Journal>) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let keeper = Keeper {
            index,
            spec,
            journal,
            orders: received,
            address: format!("127.0.0.1:{}", port.number()),
        };
        Self {
            _port: port,
            orders,
            keeper: tokio::spawn(keeper.keep()),
        }
    }

    /// Does nothing if the keeper has ended, which `end` tells of.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Whether its keeper has ended, which it does before its time only if something is wrong: `end` says what.
    pub(crate) fn is_lost(&self) -> bool {
        self.keeper.is_finished()
    }

    /// Stops it in order, for good.
    pub(crate) async fn end(self) -> Result<(), Error> {
        self.order(Order::End);
        self.keeper.await?
    }
}

struct Keeper {
    index: usize,
    spec: Spec,
    journal: Arc<Journal>,
    orders: mpsc::UnboundedReceiver<Order>,
    address: String,
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    life: Life,
    born: Moment,
}

impl Keeper {
    async fn keep(mut self) -> Result<(), Error> {
        let mut ended = false;
        let mut start = 0;
        while !ended {
            start += 1;
            let life = Life {
                replica: self.index,
                start,
            };
            let mut process = self.spawn(life)?;
            let (how, down) = self.live(&mut process, &mut ended).await?;
            let at = self.journal.clock.now();
            let death = Death {
                life,
                born: process.born,
                at,
                how,
            };
            self.journal.write().deaths.push(death);
            // It has written this before its end, however late it is read.
            while let Some(line) = process.lines.next_line().await? {
                self.read_at(at, &line, life)?;
            }
            sleep(down).await;
        }
        Ok(())
    }

    /// Until the process has ended. Returns how, and how long it stays down.
    async fn live(
        &mut self,
        process: &mut Process,
        ended: &mut bool,
    ) -> Result<(How, Duration), Error> {
        loop {
            let order = tokio::select! {
                line = process.lines.next_line() => match line? {
                    Some(line) => {
                        self.read(&line, process.life)?;
                        continue;
                    }
                    None => {
                        let status = process.child.wait().await?;
                        return Ok((self.by_itself(status), RESTART));
                    }
                },
                order = self.orders.recv() => order.unwrap_or(Order::End),
            };
            match order {
                Order::Kill { down } => {
                    let line = timeout(LINE, process.lines.next_line()).await;
                    process.child.start_kill()?;
                    if let Ok(Some(line)) = line.unwrap_or(Ok(None)) {
                        self.read(&line, process.life)?;
                    }
                    let how = self.killed(process).await?;
                    return Ok((how, Duration::from_millis(down)));
                }
                Order::KillAtOnce { down } => {
                    process.child.start_kill()?;
                    let how = self.killed(process).await?;
                    return Ok((how, Duration::from_millis(down)));
                }
                Order::Stop { down } => {
                    let how = self.stop(process).await?;
                    return Ok((how, Duration::from_millis(down)));
                }
                Order::End => {
                    *ended = true;
                    return Ok((self.stop(process).await?, Duration::ZERO));
                }
            }
        }
    }

    async fn killed(&self, process: &mut Process) -> Result<How, Error> {
        let status = process.child.wait().await?;
        Ok(match status.signal() {
            Some(SIGKILL) => How::Killed,
            _ => self.by_itself(status),
        })
    }

    /// Reads its lines on, until it has ended in order.
    async fn stop(&self, process: &mut Process) -> Result<How, Error> {
        let grown = self.journal.clock.until(process.born.after(YOUTH));
        tokio::pin!(grown);
        loop {
            tokio::select! {
                () = &mut grown => break,
                line = process.lines.next_line() => match line? {
                    Some(line) => self.read(&line, process.life)?,
                    None => return Ok(self.by_itself(process.child.wait().await?)),
                },
            }
        }
        let pid = process.child.id().and_then(|id| i32::try_from(id).ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            return Ok(self.by_itself(process.child.wait().await?));
        };
        // It may have ended meanwhile, and is not awaited yet, so the number is still its own.
        kill_process(pid, Signal::TERM)?;
        let rest = async {
            while let Some(line) = process.lines.next_line().await? {
                self.read(&line, process.life)?;
            }
            Ok::<_, Error>(process.child.wait().await?)
        };
        match timeout(ORDERLY_END, rest).await {
            Ok(status) => {
                let status = status?;
                Ok(match self.by_itself(status) {
                    How::Aborted => How::Aborted,
                    _ => How::Stopped(status.code()),
                })
            }
            Err(_) => {
                process.child.kill().await?;
                Ok(How::Hung)
            }
        }
    }

    fn by_itself(&self, status: ExitStatus) -> How {
        match status.signal() {
            // As it was told to, now and then.
            Some(SIGABRT) if self.spec.mishaps.is_some() => How::Aborted,
            _ => How::ByItself(status.code()),
        }
    }

    fn read(&self, line: &str, life: Life) -> Result<(), Error> {
        self.read_at(self.journal.clock.now(), line, life)
    }

    fn read_at(&self, at: Moment, line: &str, life: Life) -> Result<(), Error> {
        let Line {
            webhook_id,
            once,
            told,
        } = serde_json::from_str(line)
            .map_err(|error| {
                format!(
                    "{} printed {line:?} to stdout, where a line of JSON with a `webhook_id` must tell of each handled event, and nothing else may be: {error}. Send logs to stderr",
                    self.spec.name
                )
            })?;
        let run = Run {
            webhook_id,
            at,
            life,
            once,
            told,
        };
        self.journal.write().runs.push(run);
        Ok(())
    }

    fn spawn(&self, life: Life) -> Result<Process, Error> {
        let spec = &self.spec;
        let log = open_log(&spec.log)?;
        // It ends with this program, by whatever means this ends.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&spec.program)
            .args(&spec.arguments)
            .envs(spec.variables.iter().cloned())
            .env("LISTEN_ADDR", &self.address)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        if let Some(seed) = spec.mishaps {
            let number = seed.wrapping_add(u64::from(life.start));
            command.env("FAULT_RANDOM", number.to_string());
        }
        if spec.clock_ahead != 0 {
            command
                .env("LD_PRELOAD", faketime()?)
                .env("FAKETIME", format!("{:+}", spec.clock_ahead))
                // Time-outs and leases go on.
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let mut child = command
            .spawn()
            .map_err(|error| format!("setpriv {}: {error}", spec.program.display()))?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        Ok(Process {
            child,
            lines: BufReader::new(stdout).lines(),
            life,
            born: self.journal.clock.now(),
        })
    }
}

fn open_log(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    Ok(file.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The library that sets a process's clock, where Debian has it.
fn faketime() -> Result<PathBuf, Error> {
    let folders = std::fs::read_dir("/usr/lib")?.flatten();
    let files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let found = files.into_iter().find(|file| file.is_file());
    found.ok_or_else(|| "libfaketime is missing; install Debian's package faketime".into())
}
