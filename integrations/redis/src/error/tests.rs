use super::*;

const SERVER: &str = "Redis at redis.example:6379";

/// The error of an answer, as the driver reads it.
fn answer(text: &str) -> RedisError {
    let answer = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
    answer.unwrap().extract_error().unwrap_err()
}

fn io(kind: io::ErrorKind) -> RedisError {
    io::Error::from(kind).into()
}

#[test]
fn what_a_server_says() {
    for (text, kind, advice) in [
        ("NOAUTH Authentication required.", Broken, "password"),
        (
            "WRONGPASS invalid username-password pair",
            Broken,
            "check both",
        ),
        (
            "NOPERM this user has no permissions to run the 'evalsha' command",
            Broken,
            "+evalsha",
        ),
        (
            "ERR The user executing the script can't run this command or subcommand",
            Broken,
            "+evalsha",
        ),
        (
            "@user_script: 3: The user executing the script can't run this command or subcommand",
            Broken,
            "+evalsha",
        ),
        (
            "ERR ACL failure in script: User bob has no permissions to run the 'set' command",
            Broken,
            "+evalsha",
        ),
        (
            "READONLY You can't write against a read only replica.",
            Unavailable,
            "It is a replica",
        ),
        (
            "@user_script: 3: -READONLY You can't write against a read only replica.",
            Unavailable,
            "It is a replica",
        ),
        (
            "OOM command not allowed when used memory > 'maxmemory'.",
            Unavailable,
            "out of memory",
        ),
        (
            "@user_script: 3: -OOM command not allowed when used memory > 'maxmemory'.",
            Unavailable,
            "out of memory",
        ),
        (
            "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -OOM command not allowed",
            Unavailable,
            "out of memory",
        ),
        (
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            Unavailable,
            "disk",
        ),
        (
            "LOADING Redis is loading the dataset in memory",
            Unavailable,
            "reads its data",
        ),
        (
            "BUSY Redis is busy running a script.",
            Unavailable,
            "SCRIPT KILL",
        ),
        (
            "NOREPLICAS Not enough good replicas to write.",
            Unavailable,
            "replicas",
        ),
        (
            "CLUSTERDOWN Hash slot not served",
            Unavailable,
            "CLUSTER INFO",
        ),
        (
            "TRYAGAIN Multiple keys request during rehashing of slot",
            Unavailable,
            "slot",
        ),
        (
            "MASTERDOWN Link with MASTER is down",
            Unavailable,
            "lost its master",
        ),
        ("MOVED 1 127.0.0.1:7000", Broken, "feature `cluster`"),
        ("ASK 1 127.0.0.1:7000", Broken, "feature `cluster`"),
        (
            "WRONGTYPE Operation against a key",
            Broken,
            "Others must not write",
        ),
        (
            "ERR max number of clients reached",
            Unavailable,
            "maxclients",
        ),
        (
            "ERR DB index is out of range",
            Broken,
            "number of the database",
        ),
        ("ERR unknown command 'EVALSHA'", Broken, "EVALSHA"),
        ("ERR something new", Unavailable, "log"),
        ("NEW something new", Unavailable, "log"),
    ] {
        let error = explain(SERVER, answer(text));
        let shown = error.to_string();
        assert_eq!(error.kind(), kind, "{shown}");
        let text = text.trim_end_matches('.');
        let (before, after) = shown.split_once(text).expect(text);
        assert!(
            before.ends_with(&format!("{SERVER} answers with an error: ")),
            "{shown}"
        );
        assert!(after.contains(advice), "no {advice:?} in: {after}");
    }
}

#[test]
fn what_the_driver_says() {
    use io::ErrorKind as Kind;
    for (error, kind, advice) in [
        (io(Kind::ConnectionRefused), Unavailable, "Is it running"),
        (io(Kind::TimedOut), Unavailable, "overloaded"),
        (io(Kind::BrokenPipe), Unavailable, "The connection broke"),
        (
            io(Kind::ConnectionReset),
            Unavailable,
            "The connection broke",
        ),
        (io(Kind::UnexpectedEof), Unavailable, "The connection broke"),
        (io(Kind::InvalidData), Broken, "certificate"),
        (
            io(Kind::HostUnreachable),
            Unavailable,
            "the host and the network",
        ),
        (
            (ErrorKind::Parse, "x", "Unexpected end of input".to_owned()).into(),
            Unavailable,
            "The connection broke",
        ),
        (
            (ErrorKind::Parse, "x").into(),
            Broken,
            "not Redis's protocol",
        ),
        (
            (ErrorKind::AuthenticationFailed, "x").into(),
            Broken,
            "check both",
        ),
        (
            (ErrorKind::InvalidClientConfig, "x").into(),
            Broken,
            "Check the URL",
        ),
        (
            (ErrorKind::RESP3NotSupported, "x").into(),
            Broken,
            "?protocol=resp2",
        ),
        (
            (ErrorKind::UnexpectedReturnType, "x").into(),
            Broken,
            "Is it a Redis",
        ),
        (
            (ErrorKind::ClusterConnectionNotFound, "x").into(),
            Unavailable,
            "No node",
        ),
        ((ErrorKind::Client, "x").into(), Unavailable, "log"),
    ] {
        let text = said(&error);
        let error = explain(SERVER, error);
        let shown = error.to_string();
        assert_eq!(error.kind(), kind, "{shown}");
        assert!(shown.contains(&text), "no {text:?} in: {shown}");
        assert!(shown.contains(advice), "no {advice:?} in: {shown}");
    }
}

#[test]
fn a_connection_that_is_closed_at_once_has_other_reasons() {
    let error = explain_no_connection(SERVER, io(io::ErrorKind::ConnectionReset));
    assert!(error.to_string().contains("maxclients"), "{error}");
    let error = explain_no_connection(SERVER, io(io::ErrorKind::ConnectionRefused));
    assert!(error.to_string().contains("Is it running"), "{error}");
}

/// In the words of Redis 7.0 and of 6.2.
#[test]
fn arguments_are_not_shown() {
    for text in [
        "ERR unknown command 'EVALSHA', with args beginning with: '0' '1' 'key' 'token' ",
        "ERR unknown command `EVALSHA`, with args beginning with: `0`, `1`, `key`, `token`, ",
    ] {
        let error = explain(SERVER, answer(text));
        assert_eq!(error.kind(), Broken);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("unknown command"), "{shown}");
        assert!(!shown.contains("token"), "{shown}");
    }
}

#[test]
fn only_an_answer_says_that_nothing_was_done() {
    assert!(is_answer(&answer("OOM command not allowed")));
    assert!(is_answer(&answer("NEW something new")));
    assert!(!is_answer(&io(io::ErrorKind::ConnectionReset)));
    assert!(!is_answer(&(ErrorKind::Parse, "x").into()));
}
