//! How many have got a group's messages: what its watermarks say together.
//!
//! An inbox has one entry for a group, an origin and what was reached, however many readers there
//! are. What it tells is counted when it is read.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use posthouse_protocol::{
    id::{AccountId, ConversationId, GroupId, ServerName},
    status::Reached,
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    receipts::{MAX_STEPS, Tally},
};
use uuid::Uuid;

use super::{Coverage, read_key};
use crate::{
    columns,
    db::{Fields, Row, Script},
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// Which of these conversations are groups'.
    GROUPS = Statement::rows(
        "b",
        "WITH v(id) AS ({rows}) SELECT h.id, h.name FROM v CROSS JOIN group_heads h WHERE h.id = v.id",
    );
    READERS = Statement::new(
        "SELECT conversation, reader, reader_server, origin, seen, through, excepts, at
        FROM watermarks WHERE conversation = ? AND origin = ? AND seen = ?",
    );
    FLOORS = Statement::new(
        "SELECT account, floor FROM group_people
        WHERE group_id = ? AND standing IN (1, 2, 3) AND floor > 0",
    );
}

/// First byte of the slots of tallies.
const SLOT_TALLY: u8 = b't';

/// What identifies a tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TallyKey {
    pub(super) conversation: [u8; 16],
    pub(super) origin: i64,
    pub(super) reached: Reached,
}

impl TallyKey {
    /// `'t' ‖ conversation (16) ‖ origin (8, big-endian) ‖ code of what was reached (1)`.
    pub(super) fn slot(&self) -> Vec<u8> {
        let reached = match self.reached {
            Reached::Delivered => 0,
            Reached::Read => 1,
            Reached::Accepted => 2,
        };
        let origin = self.origin.to_be_bytes();
        [&[SLOT_TALLY][..], &self.conversation, &origin, &[reached]].concat()
    }

    /// Reads a slot and its data, the group's id; `None` if it is no tally.
    pub(crate) fn parse(
        fields: &Fields<'_>,
        slot: &[u8],
        data: Option<&[u8]>,
    ) -> Result<Option<(Self, GroupId)>, StoreError> {
        let Some((&SLOT_TALLY, rest)) = slot.split_first() else { return Ok(None) };
        let wrong = || fields.corrupt("slot", "no tally of a group");
        let (conversation, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let (origin, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let reached = match rest {
            [0] => Reached::Delivered,
            [1] => Reached::Read,
            [2] => Reached::Accepted,
            _ => return Err(wrong()),
        };
        let group = core::str::from_utf8(data.unwrap_or_default()).map_err(|_| wrong())?;
        let group = GroupId::parse(group).map_err(|_| wrong())?;
        let origin = i64::from_be_bytes(*origin);
        Ok(Some((Self { conversation: *conversation, origin, reached }, group)))
    }
}

/// What the readers of a group have reached.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// By reader.
    reached: Vec<(AccountId, Coverage)>,
    /// What was there before a member joined.
    floors: HashMap<String, u64>,
    at: Timestamp,
}

impl SqlStore {
    /// The names of those of `conversations` that are groups'.
    pub(crate) async fn groups_among(
        &self,
        conversations: impl Iterator<Item = [u8; 16]>,
    ) -> Result<HashMap<[u8; 16], String>, Failure> {
        let conversations: HashSet<[u8; 16]> = conversations.collect();
        let conversations: Vec<[u8; 16]> = conversations.into_iter().collect();
        let mut script = Script::new(self.db().dialect());
        let slot = script.rows(&GROUPS, &conversations, |args, id| {
            args.bytes(id);
        });
        let mut groups = HashMap::default();
        for row in self.db().read(script).await?.take(slot) {
            let mut fields = row.fields("group_heads");
            groups.insert(fields.array("id")?, fields.text("name")?.to_owned());
        }
        Ok(groups)
    }

    /// What has been reached, and the name of the origin.
    pub(super) async fn read_readers(
        &self,
        key: &TallyKey,
    ) -> Result<(Readers, ServerName), Failure> {
        let origin = self.inner.servers.name(self.db(), key.origin).await?;
        let mut script = Script::new(self.db().dialect());
        let readers = script.one(&READERS, |args| {
            args.bytes(&key.conversation)
                .integer(key.origin)
                .integer(columns::reached_code(key.reached));
        });
        let floors = script.one(&FLOORS, |args| {
            args.bytes(&key.conversation);
        });
        let mut answers = self.db().read(script).await?;
        let mut found = Readers::default();
        for row in answers.take(readers) {
            let (reader, server, coverage, at) = read_reader(&row)?;
            let server = self.inner.servers.name(self.db(), server).await?;
            found.reached.push((AccountId { uuid: reader, server }, coverage));
            found.at = found.at.max(at);
        }
        for row in answers.take(floors) {
            let mut fields = row.fields("group_people");
            found.floors.insert(fields.text("account")?.to_owned(), fields.number("floor")?);
        }
        Ok((found, origin))
    }

