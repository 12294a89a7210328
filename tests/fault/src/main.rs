//! Sends events as Google does to replicas that are killed, stopped and cut off from their store, and checks
//! that none is lost and that each second run has an explanation.
//!
//! `tests/fault/README.md` says what it does, and how to aim it at an app of your own.

use std::error;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

mod clock;
mod events;
mod fleet;
mod jobs;
mod journal;
mod judge;
mod keys;
mod plan;
mod replica;
mod report;
mod run;
mod sender;
mod setup;
mod store;

use run::Size;
use setup::{Own, Plant, SetUp, StoreKind};

type Error = Box<dyn error::Error + Send + Sync>;

/// Sends events as Google does to an app that is killed, stopped and cut off from its store, and checks that
/// no event is lost and that each second run has an explanation.
///
/// Exit code: 0 if all set-ups hold, 1 if one does not, 2 if it could not be tried or was too
/// short to say, 130 after Ctrl-C.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
    fault --setup redis --events 20000\n  \
    fault --setup inbox-sqlite --events 1000 --rate 100 --seed 7\n  \
    fault --setup jobs-postgres --events 10000\n  \
    fault --setup redis --events 500 --plant marks-first     # must find losses\n  \
    fault --app target/debug/examples/axum_sqlx --store postgres --replicas 3"
)]
struct Arguments {
    /// What to run, again for several. All six if none is given
    #[arg(long, value_enum)]
    setup: Vec<SetUp>,
    /// How many events are sent in each set-up, or jobs started
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    events: u32,
    /// How many events are sent a second, or jobs started
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Repeats the events and the faults of another run. Random if it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// Plants a mistake in the app, to see that it is found
    #[arg(long, value_enum)]
    plant: Option<Plant>,
    /// A program of yours, which keeps to `An app of yours` in tests/fault/README.md
    #[arg(long, conflicts_with_all = ["setup", "plant"])]
    app: Option<PathBuf>,
    /// Which store your program has
    #[arg(long, value_enum, default_value = "none", requires = "app")]
    store: StoreKind,
    /// How many processes of your program run
    #[arg(long, default_value_t = 3, requires = "app", value_parser = clap::value_parser!(u8).range(1..=20))]
    replicas: u8,
    /// A folder to keep the logs of the processes in. Without it they are kept only if something does not hold
    #[arg(long)]
    logs: Option<PathBuf>,
    /// The arguments of your program
    #[arg(last = true, requires = "app")]
    arguments: Vec<String>,
}

/// One thread, which ends last: the processes end with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = async {
        // Before anything is started.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            ended = run_all(&arguments) => ended,
            _ = terminate.recv() => Ok(Ended::Stopped),
            _ = interrupt.recv() => Ok(Ended::Stopped),
        }
    };
    match ended.await {
        Ok(Ended::Holds) => ExitCode::SUCCESS,
        Ok(Ended::DoesNotHold) => ExitCode::from(1),
        Ok(Ended::TooShort) => ExitCode::from(2),
        Ok(Ended::Stopped) => {
            eprintln!("stopped before the end: nothing is judged");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("fault: {error}");
            ExitCode::from(2)
        }
    }
}

/// The last is the worst, and counts for all.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Ended {
    Holds,
    TooShort,
    DoesNotHold,
    Stopped,
}

impl Ended {
    fn of(holds: bool, is_tried: bool) -> Self {
        match (holds, is_tried) {
            (true, true) => Self::Holds,
            (true, false) => Self::TooShort,
            (false, _) => Self::DoesNotHold,
        }
    }
}

async fn run_all(arguments: &Arguments) -> Result<Ended, Error> {
    let own = arguments.app.as_deref().map(|program| {
        let wrong = |error: &dyn Display| format!("--app {}: {error}", program.display());
        let absolute = fs::canonicalize(program).map_err(|error| wrong(&error))?;
        let file = fs::metadata(&absolute).map_err(|error| wrong(&error))?;
        if !file.is_file() || file.permissions().mode() & 0o111 == 0 {
            return Err(wrong(&"it is not a program"));
        }
        Ok(absolute)
    });
    let own = own.transpose()?.map(|program| Own {
        program,
        arguments: arguments.arguments.clone(),
        store: arguments.store,
        replicas: usize::from(arguments.replicas),
    });
    let able = arguments.plant.map_or(&SetUp::ALL[..], Plant::setups);
    let setups = match (&own, arguments.setup.as_slice()) {
        (Some(_), _) => vec![SetUp::Own],
        (None, []) => able.to_vec(),
        (None, setups) => setups.to_vec(),
    };
    if let Some(setup) = setups
        .iter()
        .find(|setup| own.is_none() && !able.contains(setup))
    {
        return Err(format!("--plant cannot be had with the set-up {}", setup.name()).into());
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut worst = Ended::Holds;
    for setup in setups {
        let parts = setup.parts(app()?, own.as_ref());
        let size = Size {
            events: usize::try_from(arguments.events)?,
            rate: arguments.rate,
            seed,
            plant: arguments.plant,
        };
        eprintln!("{}: {}, seed {seed}", setup.name(), parts.title);
        let folder = match &arguments.logs {
            Some(logs) => {
                fs::create_dir_all(logs)
                    .map_err(|error| format!("--logs {}: {error}", logs.display()))?;
                tempfile::Builder::new()
                    .prefix(setup.name())
                    .disable_cleanup(true)
                    .tempdir_in(logs)?
            }
            None => tempfile::Builder::new()
                .prefix("gemini-webhooks-fault-")
                .tempdir()?,
        };
        let ended = match parts.has_jobs {
            true => jobs::run(&parts, size, folder.path()).await,
            false => run::run(&parts, size, folder.path()).await,
        };
        let end = ended.as_ref().map_or(Ended::DoesNotHold, |(end, _)| *end);
        worst = worst.max(end);
        if let Ok((_, summary)) = &ended {
            writeln!(io::stdout(), "{summary}")?;
        }
        let mut kept = PathBuf::new();
        if end == Ended::DoesNotHold || arguments.logs.is_some() {
            kept = folder.keep();
            eprintln!("the logs of its processes: {}", kept.display());
        }
        if ended.is_err() {
            eprint!("{}", last_lines(&kept));
        }
        ended?;
    }
    Ok(worst)
}

/// The end of each log in the folder.
fn last_lines(folder: &Path) -> String {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<PathBuf> = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    let mut text = String::new();
    for log in logs.iter().take(3) {
        let content = fs::read(log).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<&str> = content.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(3)) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

/// The app of the set-ups, which is built beside this program.
fn app() -> Result<PathBuf, Error> {
    let own = std::env::current_exe()?;
    let app = own.parent().unwrap_or(Path::new("")).join("fault_app");
    match fs::metadata(&app) {
        Ok(_) => Ok(app),
        Err(error) => Err(format!(
            "{}: {error}; build it with `cargo build -p gemini-webhooks-fault`",
            app.display()
        )
        .into()),
    }
}
