//! Handing out bundles: every one-time key once.

use std::collections::HashMap;

use posthouse_protocol::{
    id::{DeviceId, DeviceNumber},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::{Device, addressable},
    error::StoreError,
    keys::{
        Bundles, Claim, Claimed, DeviceBundle, Identity, KeyNotice, LOW, PreKey, PreKeyCounts,
        PreKeyKind,
    },
};

use super::{
    LOCK_IDENTITY,
    prekeys::{COUNTS, kind_code, read_counts, read_kind, read_prekey},
    read_devices, read_identity,
};
use crate::{
    accounts,
    db::{Row, Tx},
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    CLAIMED = Statement::new(
        "SELECT account, device, kind, id, key, signature FROM claimed_prekeys
        WHERE requester = ? AND request = ?",
    );
    /// Of each device the lasting keys, and of the one-time ones those with the lowest ids.
    NEXT = Statement::rows(
        "b",
        "WITH v(device) AS ({rows})
        SELECT p.device, p.kind, p.id, p.key, p.signature FROM v CROSS JOIN prekeys p
        WHERE p.device = v.device AND (p.kind >= 2 OR p.id = (
            SELECT MIN(q.id) FROM prekeys q WHERE q.device = p.device AND q.kind = p.kind))",
    );
    TAKE = Statement::rows("bii", "DELETE FROM prekeys WHERE (device, kind, id) IN ({rows})");
    REMEMBER = Statement::rows(
        "tbbibibbi",
        "INSERT INTO claimed_prekeys
            (requester, request, device, kind, account, id, key, signature, claimed_at)
        {new}",
    );
    FORGET = Statement::new(
        "DELETE FROM claimed_prekeys WHERE (requester, request, device, kind) IN (
            SELECT c.requester, c.request, c.device, c.kind FROM claimed_prekeys c
            WHERE c.claimed_at < ? ORDER BY c.claimed_at LIMIT 0 + ?)",
    );
}

/// Keys of a device by kind.
type Found = HashMap<DeviceId, HashMap<PreKeyKind, PreKey>>;

impl SqlStore {
    pub(super) async fn try_claim(&self, claim: &Claim) -> Result<Claimed, Failure> {
        let requester = claim.requester.to_string();
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let identity = script.one(&LOCK_IDENTITY, |args| {
            args.uuid(claim.account);
        });
        let devices = script.one(&accounts::DEVICES, |args| {
            args.uuid(claim.account);
        });
        let claimed = script.one(&CLAIMED, |args| {
            args.text(&requester).uuid(claim.request);
        });
        let mut answers = tx.run(script).await?;
        let Some(identity) = read_identity(&answers.take(identity))? else {
            tx.cancel().await?;
            return Ok(Claimed::NoIdentity);
        };
        let devices = read_devices(&answers.take(devices))?;
        let before = answers.take(claimed);
        if !before.is_empty() {
            tx.cancel().await?;
            return Ok(repeat(claim, identity, &devices, &before)?);
        }
        let wanted: Vec<Device> =
            addressable(&devices).filter(|device| is_wanted(claim, device)).cloned().collect();
        let mut script = tx.script();
        let next = script.rows(&NEXT, &wanted, |args, device| {
            args.uuid(device.id.0);
        });
        let found = read_found(&tx.run(script).await?.take(next))?;
        let handed = hand_out(&wanted, found, claim.one_time);
        if !claim.one_time {
            tx.cancel().await?;
            return Ok(Claimed::Done(Box::new(bundles(identity, &wanted, handed)), Vec::new()));
        }
        let left = hand_over(&mut tx, claim, &requester, &handed).await?;
        let notices: Vec<KeyNotice> =
            handed.iter().filter_map(|one| low(one, left.get(&one.device))).collect();
        let arrivals = self.finish_notices(tx, &notices, claim.account, claim.now).await?;
        let bundles = bundles(identity, &wanted, handed);
        Ok(Claimed::Done(Box::new(bundles), notices.into_iter().zip(arrivals).collect()))
    }

    pub(super) async fn try_forget_claims(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let slot = script.one(&FORGET, |args| {
            args.number(before.0).limit(limit as usize);
        });
        Ok(tx.finish(script).await?.changed(&slot))
    }
}

/// What a device's bundle is made of.
struct Handed {
    device: DeviceId,
    bundle: DeviceBundle,
}

fn is_wanted(claim: &Claim, device: &Device) -> bool {
    let named = claim.devices.as_ref().is_none_or(|named| named.contains(&device.number));
    named && claim.except != Some(device.id)
}

fn read_found(rows: &[Row]) -> Result<Found, StoreError> {
    let mut found = Found::new();
    for row in rows {
        let mut fields = row.fields("prekeys");
        let device = DeviceId(fields.uuid("device")?);
        let kind = read_kind(&mut fields)?;
        found.entry(device).or_default().insert(kind, read_prekey(&mut fields)?);
    }
    Ok(found)
}

