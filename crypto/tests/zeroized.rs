//! Secrets leave no copy on the heap once they are dropped.
//!
//! The process looks for them in its own memory, through `/proc/self/mem`: in all of it that can
//! be written, but not on the stack of the thread that used them, where moving a value leaves a
//! copy that no destructor can reach. What is looked for stands in memory only masked.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::{
    collections::{BTreeSet, HashSet},
    convert::Infallible,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Mutex, PoisonError},
    thread,
};

use posthouse_crypto::{
    e2ee::{
        address::{Address, DeviceId},
        attachment::Encryptor,
        group::{
            receiving::ReceivedSenderKeys,
            sending::{NotReady, SendingGroup},
        },
        prekey::store::{PreKeys, ROTATE_AFTER},
        primitives::{curve::KeyPair, kem::KemKeyPair},
        secret::Secret,
        time::UnixMillis,
        wire::sender_key_message::SenderKeyMessage,
    },
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use rand_core::{TryCryptoRng, TryRng};

const MASK: u64 = 0xa5a5_a5a5_a5a5_a5a5;
const STACK: usize = 4 * 1024 * 1024;
const BUFFER: usize = 1024 * 1024;
/// One at a time: what one thread reads of the memory is a copy of the others' secrets.
static ALONE: Mutex<()> = Mutex::new(());

/// Words of secrets, each masked.
#[derive(Default)]
struct Marks(HashSet<u64>);

impl Marks {
    /// Remembers the words of `secret`, but for the first and the last: the outer bytes of a key
    /// are clamped.
    fn remember(&mut self, secret: &[u8]) {
        let words = secret.as_chunks::<8>().0;
        let inner = words.get(1..words.len().saturating_sub(1)).unwrap_or_default();
        self.0.extend(inner.iter().map(|word| u64::from_le_bytes(*word) ^ MASK));
    }
}

/// Random numbers that keep no copy of what they give, except masked.
struct Recorder {
    state: u64,
    marks: Marks,
}

impl Recorder {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }
}

impl TryRng for Recorder {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::try_from(self.next() >> 32).unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for word in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            word.copy_from_slice(&bytes[..word.len()]);
        }
        self.marks.remember(out);
        Ok(())
    }
}

impl TryCryptoRng for Recorder {}

/// The parts of memory that can be written, as the kernel lists them.
fn writable() -> Vec<Range<usize>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (range, access) = (words.next()?, words.next()?);
        let (from, to) = range.split_once('-')?;
        let at = |text| usize::from_str_radix(text, 16).ok();
        access.starts_with("rw").then_some(at(from)?..at(to)?)
    };
    maps.lines().filter_map(line).collect()
}

/// Looks for words in the memory of this process. Everything it needs is allocated beforehand, so
/// that nothing of its own is put over what is looked for.
struct Search {
    memory: File,
    buffer: Vec<u8>,
    regions: Vec<Range<usize>>,
    /// The search's own buffer, and the stack of this thread.
    skipped: [Range<usize>; 2],
    marks: Marks,
    /// Which low halves of words the marks have: most words are none of them.
    low: Vec<bool>,
}

impl Search {
    fn new(stack: Range<usize>) -> Self {
        let buffer = vec![0; BUFFER];
        let own = buffer.as_ptr().addr();
        Self {
            memory: File::open("/proc/self/mem").unwrap(),
            buffer,
            regions: Vec::new(),
            skipped: [stack, own..own + BUFFER],
            marks: Marks::default(),
            low: vec![false; 1 << 16],
        }
    }

    fn prepare(&mut self, marks: Marks) {
        marks.0.iter().for_each(|mark| self.low[low(*mark)] = true);
        self.marks = marks;
        self.regions = writable();
    }

    /// How many of the marks' words stand in memory.
    fn copies(&mut self) -> usize {
        let mut found = 0;
        for region in &self.regions {
            let mut at = region.start;
            while at < region.end {
                if let Some(skipped) = self.skipped.iter().find(|part| part.contains(&at)) {
                    at = skipped.end;
                    continue;
                }
                let next = self.skipped.iter().map(|part| part.start).filter(|start| *start > at);
                let end = next.fold(region.end, usize::min).min(at + BUFFER);
                let part = &mut self.buffer[..end - at];
                // What was given back meanwhile cannot be read.
                let read = self.memory.read_at(part, u64::try_from(at).unwrap()).unwrap_or(0);
                found += count(&self.marks, &self.low, &part[..read]);
                // Words across two parts are looked at with the second.
                let whole = end == region.end || read == 0 || end - at < 8;
                at = if whole { end } else { end - 7 };
            }
        }
        self.buffer.fill(0);
        found
    }
}

fn low(word: u64) -> usize {
    usize::try_from(word & 0xffff).unwrap()
}

fn count(marks: &Marks, known: &[bool], bytes: &[u8]) -> usize {
    let (mut word, mut found) = (0_u64, 0);
    for (place, byte) in bytes.iter().enumerate() {
        word = word >> 8 | u64::from(*byte) << 56;
        let masked = word ^ MASK;
        found += usize::from(place >= 7 && known[low(masked)] && marks.0.contains(&masked));
    }
    found
}

