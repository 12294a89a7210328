//! The memory guard at ten million events: bytes for each, the time of a claim with its settle, and
//! the longest single operation on the way there.
//!
//! `cargo bench --bench guard`

use std::hint::black_box;
use std::time::Duration;

use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, MemoryGuard, ReplayGuard as _, Settled,
};
use gemini_webhooks::{Clock as _, Scheme, SystemClock};
use gemini_webhooks_benches::median;

const EVENTS: usize = 10_000_000;
const STEP: usize = EVENTS / 20;
const LEASE: Duration = Duration::from_secs(120);
const RETENTION: Duration = Duration::from_secs(25 * 60 * 60);

fn main() {
    let guard = MemoryGuard::new().with_capacity(2 * EVENTS);
    let mut longest = Duration::ZERO;
    let mut times = Vec::new();
    println!(
        "\n{:>12} {:>14} {:>12} {:>16}",
        "events", "claim, settle", "bytes each", "longest so far"
    );
    let mut bytes = 0.0;
    let mut worst = 0.0_f64;
    for step in 0..EVENTS / STEP {
        let mut spent = Duration::ZERO;
        let counted = allocation_counter::measure(|| {
            for n in step * STEP..(step + 1) * STEP {
                spent += handle(&guard, n, &mut longest);
            }
        });
        bytes += counted.bytes_current as f64;
        let events = (step + 1) * STEP;
        let each = bytes / events as f64;
        worst = worst.max(each);
        let time = spent.as_nanos() as f64 / STEP as f64;
        times.push(time);
        println!("{events:>12} {time:>11.0} ns {each:>12.1} {longest:>16.1?}");
    }
    assert_eq!(guard.len(), EVENTS);
    let known = SystemClock.monotonic();
    for n in 0..STEP {
        let key = key(n * 7 % EVENTS);
        let claimed = now(guard.claim(&key, ClaimToken::generate(), LEASE));
        assert_eq!(claimed, Claimed::Settled);
    }
    let known = (SystemClock.monotonic() - known).as_nanos() as f64 / STEP as f64;
    println!(
        "a claim and its settle: {:.0} ns, median of the steps",
        median(times.into_iter())
    );
    println!("a copy of what is settled, at {EVENTS}: {known:.0} ns with its key");
    println!("bytes for each event, at worst: {worst:.1}; longest operation: {longest:.1?}");
}

fn key(n: usize) -> ClaimKey {
    ClaimKey::new(
        "bench",
        Scheme::V1,
        &format!("msg_0a8f2c4e-7b1d-4c3e-9f60-{n:012x}"),
    )
}

/// The time of both, without the making of the key.
fn handle(guard: &MemoryGuard, n: usize, longest: &mut Duration) -> Duration {
    let (key, token) = (key(n), ClaimToken::generate());
    let start = SystemClock.monotonic();
    let claimed = now(guard.claim(black_box(&key), token, LEASE));
    let between = SystemClock.monotonic();
    let settled = now(guard.settle(black_box(&key), token, RETENTION));
    let end = SystemClock.monotonic();
    assert_eq!((claimed, settled), (Claimed::Claimed, Settled::Settled));
    *longest = (*longest).max(between - start).max(end - between);
    end - start
}

fn now<T>(answer: gemini_webhooks::replay::GuardFuture<T>) -> T {
    let mut answer = std::pin::pin!(answer);
    let waker = std::task::Waker::noop();
    match answer
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker))
    {
        std::task::Poll::Ready(Ok(answer)) => answer,
        std::task::Poll::Ready(Err(error)) => unreachable!("it has room: {error}"),
        std::task::Poll::Pending => unreachable!("a memory guard answers at once"),
    }
}
