use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::port::Port;
use crate::process::lock;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "there are two ways")]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A proxy for TCP before a server on 127.0.0.1. It passes all bytes on until it is told otherwise.
/// Each rule replaces the one before, and holds for connections that are open already, too.
#[derive(Debug)]
pub struct Proxy {
    upstream: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    port: Port,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rule: Rule,
    listens: bool,
    /// The port of a connection of ours that wakes the acceptor.
    waker: Option<u16>,
    /// Counts up, and so names the connections.
    connections: u64,
    open: HashMap<u64, Open>,
    cuts: u64,
    to_server: u64,
    to_client: u64,
}

#[derive(Debug)]
struct Open {
    client: TcpStream,
    server: TcpStream,
    /// One direction has come to its end.
    half_closed: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Rule {
    #[default]
    Pass,
    /// `None` is both directions.
    Hold(Option<Direction>),
    CutAt(Direction, u64),
    Refuse,
    /// The proxy is dropped.
    End,
}

impl Proxy {
    /// Starts a proxy before the server on this port.
    #[must_use]
    pub fn start(upstream: u16) -> Self {
        let shared = Arc::new(Shared {
            port: Port::free(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&shared, upstream)
        });
        let proxy = Self {
            upstream,
            shared,
            acceptor: Some(acceptor),
        };
        proxy.pass();
        proxy
    }

    /// The port, of 127.0.0.1, that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.port.number()
    }

    /// The URL of the server, by way of the proxy.
    #[must_use]
    pub fn through(&self, url: &str) -> String {
        let (server, proxy) = (self.upstream, self.port());
        url.replace(
            &format!("127.0.0.1:{server}"),
            &format!("127.0.0.1:{proxy}"),
        )
    }

    /// Passes all bytes on, also those that were held.
    pub fn pass(&self) {
        self.set(Rule::Pass);
    }

    /// Keeps bytes and closings in both directions until [`pass`](Self::pass). Connections stay
    /// open, and new ones open.
    pub fn hold(&self) {
        self.set(Rule::Hold(None));
    }

    /// Like [`hold`](Self::hold), in one direction. Of a command that is sent now, with
    /// [`Direction::ToClient`], the server has the effect and the client has no answer.
    pub fn hold_only(&self, direction: Direction) {
        self.set(Rule::Hold(Some(direction)));
    }

    /// Closes both sides of all connections that are open, and drops what was held. New
    /// connections pass.
    pub fn cut(&self) {
        self.close_all();
        self.set(Rule::Pass);
    }

    /// Delivers as many bytes more in this direction, over all connections, and lets the next byte
    /// cut the connection that it comes on. From then on everything passes.
    ///
    /// With 0 and [`Direction::ToServer`], the next request is not delivered. With 0 and
    /// [`Direction::ToClient`], it is delivered, and its answer is dropped.
    pub fn cut_at(&self, direction: Direction, after_bytes: u64) {
        self.set(Rule::CutAt(direction, after_bytes));
    }

    /// Refuses new connections, as the port of a server that is down does. Those that are open
    /// pass; [`cut`](Self::cut) them first if they must not. Ends with the next rule.
    pub fn refuse(&self) {
        self.set(Rule::Refuse);
    }

    /// How many connections clients have opened.
    #[must_use]
    pub fn connections(&self) -> u64 {
        lock(&self.shared.state).connections
    }

    /// How many connections were cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        lock(&self.shared.state).cuts
    }

    /// How many bytes came that go in this direction, with those that were held or dropped.
    #[must_use]
    pub fn bytes(&self, direction: Direction) -> u64 {
        let mut state = lock(&self.shared.state);
        *state.bytes(direction)
    }

    /// Returns when the rule is in force.
    fn set(&self, rule: Rule) {
        let shared = &self.shared;
        let mut state = lock(&shared.state);
        state.rule = rule;
        shared.changed.notify_all();
        let listens = !matches!(rule, Rule::Refuse | Rule::End);
        if state.listens && !listens {
            let waker =
                TcpStream::connect(("127.0.0.1", self.port())).and_then(|it| it.local_addr());
            state.waker = waker.ok().map(|address| address.port());
        }
        // Another thread may set another rule meanwhile.
        while state.listens != listens && state.rule == rule {
            state = shared.wait(state);
        }
    }

    fn close_all(&self) {
        let mut state = lock(&self.shared.state);
        state.cuts += state.open.len() as u64;
        for (_, open) in state.open.drain() {
            open.close();
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close_all();
        self.set(Rule::End);
        // It does not panic, or else there is nobody to tell.
        drop(self.acceptor.take().map(JoinHandle::join));
        // What it accepted meanwhile.
        self.close_all();
    }
}

