//! Secrets that change while deliveries are verified.
#![cfg(all(unix, feature = "testing", feature = "axum", feature = "actix-web"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[path = "rotation/faults.rs"]
mod faults;
#[path = "rotation/load.rs"]
mod load;
#[path = "rotation/threads.rs"]
mod threads;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gemini_webhooks::SigningSecret;
use tempfile::TempDir;

/// The secret of this number.
fn text(number: usize) -> String {
    use base64::Engine as _;
    let byte = u8::try_from(number).unwrap();
    let key: Vec<u8> = (0..32).map(|place| byte ^ (place * 7)).collect();
    let key = base64::engine::general_purpose::STANDARD.encode(key);
    format!("whsec_{key}")
}

fn secret(number: usize) -> SigningSecret {
    text(number).parse().unwrap()
}

fn ids(numbers: &[usize]) -> Vec<String> {
    numbers
        .iter()
        .map(|number| secret(*number).key_id().to_owned())
        .collect()
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// More than the time from one reading of a source to the next.
const POLL: Duration = Duration::from_secs(12);

/// A folder with a file of secrets.
struct Secrets(TempDir);

impl Secrets {
    fn new(numbers: &[usize]) -> Self {
        let secrets = Self(tempfile::tempdir().unwrap());
        secrets.write(numbers);
        secrets
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("secrets")
    }

    /// Writes the file in place.
    fn write(&self, numbers: &[usize]) {
        fs::write(self.path(), lines(numbers)).unwrap();
    }

    /// Puts another file in its place.
    fn replace(&self, numbers: &[usize]) {
        let new = self.0.path().join("new");
        fs::write(&new, lines(numbers)).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

fn lines(numbers: &[usize]) -> String {
    numbers.iter().map(|number| text(*number) + "\n").collect()
}
