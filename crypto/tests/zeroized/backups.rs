//! Backups: the keys that a passphrase gives, the memory that deriving them takes, and what is
//! written and read.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use posthouse_crypto::e2ee::{
    backup::{
        BackupHead, BackupReader, BackupWriter, Cost, HEADER_LEN, items_from_bytes, items_to_bytes,
    },
    content::history::{HistoryItem, PastMark},
    primitives::curve::PrivateKey,
    time::UnixMillis,
};
use rand_core::TryRng;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    derive::{NO_SALT, hkdf},
    search::{Marks, Recorder, check, counts},
};

/// Blocks of 1 KiB: so few, so that what was freed is neither given back to the kernel nor covered.
const BLOCKS: usize = 64;
const COST: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

/// Letters that nobody can guess.
fn letters(rng: &mut Recorder, len: usize) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(len));
    let mut byte = [0];
    while text.len() < len {
        rng.try_fill_bytes(&mut byte).unwrap();
        text.push(char::from(b'a' + byte[0] % 26));
    }
    rng.marks.remember(text.as_bytes());
    text
}

/// Remembers what the passphrase of a backup gives, and the memory that is filled on the way:
/// whoever has its last block has the key.
fn remember_keys(marks: &mut Marks, passphrase: &str, header: &[u8; HEADER_LEN]) -> [u8; 55] {
    let params = Params::new(COST.memory_kib, COST.passes, COST.lanes, Some(32)).unwrap();
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let (mut memory, mut secret) = (Zeroizing::new(vec![Block::new(); BLOCKS]), [0; 32]);
    let (passphrase, salt) = (passphrase.as_bytes(), &header[21..37]);
    argon.hash_password_into_with_memory(passphrase, salt, &mut secret, &mut **memory).unwrap();
    for word in memory.iter().flat_map(AsRef::as_ref) {
        marks.remember(&[[0; 8], word.to_le_bytes(), [0; 8]].concat());
    }
    let keys: [u8; 55] = hkdf(&NO_SALT, &secret, &[b"Posthouse backup v1"]);
    marks.remember(&secret);
    marks.remember(&keys[..32]);
    keys
}

#[test]
fn keys_of_a_passphrase_and_what_a_backup_holds() {
    check(41, |rng| {
        let passphrase = letters(rng, 64);
        let mut file = Vec::new();
        let mut writer = BackupWriter::new(&passphrase, COST, rng, &mut file).unwrap();
        let header = *file.first_chunk().unwrap();
        let keys = remember_keys(&mut rng.marks, &passphrase, &header);
        assert_eq!(keys[39..], header[37..], "other keys than the backup's");
        let head = BackupHead {
            account: "a@north.test".to_owned(),
            identity: PrivateKey::generate(rng),
            made_at: UnixMillis(1),
        };
        let mut words = Zeroizing::new(vec![0; 4096]);
        rng.try_fill_bytes(&mut words).unwrap();
        writer.push(&head.to_bytes(), &mut file).unwrap();
        writer.push(&words, &mut file).unwrap();
        let mut reader = BackupReader::open(&header, &passphrase).unwrap();
        let mut rest = &file[HEADER_LEN..];
        let mut part = || {
            let (number, after) = rest.split_first_chunk().unwrap();
            let head = BackupReader::head(*number).unwrap();
            let (sealed, after) = after.split_at(head.len);
            rest = after;
            reader.part(head, sealed.to_vec()).unwrap()
        };
        let head_read = BackupHead::from_bytes(&part()).unwrap();
        let words_read = part();
        assert!(words_read == words);
        (passphrase, writer, reader, head, head_read, words, words_read)
    });
}

/// The items' own texts are their holder's to wipe: what encoding and decoding took is not left.
#[test]
fn items_on_their_way_into_a_backup_and_out_of_it() {
    let make = |rng: &mut Recorder| {
        let text = letters(rng, 4096);
        let edit = PastMark::Edit { text: text.to_string(), stamp: 1, mentions: Vec::new() };
        let by = "a@north.test".to_owned();
        let item = HistoryItem::Mark { with: by.clone(), target: [1; 16], by, mark: edit };
        let items = vec![item];
        let read = items_from_bytes(&items_to_bytes(&items)).unwrap();
        [items, read]
    };
    let (before, after) = counts(42, make, |mut items| {
        for item in items.iter_mut().flatten() {
            let HistoryItem::Mark { mark: PastMark::Edit { text, .. }, .. } = item else {
                panic!("another item was read")
            };
            text.zeroize();
        }
    });
    assert!(before >= 2 * 510, "{before} words of the texts are found: the search is blind");
    assert_eq!(after, 0, "words of the texts are left on the heap");
}
