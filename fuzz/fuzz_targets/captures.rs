//! What the command line reads of a delivery that somebody kept, and what it finds wrong with it: its verdict is
//! the same whether it looks for causes or not.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use gemini_webhooks_cli::{Setup, capture, diagnose, verdict};
use gemini_webhooks_fuzz::{NOW, SECRETS, fuzz_target};

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let setup = Setup::new().secret("the app's", SECRETS[0]);
    setup.expect("it is a secret")
});

/// To look for causes takes up to a second if a body is long.
const SHORT: usize = 1024;

fuzz_target!(|text: &[u8]| {
    let captures = match capture::read(text) {
        Ok(captures) => captures,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(!captures.is_empty());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    for capture in captures.iter().take(4) {
        let _ = (capture.sent_at(), format!("{capture:?}"));
        let quick = verdict(capture, &SETUP, now);
        if text.len() <= SHORT {
            let full = diagnose(capture, &SETUP, now);
            assert_eq!(full.is_verified(), quick.is_verified());
            assert!(full.findings().is_empty() || !full.is_verified());
        }
    }
});
