//! Who is meant by a piece of a text.

use core::fmt;

use super::{Body, CborError, MAX_CONVERSATION_LEN, Reader, Writer, bounded};

/// The most mentions of one text.
pub const MAX_MENTIONS: usize = 16;

/// A piece of a text that means somebody. What is shown is the text's: the account decides who is
/// meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Mention {
    /// Where the piece begins in the text, in bytes of its UTF-8.
    pub start: u32,
    /// How many bytes it has; at least one.
    pub len: u32,
    /// The full account name.
    pub account: String,
}

/// Whom somebody writes about belongs in no log either.
impl fmt::Debug for Mention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mention(..)")
    }
}

impl Mention {
    fn write(&self, w: &mut Writer) {
        w.array(3);
        w.uint(u64::from(self.start));
        w.uint(u64::from(self.len));
        w.text(&self.account);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        r.fixed_array(3)?;
        Ok(Self { start: r.u32()?, len: r.u32()?, account: bounded(r, MAX_CONVERSATION_LEN)? })
    }
}

/// Whether mentions are those of a text: few enough, in their order and apart, whole characters.
pub fn mentions_fit(mentions: &[Mention], text: &str) -> bool {
    let mut free = 0;
    mentions.len() <= MAX_MENTIONS
        && mentions.iter().all(|one| {
            let start = one.start as usize;
            let end = start.saturating_add(one.len as usize);
            let fits = start >= free && end > start && text.get(start..end).is_some();
            free = end;
            fits
        })
}

pub(super) fn write_mentions(mentions: &[Mention], w: &mut Writer) {
    w.array(mentions.len());
    for one in mentions {
        one.write(w);
    }
}

/// The mentions of a text. Where there are none, nothing stands: not an empty list.
pub(super) fn read_mentions(r: &mut Reader<'_>, text: &str) -> Result<Vec<Mention>, CborError> {
    let mentions = r.sequence(MAX_MENTIONS, Mention::read)?;
    let fits = !mentions.is_empty() && mentions_fit(&mentions, text);
    if fits { Ok(mentions) } else { Err(CborError) }
}

impl Body {
    /// The text that people read, where there may be mentions.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text } | Self::Reply { text, .. } | Self::Edit { text, .. } => Some(text),
            Self::Media { caption, .. } => Some(caption),
            _ => None,
        }
    }
}
