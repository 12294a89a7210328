//! A thousand changes while others read.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{Clock as _, DeliveryHeaders, Keyring, SigningSecret, Verifier};

use super::DAY;

const ROTATIONS: usize = 1_000;

fn numbered(number: usize) -> SigningSecret {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&(number as u64).to_be_bytes());
    SigningSecret::from_bytes(&key).unwrap()
}

fn is_accepted(verifier: &Verifier, clock: &ManualClock, number: usize) -> bool {
    let body = testing::SAMPLE_EVENTS[0];
    let lines = testing::sign_v1(&numbered(number), "msg_1", clock.unix_seconds(), body);
    let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
    verifier
        .verify(&headers, body.as_bytes(), clock.now())
        .is_ok()
}

#[test]
fn a_thousand_rotations_while_others_verify() {
    let clock = ManualClock::default();
    let keyring = Keyring::new(numbered(0)).with_clock(clock.clone());
    let verifier = Verifier::new(keyring.clone());
    let (newest, ended, done) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicBool::new(false),
    );
    let checked = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    // Known to be there before it is asked, and the one before it for a day yet.
                    let number = newest.load(SeqCst);
                    let all = [number, number.saturating_sub(1)];
                    let accepted = all.map(|number| is_accepted(&verifier, &clock, number));
                    // Time may have gone on meanwhile.
                    let has_ended = ended.load(SeqCst);
                    for (number, accepted) in all.into_iter().zip(accepted) {
                        assert!(
                            accepted || number < has_ended,
                            "{number}, {has_ended} have ended"
                        );
                    }
                    checked.fetch_add(1, SeqCst);
                }
            });
        }
        for number in 1..=ROTATIONS {
            keyring.rotate(numbered(number), DAY);
            newest.store(number, SeqCst);
            if number % 50 == 0 {
                ended.store(number, SeqCst);
                clock.advance(DAY);
                assert!(!is_accepted(&verifier, &clock, number - 1));
            }
            let seen = checked.load(SeqCst);
            while number % 10 == 0 && checked.load(SeqCst) == seen {
                thread::yield_now();
            }
        }
        done.store(true, SeqCst);
    });
    assert!(is_accepted(&verifier, &clock, ROTATIONS));
    keyring.replace(numbered(ROTATIONS + 1));
    assert!(!is_accepted(&verifier, &clock, ROTATIONS));
    assert_eq!(keyring.len(), 1);
    assert!(
        checked.into_inner() >= ROTATIONS / 10,
        "they have read all the while"
    );
    clock.advance(Duration::from_secs(1));
}
