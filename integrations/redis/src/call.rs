//! A script with what it is run with.

use std::time::Duration;

use gemini_webhooks::replay::{ClaimKey, ClaimToken};
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value, cmd};

use crate::error;
use crate::scripts::{CLAIMED, Script, milliseconds};

/// Before each key, so that the guard's keys are told from those of others.
const PREFIX: &[u8] = b"gemini-webhooks:";

/// What a script is run with.
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

/// Runs a script, by its digest if the server knows it.
pub(crate) async fn invoke(
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
