//! Questions about groups (`POST /federation/v1/query/group`): what a group's chain says, new epochs
//! of it, and changes that ask for their place in it (docs/spec/groups.md).

use uuid::Uuid;

use super::Question;
use crate::{
    federation::cbor::{CborError, Fields, Reader, Writer},
    id::GroupId,
    limits,
};

/// Most signed epochs in one question or answer.
pub const MAX_DOCUMENTS: usize = limits::MAX_EPOCHS_PAGE;
/// Most bytes of them together, so that what carries them stays below its limit.
pub const MAX_DOCUMENTS_BYTES: usize = 48 * 1024;

/// A question about a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupQuestion {
    /// Which.
    pub group: GroupId,
    /// What is wanted.
    pub act: GroupAct,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupAct {
    /// What does the chain say from this number on?
    Pull(u64),
    /// These are epochs of a chain that the asker sequences.
    Push(Vec<Vec<u8>>),
    /// An account of the asker wants this epoch to be the next one.
    Submit(Vec<u8>),
    /// An account of the asker has the code of an invite link, whose SHA-256 this is, and asks to join.
    Join {
        /// The account.
        account: Uuid,
        /// SHA-256 of the code's text.
        code: [u8; 32],
    },
}

/// The answer to a [`GroupQuestion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupAnswer {
    /// What became of it.
    pub outcome: GroupOutcome,
    /// The newest epoch that the answerer knows, and its hash.
    pub head: Option<(u64, [u8; 32])>,
    /// Signed epochs, without a gap, from the number that was asked for.
    pub documents: Vec<Vec<u8>>,
    /// Why it was refused: the code of docs/spec/errors.md.
    pub reason: Option<String>,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupOutcome {
    /// It is done.
    Done,
    /// The answerer knows no such group, or it does not concern the asker.
    Nothing,
    /// What was submitted or pushed does not follow the head.
    Stale,
    /// What was submitted is not taken.
    Refused,
}

impl GroupAnswer {
    /// An answer without epochs.
    pub fn of(outcome: GroupOutcome, head: Option<(u64, [u8; 32])>) -> Self {
        Self { outcome, head, documents: Vec::new(), reason: None }
    }
}

impl Question for GroupQuestion {
    const LABEL: &'static [u8] = b"posthouse group query v1\0";

    fn write(&self, writer: &mut Writer) {
        let mut fields = Fields::default();
        fields.key(1).text(&self.group.to_string());
        match &self.act {
            GroupAct::Pull(from) => {
                fields.key(2).uint(*from);
            }
            GroupAct::Push(documents) => write_documents(fields.key(3), documents),
            GroupAct::Submit(document) => {
                fields.key(4).bytes(document);
            }
            GroupAct::Join { account, code } => {
                fields.key(5).array(2).bytes(account.as_bytes()).bytes(code);
            }
        }
        writer.map(&fields);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let (mut group, mut act) = (None, None);
        let mut acts = 0;
        reader.map(|reader, key| {
            match key {
                1 => group = Some(read_group(reader)?),
                2 => act = Some(GroupAct::Pull(reader.uint()?)),
                3 => act = Some(GroupAct::Push(read_documents(reader)?)),
                4 => {
                    let document = reader.bytes(limits::MAX_GROUP_EPOCH)?;
                    act = Some(GroupAct::Submit(document.to_vec()));
                }
                5 => {
                    reader.array_of(2)?;
                    let account = Uuid::from_bytes(reader.fixed()?);
                    act = Some(GroupAct::Join { account, code: reader.fixed()? });
                }
                other => return reader.unknown(other),
            }
            acts += usize::from(key != 1);
            Ok(())
        })?;
        let act = reader.require(act, "what is wanted")?;
        if acts > 1 {
            return Err(reader.invalid("one of the keys 2 to 5 is expected"));
        }
        Ok(Self { group: reader.require(group, "group")?, act })
    }
}

