//! Storing prekeys.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use posthouse_protocol::id::DeviceId;
use posthouse_storage::{
    error::StoreError,
    keys::{IdentityKey, MAX_STORED, PreKey, PreKeyCounts, PreKeyKind, Upload, Uploaded},
};
use uuid::Uuid;

use super::{LOCK_IDENTITY, read_devices, read_identity};
use crate::{
    accounts,
    db::{Fields, Row, Script},
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// How many of each kind, with the highest id.
    COUNTS = Statement::rows(
        "b",
        "WITH v(device) AS ({rows})
        SELECT p.device, p.kind, COUNT(*), MAX(p.id) FROM v CROSS JOIN prekeys p
        WHERE p.device = v.device GROUP BY p.device, p.kind",
    );
    MARKS = Statement::new("SELECT kind, highest FROM prekey_marks WHERE device = ?");
    /// One-time KEM keys of a number.
    KEM_OF_ID = Statement::new("SELECT id FROM prekeys WHERE device = ? AND kind = 1 AND id = ?");
    DELETE_KIND = Statement::new("DELETE FROM prekeys WHERE device = ? AND kind = ?");
    PUT = Statement::rows(
        "biibb",
        "INSERT INTO prekeys (device, kind, id, key, signature) {new}",
    );
    RAISE_MARKS = Statement::rows(
        "bii",
        "INSERT INTO prekey_marks (device, kind, highest) {new}
        ON CONFLICT (device, kind) DO UPDATE SET highest = excluded.highest",
    );
}

/// `prekeys.kind`.
pub(super) fn kind_code(kind: PreKeyKind) -> i64 {
    match kind {
        PreKeyKind::OneTime => 0,
        PreKeyKind::OneTimeKem => 1,
        PreKeyKind::Signed => 2,
        PreKeyKind::LastResort => 3,
    }
}

pub(super) fn read_kind(fields: &mut Fields<'_>) -> Result<PreKeyKind, StoreError> {
    match fields.integer("kind")? {
        0 => Ok(PreKeyKind::OneTime),
        1 => Ok(PreKeyKind::OneTimeKem),
        2 => Ok(PreKeyKind::Signed),
        3 => Ok(PreKeyKind::LastResort),
        code => Err(fields.corrupt("kind", format_args!("{code} is no kind of prekey"))),
    }
}

/// Reads `id, key, signature`.
pub(super) fn read_prekey(fields: &mut Fields<'_>) -> Result<PreKey, StoreError> {
    let id = fields.integer("id")?;
    let id = fields.parse("id", id, u32::try_from)?;
    let key = Bytes::copy_from_slice(fields.bytes("key")?);
    let signature = fields.maybe_bytes("signature")?;
    let signature = signature
        .map(|bytes| fields.parse("signature", bytes, <[u8; 64]>::try_from))
        .transpose()?;
    Ok(PreKey { id, key, signature })
}

/// Reads what [`COUNTS`] gives.
pub(super) fn read_counts(rows: &[Row]) -> Result<HashMap<DeviceId, PreKeyCounts>, StoreError> {
    let mut found: HashMap<DeviceId, PreKeyCounts> = HashMap::new();
    for row in rows {
        let mut fields = row.fields("prekeys");
        let counts = found.entry(DeviceId(fields.uuid("device")?)).or_default();
        let kind = read_kind(&mut fields)?;
        let n = fields.integer("kind")?;
        let n = fields.parse("kind", n, u32::try_from)?;
        let id = fields.integer("id")?;
        let id = fields.parse("id", id, u32::try_from)?;
        match kind {
            PreKeyKind::OneTime => counts.one_time = n,
            PreKeyKind::OneTimeKem => counts.one_time_kem = n,
            PreKeyKind::Signed => counts.signed = Some(id),
            PreKeyKind::LastResort => counts.last_resort = Some(id),
        }
    }
    Ok(found)
}

