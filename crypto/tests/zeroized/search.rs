//! The search: random numbers that are remembered masked, and words looked for in memory.

use std::{
    collections::HashSet,
    convert::Infallible,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Mutex, PoisonError},
    thread,
};

use rand_core::{TryCryptoRng, TryRng};

const MASK: u64 = 0xa5a5_a5a5_a5a5_a5a5;
const STACK: usize = 4 * 1024 * 1024;
const BUFFER: usize = 1024 * 1024;
/// One at a time: what one thread reads of the memory is a copy of the others' secrets.
static ALONE: Mutex<()> = Mutex::new(());

/// Words of secrets, each masked.
#[derive(Default)]
pub(crate) struct Marks(HashSet<u64>);

impl Marks {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Remembers the words of `secret`, but for the first and the last: the outer bytes of a key
    /// are clamped.
    pub(crate) fn remember(&mut self, secret: &[u8]) {
        let words = secret.as_chunks::<8>().0;
        let inner = words.get(1..words.len().saturating_sub(1)).unwrap_or_default();
        self.0.extend(inner.iter().map(|word| u64::from_le_bytes(*word) ^ MASK));
    }
}

/// Random numbers that keep no copy of what they give, except masked.
pub(crate) struct Recorder {
    pub(crate) state: u64,
    pub(crate) marks: Marks,
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
    pub(crate) marks: Marks,
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
pub(crate) fn counts<T, Rest>(
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
pub(crate) fn check<T>(seed: u64, make: impl FnOnce(&mut Recorder) -> T + Send) {
    let (before, after) = counts(seed, make, drop);
    assert!(before > 0, "the living value is not found: the search is blind");
    assert_eq!(after, 0, "words of the secret are left on the heap; there were {before}");
}
