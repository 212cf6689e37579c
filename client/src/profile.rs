//! What a person says of themselves.

use posthouse_crypto::e2ee::user_profile::{MAX_ABOUT_LEN, MAX_AVATAR_LEN, MAX_NAME_LEN};

/// A profile, as it is shown: the own one, or that of somebody who gave this account its key.
///
/// Anybody may call themselves anything: show a name with the handle or the account id within
/// reach, and never in its place where it matters who somebody is.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// What they are called: one line of at most 256 bytes, without characters that steer a
    /// terminal or the direction of text.
    pub name: Option<String>,
    /// A few words: one line of at most 1,024 bytes, as clean as the name.
    pub about: Option<String>,
    /// A picture in a form that its owner's application chose, at most 28,670 bytes. Others' pictures
    /// are bytes of a stranger: decode them with care.
    pub avatar: Option<Vec<u8>>,
}

impl Profile {
    /// A profile with this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The same profile as it may be shown; what is too long is cut off.
    #[must_use]
    pub(crate) fn cleaned(self) -> Self {
        let line = |text: Option<String>, max| text.and_then(|text| clean(&text, max));
        Self {
            name: line(self.name, MAX_NAME_LEN),
            about: line(self.about, MAX_ABOUT_LEN),
            avatar: self.avatar,
        }
    }

    /// Whether everything is as long as it may be.
    pub(crate) fn fits(&self) -> bool {
        let fits = |text: &Option<String>, max| text.as_ref().is_none_or(|text| text.len() <= max);
        fits(&self.name, MAX_NAME_LEN)
            && fits(&self.about, MAX_ABOUT_LEN)
            && self.avatar.as_ref().is_none_or(|avatar| avatar.len() <= MAX_AVATAR_LEN)
    }
}

impl core::fmt::Debug for Profile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Nobody's name belongs in a log.
        f.write_str("Profile(..)")
    }
}

/// One line of at most `max` bytes without what is not seen; `None` if nothing is left of it.
fn clean(text: &str, max: usize) -> Option<String> {
    let (mut line, mut is_seen) = (String::new(), false);
    for char in text.chars() {
        let is_space = char.is_whitespace() || char.is_control();
        let char = if is_space { ' ' } else { char };
        if is_hidden(char) || (is_space && (line.is_empty() || line.ends_with(' '))) {
            continue;
        }
        if line.len() + char.len_utf8() > max {
            break;
        }
        line.push(char);
        is_seen |= !is_space && !joins(char);
    }
    line.truncate(line.trim_end().len());
    is_seen.then_some(line)
}

/// Characters that show nothing by themselves but belong to what is beside them: in emoji, and in
/// scripts that join letters.
fn joins(char: char) -> bool {
    matches!(char, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// Characters that are not seen, or change the direction of what is beside them.
fn is_hidden(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        Profile::named(text).cleaned().name
    }

    #[test]
    fn names_are_one_line_without_what_steers() {
        for (given, shown) in [
            ("Ada Lovelace", Some("Ada Lovelace")),
            ("  Ada \t\r\n  Lovelace ", Some("Ada Lovelace")),
            ("\u{1b}[31mAda\u{7}", Some("[31mAda")),
            ("\u{202e}adA\u{202c}\u{2066}\u{200f}", Some("adA")),
            ("A\u{200b}d\u{feff}a\u{e0041}", Some("Ada")),
            ("\u{1f469}\u{200d}\u{1f52c}", Some("\u{1f469}\u{200d}\u{1f52c}")),
            ("\u{200d}\u{fe0f} \u{200d}", None),
            (" \u{3164}\u{2800}", None),
            ("", None),
        ] {
            assert_eq!(name(given).as_deref(), shown, "{given:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        let long = "\u{e9}".repeat(200);
        let shown = name(&long).unwrap();
        assert_eq!((shown.len(), shown.chars().count()), (256, 128));
        let odd = format!("x{long}");
        assert_eq!(name(&odd).unwrap().len(), 255);
        assert!(!Profile::named(long).fits() && Profile::named(shown).fits());
    }

    #[test]
    fn nobodys_name_is_in_a_log() {
        assert_eq!(format!("{:?}", Profile::named("Ada")), "Profile(..)");
    }

    #[cfg(not(target_family = "wasm"))]
    proptest::proptest! {
        #[test]
        fn what_is_clean_stays_as_it_is(text: String) {
            let once = name(&text);
            if let Some(shown) = &once {
                proptest::prop_assert!(shown.len() <= MAX_NAME_LEN && !shown.is_empty());
                proptest::prop_assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)));
            }
            proptest::prop_assert_eq!(once.as_deref().and_then(name), once.clone());
        }
    }
}
