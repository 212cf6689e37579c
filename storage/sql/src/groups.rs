//! The port `Groups`.

mod abroad;
mod append;
mod depart;
mod links;
mod notices;

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    id::{AccountId, ConversationId, GroupId, ServerName},
    rest::groups::Standing,
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    groups::{
        Appended, Group, GroupLink, Groups, Grown, Head, Membership, Pending, Person, Reader, Step,
        Version,
    },
    ledger::Arrival,
};
use uuid::Uuid;

use crate::{
    db::{Fields, Row},
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
};

pub(crate) use notices::parse as parse_notice;

#[cfg(test)]
pub(crate) static LISTS: [(&str, &[(&str, &Statement)]); 5] = [
    ("groups", ALL),
    ("groups::abroad", abroad::ALL),
    ("groups::append", append::ALL),
    ("groups::depart", depart::ALL),
    ("groups::links", links::ALL),
];

statements! {
    VERSION = Statement::new("SELECT epoch, hash, departures FROM group_heads WHERE id = ?");
    /// Head and people in one statement: they are of one moment.
    GROUP = Statement::new(
        "SELECT h.region, h.epoch, h.hash, h.departures, h.title, h.deputies,
            p.account, p.local, p.identity, p.standing, p.since, p.hidden, p.leaving
        FROM group_heads h
        LEFT JOIN group_people p ON p.group_id = h.id AND p.standing < 4
        WHERE h.id = ? ORDER BY p.account",
    );
    READER = Statement::new(
        "SELECT standing, since, leaving FROM group_people
        WHERE group_id = ? AND account = ? AND hidden = 0",
    );
    HASH = Statement::new("SELECT hash FROM group_epochs WHERE group_id = ? AND epoch = ?");
    EPOCHS = Statement::new(
        "SELECT epoch, document FROM group_epochs
        WHERE group_id = ? AND epoch >= ? AND epoch <= ? ORDER BY epoch LIMIT 0 + ?",
    );
    MEMBERSHIPS = Statement::new(
        "SELECT h.name, p.standing, h.epoch, h.hash, p.leaving FROM group_people p
        CROSS JOIN group_heads h
        WHERE p.local = ? AND h.id = p.group_id AND p.group_id > ?
            AND (p.standing IN (1, 2, 3) OR (p.standing = 0 AND p.group_id IN (
                SELECT i.group_id FROM group_people i
                WHERE i.local = ? AND i.standing = 0 AND i.hidden = 0
                ORDER BY i.at DESC, i.group_id LIMIT 0 + ?)))
        ORDER BY p.group_id LIMIT 0 + ?",
    );
}

/// The stored standing of who belonged to a group once.
const GONE: i64 = 4;

#[async_trait]
impl Groups for SqlStore {
    async fn group_version(&self, group: &GroupId) -> Result<Option<Version>, StoreError> {
        let rows = self.db().rows(&VERSION, |args| {
            args.bytes(&ConversationId::group(group).0);
        });
        Ok(version(&rows.await?)?)
    }

    async fn group(&self, group: &GroupId) -> Result<Option<Group>, StoreError> {
        let rows = self.db().rows(&GROUP, |args| {
            args.bytes(&ConversationId::group(group).0);
        });
        read_group(group, &rows.await?)
    }

