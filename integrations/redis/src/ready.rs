//! Whether the server can be used, and what it may forget.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::replay::{ClaimToken, Claimed, GuardError, GuardErrorKind, Reach};
use redis::{RedisError, Value, cmd, from_redis_value};

use crate::call::Call;
use crate::error::{NODE, not_ours, of_message, said};
use crate::link::Link;
use crate::scripts::{self, NotOurs, Scripts};

/// The oldest version that the guard is for.
const OLDEST: (u32, u32) = (6, 2);

/// Each concern ends so.
const COST: &str = "Then an event that was handled may be handled again, and one that is being handled may be \
    handled at the same time; none is lost.";

pub(crate) async fn check(link: &Link, scripts: &Scripts) -> Result<Vec<String>, GuardError> {
    try_out(link, scripts).await?;
    let fsync = settings(link, "appendfsync").await?;
    let save = settings(link, "save").await?;
    let mut concerns = Vec::new();
    if link.is_cluster() {
        concerns.extend(whole_cluster(link).await?);
    }
    for (server, info) in link.ask_each(&cmd("INFO")).await? {
        let info = info.and_then(|info| Ok(from_redis_value::<String>(info)?));
        let info = match &info {
            Ok(info) => fields(info),
            Err(error) => {
                concerns.push(format!(
                    "{server} refuses INFO ({}). So it cannot be seen whether it evicts keys when its memory \
                     is full, and what it forgets in a restart. {COST}",
                    said(error)
                ));
                continue;
            }
        };
        is_usable(&server, &info, link.is_cluster())?;
        let settings = Settings {
            fsync: setting(&fsync, &server),
            save: setting(&save, &server),
        };
        concerns.extend(weaknesses(&server, &info, settings));
    }
    Ok(concerns)
}

/// Makes a claim that nobody else makes, and gives it up. That finds a replica, a full memory and a
/// lack of permissions.
async fn try_out(link: &Link, scripts: &Scripts) -> Result<(), GuardError> {
    let token = ClaimToken::generate();
    // No event has such a key: it would have a namespace of a gigabyte.
    let key = [b"ready:", &ClaimToken::generate().to_bytes()[..]].concat();
    let claim = Call::of(&key, token, Some(Duration::from_secs(10)));
    let reach = Reach::default();
    let answer = link.run(&scripts.claim, &claim, &reach).await?;
    match scripts::claimed(&answer) {
        Ok(Claimed::Claimed) => {}
        Ok(_) => return Err(not_ours(link.server(), NotOurs::Answer, &claim.key)),
        Err(what) => return Err(not_ours(link.server(), what, &claim.key)),
    }
    let release = Call::of(&key, token, None);
    let answer = link.run(&scripts.release, &release, &reach).await?;
    scripts::released(&answer).map_err(|what| not_ours(link.server(), what, &release.key))
}

/// Whether all masters of a cluster answer. The driver leaves out those that it cannot reach.
async fn whole_cluster(link: &Link) -> Result<Option<String>, GuardError> {
    let mut command = cmd("CLUSTER");
    command.arg("INFO");
    let answers = link.ask_each(&command).await?;
    for (server, answer) in &answers {
        let info = match answer
            .clone()
            .and_then(|info| Ok(from_redis_value::<String>(info)?))
        {
            Ok(info) => fields(&info),
            Err(error) => {
                return Ok(Some(format!(
                    "{server} refuses CLUSTER INFO ({}). So it cannot be seen whether all masters of the \
                     cluster answer. The events of one that does not are answered 503, and none is lost.",
                    said(&error)
                )));
            }
        };
        is_whole(server, &info, answers.len())?;
    }
    Ok(None)
}

/// Whether a cluster is whole, of which so many masters answer, one of them so.
fn is_whole(server: &str, info: &Info, answering: usize) -> Result<(), GuardError> {
    let state = field(info, "cluster_state");
    if state != "ok" {
        return Err(of_message(
            GuardErrorKind::Unavailable,
            format!(
                "{server} says that its cluster is down (cluster_state is {state}): see CLUSTER NODES."
            ),
        ));
    }
    let size = field(info, "cluster_size");
    if size.parse().is_ok_and(|size: usize| answering < size) {
        return Err(of_message(
            GuardErrorKind::Unavailable,
            format!(
                "{answering} of the {size} masters of the Redis Cluster can be reached: see CLUSTER NODES."
            ),
        ));
    }
    Ok(())
}

type Info = HashMap<String, String>;

