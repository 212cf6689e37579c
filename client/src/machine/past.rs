//! What this device knows from before, as items that another own device or a backup takes over:
//! page by page, in bounded memory.

use posthouse_crypto::e2ee::{
    content::{
        KeyBytes,
        history::{HistoryItem, MAX_HISTORY_ITEMS, PastMark, PastMessage, PastSaid},
    },
    time::UnixMillis,
};
use posthouse_protocol::id::{AccountId, ConversationId, HandleName};

use super::expiry::Expiring;
use crate::{
    Mention,
    records::{Conversation, Group, KnownProfile, Mark, OwnProfile, Person, With, key_number},
    store::{Scan, StoreError, Table, Tx, Value, decode},
    update::{Entry, Said},
};

/// Records that are looked at together.
const PAGE: usize = 64;
/// Bytes of a position before its key: the section and the messages so far.
const HEAD: usize = 9;

/// Where a walk through everything stands: behind a record of one of the [`SECTIONS`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Position {
    section: u8,
    /// Messages up to here.
    pub(crate) messages: u64,
    /// The key of the last record, or empty at a section's beginning.
    key: Vec<u8>,
}

/// The tables, in the order in which they are handed over: people first, so that what follows is
/// believed by their keys; of each conversation the newest messages first.
const SECTIONS: [Table; 8] = [
    Table::People,
    Table::Groups,
    Table::Conversations,
    Table::Timeline,
    Table::Marks,
    Table::Expiry,
    Table::Profiles,
    Table::Handles,
];
/// The sections of profiles and handles, which come behind that of people. They have the last numbers,
/// so that the numbers in positions that are on their way keep their meaning.
const PROFILES: u8 = 6;
const HANDLES: u8 = 7;

impl Position {
    /// `section ‖ messages (8, big-endian) ‖ key`.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.section];
        bytes.extend_from_slice(&self.messages.to_be_bytes());
        bytes.extend_from_slice(&self.key);
        bytes
    }

    /// The position in bytes that this device made.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, key) = bytes.split_at_checked(HEAD)?;
        let (section, messages) = head.split_first()?;
        let messages = key_number(messages);
        (usize::from(*section) < SECTIONS.len()).then(|| Self {
            section: *section,
            messages,
            key: key.to_vec(),
        })
    }

    /// What is scanned from here; `None` behind the last section.
    fn scan(&self) -> Option<Scan> {
        let table = *SECTIONS.get(usize::from(self.section))?;
        let mut scan = Scan::prefix(table, &[], PAGE);
        if table == Table::Timeline {
            scan = scan.backwards();
            scan.to.clone_from(&self.key);
        } else if !self.key.is_empty() {
            scan.from.clone_from(&self.key);
            scan.from.push(0);
        }
        Some(scan)
    }

    fn behind(&mut self, key: Vec<u8>) {
        self.key = key;
    }

    fn next_section(&mut self) {
        self.section = match self.section {
            0 => PROFILES,
            PROFILES => HANDLES,
            HANDLES => 1,
            // Behind the last one there is none.
            5 => HANDLES + 1,
            other => other + 1,
        };
        self.key.clear();
    }
}

/// The items behind a position, of at most `room` bytes together, and the position behind them;
/// `None` if nothing follows.
pub(crate) async fn page(
    tx: &Tx<'_>,
    own: &AccountId,
    mut at: Position,
    room: usize,
) -> Result<(Vec<HistoryItem>, Option<Position>), StoreError> {
    let (mut items, mut left) = (Vec::new(), room);
    while let Some(scan) = at.scan() {
        let found = tx.scan(&scan).await?;
        let is_last = found.len() < PAGE;
        for (key, value) in found {
            if let Some(item) = item(tx, own, scan.table, &key, &value).await? {
                let len = item.to_bytes().len();
                let is_full = len > left || items.len() >= MAX_HISTORY_ITEMS;
                // What alone is longer than the room goes by itself: no record is.
                if is_full && !items.is_empty() {
                    return Ok((items, Some(at)));
                }
                left = left.saturating_sub(len);
                at.messages += u64::from(matches!(item, HistoryItem::Message(_)));
                items.push(item);
            }
            at.behind(key);
        }
        if is_last {
            at.next_section();
        }
    }
    Ok((items, None))
}

/// How many messages there are.
pub(crate) async fn count(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let mut scan = Scan::prefix(Table::Timeline, &[], PAGE);
    let mut count = 0;
    loop {
        let found = tx.scan(&scan).await?;
        for (_, value) in &found {
            let entry: Entry = decode(Table::Timeline, value)?;
            count += u64::from(entry.stamp.is_some());
        }
        let Some((last, _)) = found.into_iter().nth(PAGE - 1) else { return Ok(count) };
        scan.from = last;
        scan.from.push(0);
    }
}