impl Shared {
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes may go on now, of so many that came on a connection; fewer than came if it is
    /// cut. Waits while they are held. No bytes are the end of the direction.
    fn admit(&self, connection: u64, direction: Direction, came: usize) -> usize {
        let mut state = lock(&self.state);
        *state.bytes(direction) += came as u64;
        loop {
            if !state.open.contains_key(&connection) {
                return 0;
            }
            match &mut state.rule {
                Rule::Hold(None) => state = self.wait(state),
                Rule::Hold(Some(held)) if *held == direction => state = self.wait(state),
                Rule::CutAt(at, left) if *at == direction => {
                    if let Some(rest) = left.checked_sub(came as u64) {
                        *left = rest;
                        return came;
                    }
                    let last = usize::try_from(*left).unwrap_or(0);
                    state.rule = Rule::Pass;
                    state.cuts += 1;
                    return last;
                }
                _ => return came,
            }
        }
    }

    fn close(&self, connection: u64) {
        if let Some(open) = lock(&self.state).open.remove(&connection) {
            open.close();
        }
        self.changed.notify_all();
    }

    /// A direction has come to its end. The other may go on.
    fn half_close(&self, connection: u64, to: &TcpStream) {
        // Fails if the other side is gone altogether.
        drop(to.shutdown(Shutdown::Write));
        let mut state = lock(&self.state);
        if let Some(open) = state.open.get_mut(&connection) {
            if open.half_closed {
                state.open.remove(&connection);
            } else {
                open.half_closed = true;
            }
        }
    }
}

impl State {
    fn bytes(&mut self, direction: Direction) -> &mut u64 {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

impl Open {
    fn close(&self) {
        for side in [&self.client, &self.server] {
            // Fails if the other end is gone already.
            drop(side.shutdown(Shutdown::Both));
        }
    }
}

fn accept(shared: &Arc<Shared>, upstream: u16) {
    loop {
        let mut state = lock(&shared.state);
        while state.rule == Rule::Refuse {
            state = shared.wait(state);
        }
        if state.rule == Rule::End {
            return;
        }
        let listener =
            TcpListener::bind(("127.0.0.1", shared.port.number())).expect("a reserved port");
        state.listens = true;
        shared.changed.notify_all();
        drop(state);
        // When it stops, it first takes the connections that clients have opened already.
        while let Ok((client, address)) = listener.accept() {
            let state = lock(&shared.state);
            if matches!(state.rule, Rule::Refuse | Rule::End) {
                listener.set_nonblocking(true).expect("a socket");
            }
            if state.waker != Some(address.port()) {
                drop(state);
                connect(shared, client, upstream);
            }
        }
        drop(listener);
        lock(&shared.state).listens = false;
        shared.changed.notify_all();
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream, upstream: u16) {
    let mut state = lock(&shared.state);
    state.connections += 1;
    let connection = state.connections;
    drop(state);
    client.set_nonblocking(false).expect("a socket");
    // A server that is paused lets the system connect; one that is down refuses, and so the client
    // sees its connection close.
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else {
        return;
    };
    for side in [&client, &server] {
        side.set_nodelay(true).expect("TCP_NODELAY");
    }
    let copy = |stream: &TcpStream| stream.try_clone().expect("a file descriptor");
    let open = Open {
        client: copy(&client),
        server: copy(&server),
        half_closed: false,
    };
    lock(&shared.state).open.insert(connection, open);
    let ways = [
        (Direction::ToServer, copy(&client), copy(&server)),
        (Direction::ToClient, server, client),
    ];
    for (direction, from, to) in ways {
        let shared = Arc::clone(shared);
        thread::spawn(move || carry(&shared, connection, direction, from, to));
    }
}

fn carry(
    shared: &Shared,
    connection: u64,
    direction: Direction,
    mut from: TcpStream,
    mut to: TcpStream,
) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let came = match from.read(&mut buffer) {
            Ok(came) => came,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return shared.close(connection),
        };
        let delivered = shared.admit(connection, direction, came);
        if to.write_all(&buffer[..delivered]).is_err() || delivered < came {
            return shared.close(connection);
        }
        if came == 0 {
            return shared.half_close(connection, &to);
        }
    }
}
