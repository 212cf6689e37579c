//! What stands on a terminal, of what a program draws there: as much of a terminal as that takes.

use unicode_width::UnicodeWidthChar as _;

/// The cells of a terminal.
pub(crate) struct Grid {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// The beginning of a character or of a sequence.
    begun: Vec<u8>,
}

impl Grid {
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        Self { rows: vec![vec![' '; columns]; rows], row: 0, column: 0, begun: Vec::new() }
    }

    /// More was drawn.
    pub(crate) fn draw(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        while let Some(len) = whole(&self.begun) {
            let one: Vec<u8> = self.begun.drain(..len).collect();
            match one.as_slice() {
                [0x1b, b'[', parameters @ .., b'H'] => self.go(parameters),
                [0x1b, b'[', .., b'J'] => {
                    self.rows.iter_mut().for_each(|row| row.fill(' '));
                }
                [0x1b, ..] | [..0x20] => {}
                text => self.put(std::str::from_utf8(text).unwrap().chars().next().unwrap()),
            }
        }
    }

    fn go(&mut self, parameters: &[u8]) {
        let text = std::str::from_utf8(parameters).unwrap();
        let mut numbers = text.split(';').map(|one| one.parse::<usize>().unwrap_or(1).max(1) - 1);
        self.row = numbers.next().unwrap_or(0);
        self.column = numbers.next().unwrap_or(0);
    }

    fn put(&mut self, one: char) {
        if let Some(cell) = self.rows.get_mut(self.row).and_then(|row| row.get_mut(self.column)) {
            *cell = one;
        }
        self.column += one.width().unwrap_or(0);
    }

    /// Whether this text stands in one of its lines.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.rows.iter().any(|row| row.iter().collect::<String>().contains(text))
    }
}

impl std::fmt::Display for Grid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{}", row.iter().collect::<String>()))
    }
}

/// How long the first character or sequence is; `None` if it is not whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0x1b, b'[', rest @ ..] => {
            rest.iter().position(|byte| (0x40..0x7f).contains(byte)).map(|at| at + 3)
        }
        [0x1b, _, ..] => Some(2),
        [0x1b] | [] => None,
        [first, ..] => {
            let len = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            (bytes.len() >= len).then_some(len)
        }
    }
}