async fn item(
    tx: &Tx<'_>,
    own: &AccountId,
    table: Table,
    key: &[u8],
    value: &Value,
) -> Result<Option<HistoryItem>, StoreError> {
    Ok(match table {
        Table::People => person(own, key, &decode(table, value)?),
        Table::Groups => Some(group(&decode(table, value)?)),
        Table::Conversations => conversation(own, &decode(table, value)?),
        Table::Timeline => message(&decode(table, value)?),
        Table::Marks => mark(tx, key, decode(table, value)?).await?,
        Table::Expiry => {
            let Expiring { from, id } = decode(table, value)?;
            let at = UnixMillis(key.get(..8).map_or(0, key_number));
            Some(HistoryItem::Expiry { from: from.to_string(), id: *id.0.as_bytes(), at })
        }
        Table::Profiles => profile(own, key, value)?,
        Table::Handles => {
            let handle: HandleName = decode(table, value)?;
            let account = String::from_utf8(key.to_vec()).ok();
            account.map(|account| HistoryItem::Handle { account, handle: handle.to_string() })
        }
        _ => None,
    })
}

fn person(own: &AccountId, key: &[u8], person: &Person) -> Option<HistoryItem> {
    let account = String::from_utf8(key.to_vec()).ok()?;
    let identity = person.identity.filter(|_| account != own.to_string())?.0;
    Some(HistoryItem::Person { account, identity, verified: person.verified })
}

fn group(group: &Group) -> HistoryItem {
    let titles = group.title_keys().filter_map(|key| <[u8; 32]>::try_from(key).ok());
    HistoryItem::Group {
        group: group.id.to_string(),
        titles: titles.map(KeyBytes::from).collect(),
        head: group.chain.as_ref().map(|chain| (chain.epoch, chain.hash().0)),
    }
}

fn conversation(own: &AccountId, record: &Conversation) -> Option<HistoryItem> {
    if record.with.person() == Some(own) {
        return None;
    }
    Some(HistoryItem::Conversation {
        with: record.with.to_string(),
        active: UnixMillis(record.active.0),
        highest: record.highest.map(|stamp| stamp.0),
    })
}

/// What was not taken by the homeserver yet is no history.
fn message(entry: &Entry) -> Option<HistoryItem> {
    let stamp = entry.stamp?.0;
    let said = match &entry.said {
        Said::Text(text) => PastSaid::Text(text.clone()),
        Said::Reply { text, to } => {
            PastSaid::Reply { text: text.clone(), target: *to.0.as_bytes() }
        }
        Said::Gone => PastSaid::Gone,
        Said::Unknown(kind) => PastSaid::Unknown(*kind),
    };
    let status = entry.status.and_then(|status| serde_json::to_value(status).ok());
    Some(HistoryItem::Message(Box::new(PastMessage {
        with: With::of(entry).to_string(),
        from: entry.from.to_string(),
        id: *entry.id.0.as_bytes(),
        stamp,
        sent_at: UnixMillis(entry.sent_at.0),
        said,
        expires_after: entry.expires_after,
        read: entry.read,
        edited: entry.edited,
        origin_number: entry.origin_number,
        status: status.and_then(|status| status.as_str().map(str::to_owned)),
        delivered: entry.delivered,
        audience: entry.audience,
        mentions: Mention::to_content(&entry.mentions),
    })))
}

/// Keys of profiles: what they open is at the homeserver.
fn profile(own: &AccountId, key: &[u8], value: &Value) -> Result<Option<HistoryItem>, StoreError> {
    let Ok(account) = String::from_utf8(key.to_vec()) else { return Ok(None) };
    let (keys, given) = if account == own.to_string() {
        (decode::<OwnProfile>(Table::Profiles, value)?.keys, None)
    } else {
        let known: KnownProfile = decode(Table::Profiles, value)?;
        (known.keys, known.given)
    };
    let given = given.and_then(|key| <[u8; 32]>::try_from(key.0.as_slice()).ok());
    let given = given.map(KeyBytes::from);
    Ok(Some(HistoryItem::Profile { account, keys: keys.to_items(), given }))
}

async fn mark(tx: &Tx<'_>, key: &[u8], mark: Mark) -> Result<Option<HistoryItem>, StoreError> {
    let Some((conversation, target, by)) = parts(key) else { return Ok(None) };
    let record = tx.read::<Conversation>(Table::Conversations, &conversation.0).await?;
    let Some(Conversation { with, .. }) = record else { return Ok(None) };
    let mark = match mark {
        Mark::Edit { text, stamp, mentions } => {
            let mentions = Mention::to_content(&mentions);
            PastMark::Edit { text, stamp: stamp.0, mentions }
        }
        Mark::Delete => PastMark::Delete,
        Mark::Reaction { emoji, stamp } => PastMark::Reaction { emoji, stamp: stamp.0 },
    };
    Ok(Some(HistoryItem::Mark { with: with.to_string(), target, by, mark }))
}

/// The parts of a mark's key.
fn parts(key: &[u8]) -> Option<(ConversationId, [u8; 16], String)> {
    let (conversation, rest) = key.split_first_chunk::<16>()?;
    let (target, rest) = rest.split_first_chunk::<16>()?;
    let by = rest.get(..rest.len().checked_sub(2)?)?;
    Some((ConversationId(*conversation), *target, String::from_utf8(by.to_vec()).ok()?))
}