fn fields(info: &str) -> Info {
    let fields = info.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// What each server says about a setting, or why it says nothing.
type Said = Vec<(Arc<str>, Result<String, String>)>;

async fn settings(link: &Link, name: &str) -> Result<Said, GuardError> {
    let mut config = cmd("CONFIG");
    config.arg("GET").arg(name);
    let answers = link.ask_each(&config).await?.into_iter();
    Ok(answers
        .map(|(server, answer)| (server, one_setting(name, answer)))
        .collect())
}

fn one_setting(name: &str, answer: Result<Value, RedisError>) -> Result<String, String> {
    let values = answer.and_then(|answer| Ok(from_redis_value::<HashMap<String, String>>(answer)?));
    let mut values = values.map_err(|error| said(&error))?;
    let absent = || format!("it has no setting `{name}`");
    values.remove(name).ok_or_else(absent)
}

fn setting<'a>(said: &'a Said, server: &Arc<str>) -> Result<&'a str, &'a str> {
    let answer = said.iter().find(|(name, _)| name == server);
    match answer {
        Some((_, Ok(value))) => Ok(value),
        Some((_, Err(refusal))) => Err(refusal),
        None => Err("it was not a master a moment ago"),
    }
}

/// Whether the guard can work with a server that answers INFO so.
fn is_usable(server: &str, info: &Info, by_cluster: bool) -> Result<(), GuardError> {
    if let Some(version) = info.get("redis_version")
        && is_too_old(version)
    {
        let (major, minor) = OLDEST;
        return Err(of_message(
            GuardErrorKind::Broken,
            format!(
                "{server} is of version {version}. The guard needs Redis {major}.{minor} or later, or Valkey."
            ),
        ));
    }
    if field(info, "cluster_enabled") == "1" && !by_cluster {
        return Err(of_message(
            GuardErrorKind::Broken,
            format!("{server} holds a part of the keys only. {NODE}"),
        ));
    }
    if field(info, "role") == "slave" {
        return Err(of_message(
            GuardErrorKind::Unavailable,
            format!(
                "{server} is a replica: what is written there is overwritten. During a failover that passes; \
                 otherwise connect to its master."
            ),
        ));
    }
    Ok(())
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST,
        // Not a version of Redis; that it can run the scripts is known.
        _ => false,
    }
}

fn field<'a>(info: &'a Info, name: &str) -> &'a str {
    info.get(name).map_or("", String::as_str)
}

/// What a server says about settings that INFO does not show.
#[derive(Clone, Copy)]
struct Settings<'a> {
    fsync: Result<&'a str, &'a str>,
    save: Result<&'a str, &'a str>,
}

/// What an operator should know about a server that works.
fn weaknesses(server: &str, info: &Info, settings: Settings<'_>) -> Vec<String> {
    let eviction = match field(info, "maxmemory_policy") {
        "noeviction" => None,
        "" => Some(format!(
            "{server} does not say whether it evicts keys when its memory is full."
        )),
        policy => Some(format!(
            "{server} evicts keys when its memory is full (maxmemory-policy is {policy}). Set \
             maxmemory-policy to noeviction."
        )),
    };
    let persistence = match field(info, "aof_enabled") {
        "1" => log(server, settings.fsync),
        _ => Some(no_log(server, settings.save)),
    };
    let replicas = match field(info, "connected_slaves") {
        "" | "0" => None,
        count => {
            let replicas = if count == "1" { "replica" } else { "replicas" };
            Some(format!(
                "{server} has {count} {replicas}, and answers before what was written is there. So a failover \
                 may forget the last moments."
            ))
        }
    };
    let all = [eviction, persistence, replicas].into_iter().flatten();
    all.map(|weakness| format!("{weakness} {COST}")).collect()
}

/// What a log of all writes may lose.
fn log(server: &str, fsync: Result<&str, &str>) -> Option<String> {
    match fsync {
        Ok("always") => None,
        Ok("no") => Some(format!(
            "{server} leaves to the system when its log is on the disk (appendfsync is no). So a crash of the \
             machine may make it forget half a minute. Set appendfsync to everysec or always."
        )),
        Ok(fsync) => Some(format!(
            "{server} writes its log to the disk once a second (appendfsync is {fsync}). So a crash of the \
             machine may make it forget a second or two. Set appendfsync to always if that is too much."
        )),
        Err(refusal) => Some(format!(
            "{server} refuses CONFIG GET appendfsync ({refusal}). So it cannot be seen how much a crash of the \
             machine makes it forget: a second or two, unless appendfsync is always."
        )),
    }
}

