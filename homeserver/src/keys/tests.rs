//! The signing key's file: every damage is noticed.

use super::*;

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; SEED_LEN])
}

#[test]
fn what_is_written_is_read() {
    let text = render(&key());
    let read = parse(&text).unwrap();
    assert_eq!(read.verifying_key(), key().verifying_key());
}

/// Any single changed character outside the comment is noticed.
#[test]
fn a_changed_character_is_noticed() {
    let text = render(&key());
    let start = text.find(HEADER).unwrap();
    for at in start..text.trim_end().len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(parse(&changed).is_err(), "position {at} was not noticed");
    }
}

#[test]
fn a_file_cut_short_is_noticed() {
    let text = render(&key());
    // The last line feed may go: some editors drop it.
    for length in 0..text.len() - 1 {
        assert!(parse(&text[..length]).is_err(), "length {length} was not noticed");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signing.key");
    write_new(&path, render(&key()).as_bytes(), 0o640).unwrap();
    let failure = load_signing_key(&path).unwrap_err();
    assert_eq!(failure.exit(), Exit::Keys);
    assert!(failure.advice().contains(&format!("chmod 600 {}", path.display())), "{failure}");
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signing.key");
    write_new(&path, b"first", 0o600).unwrap();
    let outcome = write_new(&path, b"second", 0o600);
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"first");
}
