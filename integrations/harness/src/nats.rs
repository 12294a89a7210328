use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;

use crate::port::Port;
use crate::process::{Keeper, find};

/// A NATS server with JetStream, and data of its own.
#[derive(Debug)]
pub struct NatsServer {
    port: Port,
    keeper: Keeper,
}

impl NatsServer {
    /// Starts a server with the settings that a new one has.
    #[must_use]
    pub fn start() -> Self {
        let port = Port::free();
        let number = port.number().to_string();
        let program = find(
            "nats-server",
            "nats-server",
            &[PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")],
        );
        let arguments = ["--addr", "127.0.0.1", "--port", &number];
        // Below the directory that it works in.
        let store = ["--jetstream", "--store_dir", "data"];
        let keeper = Keeper::new(
            None,
            "TERM",
            &program,
            &[arguments.as_slice(), &store].concat(),
        );
        let server = Self { port, keeper };
        server.start_again();
        server
    }

    /// `nats://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.number())
    }

    /// Freezes the server with all its connections, which stay open and get no answer.
    pub fn pause(&self) {
        self.keeper.pause();
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.keeper.resume();
    }

    /// Ends the server in order.
    pub fn stop(&self) {
        self.keeper.stop("TERM");
    }

    /// Ends the server at once, as a crash does.
    pub fn kill(&self) {
        self.keeper.kill();
    }

    /// Starts the server that was stopped or killed, with the data that it wrote, on the same port.
    pub fn start_again(&self) {
        // It greets a client with its settings, once it has read its data.
        self.keeper.start(|_| {
            let greeting =
                TcpStream::connect(("127.0.0.1", self.port.number())).and_then(|mut server| {
                    let mut greeting = [0; 4];
                    server.read_exact(&mut greeting)?;
                    Ok(greeting)
                });
            greeting.is_ok_and(|greeting| &greeting == b"INFO")
        });
    }
}
