//! The ways to a server: a connection of the guard's own, one of the app's, or one to a cluster.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

#[cfg(feature = "tls-rustls")]
use gemini_webhooks::replay::GuardErrorKind;
use gemini_webhooks::replay::{ClaimKey, ClaimToken, GuardError, Reach};
use gemini_webhooks::{Clock as _, SystemClock};
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, ProtocolVersion, RedisError,
    RedisResult, ServerErrorKind, Value, cmd,
};
use tokio::time::timeout;

use crate::error::{self, READONLY, WRONGTYPE, explain, explain_no_connection, not_ours};
use crate::scripts::{CLAIMED, NotOurs, Script, milliseconds};

/// Before each key, so that the guard's keys are told from those of others.
const PREFIX: &[u8] = b"gemini-webhooks:";

/// A server that does not answer for so long may be gone for good, while its system keeps the
/// connection open.
const SILENCE: Duration = Duration::from_secs(10);
/// A connection is not given up sooner.
const RENEWALS: Duration = Duration::from_secs(1);

/// What a script is run with.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) key: Vec<u8>,
    token: [u8; 16],
    milliseconds: Option<u64>,
}

impl Call {
    pub(crate) fn new(key: &ClaimKey, token: ClaimToken, time: Option<Duration>) -> Self {
        Self::of(&key.to_bytes(), token, time)
    }

    pub(crate) fn of(key: &[u8], token: ClaimToken, time: Option<Duration>) -> Self {
        Self {
            key: [PREFIX, key].concat(),
            token: token.to_bytes(),
            milliseconds: time.map(milliseconds),
        }
    }

    /// The command that claims an event, if nobody has, and else returns the value that is there.
    fn set(&self) -> Cmd {
        let value = [b"f", &self.token[..]].concat();
        let mut command = cmd("SET");
        command.arg(&self.key[..]).arg(value).arg("NX").arg("GET");
        command.arg("PX").arg(self.milliseconds);
        command
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(script).arg(1).arg(&self.key[..]);
        command.arg(&self.token[..]).arg(self.milliseconds);
        command
    }
}

#[derive(Clone)]
pub(crate) struct Link {
    server: Arc<str>,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Single(Arc<Single>),
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
}

impl Link {
    pub(crate) async fn connect(url: &str) -> Result<Self, GuardError> {
        let client = client(url).map_err(|error| explain("The client for Redis", error))?;
        let server = called(client.get_connection_info().addr())?;
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), settings())
            .map_err(|error| explain(&server, error))?;
        let single = Single::new(server, manager, Some(client));
        single.open().await?;
        Ok(Self {
            server: Arc::clone(&single.server),
            way: Way::Single(Arc::new(single)),
        })
    }

    pub(crate) fn managed(manager: ConnectionManager) -> Self {
        let single = Single::new("Redis".to_owned(), manager, None);
        Self {
            server: Arc::clone(&single.server),
            way: Way::Single(Arc::new(single)),
        }
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn cluster(connection: ClusterConnection) -> Self {
        Self {
            server: "The Redis Cluster".into(),
            way: Way::Cluster(connection),
        }
    }

    /// What the server is called in messages.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn is_cluster(&self) -> bool {
        !matches!(self.way, Way::Single(_))
    }

    /// Runs a script on the server.
    pub(crate) async fn run(
        &self,
        script: &Script,
        call: &Call,
        reach: &Reach,
    ) -> Result<Value, GuardError> {
        let answer = match &self.way {
            Way::Single(single) => single.run(script, call, reach).await?,
            #[cfg(feature = "cluster")]
            Way::Cluster(connection) => {
                // The driver may send a request more than once. So also if the last answer is an
                // error, an earlier attempt may have been carried out.
                reach.sent();
                invoke(&mut connection.clone(), script, call).await
            }
        };
        answer.map_err(|error| {
            if error::has_code(&error, WRONGTYPE) {
                not_ours(&self.server, NotOurs::Value, &call.key)
            } else {
                explain(&self.server, error)
            }
        })
    }

    /// Asks the server, or each master of a cluster. What a server refuses is within its answer.
    pub(crate) async fn ask_each(
        &self,
        command: &Cmd,
    ) -> Result<Vec<(Arc<str>, RedisResult<Value>)>, GuardError> {
        match &self.way {
            Way::Single(single) => {
                let answer = single.ask(command).await?;
                Ok(vec![(Arc::clone(&self.server), answer)])
            }
            #[cfg(feature = "cluster")]
            Way::Cluster(connection) => ask_masters(connection.clone(), command)
                .await
                .map_err(|error| explain(&self.server, error)),
        }
    }
}

