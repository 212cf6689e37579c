//! Backups are read with their passphrase alone, whole or not at all.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::e2ee::{content::history::HistoryItem, primitives::curve::PrivateKey, time::UnixMillis};

/// As cheap as Argon2 gets.
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

fn made(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut rng = StdRng::seed_from_u64(7);
    let mut writer = BackupWriter::new("open sesame", CHEAP, &mut rng, &mut file).unwrap();
    let (last, others) = parts.split_last().unwrap();
    for part in others {
        writer.push(part, &mut file).unwrap();
    }
    writer.finish(last, &mut file).unwrap();
    file
}

fn read(file: &[u8], passphrase: &str) -> Result<Vec<Vec<u8>>, BackupError> {
    let (header, mut rest) = file.split_first_chunk().ok_or(BackupError::NotABackup)?;
    let mut reader = BackupReader::open(header, passphrase)?;
    let mut parts = Vec::new();
    loop {
        let (head, behind) = rest.split_first_chunk::<4>().ok_or(BackupError::Damaged)?;
        let head = BackupReader::head(*head)?;
        let (sealed, behind) = behind.split_at_checked(head.len).ok_or(BackupError::Damaged)?;
        parts.push(reader.part(head, sealed.to_vec())?.to_vec());
        rest = behind;
        if head.last {
            return if rest.is_empty() { Ok(parts) } else { Err(BackupError::Damaged) };
        }
    }
}

