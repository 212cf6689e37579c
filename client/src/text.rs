//! What people write, and whom they mean in it.

use posthouse_crypto::e2ee::content;
use posthouse_protocol::id::AccountId;
use serde::{Deserialize, Serialize};

/// A text to send. A plain string is one; with [`Text::mention`] it says whom pieces of it mean.
///
/// ```
/// # use posthouse_client::Text;
/// # let ben = "01890a5d-ac96-774b-bcce-b302099a8057@eu.example".parse().unwrap();
/// let text = Text::from("Ask ").mention("@ben", &ben).then(", he knows.");
/// assert_eq!(text.as_str(), "Ask @ben, he knows.");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text {
    pub(crate) text: String,
    pub(crate) mentions: Vec<content::Mention>,
}

impl Text {
    /// Goes on with these words.
    #[must_use]
    pub fn then(mut self, words: &str) -> Self {
        self.text.push_str(words);
        self
    }

    /// Goes on with words that mean somebody; without words, nobody is meant. A text mentions at
    /// most 16 people.
    #[must_use]
    pub fn mention(mut self, words: &str, who: &AccountId) -> Self {
        let (start, len) = (u32::try_from(self.text.len()), u32::try_from(words.len()));
        self.text.push_str(words);
        // What is longer than that is refused anyway.
        if let (Ok(start), Ok(len @ 1..)) = (start, len) {
            self.mentions.push(content::Mention { start, len, account: who.to_string() });
        }
        self
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Nobody's words belong in a log.
impl core::fmt::Debug for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Text(..)")
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text, mentions: Vec::new() }
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Somebody who is meant by a piece of a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mention {
    /// Where the piece begins in the text, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Who is meant.
    pub account: AccountId,
}

impl core::fmt::Debug for Mention {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Mention(..)")
    }
}

impl Mention {
    /// The mentions of a content. Whoever is no account is not mentioned.
    pub(crate) fn of(mentions: &[content::Mention]) -> Vec<Self> {
        let mention = |one: &content::Mention| {
            let account = AccountId::parse(&one.account).ok()?;
            let start = one.start as usize;
            Some(Self { start, end: start + one.len as usize, account })
        };
        mentions.iter().filter_map(mention).collect()
    }

    /// The same as a content has them.
    pub(crate) fn to_content(mentions: &[Self]) -> Vec<content::Mention> {
        let mention = |one: &Self| {
            let start = u32::try_from(one.start).ok()?;
            let len = u32::try_from(one.end.checked_sub(one.start)?).ok()?;
            Some(content::Mention { start, len, account: one.account.to_string() })
        };
        mentions.iter().filter_map(mention).collect()
    }
}
