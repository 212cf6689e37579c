//! Notices about keys, as entries of inboxes.
//!
//! ```text
//! slot   'k' ‖ kind (1) ‖ subject (16) ‖ the subject's region (8)
//! data   'd': version (8)     'i': nothing     'l': one-time keys (4) ‖ KEM keys (4)
//!        'u': account (16) ‖ its region (8) ‖ version (8) ‖ devices (1 each)
//! ```
//! Numbers are big-endian. The subject of 'd' (device list) and 'i' (identity) is an account, that
//! of 'l' (keys run low) a device of the inbox's own account, that of 'u' (devices were not served) a
//! message; both have the region 0.

use posthouse_protocol::{
    id::{AccountId, DeviceId, DeviceNumber, MessageId, ServerName},
    time::Timestamp,
};
use posthouse_storage::{error::StoreError, keys::KeyNotice, ledger::Arrival};
use uuid::Uuid;

use crate::{
    db::{Fields, Tx},
    entries::Slotted,
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    ACQUAINTANCES = Statement::new(
        "SELECT account FROM acquaintances
        WHERE other = ? AND server = ? AND account > ? ORDER BY account LIMIT 0 + ?",
    );
    REGIONS = Statement::new(
        "SELECT DISTINCT server FROM acquaintances WHERE account = ? LIMIT 0 + ?",
    );
}

/// First byte of the slots of notices.
pub(crate) const SLOT_KEYS: u8 = b'k';

const LIST: u8 = b'd';
const IDENTITY: u8 = b'i';
const LOW: u8 = b'l';
const UNSERVED: u8 = b'u';

impl SqlStore {
    pub(super) async fn try_tell(
        &self,
        notice: &KeyNotice,
        accounts: &[Uuid],
        now: Timestamp,
    ) -> Result<Vec<Arrival>, Failure> {
        if let KeyNotice::DeviceList { user, .. }
        | KeyNotice::Identity { user }
        | KeyNotice::Unserved { user, .. } = notice
        {
            self.inner.servers.number(self.db(), &user.server).await?;
        }
        let tx = self.db().begin().await?;
        self.finish_telling(tx, notice, accounts, now).await
    }

    /// Puts `notice` into the inboxes of `accounts` and commits. The region of the notice's subject
    /// was interned before.
    pub(super) async fn finish_telling(
        &self,
        tx: Tx<'_>,
        notice: &KeyNotice,
        accounts: &[Uuid],
        now: Timestamp,
    ) -> Result<Vec<Arrival>, Failure> {
        let each: Vec<(Uuid, &KeyNotice)> = accounts.iter().map(|one| (*one, notice)).collect();
        self.finish_entries(tx, &each, now).await
    }

    /// Puts notices into one inbox and commits.
    pub(super) async fn finish_notices(
        &self,
        tx: Tx<'_>,
        notices: &[KeyNotice],
        account: Uuid,
        now: Timestamp,
    ) -> Result<Vec<Arrival>, Failure> {
        let each: Vec<(Uuid, &KeyNotice)> = notices.iter().map(|one| (account, one)).collect();
        self.finish_entries(tx, &each, now).await
    }

    async fn finish_entries(
        &self,
        tx: Tx<'_>,
        notices: &[(Uuid, &KeyNotice)],
        now: Timestamp,
    ) -> Result<Vec<Arrival>, Failure> {
        let entry = |(account, notice): &(Uuid, &KeyNotice)| {
            let (slot, data) = self.written(notice);
            Slotted { account: *account, slot, data }
        };
        let entries: Vec<Slotted> = notices.iter().map(entry).collect();
        self.finish_slotted(tx, &entries, now).await
    }

    fn written(&self, notice: &KeyNotice) -> (Vec<u8>, Vec<u8>) {
        let of = |kind, user: &AccountId| {
            slot(kind, user.uuid, self.inner.servers.id(&user.server).unwrap_or_default())
        };
        match notice {
            KeyNotice::DeviceList { user, version } => {
                (of(LIST, user), version.to_be_bytes().to_vec())
            }
            KeyNotice::Identity { user } => (of(IDENTITY, user), Vec::new()),
            KeyNotice::PreKeysLow { device, one_time, one_time_kem } => {
                let data = [one_time.to_be_bytes(), one_time_kem.to_be_bytes()].concat();
                (slot(LOW, device.0, 0), data)
            }
            KeyNotice::Unserved { message, user, missing, version } => {
                let server = self.inner.servers.id(&user.server).unwrap_or_default();
                let devices: Vec<u8> = missing.iter().map(|device| device.get()).collect();
                let (server, version) = (server.to_be_bytes(), version.to_be_bytes());
                let data = [user.uuid.as_bytes(), &server[..], &version, &devices].concat();
                (slot(UNSERVED, message.0, 0), data)
            }
        }
    }

