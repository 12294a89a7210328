use crate::port::Port;
use crate::process::wait_until;
use crate::redis::RedisServer;
use crate::resp::Reply;

/// Three masters that share the slots of a Redis Cluster. It takes Redis 7.0 and some seconds.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    /// Of the bus, on which the nodes speak with each other.
    _buses: Vec<Port>,
}

/// A node, as another knows it.
struct Known {
    port: u16,
    slots: Vec<(u16, u16)>,
}

const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

impl RedisCluster {
    /// Starts the nodes, and waits until each knows all slots.
    #[must_use]
    pub fn start() -> Self {
        let buses: Vec<Port> = SLOTS.iter().map(|_| Port::free()).collect();
        let nodes: Vec<RedisServer> = buses
            .iter()
            .map(|bus| {
                let bus = bus.number().to_string();
                RedisServer::start_with(&[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus,
                    // A pause that a test makes must be longer to count as a failure.
                    "--cluster-node-timeout",
                    "5000",
                ])
            })
            .collect();
        for (number, (node, (first, last))) in nodes.iter().zip(SLOTS).enumerate() {
            node.cli(&[
                "CLUSTER",
                "ADDSLOTSRANGE",
                &first.to_string(),
                &last.to_string(),
            ]);
            // Different, so that the nodes need not settle who has the newer table.
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            let (port, bus) = (node.port().to_string(), bus.number().to_string());
            nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let cluster = Self {
            nodes,
            _buses: buses,
        };
        cluster.wait_until_agreed();
        cluster
    }

    /// The URL of each node.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The node that serves the slot of a key.
    #[must_use]
    pub fn owner_of(&self, key: &[u8]) -> &RedisServer {
        let slot = self.slot_of(key);
        self.node(
            known_to(&self.nodes[0])
                .iter()
                .find(|node| node.has(slot))
                .map(|node| node.port),
        )
    }

    /// Moves the slot of a key to another node, with its keys. The old one answers MOVED from then
    /// on. Also ends what [`half_move_slot_of`](Self::half_move_slot_of) began.
    pub fn move_slot_of(&self, key: &[u8]) {
        let (from, to) = self.half_move(key);
        let (slot, id) = (self.slot_of(key), to.cli(&["CLUSTER", "MYID"]));
        let mut attempts = 0;
        self.wait_until(|| {
            // On a busy machine a node may hear of an older table after it was told of the new one.
            if attempts % 500 == 0 {
                // The new owner first: nobody may send to it before it knows.
                let others = self
                    .nodes
                    .iter()
                    .filter(|node| ![from.port(), to.port()].contains(&node.port()));
                for node in [to, from].into_iter().chain(others) {
                    node.cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id]);
                }
            }
            attempts += 1;
            self.agree()
        });
    }

    /// Moves the keys of the slot of a key to another node, and leaves the slot with the old one,
    /// which answers ASK from then on.
    pub fn half_move_slot_of(&self, key: &[u8]) {
        self.half_move(key);
    }

    fn half_move(&self, key: &[u8]) -> (&RedisServer, &RedisServer) {
        let from = self.owner_of(key);
        let after = self
            .nodes
            .iter()
            .skip_while(|node| node.port() != from.port())
            .nth(1);
        let to = after.unwrap_or(&self.nodes[0]);
        let slot = self.slot_of(key).to_string();
        let (from_id, to_id) = (from.cli(&["CLUSTER", "MYID"]), to.cli(&["CLUSTER", "MYID"]));
        to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        let port = to.port().to_string();
        loop {
            let list: [&[u8]; 4] = [b"CLUSTER", b"GETKEYSINSLOT", slot.as_bytes(), b"100"];
            let keys = match from.call(&list) {
                Reply::Array(keys) if keys.is_empty() => return (from, to),
                Reply::Array(keys) => keys,
                reply => panic!("GETKEYSINSLOT: {}", reply.lines()),
            };
            let migrate: [&[u8]; 7] = [
                b"MIGRATE",
                b"127.0.0.1",
                port.as_bytes(),
                b"",
                b"0",
                b"5000",
                b"KEYS",
            ];
            let mut arguments = migrate.to_vec();
            for key in &keys {
                match key {
                    Reply::Text(key) => arguments.push(key),
                    reply => panic!("GETKEYSINSLOT: {}", reply.lines()),
                }
            }
            if let Reply::Error(error) = from.call(&arguments) {
                panic!("MIGRATE: {error}");
            }
        }
    }

    fn slot_of(&self, key: &[u8]) -> u16 {
        let reply = self.nodes[0].call(&[b"CLUSTER", b"KEYSLOT", key]);
        reply.lines().parse().expect("KEYSLOT is a number")
    }

    fn node(&self, port: Option<u16>) -> &RedisServer {
        self.nodes
            .iter()
            .find(|node| Some(node.port()) == port)
            .expect("each slot is with one of the nodes")
    }

    fn wait_until_agreed(&self) {
        self.wait_until(|| self.agree());
    }

    fn wait_until(&self, agree: impl FnMut() -> bool) {
        if wait_until(agree).is_err() {
            let tables = self.nodes.iter().map(|node| {
                let info = node.cli(&["CLUSTER", "INFO"]);
                format!("{}\n{info}", node.cli(&["CLUSTER", "NODES"]))
            });
            let tables = tables.collect::<Vec<_>>().join("\n");
            panic!("the nodes do not agree within a minute:\n{tables}");
        }
    }

    fn agree(&self) -> bool {
        let mut tables = self.nodes.iter().map(|node| {
            let mut table: Vec<_> = known_to(node)
                .into_iter()
                .map(|node| (node.port, node.slots))
                .collect();
            table.sort();
            table
        });
        let first = tables.next();
        tables.all(|table| Some(table) == first)
            && self
                .nodes
                .iter()
                .all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    }
}

impl Known {
    fn has(&self, slot: u16) -> bool {
        self.slots
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

/// Reads lines of `ID HOST:PORT@BUS FLAGS MASTER PING PONG EPOCH LINK SLOTS…`.
fn known_to(node: &RedisServer) -> Vec<Known> {
    let table = node.cli(&["CLUSTER", "NODES"]);
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let port = fields[1].split([':', '@']).nth(1)?.parse().ok()?;
        let slots = fields[8..].iter().filter_map(|range| {
            // Not those in brackets, which say what is half moved.
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Some(Known {
            port,
            slots: slots.collect(),
        })
    };
    table
        .lines()
        .map(|line| parse(line).expect("a line of CLUSTER NODES"))
        .collect()
}