/// A connection to one server, which is made anew when it breaks.
struct Single {
    server: Arc<str>,
    current: Mutex<Current>,
    /// Makes another manager. None if the app made this one.
    client: Option<Client>,
}

#[derive(Clone)]
struct Current {
    manager: ConnectionManager,
    made: Instant,
}

impl Single {
    fn new(server: String, manager: ConnectionManager, client: Option<Client>) -> Self {
        let current = Current {
            manager,
            made: SystemClock.monotonic(),
        };
        Self {
            server: server.into(),
            current: Mutex::new(current),
            client,
        }
    }

    /// Waits for a connection. If there is none, nothing has been sent.
    async fn open(&self) -> Result<Current, GuardError> {
        let mut again = true;
        loop {
            let mut current = self.current().clone();
            let failed = match connected(&mut current.manager).await {
                Ok(()) => return Ok(current),
                Err(failed) => failed,
            };
            // The manager tries again only after an error of the network, not for instance after a
            // password was refused.
            if !failed.error.is_io_error() {
                self.renew(&current);
            }
            // What an earlier request has found may be long ago.
            if !failed.earlier || !std::mem::take(&mut again) {
                return Err(explain_no_connection(&self.server, failed.error));
            }
        }
    }

    async fn run(
        &self,
        script: &Script,
        call: &Call,
        reach: &Reach,
    ) -> Result<RedisResult<Value>, GuardError> {
        let current = self.open().await?;
        reach.sent();
        let mut manager = current.manager.clone();
        let mut answer = pin!(invoke(&mut manager, script, call));
        let answer = match timeout(SILENCE, answer.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                self.renew(&current);
                // It may be carried out yet, and then this connection says so.
                answer.await
            }
        };
        if let Err(error) = &answer {
            if error::is_answer(error) {
                reach.refused();
            }
            // The address may lead to the new master by now.
            if error::has_code(error, READONLY) {
                self.renew(&current);
            }
        }
        Ok(answer)
    }

    async fn ask(&self, command: &Cmd) -> Result<RedisResult<Value>, GuardError> {
        let mut current = self.open().await?;
        match command.query_async(&mut current.manager).await {
            Err(error) if !error::is_answer(&error) => Err(explain(&self.server, error)),
            answer => Ok(answer),
        }
    }

    /// Gives up a connection, unless that was done already. Who waits on it goes on waiting.
    fn renew(&self, old: &Current) {
        let now = SystemClock.monotonic();
        let mut current = self.current();
        let is_old = current.made == old.made;
        if let Some(client) = &self.client
            && is_old
            && now.saturating_duration_since(current.made) >= RENEWALS
            && let Ok(manager) = ConnectionManager::new_lazy_with_config(client.clone(), settings())
        {
            *current = Current { manager, made: now };
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no connection.
struct NoConnection {
    error: RedisError,
    /// Whether an earlier request has found this.
    earlier: bool,
}

/// Waits until a manager has a connection.
async fn connected(manager: &mut ConnectionManager) -> Result<(), NoConnection> {
    // The driver waits for the connection, and then sees that there is nothing to send.
    let nothing = redis::pipe();
    let mut waiting = pin!(manager.send_packed_commands(&nothing, 0, 0));
    let first = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
    let earlier = first.is_ready();
    let answer = match first {
        Poll::Ready(answer) => answer,
        Poll::Pending => waiting.await,
    };
    match answer {
        Err(error) if error.kind() != ErrorKind::Client => Err(NoConnection { error, earlier }),
        _ => Ok(()),
    }
}

/// Runs a script, by its digest if the server knows it.
async fn invoke(
    connection: &mut impl ConnectionLike,
    script: &Script,
    call: &Call,
) -> RedisResult<Value> {
    if script.has_command() {
        match call.set().query_async(connection).await {
            Ok(Value::Nil) => return Ok(Value::Int(CLAIMED)),
            // The script says what it means, and when it ends.
            Ok(_) => {}
            Err(error) if !error::is_answer(&error) => return Err(error),
            Err(error) => {
                // An older server does not know these options together.
                if error.code() == Some("ERR") {
                    script.without_command();
                }
                // A server that takes no writes, such as one out of memory, can still tell what it
                // knows: the script writes only if there is no value.
            }
        }
    }
    let by_digest = call.command("EVALSHA", &script.digest);
    match by_digest.query_async(connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            let whole = call.command("EVAL", &script.text);
            whole.query_async(connection).await
        }
        answer => answer,
    }
}

#[cfg(feature = "cluster")]
async fn ask_masters(
    mut connection: ClusterConnection,
    command: &Cmd,
) -> RedisResult<Vec<(Arc<str>, RedisResult<Value>)>> {
    use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};

    let masters = MultipleNodeRoutingInfo::AllMasters;
    let each = RoutingInfo::MultiNode((masters, Some(ResponsePolicy::Special)));
    let answers: Vec<(String, Value)> =
        redis::from_redis_value(connection.route_command(command.clone(), each).await?)?;
    let answers = answers.into_iter().map(|(address, answer)| {
        let server = format!("Redis at {address}");
        (server.into(), answer.extract_error())
    });
    Ok(answers.collect())
}

