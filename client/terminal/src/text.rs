//! Text of strangers, made fit for a terminal.

use std::borrow::Cow;

/// The text without characters that control the terminal or the direction of what follows; those
/// stand as `�`. Line ends are kept.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    Cow::Owned(text.replace(is_control, "\u{FFFD}"))
}

/// The same on one line.
pub(crate) fn line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

/// A span of time as a person writes it, in seconds: `30s`, `5m`, `12h`, `7d`.
pub(crate) fn span(text: &str) -> Option<u32> {
    let (number, unit) = text.trim().split_at_checked(text.trim().len().checked_sub(1)?)?;
    let unit = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u32>().ok()?.checked_mul(unit).filter(|seconds| *seconds > 0)
}

/// The same the other way round, in the largest unit that fits.
pub(crate) fn spanned(seconds: u32) -> String {
    let fits = |(_, unit): &&(&str, u32)| seconds.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().rev().find(fits).unwrap_or(&("s", 1));
    format!("{}{name}", seconds / unit)
}

const UNITS: [(&str, u32); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

fn is_control(c: char) -> bool {
    let steers = matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n') || steers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!((span(text), spanned(seconds).as_str()), (Some(seconds), text));
        }
        assert_eq!((span(" 60m "), spanned(3_600).as_str()), (Some(3_600), "1h"));
        for wrong in ["", "5", "m", "0s", "-1s", "5 m", "99999999d", "5w", "é"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_steers_a_terminal_is_shown_as_a_mark() {
        assert_eq!(harmless("a\nb"), "a\nb");
        assert_eq!(harmless("\u{1b}[2Jred\u{7}\u{9b}1m"), "\u{FFFD}[2Jred\u{FFFD}\u{FFFD}1m");
        assert_eq!(harmless("a\tb\r\nc\rd"), "a    b\nc\u{FFFD}d");
        assert_eq!(harmless("gnp.\u{202e}exe"), "gnp.\u{FFFD}exe");
        assert_eq!(harmless("שלום 世界 👩‍👩‍👧"), "שלום 世界 👩‍👩‍👧");
        assert_eq!(line("a\nb"), "a b");
    }
}
