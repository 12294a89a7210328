//! Whether the server can be used, and what it may forget.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::replay::{ClaimToken, Claimed, GuardError, GuardErrorKind, Reach};
use redis::{RedisError, Value, cmd, from_redis_value};

use crate::error::{NODE, not_ours, of_message, said};
use crate::link::{Call, Link};
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
        count => Some(format!(
            "{server} has {count} replicas, and answers before they have what was written. So a failover may \
             forget the last moments."
        )),
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
