//! The full screen, as a process on a terminal of its own.

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
    home::Home,
    person::{PATIENCE, Person},
};

/// A program on a terminal.
struct Screen {
    child: Child,
    keyboard: File,
    drawn: Receiver<Vec<u8>>,
    seen: String,
}

impl Screen {
    fn start(person: &Person) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
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
        Self { child, keyboard, drawn, seen: String::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is drawn after what was waited for before.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.drawn.recv_timeout(left) {
                Ok(more) => self.seen.push_str(&String::from_utf8_lossy(&more)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("\"{text}\" is not shown: {:?}", self.seen)
                }
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_answers_and_leaves() {
    let home = Home::start().await;
    let at = home.address();
    let (ada, ben) = (Person::registered(at, "ada"), Person::registered(at, "ben"));
    ada.run(&["send", "ben", "Halloo!"]).done();
    // It is there before the screen is, so that the first drawing has it.
    ben.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    let mut screen = Screen::start(&ben);
    screen.shows("ada");
    screen.shows("Welcome");
    screen.press("\t");
    screen.shows("Halloo!");
    // What is pasted is one text, whatever is in it; Enter sends it.
    screen.press("\u{1b}[200~Quiz?\nq\u{1b}[201~");
    screen.shows("Quiz?");
    screen.press("\r");
    screen.shows("✓");
    screen.press("?");
    screen.shows("Help");
    screen.press("\u{11}");
    // The terminal is given back: no pasting in brackets, and the screen that was there before.
    screen.shows("\u{1b}[?2004l");
    screen.shows("\u{1b}[?1049l");
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = screen.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
    assert!(!screen.seen.contains("\u{1b}[3"), "a colour in spite of NO_COLOR");

    let heard = ada.run(&["listen", "--count", "1", "--timeout", "60"]).all();
    assert!(heard.iter().any(|one| one["text"] == "Quiz?\nq"), "{heard:?}");
    let first = &ada.run(&["history", "ben"]).all()[0];
    assert_eq!((&first["text"], &first["status"]), (&"Halloo!".into(), &"read".into()));
}
