//! The program at a terminal of its own, where somebody types.
#![allow(dead_code, reason = "not each test needs all of it")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The kernel forgets the settings of a terminal when the first process at it ends. So that is a shell, which says
/// at last how the program has left them.
const SHELL: &str = r#""$@"; code=$?; stty -a; exit $code"#;

/// A run at a terminal. It is killed when it is dropped.
pub(crate) struct Terminal {
    shell: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    pub(crate) fn start(program: &Command) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let terminal: OwnedFd = open(&*name, flags, Mode::empty()).unwrap();
        let mut command = Command::new("setsid");
        command.args(["--ctty", "sh", "-c", SHELL, "sh"]);
        command.arg(program.get_program()).args(program.get_args());
        if let Some(folder) = program.get_current_dir() {
            command.current_dir(folder);
        }
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let shell = command
            .stdin(Stdio::from(terminal.try_clone().unwrap()))
            .stdout(Stdio::from(terminal.try_clone().unwrap()))
            .stderr(Stdio::from(terminal))
            .spawn()
            .unwrap();
        // It holds the terminal, which would not end.
        drop(command);
        let keyboard = File::from(keyboard);
        let screen: Arc<Mutex<String>> = Arc::default();
        let (mut from, to) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            // An error means that nobody is at the terminal any more.
            while let Ok(count @ 1..) = from.read(&mut part) {
                let text = String::from_utf8_lossy(&part[..count]);
                to.lock().unwrap().push_str(&text);
            }
        });
        Self {
            shell,
            keyboard,
            screen,
        }
    }

    /// Waits until this is on the screen.
    pub(crate) fn shows(&self, text: &str) {
        self.until(text, || self.screen.lock().unwrap().contains(text));
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Sends the program a signal, such as `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.shell.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let program = std::fs::read_to_string(children).unwrap();
        let mut kill = Command::new("kill");
        let killed = kill.args([signal, program.trim()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for its end. Returns the exit code and all of the screen, with the terminal's settings at the end.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        // The last line of `stty`.
        self.shows("extproc");
        let code = self.shell.wait().unwrap().code();
        let screen = self.screen.lock().unwrap().clone();
        (code, screen)
    }

    #[expect(clippy::disallowed_methods, reason = "how long a process may take")]
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            let screen = self.screen.lock().unwrap().clone();
            assert!(begun.elapsed() < PATIENCE, "no {what:?} in {screen:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended. What runs in it ends with its terminal.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