#[test]
fn the_first_bytes_are_these() {
    let file = made(&[b"one".to_vec()]);
    assert_eq!(&file[..9], b"PHBACKUP\x01");
    assert_eq!(file[9..21], [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(file[HEADER_LEN..HEADER_LEN + 4], [0x80, 0, 0, 19]);
    assert_eq!(file.len(), HEADER_LEN + 4 + 19);
}

#[test]
fn another_passphrase_another_file_and_too_much_are_told_apart() {
    let file = made(&[b"one".to_vec()]);
    assert_eq!(read(&file, "open barley"), Err(BackupError::Passphrase));
    assert_eq!(read(&[b'x'; 80], "open sesame"), Err(BackupError::NotABackup));
    let mut later = file.clone();
    later[8] = 2;
    assert_eq!(read(&later, "open sesame"), Err(BackupError::Version(2)));
    let mut greedy = file.clone();
    greedy[9] = 0x7f;
    assert_eq!(read(&greedy, "open sesame"), Err(BackupError::Cost));
    let mut rng = StdRng::seed_from_u64(7);
    let mut writer = BackupWriter::new("x", CHEAP, &mut rng, &mut Vec::new()).unwrap();
    let long = vec![0; MAX_PART_LEN + 1];
    assert_eq!(writer.push(&long, &mut Vec::new()), Err(BackupError::TooLong));
}

#[test]
fn parts_do_not_change_places() {
    let file = made(&[b"one".to_vec(), b"two".to_vec(), b"end".to_vec()]);
    let part = 4 + 19;
    let mut moved = file.clone();
    moved[HEADER_LEN..HEADER_LEN + part]
        .copy_from_slice(&file[HEADER_LEN + part..HEADER_LEN + 2 * part]);
    moved[HEADER_LEN + part..HEADER_LEN + 2 * part]
        .copy_from_slice(&file[HEADER_LEN..HEADER_LEN + part]);
    assert_eq!(read(&moved, "open sesame"), Err(BackupError::Damaged));
}

#[test]
fn the_head_is_read_as_it_was_written() {
    let head = BackupHead {
        account: "01890a5d-0000-774b-bcce-b302099a8057@eu.example".to_owned(),
        identity: PrivateKey::from_bytes(&[7; 32]),
        made_at: UnixMillis(5),
    };
    let read = BackupHead::from_bytes(&head.to_bytes()).unwrap();
    assert_eq!((read.account, read.made_at), (head.account, head.made_at));
    assert!(read.identity.to_bytes().ct_eq(&head.identity.to_bytes()));
    assert!(BackupHead::from_bytes(&[0xa0]).is_err());
    let items = vec![HistoryItem::Expiry { from: "a".into(), id: [1; 16], at: UnixMillis(2) }];
    assert_eq!(items_from_bytes(&items_to_bytes(&items)), Ok(items));
    assert_eq!(items_from_bytes(&[0x81]), Err(BackupError::Damaged));
}

#[test]
fn each_part_of_the_cost_has_its_bound() {
    assert!(MAX_COST.is_allowed() && Cost::default().is_allowed());
    let Cost { memory_kib, passes, lanes } = Cost::default();
    assert_eq!((memory_kib, passes, lanes), (65_536, 3, 1), "docs/spec/history.md, Backups");
    for greedy in [
        Cost { memory_kib: 1_048_577, ..MAX_COST },
        Cost { passes: 17, ..MAX_COST },
        Cost { lanes: 17, ..MAX_COST },
    ] {
        assert!(!greedy.is_allowed(), "{greedy:?}");
    }
    for (at, cost) in [(9, 0x7f), (16, 17), (20, 17)] {
        let mut greedy = made(&[b"one".to_vec()]);
        greedy[at] = cost;
        assert_eq!(read(&greedy, "open sesame"), Err(BackupError::Cost), "byte {at}");
    }
}

#[test]
fn the_longest_part_is_written_and_read() {
    let longest = vec![vec![7; MAX_PART_LEN], Vec::new()];
    assert_eq!(read(&made(&longest), "open sesame"), Ok(longest));
    let head = |len: u32| BackupReader::head((len | 1 << 31).to_be_bytes());
    assert_eq!(head(65_552), Ok(PartHead { len: 65_552, last: true }));
    assert_eq!(head(65_553), Err(BackupError::Damaged));
    assert_eq!(head(16), Ok(PartHead { len: 16, last: true }));
    assert_eq!(head(15), Err(BackupError::Damaged));
}

#[test]
fn a_head_has_a_version_and_a_name_that_fits() {
    let head = |account: String| BackupHead {
        account,
        identity: PrivateKey::from_bytes(&[7; 32]),
        made_at: UnixMillis(5),
    };
    assert!(BackupHead::from_bytes(&head("x".repeat(320)).to_bytes()).is_ok());
    let long = BackupHead::from_bytes(&head("x".repeat(321)).to_bytes());
    assert_eq!(long.map(drop), Err(BackupError::Damaged));
    let mut later = head("a".to_owned()).to_bytes();
    // The head of the map, the key 0, then the version.
    assert_eq!(later[..3], [0xa4, 0, 1]);
    later[2] = 2;
    assert_eq!(BackupHead::from_bytes(&later).map(drop), Err(BackupError::Version(2)));
}

#[test]
fn debug_shows_no_secret() {
    let mut file = Vec::new();
    let mut rng = StdRng::seed_from_u64(7);
    let mut writer = BackupWriter::new("open sesame", CHEAP, &mut rng, &mut file).unwrap();
    writer.push(b"one", &mut file).unwrap();
    assert_eq!(format!("{writer:?}"), "BackupWriter { parts: 1, .. }");
    let reader = BackupReader::open(file.first_chunk().unwrap(), "open sesame").unwrap();
    assert_eq!(format!("{reader:?}"), "BackupReader { parts: 0, .. }");
    let identity = PrivateKey::from_bytes(&[7; 32]);
    let head = BackupHead { account: "a".to_owned(), identity, made_at: UnixMillis(5) };
    assert_eq!(format!("{head:?}"), "BackupHead { made_at: UnixMillis(5), .. }");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5)) {
        prop_assert_eq!(read(&made(&parts), "open sesame"), Ok(parts));
    }

    #[test]
    fn no_byte_can_be_changed_and_nothing_cut_off(at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>()) {
        let file = made(&[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        let mut changed = file.clone();
        *at.get_mut(&mut changed) ^= 1 << bit;
        // A changed cost is not tried: it may ask for much.
        let is_cost = changed[9..21] != file[9..21];
        prop_assert!(is_cost || read(&changed, "open sesame").is_err());
        prop_assert!(read(&file[..cut.index(file.len())], "open sesame").is_err());
    }
}