/// A bundle for each device that has a signed and a last-resort key.
fn hand_out(wanted: &[Device], mut found: Found, one_time: bool) -> Vec<Handed> {
    let hand = |device: &Device| {
        let mut keys = found.remove(&device.id)?;
        let signed = keys.remove(&PreKeyKind::Signed)?;
        let last = keys.remove(&PreKeyKind::LastResort)?;
        let one_time_kem = keys.remove(&PreKeyKind::OneTimeKem).filter(|_| one_time);
        let bundle = DeviceBundle {
            device: device.number,
            registration_id: device.registration_id,
            signed,
            one_time: keys.remove(&PreKeyKind::OneTime).filter(|_| one_time),
            last_resort: one_time_kem.is_none(),
            kem: one_time_kem.unwrap_or(last),
        };
        Some(Handed { device: device.id, bundle })
    };
    wanted.iter().filter_map(hand).collect()
}

impl Handed {
    /// The bundle's keys with their kinds.
    fn keys(&self) -> Vec<(PreKeyKind, &PreKey)> {
        let bundle = &self.bundle;
        let kem = if bundle.last_resort { PreKeyKind::LastResort } else { PreKeyKind::OneTimeKem };
        let one_time = bundle.one_time.as_ref().map(|key| (PreKeyKind::OneTime, key));
        one_time
            .into_iter()
            .chain([(PreKeyKind::Signed, &bundle.signed), (kem, &bundle.kem)])
            .collect()
    }
}

/// Moves what is handed out to the request that got it, and counts what is left.
async fn hand_over(
    tx: &mut Tx<'_>,
    claim: &Claim,
    requester: &str,
    handed: &[Handed],
) -> Result<HashMap<DeviceId, PreKeyCounts>, Failure> {
    let keys: Vec<(DeviceId, PreKeyKind, &PreKey)> = handed
        .iter()
        .flat_map(|one| one.keys().into_iter().map(|(kind, key)| (one.device, kind, key)))
        .collect();
    let once = |kind| matches!(kind, PreKeyKind::OneTime | PreKeyKind::OneTimeKem);
    let taken: Vec<_> = keys.iter().filter(|(_, kind, _)| once(*kind)).collect();
    let devices: Vec<DeviceId> = handed.iter().map(|one| one.device).collect();
    let mut script = tx.script();
    script.rows(&TAKE, &taken, |args, (device, kind, key)| {
        args.uuid(device.0).integer(kind_code(*kind)).integer(key.id.into());
    });
    script.rows(&REMEMBER, &keys, |args, (device, kind, key)| {
        args.text(requester)
            .uuid(claim.request)
            .uuid(device.0)
            .integer(kind_code(*kind))
            .uuid(claim.account)
            .integer(key.id.into())
            .bytes(&key.key)
            .maybe_bytes(key.signature.as_ref().map(<[u8; 64]>::as_slice))
            .number(claim.now.0);
    });
    let counts = script.rows(&COUNTS, &devices, |args, device| {
        args.uuid(device.0);
    });
    Ok(read_counts(&tx.run(script).await?.take(counts))?)
}

/// Numbers of keys left at which a device is told, each once on the way down.
const TOLD_AT: [u32; 4] = [LOW - 1, LOW / 2 - 1, LOW / 4 - 1, 0];

/// What a device is told whose keys run low, if it is time.
fn low(handed: &Handed, left: Option<&PreKeyCounts>) -> Option<KeyNotice> {
    let left = left.copied().unwrap_or_default();
    let one_time = handed.bundle.one_time.is_some() && TOLD_AT.contains(&left.one_time);
    let kem = !handed.bundle.last_resort && TOLD_AT.contains(&left.one_time_kem);
    (one_time || kem).then_some(KeyNotice::PreKeysLow {
        device: handed.device,
        one_time: left.one_time,
        one_time_kem: left.one_time_kem,
    })
}

fn bundles(identity: Identity, wanted: &[Device], handed: Vec<Handed>) -> Bundles {
    let has = |number: DeviceNumber| handed.iter().any(|one| one.bundle.device == number);
    let without = wanted.iter().map(|device| device.number).filter(|number| !has(*number));
    let without_keys = without.collect();
    let bundles = handed.into_iter().map(|one| one.bundle).collect();
    Bundles { identity, bundles, without_keys }
}

/// The answer that the request was given before, for the devices that are still there.
fn repeat(
    claim: &Claim,
    identity: Identity,
    devices: &[Device],
    rows: &[Row],
) -> Result<Claimed, StoreError> {
    let mut found = Found::new();
    for row in rows {
        let mut fields = row.fields("claimed_prekeys");
        if fields.uuid("account")? != claim.account {
            return Ok(Claimed::OtherRequest);
        }
        let device = DeviceId(fields.uuid("device")?);
        let kind = read_kind(&mut fields)?;
        found.entry(device).or_default().insert(kind, read_prekey(&mut fields)?);
    }
    let repeated = |device: &Device| {
        let mut keys = found.remove(&device.id)?;
        let one_time_kem = keys.remove(&PreKeyKind::OneTimeKem);
        Some(DeviceBundle {
            device: device.number,
            registration_id: device.registration_id,
            signed: keys.remove(&PreKeyKind::Signed)?,
            one_time: keys.remove(&PreKeyKind::OneTime),
            last_resort: one_time_kem.is_none(),
            kem: one_time_kem.or_else(|| keys.remove(&PreKeyKind::LastResort))?,
        })
    };
    let bundles = devices.iter().filter_map(repeated).collect();
    let bundles = Bundles { identity, bundles, without_keys: Vec::new() };
    Ok(Claimed::Done(Box::new(bundles), Vec::new()))
}
