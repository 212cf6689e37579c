//! Lines that fit, by the columns that characters take.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Breaks text into lines of at most `width` columns: between words, and within a word that is
/// longer than a line.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(2);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let (mut line, mut used) = (String::new(), 0);
        for word in words(paragraph) {
            let wide = word.width();
            if used + wide > width && used > 0 {
                lines.push(line.trim_end().to_owned());
                (line, used) = (String::new(), 0);
                if word.trim().is_empty() {
                    continue;
                }
            }
            if wide <= width {
                line.push_str(word);
                used += wide;
                continue;
            }
            for one in word.graphemes(true) {
                if used + one.width() > width {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push_str(one);
                used += one.width();
            }
        }
        lines.push(line);
    }
    lines
}

/// Words and what is between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let space = rest.starts_with(char::is_whitespace);
        let end = rest.find(|c: char| c.is_whitespace() != space).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        (!word.is_empty()).then_some(word)
    })
}

/// The text, cut to so many columns; `…` says that something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 1);
    for one in text.graphemes(true) {
        used += one.width();
        if used > width {
            break;
        }
        out.push_str(one);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_count_columns() {
        assert_eq!(wrap("the road is open", 8), ["the road", "is open"]);
        assert_eq!(wrap("it goes on.", 10), ["it goes", "on."]);
        assert_eq!(wrap("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("世界世界", 5), ["世界", "世界"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(cut("世界世界", 5), "世界…");
        assert_eq!(cut("short", 5), "short");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_wider_and_nothing_is_lost(text in "[a-z 世é\n]{0,80}", width in 2_usize..20) {
            let lines = wrap(&text, width);
            proptest::prop_assert!(lines.iter().all(|line| line.width() <= width));
            let letters = |text: &str| text.replace([' ', '\n'], "");
            proptest::prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