/// How many words of a value's secrets stand on the heap while it has them, and after `end`,
/// which may keep the rest of it.
fn counts<T, Rest>(
    seed: u64,
    make: impl FnOnce(&mut Recorder) -> T + Send,
    end: impl FnOnce(Box<T>) -> Rest + Send,
) -> (usize, usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let work = move || {
        let top = 0_u8;
        let top = core::ptr::from_ref(&top).addr();
        let mut search = Search::new(top - STACK..top + 4096);
        let mut rng = Recorder { state: seed, marks: Marks::default() };
        let value = Box::new(make(&mut rng));
        search.prepare(rng.marks);
        let before = search.copies();
        let rest = end(value);
        let after = search.copies();
        drop(rest);
        (before, after)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

/// Of a value that is dropped, nothing is left.
fn check<T>(seed: u64, make: impl FnOnce(&mut Recorder) -> T + Send) {
    let (before, after) = counts(seed, make, drop);
    assert!(before > 0, "the living value is not found: the search is blind");
    assert_eq!(after, 0, "words of the secret are left on the heap; there were {before}");
}

fn address() -> Address {
    Address::new("b@south.test", DeviceId::new(1).unwrap()).unwrap()
}

#[test]
fn the_search_finds_what_nobody_wiped() {
    let make = |rng: &mut Recorder| {
        let mut bytes = [0; 64];
        rng.try_fill_bytes(&mut bytes).unwrap();
        bytes
    };
    let (before, after) = counts(1, make, drop);
    assert!(before >= 6 && after > 0, "{before} words before, {after} after");
}

#[test]
fn secrets_and_keys() {
    check(2, Secret::<64>::random);
    check(3, KeyPair::generate);
    check(4, |rng| {
        let pair = KemKeyPair::generate(rng);
        rng.marks.remember(&pair.to_bytes()[1..1537]);
        pair
    });
    check(5, SigningKey::generate);
}

#[test]
fn sealing_keys_of_servers() {
    for encapsulation in Encapsulation::PREFERENCE {
        check(6, |rng| {
            let key = SealingKey::generate(encapsulation, rng);
            rng.marks.remember(&key.secret()[..]);
            key
        });
    }
}

#[test]
fn sender_keys_and_their_stored_form() {
    check(7, |rng| {
        let mut group = SendingGroup::new([7; 16]);
        let handed = group.ready(&BTreeSet::from([address()]), UnixMillis(0), rng).map(drop);
        let Err(NotReady::Undistributed(handed)) = handed else { panic!("nobody holds the key") };
        let mut received = ReceivedSenderKeys::new([7; 16]);
        received.process(&handed.distribution).unwrap();
        (group.to_bytes(), received.to_bytes(), handed.distribution.to_bytes(), group, received)
    });
}

#[test]
fn attachments_that_are_being_encrypted() {
    check(8, |rng| {
        let mut out = Vec::new();
        let mut encryptor = Encryptor::new(rng, &mut out);
        let mut plaintext = zeroize::Zeroizing::new([0; 1024]);
        rng.try_fill_bytes(plaintext.as_mut()).unwrap();
        encryptor.push(plaintext.as_ref(), &mut out).unwrap();
        encryptor
    });
}

/// As many as make the collections grow and their nodes split, which moves what is in them.
#[test]
fn a_device_full_of_prekeys_and_their_stored_form() {
    check(9, |rng| {
        let identity = KeyPair::generate(rng);
        let mut keys = PreKeys::new(&identity, UnixMillis(0), rng);
        for week in 1..4 {
            keys.rotate(&identity, UnixMillis(week * ROTATE_AFTER), rng);
        }
        keys.replenish(&identity, 40, rng);
        (keys.to_bytes(), keys, identity)
    });
}

#[test]
fn keys_of_messages_that_came_late_are_gone_once_used() {
    const LATE: usize = 20;
    let make = |rng: &mut Recorder| {
        let mut group = SendingGroup::new([7; 16]);
        let to = BTreeSet::from([address()]);
        let handed = group.ready(&to, UnixMillis(0), rng).map(drop);
        let Err(NotReady::Undistributed(handed)) = handed else { panic!("nobody holds the key") };
        group.mark_distributed(handed.distribution.chain_id(), address());
        let mut received = ReceivedSenderKeys::new([7; 16]);
        received.process(&handed.distribution).unwrap();
        let mut send = || group.ready(&to, UnixMillis(0), rng).unwrap().encrypt(b"x", rng).unwrap();
        let late: Vec<_> = (0..LATE).map(|_| send()).collect();
        let last = SenderKeyMessage::from_bytes(&send()).unwrap();
        received.decrypt(&last).unwrap();
        // The stored form ends with the keys that wait: head, place, head of a string, 32 bytes.
        let stored = received.to_bytes();
        rng.marks = Marks::default();
        for entry in stored.rchunks(1 + 1 + 2 + 32).take(LATE) {
            rng.marks.remember(&entry[4..]);
        }
        (received, late)
    };
    let use_all = |value: Box<(ReceivedSenderKeys, Vec<Vec<u8>>)>| {
        let (mut received, late) = *value;
        for message in late {
            let message = SenderKeyMessage::from_bytes(&message).unwrap();
            received.decrypt(&message).unwrap();
        }
        Box::new(received)
    };
    let (before, after) = counts(10, make, use_all);
    assert!(before >= 2 * LATE, "only {before} words of the waiting keys are found");
    assert_eq!(after, 0, "words of used keys are left on the heap");
}