    pub(super) async fn read_acquainted_regions(
        &self,
        account: Uuid,
        limit: usize,
    ) -> Result<Vec<ServerName>, Failure> {
        let rows = self.db().rows(&REGIONS, |args| {
            args.uuid(account).limit(limit);
        });
        let mut regions = Vec::new();
        for row in rows.await? {
            let number = row.fields("acquaintances").integer("server")?;
            regions.push(self.inner.servers.name(self.db(), number).await?);
        }
        Ok(regions)
    }

    pub(super) async fn read_acquaintances(
        &self,
        account: &AccountId,
        after: Uuid,
        limit: usize,
    ) -> Result<Vec<Uuid>, Failure> {
        let server = self.inner.servers.number(self.db(), &account.server).await?;
        let rows = self.db().rows(&ACQUAINTANCES, |args| {
            args.uuid(account.uuid).integer(server).uuid(after).limit(limit);
        });
        let mut found = Vec::new();
        for row in rows.await? {
            found.push(row.fields("acquaintances").uuid("account")?);
        }
        Ok(found)
    }
}

/// The slots of notices about the account `user` of the region `server`.
pub(crate) fn slots_about(user: Uuid, server: i64) -> [Vec<u8>; 2] {
    [LIST, IDENTITY].map(|kind| slot(kind, user, server))
}

fn slot(kind: u8, subject: Uuid, server: i64) -> Vec<u8> {
    [&[SLOT_KEYS, kind][..], subject.as_bytes(), &server.to_be_bytes()].concat()
}

/// A notice whose region is still a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    DeviceList {
        user: Uuid,
        server: i64,
        version: u64,
    },
    Identity {
        user: Uuid,
        server: i64,
    },
    PreKeysLow {
        device: DeviceId,
        one_time: u32,
        one_time_kem: u32,
    },
    Unserved {
        message: MessageId,
        user: Uuid,
        server: i64,
        missing: Vec<DeviceNumber>,
        version: u64,
    },
}

/// Reads slot and data of an entry; `None` if it is no notice.
pub(crate) fn parse(
    fields: &Fields<'_>,
    slot: &[u8],
    data: Option<&[u8]>,
) -> Result<Option<Stored>, StoreError> {
    let Some((&[SLOT_KEYS, kind], rest)) = slot.split_first_chunk() else { return Ok(None) };
    let wrong = || fields.corrupt("slot", "no notice about keys");
    let (subject, server) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
    let subject = Uuid::from_bytes(*subject);
    let server = i64::from_be_bytes(server.try_into().map_err(|_| wrong())?);
    let data = data.unwrap_or_default();
    match kind {
        LIST => {
            let version = u64::from_be_bytes(data.try_into().map_err(|_| wrong())?);
            Ok(Some(Stored::DeviceList { user: subject, server, version }))
        }
        IDENTITY => Ok(Some(Stored::Identity { user: subject, server })),
        LOW => {
            let both: [u8; 8] = data.try_into().map_err(|_| wrong())?;
            let both = u64::from_be_bytes(both);
            let (one_time, one_time_kem) = ((both >> 32) as u32, (both & 0xffff_ffff) as u32);
            Ok(Some(Stored::PreKeysLow { device: DeviceId(subject), one_time, one_time_kem }))
        }
        UNSERVED => {
            let (user, rest) = data.split_first_chunk::<16>().ok_or_else(wrong)?;
            let (server, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
            let (version, devices) = rest.split_first_chunk().ok_or_else(wrong)?;
            let missing = devices.iter().map(|one| DeviceNumber::try_from(*one));
            Ok(Some(Stored::Unserved {
                message: MessageId(subject),
                user: Uuid::from_bytes(*user),
                server: i64::from_be_bytes(*server),
                missing: missing.collect::<Result<_, _>>().map_err(|_| wrong())?,
                version: u64::from_be_bytes(*version),
            }))
        }
        _ => Err(wrong()),
    }
}

impl Stored {
    /// The notice, with the name of its region.
    pub(crate) async fn resolve(self, store: &SqlStore) -> Result<KeyNotice, Failure> {
        let name = async |uuid, server| {
            let server = store.inner.servers.name(store.db(), server).await?;
            Ok::<_, Failure>(AccountId { uuid, server })
        };
        Ok(match self {
            Self::DeviceList { user, server, version } => {
                KeyNotice::DeviceList { user: name(user, server).await?, version }
            }
            Self::Identity { user, server } => {
                KeyNotice::Identity { user: name(user, server).await? }
            }
            Self::PreKeysLow { device, one_time, one_time_kem } => {
                KeyNotice::PreKeysLow { device, one_time, one_time_kem }
            }
            Self::Unserved { message, user, server, missing, version } => {
                KeyNotice::Unserved { message, user: name(user, server).await?, missing, version }
            }
        })
    }
}