/// What the server at an address is called in messages.
///
/// # Errors
///
/// If the address is with TLS, and there can be none.
fn called(address: &ConnectionAddr) -> Result<String, GuardError> {
    let server = format!("Redis at {address}");
    if !matches!(address, ConnectionAddr::TcpTls { .. }) {
        return Ok(server);
    }
    // The driver would panic at each attempt to connect.
    #[cfg(feature = "tls-rustls")]
    if std::panic::catch_unwind(rustls::ClientConfig::builder).is_err() {
        return Err(error::of_message(
            GuardErrorKind::Broken,
            format!(
                "{server} is asked for with TLS, and rustls cannot tell by which crypto provider. Call \
                 `rustls::crypto::aws_lc_rs::default_provider().install_default()`, or the same of `ring`, \
                 before you connect."
            ),
        ));
    }
    Ok(format!("{server} (TLS)"))
}

/// The client of a guard that has a connection of its own.
fn client(url: &str) -> RedisResult<Client> {
    let info = url.into_connection_info()?.set_tcp_settings(tcp());
    let names_protocol = redis::parse_redis_url(url)
        .is_some_and(|url| url.query_pairs().any(|(name, _)| name == "protocol"));
    if names_protocol {
        return Client::open(info);
    }
    // With RESP3 the driver connects anew when it loses a connection, not when it is next used.
    let redis = info.redis_settings().clone();
    let redis = redis.set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(redis))
}

fn settings() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        // The receiver limits its patience, and awaits the real answer in the background.
        .set_response_timeout(None)
        .set_connection_timeout(Some(Duration::from_secs(2)))
        // Each request that finds no connection has another attempt made. So one that was lost while
        // nobody asks is soon found again, and the attempts of many requests are not more than those
        // of one.
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(100))
        .set_pipeline_buffer_size(1024)
}

/// A network that swallows everything is noticed within seconds: what is sent must be acknowledged
/// within five, and an idle connection is probed.
fn tcp() -> TcpSettings {
    const PATIENCE: Duration = Duration::from_secs(5);
    let keepalive = TcpKeepalive::new().with_time(PATIENCE);
    #[cfg(any(
        target_os = "android",
        target_os = "linux",
        target_os = "macos",
        windows
    ))]
    let keepalive = keepalive.with_interval(Duration::from_secs(2));
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let settings = settings.set_user_timeout(PATIENCE);
    settings
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails loudly")]
mod tests {
    use std::collections::VecDeque;
    use std::future::ready;