impl GroupAnswer {
    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(match self.outcome {
            GroupOutcome::Done => 0,
            GroupOutcome::Nothing => 1,
            GroupOutcome::Stale => 2,
            GroupOutcome::Refused => 3,
        });
        if let Some((epoch, hash)) = &self.head {
            fields.key(2).uint(*epoch);
            fields.key(3).bytes(hash);
        }
        if !self.documents.is_empty() {
            write_documents(fields.key(4), &self.documents);
        }
        if let Some(reason) = &self.reason {
            fields.key(5).text(reason);
        }
        fields.finish()
    }

    /// Parses an answer.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut outcome, mut epoch, mut hash) = (None, None, None);
        let (mut documents, mut reason) = (Vec::new(), None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => {
                    outcome = Some(match reader.uint()? {
                        0 => GroupOutcome::Done,
                        1 => GroupOutcome::Nothing,
                        2 => GroupOutcome::Stale,
                        _ => GroupOutcome::Refused,
                    });
                }
                2 => epoch = Some(reader.uint()?),
                3 => hash = Some(reader.fixed()?),
                4 => documents = read_documents(reader)?,
                5 => reason = Some(reader.text(limits::MAX_LABEL)?.to_owned()),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let outcome = reader.require(outcome, "outcome")?;
        reader.finish()?;
        Ok(Self { outcome, head: epoch.zip(hash), documents, reason })
    }
}

fn write_documents(writer: &mut Writer, documents: &[Vec<u8>]) {
    writer.array(documents.len());
    for document in documents {
        writer.bytes(document);
    }
}

fn read_documents(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, CborError> {
    let len = reader.array(MAX_DOCUMENTS)?;
    let mut documents = Vec::with_capacity(len);
    for _ in 0..len {
        documents.push(reader.bytes(limits::MAX_GROUP_EPOCH)?.to_vec());
    }
    Ok(documents)
}

fn read_group(reader: &mut Reader<'_>) -> Result<GroupId, CborError> {
    // `g.`, a UUID, `@`, a name of at most 253 bytes.
    let text = reader.text(2 + 36 + 1 + 253)?;
    GroupId::parse(text).map_err(|err| reader.invalid(err.why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(question: &GroupQuestion) -> Vec<u8> {
        let mut writer = Writer::default();
        question.write(&mut writer);
        writer.finish()
    }

    #[test]
    fn round_trips() {
        let group = GroupId::parse("g.01890a5d-ac96-774b-bcce-b302099a8057@eu.example").unwrap();
        let acts = [
            GroupAct::Pull(7),
            GroupAct::Push(vec![vec![1, 2], vec![3]]),
            GroupAct::Submit(vec![9; 100]),
            GroupAct::Join { account: Uuid::from_u128(7), code: [8; 32] },
        ];
        for act in acts {
            let question = GroupQuestion { group: group.clone(), act };
            let bytes = written(&question);
            assert_eq!(GroupQuestion::read(&mut Reader::new(&bytes)), Ok(question));
        }
        for outcome in
            [GroupOutcome::Done, GroupOutcome::Nothing, GroupOutcome::Stale, GroupOutcome::Refused]
        {
            let answer = GroupAnswer {
                outcome,
                head: Some((5, [7; 32])),
                documents: vec![vec![1]],
                reason: Some("forbidden".to_owned()),
            };
            assert_eq!(GroupAnswer::decode(&answer.encode()), Ok(answer));
        }
        let bare = GroupAnswer::of(GroupOutcome::Nothing, None);
        assert_eq!(GroupAnswer::decode(&bare.encode()), Ok(bare));
    }

    #[test]
    fn a_question_wants_one_thing() {
        let mut fields = Fields::default();
        fields.key(1).text("g.01890a5d-ac96-774b-bcce-b302099a8057@eu.example");
        fields.key(2).uint(1);
        fields.key(4).bytes(&[1]);
        assert!(GroupQuestion::read(&mut Reader::new(&fields.finish())).is_err());
    }
}
