//! The server's signing key in its file: made once by `init`, read at every start, never made again.
//!
//! The form (docs/operator.md, "Keys") is text; the public half makes any damage show:
//!
//! ```text
//! # comment lines
//! posthouse-signing-key 1
//! public BASE64 of the 32 bytes of the public key
//! secret BASE64 of the 32 bytes of the seed (RFC 8032 §5.1.5)
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use posthouse_crypto::sign::{SEED_LEN, SigningKey};
use zeroize::Zeroizing;

use crate::{
    config::readable_by_others,
    failure::{Exit, Failure},
};

/// The first line of the file that is no comment: what it is, and the version of its form.
const HEADER: &str = "posthouse-signing-key 1";
/// Largest file of a key or certificate, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads the signing key at `path`.
///
/// # Errors
/// The file is missing, readable by others, or damaged. It is never replaced by a new one.
pub fn load_signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let text = read_secret(path, "the server's signing key", RESTORE)?;
    parse(&text).map_err(|fact| {
        Failure::new(
            Exit::Keys,
            format!("The signing key in {} is damaged: {fact}.", path.display()),
            RESTORE,
        )
    })
}

const RESTORE: &str = "Restore the file from a copy. Posthouse never makes a new key for a region \
                       that had one: users and other servers know the region by it.";

/// The text of a signing key's file.
pub fn render(key: &SigningKey) -> Zeroizing<String> {
    let seed = Zeroizing::new(BASE64.encode(key.seed().as_slice()));
    Zeroizing::new(format!(
        "# The signing key of a Posthouse server (Ed25519). Keep it secret, and keep a copy.\n\
         {HEADER}\n\
         public {}\n\
         secret {}\n",
        BASE64.encode(key.verifying_key().to_bytes()),
        seed.as_str(),
    ))
}

fn parse(text: &str) -> Result<SigningKey, &'static str> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    if lines.next() != Some(HEADER) {
        return Err("its first line is not \"posthouse-signing-key 1\"");
    }
    let public = field(lines.next(), "public ")
        .ok_or("the line with the public half is not as it should be")?;
    let secret = field(lines.next(), "secret ")
        .ok_or("the line with the secret half is not as it should be")?;
    if lines.next().is_some() {
        return Err("it has more lines than it should have");
    }
    let key = SigningKey::from_seed(&secret);
    if key.verifying_key().to_bytes() != *public {
        return Err("its two halves do not belong together");
    }
    Ok(key)
}

fn field(line: Option<&str>, name: &str) -> Option<Zeroizing<[u8; SEED_LEN]>> {
    let bytes = Zeroizing::new(BASE64.decode(line?.strip_prefix(name)?.trim_end()).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

/// Reads a secret file and checks that only its owner can.
///
/// # Errors
/// It is missing (with `restore` as the advice), readable by others, or cannot be read as text.
pub fn read_secret(path: &Path, what: &str, restore: &str) -> Result<Zeroizing<String>, Failure> {
    let shown = path.display();
    let cannot_read = |err: io::Error| match err.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(Exit::Keys, format!("The file {shown} with {what} is missing."), restore)
        }
        _ => Failure::cannot_read(Exit::Keys, path, &err),
    };
    let file = File::open(path).map_err(cannot_read)?;
    let mode = file.metadata().map_err(cannot_read)?.permissions().mode();
    if readable_by_others(mode) {
        return Err(Failure::new(
            Exit::Keys,
            format!(
                "The file {shown} with {what} can be read by other users (mode {:03o}).",
                mode & 0o777
            ),
            format!("Run `chmod 600 {shown}`. If others may have read it, replace what is in it."),
        ));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(cannot_read)?;
    Ok(text)
}

/// Writes a new file, durably, and never over one that exists.
///
/// # Errors
/// The file exists, or cannot be written.
pub fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    file.sync_all()?;
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

/// Replaces the file at `path` in one step: readers see the old or the new text, never a part.
///
/// # Errors
/// The new text cannot be written; the old file is as it was.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = Path::new(&name);
    // What a process left behind that died at this point is of no use to anyone.
    match fs::remove_file(fresh) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    write_new(fresh, contents, mode)?;
    fs::rename(fresh, path)?;
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

/// Makes a directory that only its owner can enter.
///
/// # Errors
/// It exists, or cannot be made.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
