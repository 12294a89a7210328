//! What the targets have in common: how they are run, the keys, and the format of inputs that are more than a text.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::{env, fs};

use arbitrary::{Arbitrary, Result, Unstructured};
use ed25519_dalek::SigningKey;
use gemini_webhooks::testing::Ed25519Signer;

/// Makes a program of a target: the fuzzer under `cfg(fuzzing)`, and otherwise one that runs the target over the
/// files and folders that it is given.
#[macro_export]
macro_rules! fuzz_target {
    (|$input:ident: $input_type:ty| $body:block) => {
        fn target($input: $input_type) {
            $body
        }

        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|input: $input_type| target(input));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::over_files(|bytes| {
                // As libFuzzer does with an input that makes no value of the type.
                if let Ok(input) = $crate::input(bytes) {
                    target(input);
                }
            });
        }
    };
}

/// Reads a target's input from bytes, as libFuzzer does.
///
/// # Errors
///
/// If the bytes make no value of the type.
pub fn input<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Result<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes))
}

/// Runs a target over the files, and those in the folders, that the program was given. Prints each name before it,
/// so that the last one is that of an input that fails.
///
/// # Panics
///
/// If a file cannot be read, or there is none.
pub fn over_files(target: impl Fn(&[u8])) {
    let mut count = 0;
    for place in env::args_os().skip(1) {
        for path in files(Path::new(&place)) {
            println!("{}", path.display());
            target(&fs::read(path).expect("the file can be read"));
            count += 1;
        }
    }
    assert!(count > 0, "there is no input");
    println!("DONE: {count} inputs");
}

fn files(place: &Path) -> Vec<PathBuf> {
    if !place.is_dir() {
        return vec![place.to_owned()];
    }
    let entries = fs::read_dir(place).expect("the folder can be read");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    files.sort();
    files
}

/// The time of the vectors, in seconds since the Unix epoch.
pub const NOW: u64 = 1_769_083_200;

/// The secrets of the vectors.
pub const SECRETS: [&str; 3] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_plJ3nmyCDGBKInavdOK15jsl",
];

/// Numbers of the Ed25519 keys of the vectors, whose seeds are one byte repeated.
pub fn ed25519_keys() -> RangeInclusive<u8> {
    1..=8
}

/// An Ed25519 key of the vectors: its signer, and its public half by another way.
#[must_use]
pub fn ed25519_key(number: u8) -> (Ed25519Signer, [u8; 32]) {
    let seed = [number; 32];
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    (Ed25519Signer::new(&number.to_string(), seed), public)
}

/// Reads a length in two bytes and as many bytes as that, or what is left.
///
/// Unlike the lengths of `Vec`'s own `Arbitrary`, it stands in front, so that `seeds.py` can write it.
pub fn part<'a>(input: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let length: u16 = input.arbitrary()?;
    input.bytes(usize::from(length).min(input.len()))
}

/// What the tokens of the vectors say of whom they are from and for.
pub mod token {
    /// The name of the key.
    pub const KID: &str = "rsa-1";
    /// The audience.
    pub const AUDIENCE: &str = "https://example.com/gemini-webhook-dynamic";
    /// The header of most of them.
    pub const HEADER: &str = r#"{"alg":"RS256","kid":"rsa-1","typ":"JWT"}"#;
}
