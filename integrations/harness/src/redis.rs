use std::io;

use crate::port::Port;
use crate::process::{Keeper, find, wait_until};
use crate::resp::{Connection, Reply};

/// A Redis with data of its own. It is as durable as Redis is by default: when it is stopped in
/// order, it saves its data.
#[derive(Debug)]
pub struct RedisServer {
    port: Port,
    password: Option<String>,
    keeper: Keeper,
}

impl RedisServer {
    /// Starts a server with the settings that a new one has.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with arguments of `redis-server`, such as `--appendonly` and `yes`. A
    /// `--requirepass` is in the [`url`](Self::url).
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        let port = Port::free();
        let number = port.number().to_string();
        // A replica need not wait for others that may come.
        let own = [
            "--port",
            &number,
            "--bind",
            "127.0.0.1",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let keeper = Keeper::new(
            None,
            "KILL",
            &find("redis-server", "redis-server", &[]),
            &[&own, arguments].concat(),
        );
        let password = arguments
            .iter()
            .skip_while(|argument| **argument != "--requirepass")
            .nth(1)
            .map(|password| (*password).to_owned());
        let server = Self {
            port,
            password,
            keeper,
        };
        server.start_again();
        server
    }

    /// Starts a replica: a second server that follows this one and only reads.
    #[must_use]
    pub fn replica_of(server: &Self) -> Self {
        let port = server.port().to_string();
        let mut arguments = vec!["--replicaof", "127.0.0.1", &port];
        if let Some(password) = &server.password {
            arguments.extend(["--masterauth", password, "--requirepass", password]);
        }
        let replica = Self::start_with(&arguments);
        wait_until(|| {
            replica
                .cli(&["INFO", "replication"])
                .contains("master_link_status:up")
        })
        .expect("the replica follows within a minute");
        replica
    }

    /// `redis://127.0.0.1:PORT`, with the password if there is one.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self.password.iter().map(|password| format!(":{password}@"));
        format!(
            "redis://{}127.0.0.1:{}",
            password.collect::<String>(),
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

    /// Ends the server in order: it saves its data, if its settings say so.
    pub fn stop(&self) {
        self.keeper.stop("TERM");
    }

    /// Ends the server at once, as a crash does.
    pub fn kill(&self) {
        self.keeper.kill();
    }

    /// Starts the server that was stopped or killed, with the data that it saved, on the same port.
    pub fn start_again(&self) {
        self.keeper.start(|_| {
            // It says LOADING while it reads its data.
            matches!(self.try_call(&[b"PING"]), Ok(Reply::Text(_)))
        });
    }

    /// Runs a command. An array comes back as a line for each item, nil as nothing.
    ///
    /// # Panics
    ///
    /// If the server answers with an error, or not within 20 seconds.
    pub fn cli(&self, arguments: &[&str]) -> String {
        self.try_cli(arguments)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// Like [`cli`](Self::cli), but hands out the error that the server answers with.
    ///
    /// # Errors
    ///
    /// The server's own, such as `WRONGTYPE Operation …`.
    pub fn try_cli(&self, arguments: &[&str]) -> Result<String, String> {
        let arguments: Vec<&[u8]> = arguments
            .iter()
            .map(|argument| argument.as_bytes())
            .collect();
        match self.call(&arguments) {
            Reply::Error(error) => Err(error),
            reply => Ok(reply.lines()),
        }
    }

    /// What the server has logged, since the first start.
    #[must_use]
    pub fn log(&self) -> String {
        self.keeper.log()
    }

    pub(crate) fn call(&self, arguments: &[&[u8]]) -> Reply {
        self.try_call(arguments)
            .unwrap_or_else(|error| panic!("no answer from {}: {error}", self.url()))
    }

    fn try_call(&self, arguments: &[&[u8]]) -> io::Result<Reply> {
        let mut connection = Connection::open(self.port())?;
        if let Some(password) = &self.password {
            connection.call(&[b"AUTH", password.as_bytes()])?;
        }
        connection.call(arguments)
    }
}