/// What a server without a log of all writes may lose.
fn no_log(server: &str, save: Result<&str, &str>) -> String {
    const ADVICE: &str = "Set appendonly to yes.";
    match save {
        Ok("") => format!(
            "{server} keeps its data in memory only (appendonly is no, save is empty). So a restart makes it \
             forget everything. {ADVICE}"
        ),
        Ok(save) => format!(
            "{server} writes snapshots to the disk only (appendonly is no, save is {save}). So a crash makes it \
             forget what came after the last one. {ADVICE}"
        ),
        Err(refusal) => format!(
            "{server} keeps no log of its writes (appendonly is no), and refuses CONFIG GET save ({refusal}). So a \
             restart may make it forget what came after its last snapshot, or everything. {ADVICE}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n\
        # Persistence\r\naof_enabled:1\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\
        # Cluster\r\ncluster_enabled:0\r\n";

    fn info(changes: &[(&str, &str)]) -> Info {
        let mut info = fields(GOOD);
        for (name, value) in changes {
            info.insert((*name).to_owned(), (*value).to_owned());
        }
        info
    }

    #[test]
    fn usable_servers() {
        for (name, value, by_cluster, expected) in [
            ("role", "master", false, None),
            ("redis_version", "6.2.0", false, None),
            ("redis_version", "8.2.1", false, None),
            ("redis_version", "10.0", false, None),
            ("redis_version", "v1-of-another", false, None),
            (
                "redis_version",
                "6.0.20",
                false,
                Some("6.0.20. The guard needs Redis 6.2"),
            ),
            ("redis_version", "5.9.9", false, Some("5.9.9")),
            ("role", "slave", false, Some("is a replica")),
            ("cluster_enabled", "1", false, Some("feature `cluster`")),
            ("cluster_enabled", "1", true, None),
        ] {
            let usable = is_usable("Redis at x", &info(&[(name, value)]), by_cluster);
            match (usable, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(text)) => {
                    assert!(error.to_string().contains(text), "{error}");
                    assert!(error.to_string().contains("Redis at x"), "{error}");
                }
                (usable, _) => panic!("{name} is {value}: {usable:?}"),
            }
        }
    }

    #[test]
    fn whole_clusters() {
        for (state, size, answering, expected) in [
            ("ok", "3", 3, None),
            ("ok", "3", 4, None),
            ("ok", "3", 2, Some("2 of the 3 masters")),
            ("fail", "3", 3, Some("cluster_state is fail")),
        ] {
            let info = info(&[("cluster_state", state), ("cluster_size", size)]);
            let error = is_whole("Redis at x", &info, answering).err();
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains(expected.unwrap_or_default()), "{text}");
            assert_eq!(text.is_empty(), expected.is_none(), "{text}");
        }
    }

    #[test]
    fn concerns() {
        let refused = Err("NOPERM x");
        for (changes, fsync, save, expected) in [
            (&[][..], Ok("always"), Ok(""), &[][..]),
            (&[], Ok("always"), refused, &[]),
            (
                &[("maxmemory_policy", "volatile-lru")],
                Ok("always"),
                Ok(""),
                &["evicts keys when its memory is full (maxmemory-policy is volatile-lru)"],
            ),
            (
                &[("maxmemory_policy", "")],
                Ok("always"),
                Ok(""),
                &["does not say whether it evicts"],
            ),
            (
                &[("aof_enabled", "0")],
                Ok("always"),
                Ok(""),
                &["in memory only"],
            ),
            (
                &[("aof_enabled", "0")],
                Ok("always"),
                Ok("3600 1"),
                &["snapshots to the disk only (appendonly is no, save is 3600 1)"],
            ),
            (
                &[("aof_enabled", "0")],
                Ok("always"),
                refused,
                &["refuses CONFIG GET save (NOPERM x)"],
            ),
            (&[], Ok("everysec"), Ok(""), &["a second or two"]),
            (&[], Ok("no"), Ok(""), &["half a minute"]),
            (
                &[],
                refused,
                Ok(""),
                &["refuses CONFIG GET appendfsync (NOPERM x)"],
            ),
            (
                &[("connected_slaves", "2")],
                Ok("always"),
                Ok(""),
                &["has 2 replicas,"],
            ),
            (
                &[
                    ("connected_slaves", "1"),
                    ("maxmemory_policy", "allkeys-lru"),
                    ("aof_enabled", "0"),
                ],
                Ok("always"),
                Ok(""),
                &["allkeys-lru", "in memory only", "has 1 replica,"],
            ),
        ] {
            let concerns = weaknesses("Redis at x", &info(changes), Settings { fsync, save });
            assert_eq!(concerns.len(), expected.len(), "{concerns:?}");
            for (concern, text) in concerns.iter().zip(expected) {
                assert!(concern.starts_with("Redis at x "), "{concern}");
                assert!(concern.contains(text), "no {text:?} in: {concern}");
                assert!(concern.ends_with("none is lost."), "{concern}");
            }
        }
    }
}
