//! A terminal that the binary runs at.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use super::DEADLINE;

/// The binary at a terminal of its own.
pub(crate) struct Terminal {
    master: File,
    pub(crate) seen: String,
    chunks: mpsc::Receiver<Vec<u8>>,
    child: std::process::Child,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let end = || -> Stdio {
            let file = File::options().read(true).write(true).open(&name).unwrap();
            OwnedFd::from(file).into()
        };
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let (sender, chunks) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose last program has ended gives an error.
            while let Ok(read) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { master, seen: String::new(), chunks, child }
    }

    /// Waits until the words are on the screen.
    pub(crate) fn until(&mut self, words: &str) {
        while !self.seen.contains(words) {
            let chunk = self.chunks.recv_timeout(DEADLINE);
            let chunk = chunk.unwrap_or_else(|_| panic!("{words} did not come:\n{}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        self.seen.clear();
        self.master.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn ends_with(mut self, code: i32) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{}", self.seen);
    }

    /// Has the binary told to end, as Ctrl-C does.
    pub(crate) fn interrupt(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it lives");
    }
}
