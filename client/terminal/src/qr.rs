//! QR codes of half blocks: two rows of modules a line.

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of quiet around a code, which scanners need.
const QUIET: i32 = 2;

/// The code of these bytes, dark on light whatever the terminal's colours are: light modules are
/// full blocks. `None` if it would not fit into a code.
pub(crate) fn lines(bytes: &[u8]) -> Option<Vec<String>> {
    let code = QrCode::encode_binary(bytes, QrCodeEcc::Low).ok()?;
    let (from, to) = (-QUIET, code.size() + QUIET);
    let light = |x: i32, y: i32| y < to && !code.get_module(x, y);
    let rows = (from..to).step_by(2).map(|y| {
        (from..to)
            .map(|x| match (light(x, y), light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect()
    });
    Some(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_quiet_around() {
        let rows = lines(b"posthouse").unwrap();
        // Version 1: 21 modules, and the quiet on both sides.
        assert_eq!(rows.len(), 13);
        assert!(rows.iter().all(|row| row.chars().count() == 25));
        assert_eq!(rows[0], "█".repeat(25));
        assert!(lines(&[0; 4000]).is_none());
    }
}
