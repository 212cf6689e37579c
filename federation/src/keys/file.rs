//! The forms of key files (docs/operator.md, "Keys"): text, in which the public half makes any damage
//! show. The homeserver reads and writes them.
//!
//! ```text
//! # comment lines
//! posthouse-sealing-keys 1
//! kem ID (100 X-Wing, 32 X25519; the number of RFC 9180 in decimal)
//! public BASE64
//! secret BASE64 of 32 bytes
//! … the next key
//! ```
//! A recovery key has the form of a signing key with the first line `posthouse-recovery-key 1`; a
//! key log is `posthouse-key-log 1` and one line of base64.

use core::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use posthouse_crypto::{
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use posthouse_protocol::federation::key_log::{self, SignedEntry};
use zeroize::Zeroizing;

const SEALING: &str = "posthouse-sealing-keys 1";
const RECOVERY: &str = "posthouse-recovery-key 1";
const LOG: &str = "posthouse-key-log 1";

/// The text of the file of sealing keys, the preferred one first.
pub fn render_sealing(keys: &[SealingKey]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!(
        "# The keys that other regions seal envelopes to. Keep them secret, and keep a copy.\n\
         {SEALING}\n"
    ));
    for key in keys {
        let secret = Zeroizing::new(BASE64.encode(key.secret().as_slice()));
        // Writing into memory does not fail.
        _ = writeln!(text, "kem {}", key.encapsulation().id());
        _ = writeln!(text, "public {}", BASE64.encode(key.public_key().to_bytes()));
        _ = writeln!(text, "secret {}", secret.as_str());
    }
    text
}

/// Reads the file of sealing keys.
///
/// # Errors
/// What is wrong with it, without its contents.
pub fn parse_sealing(text: &str) -> Result<Vec<SealingKey>, &'static str> {
    let mut lines = lines(text, SEALING)?;
    let mut keys = Vec::new();
    while let Some(line) = lines.next() {
        let kem = line.strip_prefix("kem ").and_then(|id| id.trim().parse().ok());
        let kem = kem.and_then(Encapsulation::from_id).ok_or("a key is of an unknown kind")?;
        let public = field(lines.next(), "public ")
            .ok_or("the line with a public half is not as it should be")?;
        let secret = field(lines.next(), "secret ")
            .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new))
            .ok_or("the line with a secret half is not as it should be")?;
        let key = SealingKey::from_secret(kem, &secret).map_err(|_| "a secret half is unusable")?;
        if key.public_key().to_bytes() != *public {
            return Err("the two halves of a key do not belong together");
        }
        keys.push(key);
    }
    if keys.is_empty() { Err("it holds no key") } else { Ok(keys) }
}

/// The text of the file of the recovery key.
pub fn render_recovery(key: &SigningKey) -> Zeroizing<String> {
    let seed = Zeroizing::new(BASE64.encode(key.seed().as_slice()));
    Zeroizing::new(format!(
        "# The recovery key of a Posthouse server (Ed25519). It can replace all other keys when they \
         are lost.\n# Move this file to a place that is not connected to anything, and keep a copy.\n\
         {RECOVERY}\npublic {}\nsecret {}\n",
        BASE64.encode(key.verifying_key().to_bytes()),
        seed.as_str(),
    ))
}

/// Reads the file of the recovery key.
///
/// # Errors
/// What is wrong with it, without its contents.
pub fn parse_recovery(text: &str) -> Result<SigningKey, &'static str> {
    let mut lines = lines(text, RECOVERY)?;
    let public = field(lines.next(), "public ").ok_or("the public half is not as it should be")?;
    let secret = field(lines.next(), "secret ")
        .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new))
        .ok_or("the secret half is not as it should be")?;
    let key = SigningKey::from_seed(&secret);
    if key.verifying_key().to_bytes().as_slice() == public.as_slice() {
        Ok(key)
    } else {
        Err("its two halves do not belong together")
    }
}

/// The text of the file of the key log.
pub fn render_log(log: &[SignedEntry]) -> String {
    format!(
        "# The public key log of a Posthouse server. Other servers follow it: never lose it.\n\
         {LOG}\n{}\n",
        BASE64.encode(key_log::encode_log(log))
    )
}

/// Reads the file of the key log. Whether its entries follow each other is for
/// [`super::OwnKeys::new`] to check.
///
/// # Errors
/// What is wrong with it.
pub fn parse_log(text: &str) -> Result<Vec<SignedEntry>, &'static str> {
    let mut lines = lines(text, LOG)?;
    let line = lines.next().ok_or("it holds no log")?;
    let bytes = BASE64.decode(line.trim_end()).map_err(|_| "its second line is not base64")?;
    key_log::decode_log(&bytes).map_err(|_| "its second line is no key log")
}

/// The lines behind the first one that is no comment, which must be `header`.
fn lines<'a>(text: &'a str, header: &str) -> Result<impl Iterator<Item = &'a str>, &'static str> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    if lines.next() == Some(header) {
        Ok(lines)
    } else {
        Err("its first line does not say what it is")
    }
}

fn field(line: Option<&str>, name: &str) -> Option<Zeroizing<Vec<u8>>> {
    BASE64.decode(line?.strip_prefix(name)?.trim_end()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn keys_round_trip_and_damage_shows() {
        let mut rng = StdRng::seed_from_u64(1);
        let kinds = [Encapsulation::XWing, Encapsulation::X25519];
        let keys = kinds.map(|kind| SealingKey::generate(kind, &mut rng));
        let text = render_sealing(&keys);
        let read = parse_sealing(&text).unwrap();
        let publics = |keys: &[SealingKey]| {
            keys.iter().map(|key| key.public_key().to_bytes()).collect::<Vec<_>>()
        };
        assert_eq!(publics(&read), publics(&keys));
        let recovery = SigningKey::generate(&mut rng);
        let recovered = parse_recovery(&render_recovery(&recovery)).unwrap();
        assert_eq!(recovered.verifying_key(), recovery.verifying_key());
        assert!(parse_recovery(&text).is_err(), "another kind of file");
        for at in 0..text.len() {
            let mut damaged = text.as_bytes().to_vec();
            damaged[at] ^= 1;
            let damaged = String::from_utf8(damaged).unwrap();
            // Damage to a comment or to a space at the end harms nothing.
            let read = parse_sealing(&damaged);
            assert!(read.is_err() || publics(&read.unwrap()) == publics(&keys), "byte {at}");
        }
    }
}