    async fn group_reader(
        &self,
        group: &GroupId,
        account: &AccountId,
    ) -> Result<Option<Reader>, StoreError> {
        let rows = self.db().rows(&READER, |args| {
            args.bytes(&ConversationId::group(group).0).text(&account.to_string());
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.fields("group_people");
        let stored = fields.integer("standing")?;
        let since = fields.number("since")?;
        Ok(Some(match stored {
            GONE => Reader::Former(since),
            other if fields.integer("leaving")? != 0 => Reader::Leaving(standing(&fields, other)?),
            other => Reader::Current(standing(&fields, other)?),
        }))
    }

    async fn append_epoch(&self, step: &Step) -> Result<Appended, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_append(step).await {
                Ok(appended) => return Ok(appended),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn epoch_hash(
        &self,
        group: &GroupId,
        epoch: u64,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let rows = self.db().rows(&HASH, |args| {
            args.bytes(&ConversationId::group(group).0).number(epoch);
        });
        rows.await?.first().map(|row| row.fields("group_epochs").array("hash")).transpose()
    }

    async fn epochs(
        &self,
        group: &GroupId,
        (from, through): (u64, u64),
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let rows = self.db().rows(&EPOCHS, |args| {
            args.bytes(&ConversationId::group(group).0).number(from).number(through).limit(limit);
        });
        let (mut documents, mut next) = (Vec::new(), from);
        for row in rows.await? {
            let mut fields = row.fields("group_epochs");
            let epoch = fields.number("epoch")?;
            if epoch != next {
                return Err(fields.corrupt("epoch", format_args!("{next} is missing")));
            }
            next += 1;
            documents.push(Bytes::copy_from_slice(fields.bytes("document")?));
        }
        Ok(documents)
    }

    async fn memberships(
        &self,
        account: Uuid,
        after: Option<ConversationId>,
        (limit, invitations): (usize, usize),
    ) -> Result<Vec<Membership>, StoreError> {
        let after = after.map(|after| after.0).unwrap_or_default();
        let rows = self.db().rows(&MEMBERSHIPS, |args| {
            args.uuid(account).bytes(&after).uuid(account).limit(invitations).limit(limit);
        });
        let membership = |row: &Row| {
            let mut fields = row.fields("group_heads");
            let name = fields.text("name")?;
            let group = fields.parse("name", name, GroupId::parse)?;
            let stored = fields.integer("standing")?;
            let standing = standing(&fields, stored)?;
            let head = Head { epoch: fields.number("epoch")?, hash: fields.array("hash")? };
            let is_leaving = fields.integer("leaving")? != 0;
            Ok(Membership { group, standing, head, is_leaving })
        };
        rows.await?.iter().map(membership).collect()
    }

    async fn put_group_link(
        &self,
        group: &GroupId,
        link: &GroupLink,
        code: (&[u8; 32], usize),
        now: Timestamp,
    ) -> Result<Grown, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_put_link(group, link, code, now).await {
                Ok(grown) => return Ok(grown),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn group_links(
        &self,
        group: &GroupId,
        now: Timestamp,
    ) -> Result<Vec<GroupLink>, StoreError> {
        Ok(self.read_links(group, now).await?)
    }

    async fn revoke_group_link(&self, group: &GroupId, link: Uuid) -> Result<bool, StoreError> {
        let revoked = self.change(&links::REVOKE, |args| {
            args.bytes(&ConversationId::group(group).0).uuid(link);
        });
        Ok(revoked.await? > 0)
    }

    async fn ask_to_join(
        &self,
        group: &GroupId,
        account: &AccountId,
        code: (&[u8; 32], usize),
        now: Timestamp,
    ) -> Result<Grown, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_ask(group, account, code, now).await {
                Ok(grown) => return Ok(grown),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn join_requests(
        &self,
        group: &GroupId,
        limit: usize,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        Ok(self.read_asks(group, limit).await?)
    }

    async fn asks_to_join(&self, group: &GroupId, account: &AccountId) -> Result<bool, StoreError> {
        let rows = self.db().rows(&links::ASKED, |args| {
            args.bytes(&ConversationId::group(group).0).text(&account.to_string());
        });
        Ok(!rows.await?.is_empty())
    }

    async fn drop_join_request(
        &self,
        group: &GroupId,
        account: &AccountId,
    ) -> Result<bool, StoreError> {
        let dropped = self.change(&links::DROP_ASK, |args| {
            args.bytes(&ConversationId::group(group).0).text(&account.to_string());
        });
        Ok(dropped.await? > 0)
    }

    async fn untold_groups(
        &self,
        after: Option<(&ServerName, &GroupId)>,
        limit: usize,
    ) -> Result<Vec<(ServerName, GroupId, u64)>, StoreError> {
        Ok(self.read_untold(after, limit).await?)
    }

    async fn told_group(
        &self,
        region: &ServerName,
        group: &GroupId,
        epoch: u64,
    ) -> Result<(), StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_told(region, group, epoch).await {
                Ok(()) => return Ok(()),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn refused_group(
        &self,
        region: &ServerName,
        group: &GroupId,
        epoch: u64,
    ) -> Result<(), StoreError> {
        let refused = self.change(&abroad::REFUSES, |args| {
            args.text(region.as_str()).bytes(&ConversationId::group(group).0).number(epoch);
        });
        refused.await?;
        Ok(())
    }

    async fn regions_behind(&self, group: &GroupId) -> Result<Vec<(ServerName, u64)>, StoreError> {
        Ok(self.read_behind(group).await?)
    }

    async fn put_pending_epoch(
        &self,
        group: &GroupId,
        account: Uuid,
        document: (&[u8; 32], &[u8]),
        bounds: (usize, Timestamp),
    ) -> Result<Grown, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_put_pending(group, account, document, bounds).await {
                Ok(grown) => return Ok(grown),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn depart(
        &self,
        group: &GroupId,
        account: Uuid,
        document: (&[u8; 32], &[u8]),
        at: (Head, Timestamp),
    ) -> Result<Option<Arrival>, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_depart(group, account, document, at).await {
                Ok(arrival) => return Ok(arrival),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn pending_epochs(
        &self,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        Ok(self.read_pending(after, limit).await?)
    }

    async fn drop_pending_epoch(&self, hash: &[u8; 32]) -> Result<(), StoreError> {
        let dropped = self.change(&abroad::DROP_PENDING, |args| {
            args.bytes(hash);
        });
        dropped.await?;
        Ok(())
    }

    async fn group_of(&self, conversation: ConversationId) -> Result<Option<GroupId>, StoreError> {
        let rows = self.db().rows(&abroad::NAME, |args| {
            args.bytes(&conversation.0);
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.fields("group_heads");
        let name = fields.text("name")?;
        fields.parse("name", name, GroupId::parse).map(Some)
    }

    async fn forget_in_groups(
        &self,
        before: (Timestamp, Timestamp, Timestamp),
        limit: u32,
    ) -> Result<bool, StoreError> {
        Ok(self.forget_groups(before, limit).await?)
    }
}

/// A version, of the first row.
fn version(rows: &[Row]) -> Result<Option<Version>, Failure> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(read_version(&mut row.fields("group_heads"))?))
}

fn read_version(fields: &mut Fields<'_>) -> Result<Version, StoreError> {
    let head = Head { epoch: fields.number("epoch")?, hash: fields.array("hash")? };
    Ok(Version { head, departures: fields.number("departures")? })
}

fn read_group(id: &GroupId, rows: &[Row]) -> Result<Option<Group>, StoreError> {
    let Some(first) = rows.first() else { return Ok(None) };
    let mut fields = first.fields("group_heads");
    let region = fields.text("region")?;
    let region = fields.parse("region", region, ServerName::parse)?;
    let version = read_version(&mut fields)?;
    let title = Bytes::copy_from_slice(fields.bytes("title")?);
    let deputies = fields.text("deputies")?;
    let deputies = deputies.split(' ').filter(|name| !name.is_empty());
    let deputies = deputies.map(|name| fields.parse("deputies", name, ServerName::parse));
    let deputies = deputies.collect::<Result<_, StoreError>>()?;
    let mut people = Vec::with_capacity(rows.len());
    for row in rows {
        let mut fields = row.fields("group_heads");
        // The head's columns are the same in every row.
        fields.skip(6);
        people.extend(read_person(fields.of("group_people"))?);
    }
    Ok(Some(Group { id: id.clone(), region, version, title, deputies, people }))
}

fn read_person(fields: &mut Fields<'_>) -> Result<Option<Person>, StoreError> {
    // Of a group that has nobody left there is one row without a person.
    let Some(account) = fields.maybe_text("account")? else { return Ok(None) };
    let account = fields.parse("account", account, AccountId::parse)?;
    let is_local = fields.maybe_uuid("local")?.is_some();
    let identity = fields.array("identity")?;
    let stored = fields.integer("standing")?;
    let standing = standing(fields, stored)?;
    let since = fields.number("since")?;
    let is_hidden = fields.integer("hidden")? != 0;
    let is_leaving = fields.integer("leaving")? != 0;
    Ok(Some(Person { account, identity, standing, since, is_local, is_hidden, is_leaving }))
}

fn standing(fields: &Fields<'_>, code: i64) -> Result<Standing, StoreError> {
    match code {
        0 => Ok(Standing::Invited),
        1 => Ok(Standing::Member),
        2 => Ok(Standing::Admin),
        3 => Ok(Standing::Owner),
        other => Err(fields.corrupt("standing", other)),
    }
}

fn code(standing: Standing) -> i64 {
    match standing {
        Standing::Invited => 0,
        Standing::Member => 1,
        Standing::Admin => 2,
        Standing::Owner => 3,
    }
}

/// Regions in one column; no name has a space.
fn joined(regions: &[ServerName]) -> String {
    regions.iter().map(ServerName::as_str).collect::<Vec<_>>().join(" ")
}
