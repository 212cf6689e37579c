//! Writing the fields of a kind.

use super::{Body, Fields};

impl Body {
    pub(super) fn put(&self, fields: &mut Fields) {
        match self {
            Self::Text { text } => fields.put(16, |w| w.text(text)),
            Self::Media { caption, attachment } => {
                fields.put(16, |w| w.text(caption));
                fields.put(17, |w| attachment.write(w));
            }
            Self::Reaction { emoji, target } => {
                fields.put(16, |w| w.text(emoji));
                fields.put(17, |w| w.bytes(target));
            }
            Self::Reply { text, target } | Self::Edit { text, target } => {
                fields.put(16, |w| w.text(text));
                fields.put(17, |w| w.bytes(target));
            }
            Self::Delete { target } | Self::View { target } => {
                fields.put(17, |w| w.bytes(target));
            }
            Self::Receipt { status, targets } => {
                fields.put(16, |w| w.uint(status.number()));
                fields.put(17, |w| {
                    w.array(targets.len());
                    for target in targets {
                        w.bytes(target);
                    }
                });
            }
            Self::Typing { started } => fields.put(16, |w| w.bool(*started)),
            Self::Resend(request) => fields.put(16, |w| request.write(w)),
            Self::KeyDistribution(distribution) => {
                fields.put(16, |w| w.bytes(&distribution.to_bytes()));
            }
            Self::History(step) => step.put(fields),
            Self::ProfileKey(key) => fields.put(16, |w| w.bytes(key.0.expose())),
            Self::Unknown { .. } => {}
        }
    }
}

/// Two bodies are the same if they are written the same.
impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (Fields::default(), Fields::default());
        self.put(&mut ours);
        other.put(&mut theirs);
        self.kind() == other.kind() && ours == theirs
    }
}

impl Eq for Body {}
