use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Long enough for an answer that would come.
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);
/// Long enough for an answer that must come, on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A `psql` that keeps its connection.
pub(crate) struct Psql {
    child: Child,
    pub(crate) lines: Receiver<String>,
}

impl Psql {
    pub(crate) fn open(url: &str) -> Self {
        let mut child = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let errors_sender = sender.clone();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)));
        });
        thread::spawn(move || {
            BufReader::new(errors)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(errors_sender.send(line)));
        });
        Self { child, lines }
    }

    pub(crate) fn send(&mut self, statement: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{statement};").unwrap();
    }

    pub(crate) fn ask(&mut self, statement: &str) -> String {
        self.send(statement);
        self.lines.recv_timeout(LONG).unwrap()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.lines.recv_timeout(A_WHILE) == Err(RecvTimeoutError::Timeout)
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn psql(url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--command",
            statement,
            url,
        ])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

/// A connection to Redis that speaks inline commands.
pub(crate) struct Inline(TcpStream);

impl Inline {
    pub(crate) fn open(port: u16) -> Self {
        Self(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    pub(crate) fn send(&mut self, command: &str) {
        self.0
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
    }

    /// What comes within the time; nothing also if the connection is closed.
    pub(crate) fn receive(&mut self, within: Duration) -> String {
        self.0.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 1000];
        let length = self.0.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.receive(LONG)
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.0.set_read_timeout(Some(LONG)).unwrap();
        match self.0.read(&mut [0; 1000]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}
