use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::port::{Port, random};
use crate::process::{Account, Keeper, find, is_root};

const USER: &str = "gemini";

/// A PostgreSQL with data of its own, as durable as PostgreSQL is by default.
#[derive(Debug)]
pub struct PostgresServer {
    port: Port,
    keeper: Keeper,
}

impl PostgresServer {
    /// Starts a server with the settings that a new one has.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with settings of `postgresql.conf`, such as `("max_connections", "20")`.
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let server = Self::new();
        let template = Template::get().keeper.directory().join("data");
        let template = template.to_str().expect("a path in UTF-8");
        server
            .keeper
            .run(Path::new("cp"), &["-a", template, "data"]);
        let mut file = OpenOptions::new()
            .append(true)
            .open(server.data().join("postgresql.conf"))
            .expect("postgresql.conf");
        for (name, value) in settings {
            writeln!(file, "{name} = '{}'", value.replace('\'', "''")).expect("postgresql.conf");
        }
        server.start_again();
        server
    }

    /// Starts a hot standby: a second server that follows this one and only reads. It lags behind
    /// by some milliseconds.
    #[must_use]
    pub fn read_only_standby(&self) -> Self {
        let standby = Self::new();
        standby.keeper.run(
            &program("pg_basebackup"),
            &[
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
                "--pgdata=data",
                "--dbname",
                &self.url(),
            ],
        );
        standby.start_again();
        standby
    }

    fn new() -> Self {
        let port = Port::free();
        let number = port.number().to_string();
        let keeper = Keeper::new(
            account(),
            // Ends at once, and frees shared memory.
            "QUIT",
            &program("postgres"),
            &[
                "-D",
                "data",
                "-p",
                &number,
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
                // In the directory, which is removed, and not in /dev/shm.
                "-c",
                "dynamic_shared_memory_type=mmap",
            ],
        );
        Self { port, keeper }
    }

    fn data(&self) -> PathBuf {
        self.keeper.directory().join("data")
    }

    /// `postgres://gemini:PASSWORD@127.0.0.1:PORT/postgres`, of a superuser.
    #[must_use]
    pub fn url(&self) -> String {
        let password = &Template::get().password;
        format!(
            "postgres://{USER}:{password}@127.0.0.1:{}/postgres",
            self.port()
        )
    }

    /// The port, of 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Freezes the server with all its connections, which stay open and get no answer.
    pub fn pause(&self) {
        self.keeper.pause();
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.keeper.resume();
    }

    /// Ends the server in order ("fast"): it rolls back what is open and closes the connections.
    pub fn stop(&self) {
        self.keeper.stop("INT");
    }

    /// Ends the server with all its processes at once, as a crash does.
    pub fn kill(&self) {
        self.keeper.kill();
    }

    /// Starts the server that was stopped or killed, with the same data, on the same port.
    pub fn start_again(&self) {
        self.keeper.start(|id| {
            // The first line is who wrote it, which may have been a server that was killed. The
            // eighth is its state.
            let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            let lines: Vec<&str> = file.lines().map(str::trim).collect();
            lines.first() == Some(&id) && lines.get(7) == Some(&"ready")
        });
    }

    /// What the server has logged, since the first start.
    #[must_use]
    pub fn log(&self) -> String {
        self.keeper.log()
    }
}

/// Data as `initdb` makes it, once a process, to be copied.
struct Template {
    keeper: Keeper,
    password: String,
}

impl Template {
    fn get() -> &'static Self {
        static TEMPLATE: OnceLock<Template> = OnceLock::new();
        TEMPLATE.get_or_init(|| {
            let keeper = Keeper::new(account(), "QUIT", Path::new("false"), &[]);
            let password = format!("{:016x}", random());
            fs::write(keeper.directory().join("password"), &password).expect("the password");
            keeper.run(
                &program("initdb"),
                &[
                    "--pgdata=data",
                    "--username",
                    USER,
                    "--pwfile=password",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    // Only the machine's crash could lose what is not yet on the disk.
                    "--no-sync",
                ],
            );
            Self { keeper, password }
        })
    }
}

/// PostgreSQL refuses to run as root.
fn account() -> Option<Account> {
    is_root().then(|| Account::first_of(&["postgres", "nobody"]))
}

/// Debian keeps the programs of each version in a directory of its own.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    let elsewhere: Vec<PathBuf> = versions.into_iter().map(|(_, path)| path).collect();
    // All from where `initdb` really is: in `PATH` there may be links to some, and wrappers.
    fs::canonicalize(find("initdb", "postgresql", &elsewhere))
        .expect("a file")
        .with_file_name(name)
}
