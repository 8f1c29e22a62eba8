//! The client program at a terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZero,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::{Server, Words, built, eventually, peer::fill, until};

/// A client process whose stdin, stdout and stderr are a terminal; killed when dropped.
pub struct Terminal {
    child: Child,
    keys: File,
    /// The other end, kept open: what it is set to outlives the process.
    line: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
    stalled: Arc<AtomicBool>,
}

/// All panic when the system has no terminal to give.
impl Terminal {
    /// `client ARGUMENTS --redis URL-of-the-server` at a terminal of so many rows and columns.
    #[must_use]
    pub fn spawn(server: &Server, arguments: &str, size: (u16, u16)) -> Self {
        Self::spawn_bare(format!("{arguments} --redis {}", server.url()), size)
    }

    /// `client ARGUMENTS`.
    #[must_use]
    pub fn spawn_bare(arguments: impl Words, (rows, columns): (u16, u16)) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("an own terminal");
        unlockpt(&ours).expect("an own terminal");
        let name = ptsname(&ours, Vec::new()).expect("a terminal has a name");
        let line = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("the other end");
        tcsetwinsize(&line, size(rows, columns)).expect("a terminal has a size");
        let end = || Stdio::from(line.try_clone().expect("a file can be shared"));
        let words = arguments.words();
        let child = Command::new(built("MQ_CLIENT", &format!("client{}", std::env::consts::EXE_SUFFIX)))
            .args(words.into_iter().map(|word| String::from_utf8(word).expect("UTF-8 arguments")))
            .env_remove("REDIS_URL")
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the client starts");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(some(rows), some(columns), 0)));
        let keys = File::from(ours);
        let mut output = keys.try_clone().expect("a file can be shared");
        let (shown, stalled) = (Arc::clone(&screen), Arc::new(AtomicBool::new(false)));
        let stops = Arc::clone(&stalled);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("nobody panics with the lock").process(&bytes[..n]);
                if stops.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self { child, keys, line, screen, stalled }
    }

    /// What it shows, line by line.
    #[must_use]
    pub fn text(&self) -> String {
        self.parser().screen().contents()
    }

    /// Returns when it shows `words`.
    #[track_caller]
    pub fn until_shows(&self, words: &str) {
        until(&format!("the terminal shows {words}"), || self.text().contains(words));
    }

    /// Returns when it does not show `words` any more.
    #[track_caller]
    pub fn until_hides(&self, words: &str) {
        until(&format!("the terminal hides {words}"), || !self.text().contains(words));
    }

    /// From now on it takes nothing any more, as a connection to a terminal far away does when it is cut.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
        let name = ptsname(&self.keys, Vec::new()).expect("a terminal has a name");
        // Not the program's own end, whose flags are the program's too.
        let line = rustix::fs::open(&name, OFlags::WRONLY | OFlags::NOCTTY, Mode::empty()).expect("the other end");
        let mut line = File::from(line);
        // What the thread that reads was about to read is little.
        for _ in 0..2 {
            fill(&mut line);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Gives the window another size, and tells the program as a terminal does.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.parser().screen_mut().set_size(some(rows), some(columns));
        tcsetwinsize(&self.line, size(rows, columns)).expect("a terminal has a size");
        self.signal(Signal::WINCH);
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("an own child takes signals");
    }

    /// Waits for the program's end.
    #[track_caller]
    #[must_use]
    pub fn until_ended(&mut self) -> ExitStatus {
        eventually("the client ends", || self.child.try_wait().expect("a child can be asked"))
    }

    /// Whether the terminal is as a shell wants it: its first screen, a cursor, and lines that are edited and echoed.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("a terminal has modes").local_modes;
        let parser = self.parser();
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
            && !parser.screen().alternate_screen()
            && !parser.screen().hide_cursor()
    }

    fn parser(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().expect("nobody panics with the lock")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("the terminal of client {}:\n{}", self.child.id(), self.text());
        }
    }
}

fn some(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a window with a cell")
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
