//! What the logs of the app's processes tell of their watchers.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// A pass in which it has asked.
const PASS: &str = "the watcher has asked after jobs";

#[derive(Debug)]
pub(crate) struct Logs(Vec<Log>);

#[derive(Debug)]
struct Log {
    file: PathBuf,
    read: u64,
    passes: usize,
}

impl Logs {
    /// Of the replicas, in their order.
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let log = |file| Log {
            file,
            read: 0,
            passes: 0,
        };
        Self(files.into_iter().map(log).collect())
    }

    /// Reads on. Returns the replica whose watcher has asked most since the last time.
    pub(crate) fn leader(&mut self) -> io::Result<Option<usize>> {
        let mut most = (0, None);
        for (replica, log) in self.0.iter_mut().enumerate() {
            let passes = log.read_on()?;
            if passes > most.0 {
                most = (passes, Some(replica));
            }
        }
        Ok(most.1)
    }

    /// How often a watcher has asked.
    pub(crate) fn passes(&mut self) -> io::Result<usize> {
        self.leader()?;
        Ok(self.0.iter().map(|log| log.passes).sum())
    }
}

impl Log {
    fn read_on(&mut self) -> io::Result<usize> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A line that is being written is read the next time.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        bytes.truncate(whole);
        self.read += whole as u64;
        let text = String::from_utf8_lossy(&bytes);
        let passes = text.matches(PASS).count();
        self.passes += passes;
        Ok(passes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_has_asked_last_leads() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["1.log", "2.log"].map(|name| folder.path().join(name));
        let mut logs = Logs::new(files.clone());
        fs::write(&files[0], format!("{PASS}\n{PASS}\n")).unwrap();
        fs::write(&files[1], format!("started\n{PASS}")).unwrap();
        assert_eq!(logs.leader().unwrap(), Some(0));
        assert_eq!(logs.leader().unwrap(), None);
        fs::write(&files[1], format!("started\n{PASS}\n")).unwrap();
        assert_eq!(logs.leader().unwrap(), Some(1));
        assert_eq!(logs.passes().unwrap(), 3);
    }
}
