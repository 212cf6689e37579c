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

fn is_control(c: char) -> bool {
    let steers = matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n') || steers
}

#[cfg(test)]
mod tests {
    use super::*;

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
