//! The text that is being written: a cursor between characters as a person sees them.

use unicode_segmentation::UnicodeSegmentation as _;
use zeroize::Zeroize as _;

/// What is written can be no longer, in bytes: as a message.
const MAX_BYTES: usize = 32 * 1024;
/// Room for what is secret, in bytes.
const MAX_SECRET: usize = 1024;

/// A text and a place in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Editor {
    text: String,
    /// In bytes, always between two grapheme clusters.
    cursor: usize,
}

/// What is written may be a password.
impl core::fmt::Debug for Editor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Editor").field("len", &self.text.len()).finish_non_exhaustive()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl Editor {
    /// With room for a password, so that it leaves no copies behind while it grows.
    pub(crate) fn for_secret() -> Self {
        Self { text: String::with_capacity(MAX_SECRET), cursor: 0 }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text before the cursor.
    pub(crate) fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    /// Puts text at the cursor. What does not fit is left out, and `false` says so.
    pub(crate) fn insert(&mut self, text: &str) -> bool {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        if self.text.len() + text.len() > MAX_BYTES {
            return false;
        }
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        true
    }

    pub(crate) fn backspace(&mut self) {
        let end = self.cursor;
        self.left();
        self.text.replace_range(self.cursor..end, "");
    }

    pub(crate) fn delete(&mut self) {
        let len = self.after().graphemes(true).next().map_or(0, str::len);
        self.text.replace_range(self.cursor..self.cursor + len, "");
    }

    /// Deletes the word before the cursor.
    pub(crate) fn delete_word(&mut self) {
        let kept = self.before().trim_end();
        let start = kept.rfind(char::is_whitespace).map_or(0, |at| {
            at + kept.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
        });
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    pub(crate) fn left(&mut self) {
        self.cursor -= self.before().graphemes(true).next_back().map_or(0, str::len);
    }

    pub(crate) fn right(&mut self) {
        self.cursor += self.after().graphemes(true).next().map_or(0, str::len);
    }

    pub(crate) fn home(&mut self) {
        self.cursor = self.before().rfind('\n').map_or(0, |at| at + 1);
    }

    pub(crate) fn end(&mut self) {
        let rest = self.after();
        self.cursor += rest.split('\n').next().unwrap_or(rest).len();
    }

    /// The text, which is gone here.
    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_moves_over_what_a_person_sees_as_one() {
        let mut editor = Editor::default();
        assert!(editor.insert("a👩‍👩‍👧é"));
        editor.left();
        editor.backspace();
        assert_eq!(editor.text(), "aé");
        editor.left();
        editor.delete();
        editor.right();
        assert_eq!((editor.text(), editor.before()), ("é", "é"));
    }

    #[test]
    fn lines_and_words() {
        let mut editor = Editor::default();
        editor.insert("one\r\ntwo three ");
        editor.home();
        assert_eq!(editor.before(), "one\n");
        editor.end();
        editor.delete_word();
        assert_eq!(editor.text(), "one\ntwo ");
        editor.delete_word();
        assert_eq!(editor.text(), "one\n");
        assert_eq!(editor.take(), "one\n");
        editor.backspace();
        editor.delete_word();
        assert!(editor.is_empty() && editor.before().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut editor = Editor::default();
        assert!(editor.insert(&"x".repeat(MAX_BYTES)));
        assert!(!editor.insert("y"));
        assert_eq!(editor.text().len(), MAX_BYTES);
    }
}