    use gemini_webhooks::Scheme;
    use redis::{Pipeline, RedisFuture};

    use super::*;
    use crate::scripts::Scripts;

    /// Answers what it is told to, and keeps the names of the commands.
    #[derive(Default)]
    struct Scripted {
        answers: VecDeque<RedisResult<Value>>,
        asked: Vec<String>,
    }

    impl ConnectionLike for Scripted {
        fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
            let mut arguments = command.args_iter();
            if let Some(redis::Arg::Simple(name)) = arguments.next() {
                self.asked.push(String::from_utf8_lossy(name).into_owned());
            }
            let answer = self.answers.pop_front().unwrap_or(Ok(Value::Okay));
            Box::pin(ready(answer))
        }

        fn req_packed_commands<'a>(
            &'a mut self,
            _: &'a Pipeline,
            _: usize,
            _: usize,
        ) -> RedisFuture<'a, Vec<Value>> {
            Box::pin(ready(Ok(Vec::new())))
        }

        fn get_db(&self) -> i64 {
            0
        }
    }

    fn error(text: &str) -> RedisResult<Value> {
        let answer = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
        answer.unwrap().extract_error()
    }

    #[tokio::test]
    async fn what_a_claim_asks() {
        let key = ClaimKey::new("test", Scheme::V1, "msg_1");
        let lease = Some(Duration::from_secs(120));
        let call = Call::new(&key, ClaimToken::generate(), lease);
        let held = Value::BulkString(vec![b's'; 17]);
        for (name, answers, outcome, asked, asked_then) in [
            (
                "nobody has it",
                vec![Ok(Value::Nil)],
                Ok(Value::Int(CLAIMED)),
                "SET",
                "SET EVALSHA",
            ),
            (
                "somebody has it",
                vec![Ok(held.clone()), Ok(Value::Int(-2))],
                Ok(Value::Int(-2)),
                "SET EVALSHA",
                "SET EVALSHA",
            ),
            (
                "before Redis 7.0",
                vec![error("ERR syntax error"), Ok(Value::Int(CLAIMED))],
                Ok(Value::Int(CLAIMED)),
                "SET EVALSHA",
                "EVALSHA",
            ),
            (
                "no memory for a claim, but the event is known",
                vec![error("OOM command not allowed"), Ok(Value::Int(-2))],
                Ok(Value::Int(-2)),
                "SET EVALSHA",
                "SET EVALSHA",
            ),
            (
                "no memory for a claim",
                vec![
                    error("OOM command not allowed"),
                    error("OOM command not allowed"),
                ],
                Err("OOM"),
                "SET EVALSHA",
                "SET EVALSHA",
            ),
            (
                "a request that may be on its way",
                vec![Err(
                    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
                )],
                Err("?"),
                "SET",
                "SET EVALSHA",
            ),
            (
                "a server that was restarted",
                vec![
                    Ok(held),
                    error("NOSCRIPT No matching script"),
                    Ok(Value::Int(5)),
                ],
                Ok(Value::Int(5)),
                "SET EVALSHA EVAL",
                "SET EVALSHA",
            ),
        ] {
            let scripts = Scripts::new();
            let mut connection = Scripted {
                answers: answers.into(),
                asked: Vec::new(),
            };
            let answer = invoke(&mut connection, &scripts.claim, &call).await;
            let answer = answer.as_ref().map_err(|error| error.code().unwrap_or("?"));
            assert_eq!(answer, outcome.as_ref().map_err(|code| *code), "{name}");
            assert_eq!(connection.asked.join(" "), asked, "{name}");
            connection.asked.clear();
            let again = invoke(&mut connection, &scripts.claim, &call).await;
            assert!(again.is_ok(), "{name}");
            assert_eq!(connection.asked.join(" "), asked_then, "{name}");
        }
    }
}