    /// The tally that an account is told.
    pub(crate) async fn read_tally(
        &self,
        key: &TallyKey,
        group: GroupId,
        account: Uuid,
    ) -> Result<Tally, Failure> {
        let (readers, origin) = self.read_readers(key).await?;
        Ok(readers.tally(key, (group, origin), account))
    }
}

fn read_reader(row: &Row) -> Result<(Uuid, i64, Coverage, Timestamp), StoreError> {
    let mut fields = row.fields("watermarks");
    let key = read_key(&mut fields)?;
    let (through, excepts) = (fields.number("through")?, fields.bytes("excepts")?);
    let coverage = Coverage::from_columns(through, excepts)
        .ok_or_else(|| fields.corrupt("excepts", "not ascending numbers below through"))?;
    Ok((key.reader, key.reader_server, coverage, fields.time("at")?))
}

impl Readers {
    /// Counts all readers but the account that is told.
    pub(super) fn tally(
        &self,
        key: &TallyKey,
        (group, origin): (GroupId, ServerName),
        account: Uuid,
    ) -> Tally {
        let (mut steps, mut joined, mut except) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        // Who is told is of the region that gave the numbers.
        let is_other = |reader: &AccountId| reader.uuid != account || reader.server != origin;
        for (reader, coverage) in self.reached.iter().filter(|(reader, _)| is_other(reader)) {
            *steps.entry(coverage.through()).or_default() += 1;
            if let Some(floor) = self.floors.get(&reader.to_string()) {
                // Who has not got anything since joining counts for nothing.
                *joined.entry((*floor).min(coverage.through())).or_default() += 1;
            }
            for number in coverage.except() {
                *except.entry(*number).or_default() += 1;
            }
        }
        let lists = [steps, joined, except].map(highest);
        let from = lists.iter().map(|(_, from)| *from).max().unwrap_or(1);
        let [(steps, _), (joined, _), (except, _)] = lists;
        Tally {
            group,
            conversation: ConversationId(key.conversation),
            origin,
            reached: key.reached,
            steps,
            joined,
            except,
            from,
            at: self.at,
        }
    }
}

/// The highest steps, from the highest down, and from which number on nothing is missing.
fn highest(counts: BTreeMap<u64, u64>) -> (Vec<(u64, u64)>, u64) {
    let mut counts: Vec<(u64, u64)> = counts.into_iter().rev().collect();
    let from = counts.get(MAX_STEPS).map_or(1, |(number, _)| number + 1);
    counts.truncate(MAX_STEPS);
    (counts, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(n: u128) -> AccountId {
        AccountId { uuid: Uuid::from_u128(n), server: ServerName::parse("eu.example").unwrap() }
    }

    /// How many have got the message of a number, as a client counts.
    fn count(tally: &Tally, number: u64) -> u64 {
        let at_least = |list: &[(u64, u64)]| -> u64 {
            list.iter().filter(|(step, _)| *step >= number).map(|(_, n)| n).sum()
        };
        let except = tally.except.iter().find(|(one, _)| *one == number).map_or(0, |(_, n)| *n);
        at_least(&tally.steps) - at_least(&tally.joined) - except
    }

    #[test]
    fn readers_are_counted_but_who_is_told_and_who_joined_later() {
        let group = GroupId { uuid: Uuid::nil(), server: reader(1).server };
        let conversation = ConversationId::group(&group).0;
        let key = TallyKey { conversation, origin: 1, reached: Reached::Delivered };
        let coverage = |through, except: &[u64]| Coverage::new(through, except);
        let readers = Readers {
            reached: vec![
                (reader(1), coverage(9, &[])),
                (reader(2), coverage(9, &[4])),
                (reader(3), coverage(5, &[])),
                (reader(4), coverage(9, &[])),
                (reader(5), coverage(6, &[])),
            ],
            floors: HashMap::from_iter([(reader(4).to_string(), 7), (reader(5).to_string(), 8)]),
            at: Timestamp(1),
        };
        let tally = readers.tally(&key, (group.clone(), reader(1).server), reader(1).uuid);
        let counted: Vec<u64> = (1..=10).map(|number| count(&tally, number)).collect();
        assert_eq!(counted, [2, 2, 2, 1, 2, 1, 1, 2, 2, 0]);
        assert_eq!(tally.from, 1);
    }

    #[test]
    fn a_long_tail_is_cut_and_said_to_be() {
        let counts: BTreeMap<u64, u64> = (1..=100).map(|number| (number, 1)).collect();
        let (steps, from) = highest(counts);
        assert_eq!((steps.len(), steps[0], from), (MAX_STEPS, (100, 1), 37));
    }
}