impl SqlStore {
    pub(super) async fn try_upload(
        &self,
        account: Uuid,
        device: DeviceId,
        identity: &IdentityKey,
        upload: &Upload,
    ) -> Result<Uploaded, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let known = script.one(&LOCK_IDENTITY, |args| {
            args.uuid(account);
        });
        let devices = script.one(&accounts::DEVICES, |args| {
            args.uuid(account);
        });
        let marks = script.one(&MARKS, |args| {
            args.uuid(device.0);
        });
        let counts = script.rows(&COUNTS, &[device], |args, device| {
            args.uuid(device.0);
        });
        let same = upload.last_resort.as_ref().map(|key| {
            script.one(&KEM_OF_ID, |args| {
                args.uuid(device.0).integer(key.id.into());
            })
        });
        let mut answers = tx.run(script).await?;
        let known = read_identity(&answers.take(known))?;
        let exists = read_devices(&answers.take(devices))?.iter().any(|one| one.id == device);
        if !exists || known.is_none_or(|known| known.key != *identity) {
            tx.cancel().await?;
            return Ok(Uploaded::Moved);
        }
        let mut counts = read_counts(&answers.take(counts))?.remove(&device).unwrap_or_default();
        let marks = read_marks(&answers.take(marks))?;
        let is_stored = same.is_some_and(|same| !answers.take(same).is_empty());
        let last_resort = upload.last_resort.as_ref().map(|key| key.id).or(counts.last_resort);
        let new = above(&upload.one_time_kem, marks.get(&PreKeyKind::OneTimeKem).copied());
        let comes = new.iter().any(|key| Some(key.id) == last_resort);
        if let Some(id) = last_resort.filter(|_| is_stored || comes) {
            tx.cancel().await?;
            return Ok(Uploaded::SameId(id));
        }
        let mut script = tx.script();
        let lists = [
            (PreKeyKind::OneTime, &upload.one_time, &mut counts.one_time),
            (PreKeyKind::OneTimeKem, &upload.one_time_kem, &mut counts.one_time_kem),
        ];
        let mut full = false;
        for (kind, keys, count) in lists {
            let new = above(keys, marks.get(&kind).copied());
            full |= *count as usize + new.len() > MAX_STORED;
            *count += u32::try_from(new.len()).unwrap_or(u32::MAX);
            put(&mut script, device, kind, &new);
        }
        if full {
            tx.cancel().await?;
            let counts = self.db().rows(&COUNTS, |args| {
                args.uuid(device.0);
            });
            let counts = read_counts(&counts.await?)?.remove(&device).unwrap_or_default();
            return Ok(Uploaded::TooMany(counts));
        }
        let lasting = [
            (PreKeyKind::Signed, &upload.signed, &mut counts.signed),
            (PreKeyKind::LastResort, &upload.last_resort, &mut counts.last_resort),
        ];
        for (kind, key, id) in lasting {
            let Some(key) = key else { continue };
            *id = Some(key.id);
            script.one(&DELETE_KIND, |args| {
                args.uuid(device.0).integer(kind_code(kind));
            });
            put(&mut script, device, kind, &[key]);
        }
        tx.finish(script).await?;
        Ok(Uploaded::Stored(counts))
    }
}

/// Those of `keys` whose id is above `mark`, each once, in the order of their ids.
fn above(keys: &[PreKey], mark: Option<u32>) -> Vec<&PreKey> {
    let mut seen = BTreeSet::new();
    let mut new: Vec<&PreKey> =
        keys.iter().filter(|key| Some(key.id) > mark && seen.insert(key.id)).collect();
    new.sort_unstable_by_key(|key| key.id);
    new
}

fn put(script: &mut Script, device: DeviceId, kind: PreKeyKind, keys: &[&PreKey]) {
    script.rows(&PUT, keys, |args, key| {
        args.uuid(device.0)
            .integer(kind_code(kind))
            .integer(key.id.into())
            .bytes(&key.key)
            .maybe_bytes(key.signature.as_ref().map(<[u8; 64]>::as_slice));
    });
    let one_time = matches!(kind, PreKeyKind::OneTime | PreKeyKind::OneTimeKem);
    if let Some(last) = keys.last().filter(|_| one_time) {
        script.rows(&RAISE_MARKS, &[last.id], |args, highest| {
            args.uuid(device.0).integer(kind_code(kind)).integer((*highest).into());
        });
    }
}

fn read_marks(rows: &[Row]) -> Result<HashMap<PreKeyKind, u32>, StoreError> {
    let mut marks = HashMap::new();
    for row in rows {
        let mut fields = row.fields("prekey_marks");
        let kind = read_kind(&mut fields)?;
        let highest = fields.integer("highest")?;
        marks.insert(kind, fields.parse("highest", highest, u32::try_from)?);
    }
    Ok(marks)
}
