//! The servers and the proxy do what they say, and leave nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod balancer;
mod clients;
mod postgres;
mod proxy;
mod redis;

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

#[test]
fn servers_end_with_a_process_that_is_killed() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_gemini-webhooks-harness"))
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut urls = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut urls)
        .unwrap();
    let ports: Vec<u16> = urls
        .split([':', '/', ' ', '\n'])
        .filter_map(|part| part.parse().ok())
        .collect();
    let are_open = || {
        ports
            .iter()
            .filter(|port| TcpStream::connect(("127.0.0.1", **port)).is_ok())
            .count()
    };
    assert_eq!(are_open(), 2, "{urls}");

    process.kill().unwrap();
    process.wait().unwrap();
    let have_ended = |_| {
        thread::sleep(Duration::from_millis(10));
        are_open() == 0
    };
    assert!((0..1000).any(have_ended), "{urls}");
}
