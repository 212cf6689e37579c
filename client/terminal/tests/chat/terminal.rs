//! A terminal of its own, and the full screen on it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Instant,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    grid::Grid,
    person::{PATIENCE, Person},
};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// A program on a terminal.
pub(crate) struct Screen {
    child: Child,
    keyboard: File,
    drawn: Receiver<Vec<u8>>,
    /// What was drawn since what was waited for last.
    pub(crate) seen: String,
    /// What stands there.
    grid: Grid,
}

impl Screen {
    pub(crate) fn start(person: &Person) -> Self {
        Self::of(person, ROWS)
    }

    /// On a terminal with room for QR codes.
    pub(crate) fn tall(person: &Person) -> Self {
        Self::of(person, 48)
    }

    fn of(person: &Person, rows: u16) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let size = Winsize { ws_row: rows, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        let end = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let mut command = person.command(&[], false);
        command.env("TERM", "xterm-256color").env("NO_COLOR", "1");
        command.stdin(Stdio::from(end.try_clone().unwrap()));
        command.stdout(Stdio::from(end.try_clone().unwrap())).stderr(Stdio::from(end));
        let child = command.spawn().unwrap();
        let keyboard = File::from(terminal);
        let (mut screen, (sender, drawn)) = (keyboard.try_clone().unwrap(), channel());
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(len @ 1..) = screen.read(&mut chunk) {
                if sender.send(chunk[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        let grid = Grid::new(rows.into(), COLUMNS.into());
        Self { child, keyboard, drawn, seen: String::new(), grid }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is drawn after what was waited for before.
    #[track_caller]
    pub(crate) fn shows(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.drawn.recv_timeout(left) {
                Ok(more) => {
                    self.grid.draw(&more);
                    self.seen.push_str(&String::from_utf8_lossy(&more));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("\"{text}\" is not shown: {:?}", self.seen)
                }
            }
        }
    }
}

impl Screen {
    /// Waits until this stands on the screen.
    #[track_caller]
    pub(crate) fn has(&mut self, text: &str) {
        self.waits_for(text, true);
    }

    /// The lines from the one with this text up to the next empty one, as one.
    pub(crate) fn piece(&self, text: &str) -> String {
        let screen = self.grid.to_string();
        let lines = screen.lines().map(str::trim).skip_while(|line| !line.contains(text));
        lines.take_while(|line| !line.is_empty()).collect()
    }

    /// Waits until this does not stand there any more.
    #[track_caller]
    pub(crate) fn has_not(&mut self, text: &str) {
        self.waits_for(text, false);
    }

    #[track_caller]
    fn waits_for(&mut self, text: &str, wanted: bool) {
        let until = Instant::now() + PATIENCE;
        while self.grid.has(text) != wanted {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(more) = self.drawn.recv_timeout(left) else {
                panic!("\"{text}\": {wanted} does not come:\n{}", self.grid);
            };
            self.grid.draw(&more);
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// It ends by itself, well.
    #[track_caller]
    pub(crate) fn ends(&mut self) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        assert!(status.success(), "{status}");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
