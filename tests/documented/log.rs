//! The log of an app on `env_logger`, which a whole process has one of.

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        written().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written() -> MutexGuard<'static, Vec<u8>> {
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As `env_logger::init()` with `RUST_LOG=debug`, but that it can be read.
pub(crate) fn init() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        env_logger::Builder::new()
            .parse_filters("debug")
            .target(env_logger::Target::Pipe(Box::new(Writer)))
            .init();
    });
}

/// The lines so far that contain `word`. Other tests write as well, so that should be one's own.
pub(crate) fn lines_with(word: &str) -> Vec<String> {
    let text = String::from_utf8(written().clone()).unwrap();
    let lines = text.lines().filter(|line| line.contains(word));
    lines.map(str::to_owned).collect()
}
