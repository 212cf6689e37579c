//! Passwords: from a file, from standard input, or typed without an echo; and other lines that are typed.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use posthouse_protocol::limits::{MAX_PASSWORD, MIN_PASSWORD};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// No password is longer; what is longer is not read.
const MAX_LINE: u64 = 1024;
const MAX_TYPED: usize = 1024;
/// The shortest passphrase of a new backup, in characters. It does not make a guessable one good, and
/// keeps out what is certainly none.
const LEAST: usize = 12;

/// What a new secret must be.
type Rule = fn(&str) -> Result<(), Failure>;

/// The first line of the file, or of standard input for `-`; typed if there is no file.
pub(crate) fn password(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    asked(file, ("Password: ", "--password-file"), None)
}

/// As [`password`], for a new account's: it is typed twice.
pub(crate) fn first_password(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    asked(file, ("Password: ", "--password-file"), Some(may_be_password))
}

/// As [`first_password`], for the one that takes the place of another.
pub(crate) fn new_password(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    asked(file, ("New password: ", "--new-password-file"), Some(may_be_password))
}

/// As [`password`], for the passphrase of a backup.
pub(crate) fn passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    asked(file, ("Passphrase of the backup: ", "--passphrase-file"), None)
}

/// As [`passphrase`], for a new backup: it is typed twice.
pub(crate) fn new_passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    asked(file, ("Passphrase of the backup: ", "--passphrase-file"), Some(may_be_passphrase))
}

/// Every homeserver refuses others.
fn may_be_password(password: &str) -> Result<(), Failure> {
    let fact = match password.len() {
        short if short < MIN_PASSWORD => {
            format!("The password is too short: it has fewer than {MIN_PASSWORD} characters.")
        }
        long if long > MAX_PASSWORD => {
            format!("The password is too long: it has more than {MAX_PASSWORD} bytes.")
        }
        _ => return Ok(()),
    };
    let advice = "A few words that do not belong together are a good one.";
    Err(Failure::new(Exit::Usage, fact, advice))
}

fn may_be_passphrase(passphrase: &str) -> Result<(), Failure> {
    if passphrase.chars().count() < LEAST {
        return Err(Failure::new(
            Exit::Usage,
            format!("The passphrase has fewer than {LEAST} characters."),
            "It is the only lock of the file: six random words are a good one.",
        ));
    }
    Ok(())
}

/// A new one is refused before it is typed again if it may be none.
fn asked(
    file: Option<&Path>,
    (question, flag): (&str, &str),
    new: Option<Rule>,
) -> Result<Zeroizing<String>, Failure> {
    let given = file.map(first_line).transpose()?;
    let is_typed = given.is_none();
    let typed = match given {
        Some(given) => given,
        None => prompt(question, flag)?,
    };
    let Some(rule) = new else { return Ok(typed) };
    rule(&typed)?;
    if is_typed && *prompt("The same again: ", flag)? != *typed {
        let fact = "What was typed the second time is something else.";
        return Err(Failure::new(Exit::Usage, fact, "Type the same twice."));
    }
    Ok(typed)
}

/// The first line of a file, or of standard input for `-`.
pub(crate) fn first_line(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if path == Path::new("-") {
        return line(io::stdin().lock()).map_err(|err| Failure::file(Exit::Usage, path, &err));
    }
    let file = File::open(path).map_err(|err| Failure::file(Exit::Usage, path, &err))?;
    line(BufReader::new(file)).map_err(|err| Failure::file(Exit::Usage, path, &err))
}

fn line(from: impl BufRead) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    from.take(MAX_LINE).read_line(&mut line)?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    if line.is_empty() { Err(io::Error::other("its first line is empty")) } else { Ok(line) }
}

/// Asks for a line that may be seen, on the terminal. `flag` takes it from who has none.
pub(crate) fn seen(question: &str, flag: &str) -> Result<String, Failure> {
    let without = |err: io::Error| {
        let advice = format!("Give it with {flag}.");
        Failure::new(Exit::Usage, format!("It cannot be asked for on a terminal: {err}."), advice)
    };
    let terminal = ask(question).map_err(without)?;
    let mut line = String::new();
    BufReader::new(terminal.take(MAX_LINE)).read_line(&mut line).map_err(without)?;
    Ok(line)
}

/// Writes a question to the terminal, which may be another one than standard input.
fn ask(question: &str) -> io::Result<File> {
    if !io::stderr().is_terminal() {
        return Err(io::Error::other("there is no terminal"));
    }
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(question.as_bytes())?;
    Ok(terminal)
}

/// Asks for a secret on the terminal.
fn prompt(question: &str, flag: &str) -> Result<Zeroizing<String>, Failure> {
    let without = |err: io::Error| {
        let advice = format!("Give it in a file: {flag} FILE, or `-` for standard input.");
        Failure::new(Exit::Usage, format!("It cannot be asked for on a terminal: {err}."), advice)
    };
    let mut terminal = ask(question).map_err(without)?;
    let before = tcgetattr(&terminal).map_err(|err| without(err.into()))?;
    let mut silent = before.clone();
    // Ctrl-C comes as a character, so that the terminal never stays without an echo.
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(&terminal, OptionalActions::Drain, &silent).map_err(|err| without(err.into()))?;
    let typed = typed(&terminal);
    let after = tcsetattr(&terminal, OptionalActions::Drain, &before);
    terminal.write_all(b"\n").map_err(without)?;
    after.map_err(|err| without(err.into()))?;
    typed.map_err(without)
}

/// What is typed up to Enter.
fn typed(mut terminal: &File) -> io::Result<Zeroizing<String>> {
    // It does not grow beyond this, which would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TYPED));
    loop {
        let mut byte = [0];
        terminal.read_exact(&mut byte)?;
        match byte[0] {
            b'\r' | b'\n' => break,
            3 | 4 => return Err(io::Error::other("it was cancelled")),
            8 | 127 => while bytes.pop().is_some_and(|last| last & 0xC0 == 0x80) {},
            21 => bytes.clear(),
            other if bytes.len() < MAX_TYPED => bytes.push(other),
            _ => return Err(io::Error::other("it is too long")),
        }
    }
    let text = core::str::from_utf8(&bytes).map_err(io::Error::other)?;
    Ok(Zeroizing::new(text.to_owned()))
}
