//! What is believed of people's keys and devices: only what they signed.

use posthouse_crypto::e2ee::{
    prekey::bundle::{
        KemPreKeyPublic, OneTimePreKeyPublic, PreKeyBundle, SignedPreKeyPublic, VerifiedBundle,
    },
    primitives::curve::PublicKey,
    session::Peer,
    signed::device_list::{DeviceListError, VerifiedDeviceList},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{AccountId, DeviceNumber},
    rest::keys::{Bundle, Bundles, EcKey, ListDocument, UserDevices},
};

use super::{Step, address, lanes::Hold, sealing::number_of};
use crate::{
    records::{Person, own, session_key},
    store::{Scan, StoreError, Table},
    update::{Misbehaviour, Update},
};

/// Seconds until somebody without keys is asked for again.
const NO_KEYS_PAUSE: u64 = 10;
/// Seconds until a server that misbehaves is asked again.
const MISBEHAVED_PAUSE: u64 = 60;
/// Seconds after which an answer of another region is not from memory any more.
const SECOND_LOOK: u64 = 6;

/// What a server's word is worth.
enum Verdict {
    /// There is nothing to encrypt with yet.
    NoKeys,
    /// Another key than the one that is known.
    Changed(EcKey),
    /// Not signed by the account's owner.
    Refused(Misbehaviour),
    /// Signed, and newer or the same.
    Believed(EcKey, Box<(ListDocument, VerifiedDeviceList)>),
}

impl Step<'_> {
    pub(super) async fn person(&self, user: &AccountId) -> Result<Person, StoreError> {
        let known = self.tx.read(Table::People, user.to_string().as_bytes()).await?;
        Ok(known.unwrap_or_default())
    }

    pub(super) fn put_person(&mut self, user: &AccountId, person: &Person) {
        self.tx.write(Table::People, user.to_string().into_bytes(), person);
    }

    /// The devices of a user, as their server tells them.
    pub(super) async fn on_devices(
        &mut self,
        user: &AccountId,
        answer: &UserDevices,
    ) -> Result<(), StoreError> {
        let person = self.person(user).await?;
        let verdict = judge(&person, user, answer.identity_key, answer.device_list.as_ref());
        if matches!(verdict, Verdict::Refused(Misbehaviour::Rollback { .. }))
            && self.may_be_from_before(user).await?
        {
            self.release(user, Some(SECOND_LOOK));
            return self.unhold(user).await;
        }
        let Some((person, list)) = self.believe(user, person, verdict) else {
            return Ok(());
        };
        let devices = &list.as_list().devices;
        let is_listed =
            |device: DeviceNumber| devices.keys().any(|listed| listed.get() == device.get());
        let ghost = answer.devices.iter().find(|one| one.listed && !is_listed(one.device));
        let ghost = ghost.map(|one| one.device.get());
        let present = answer.devices.iter().map(|one| one.device).filter(|one| is_listed(*one));
        let person = Person { present: present.collect(), fresh: true, ..person };
        self.put_person(user, &person);
        self.forget_sessions(user, &person).await?;
        let mut pause = self.suspicion(user, &list, ghost);
        if person.present.is_empty() && *user != self.machine.account.id {
            self.tell_waiting(user);
            pause = pause.or(Some(NO_KEYS_PAUSE));
        }
        self.release(user, pause);
        if *user == self.machine.account.id {
            self.sign_next().await?;
        }
        self.unhold(user).await
    }

    /// Bundles of a user's devices: the sessions begin.
    pub(super) async fn on_bundles(
        &mut self,
        user: &AccountId,
        asked: &[DeviceNumber],
        answer: &Bundles,
    ) -> Result<(), StoreError> {
        let person = self.person(user).await?;
        let identity = Some(answer.identity_key);
        let verdict = judge(&person, user, identity, answer.device_list.as_ref());
        let Some((person, list)) = self.believe(user, person, verdict) else {
            return Ok(());
        };
        self.put_person(user, &person);
        // A device that is neither given keys nor said to have none is asked for after a pause.
        let is_given =
            |device: &DeviceNumber| answer.bundles.iter().any(|bundle| bundle.device == *device);
        let mut pause = (!asked.iter().all(is_given)).then_some(NO_KEYS_PAUSE);
        for bundle in &answer.bundles {
            let listed = list
                .as_list()
                .devices
                .iter()
                .find(|(number, _)| number.get() == bundle.device.get());
            let Some((_, listed)) = listed else {
                self.complain(user, Misbehaviour::Ghost { device: bundle.device.get() });
                continue;
            };
            if listed.registration_id != bundle.registration_id.get() {
                pause = Some(SECOND_LOOK);
                continue;
            }
            if let Some(verified) = verify(bundle, answer.identity_key.0) {
                self.initiate(user, bundle.device, &verified).await?;
            } else {
                self.complain(user, Misbehaviour::Signature);
                pause = Some(MISBEHAVED_PAUSE);
            }
        }
        let lacks = |number: &DeviceNumber| person.present.contains(number);
        if answer.without_keys.iter().any(lacks) {
            self.tell_waiting(user);
            pause = pause.or(Some(NO_KEYS_PAUSE));
        }
        self.release(user, pause);
        Ok(())
    }

    /// A call about somebody's keys was refused for good.
    pub(super) async fn on_call_refused(
        &mut self,
        user: &AccountId,
        code: &str,
    ) -> Result<(), StoreError> {
        match code {
            "no_identity" => {
                self.tell_waiting(user);
                self.release(user, Some(NO_KEYS_PAUSE));
            }
            "answer_refused" => {
                self.complain(user, Misbehaviour::Signature);
                self.release(user, Some(MISBEHAVED_PAUSE));
            }
            _ => {
                self.fail_lane(user, code).await?;
                self.release(user, Some(MISBEHAVED_PAUSE));
            }
        }
        Ok(())
    }

    /// The person goes on with a changed key.
    pub(super) async fn accept_key(&mut self, user: &AccountId) -> Result<(), StoreError> {
        let mut person = self.person(user).await?;
        let Some(announced) = person.announced.take() else { return Ok(()) };
        // The list before was signed by the key before; its sessions are with that key.
        let person = Person { identity: Some(announced), ..Person::default() };
        self.put_person(user, &person);
        self.forget_given(user).await?;
        self.release(user, None);
        self.unhold(user).await
    }

    /// The person compared the safety number of the key that is known.
    pub(super) async fn verified(&mut self, user: &AccountId) -> Result<(), StoreError> {
        let person = self.person(user).await?;
        if person.identity.is_some() && person.announced.is_none() {
            self.put_person(user, &Person { verified: true, ..person });
        }
        Ok(())
    }

    /// Notes another key, and tells the person once.
    pub(super) fn announce(&mut self, user: &AccountId, person: Person, key: EcKey) {
        if person.announced != Some(key) {
            let was_verified = person.verified;
            self.tell(&Update::KeyChanged { user: user.clone(), was_verified });
            self.put_person(user, &Person { announced: Some(key), ..person });
        }
        let conversation = self.conversation_with(user);
        if let Some(lane) = self.machine.lanes.get(conversation) {
            lane.hold = Some(Hold::Person);
        }
        for lane in self.machine.lanes.waiting_for(user, false) {
            if lane.to.group().is_some() {
                lane.needs.remove(user);
                if lane.needs.is_empty() && lane.hold == Some(Hold::Answer) {
                    lane.hold = None;
                }
            }
        }
    }

    /// Whether an older list may be an honest answer: this device has signed a newer one of the own
    /// account, which the homeserver does not have yet, or did not when it answered.
    async fn may_be_from_before(&mut self, user: &AccountId) -> Result<bool, StoreError> {
        if *user != self.machine.account.id {
            return Ok(false);
        }
        let waits = self.tx.get(Table::Own, own::LIST).await?.is_some();
        Ok(waits || core::mem::take(&mut self.machine.just_listed))
    }

    /// Acts on a verdict; the person as now believed, and the list.
    fn believe(
        &mut self,
        user: &AccountId,
        person: Person,
        verdict: Verdict,
    ) -> Option<(Person, VerifiedDeviceList)> {
        match verdict {
            Verdict::NoKeys => {
                self.tell_waiting(user);
                self.release(user, Some(NO_KEYS_PAUSE));
                None
            }
            Verdict::Changed(key) => {
                self.announce(user, person, key);
                None
            }
            Verdict::Refused(reason) => {
                self.complain(user, reason);
                self.release(user, Some(MISBEHAVED_PAUSE));
                None
            }
            Verdict::Believed(identity, believed) => {
                let (document, list) = *believed;
                let before = person.verified_list(user);
                let is_new = before.as_ref().is_some_and(|before| {
                    before.as_list().devices.keys().ne(list.as_list().devices.keys())
                });
                if is_new {
                    let devices = list.as_list().devices.keys().map(|number| number.get());
                    let devices = devices.collect();
                    self.tell(&Update::DevicesChanged { user: user.clone(), devices });
                }
                let person = Person { identity: Some(identity), list: Some(document), ..person };
                Some((person, list))
            }
        }
    }

    /// Whether the server wants ciphertexts for devices that the list does not name. Then the lane
    /// pauses: at first in case the answer was some seconds old, then with a complaint.
    fn suspicion(
        &mut self,
        user: &AccountId,
        list: &VerifiedDeviceList,
        ghost: Option<u8>,
    ) -> Option<u64> {
        let listed: Vec<u8> = list.as_list().devices.keys().map(|number| number.get()).collect();
        let mut found = ghost;
        let mut again = false;
        let own = *user == self.machine.account.id;
        for lane in self.machine.lanes.waiting_for(user, own) {
            let suspect = lane.suspects.iter().find(|device| !listed.contains(device)).copied();
            if suspect.is_some() {
                again |= lane.refused < 2;
                found = found.or(suspect);
            }
        }
        let device = found?;
        if again && ghost.is_none() {
            return Some(SECOND_LOOK);
        }
        self.complain(user, Misbehaviour::Ghost { device });
        // A ghost in the answer alone harms nobody: nothing is encrypted for it.
        ghost.is_none().then_some(MISBEHAVED_PAUSE)
    }

    /// Tells the application what a server did, once until it is opened again.
    pub(super) fn complain(&mut self, user: &AccountId, reason: Misbehaviour) {
        let complaints = &mut self.machine.complaints;
        if complaints.len() < 1_000 && complaints.insert((user.clone(), reason.clone())) {
            self.tell(&Update::Refused { user: user.clone(), reason });
        }
    }

    /// Lets the lanes go that waited for an answer about this user, now or after a pause. After a
    /// pause the user is asked about afresh.
    fn release(&mut self, user: &AccountId, pause: Option<u64>) {
        let own = *user == self.machine.account.id;
        let hold = pause.map(|seconds| Hold::Until(self.now.plus_millis(seconds * 1000)));
        let mut is_needed = false;
        for lane in self.machine.lanes.waiting_for(user, own) {
            if lane.to.group().is_some() {
                // One member keeps nobody else from hearing; the own other devices are waited for.
                is_needed |= lane.needs.remove(user);
                if own && hold.is_some() {
                    lane.hold = hold;
                } else if lane.needs.is_empty() && lane.hold == Some(Hold::Answer) {
                    lane.hold = None;
                }
                continue;
            }
            if !matches!(lane.hold, Some(Hold::Until(_))) {
                lane.hold = hold;
            }
        }
        if is_needed && !own && pause.is_some() {
            self.pass_over(user);
        }
    }

    /// Devices that are gone need no session any more.
    async fn forget_sessions(&mut self, user: &AccountId, now: &Person) -> Result<(), StoreError> {
        let mut prefix = user.to_string().into_bytes();
        prefix.push(0);
        let kept: Vec<Vec<u8>> = now.verified_list(user).map_or_else(Vec::new, |list| {
            let numbers = list.as_list().devices.keys().filter_map(|n| number_of(*n));
            numbers.map(|device| session_key(user, device)).collect()
        });
        for (key, _) in self.tx.scan(&Scan::prefix(Table::Sessions, &prefix, 128)).await? {
            if !kept.contains(&key) {
                self.tx.delete(Table::Sessions, key);
            }
        }
        Ok(())
    }

    async fn initiate(
        &mut self,
        user: &AccountId,
        device: DeviceNumber,
        bundle: &VerifiedBundle,
    ) -> Result<(), StoreError> {
        let mut session = self.session(user, device).await?;
        let (name, identity) = (address(user, device), bundle.as_bundle().identity);
        let peer = Peer { address: &name, known: Some(&identity) };
        let now = UnixMillis(self.now.0);
        if session.initiate(&self.machine.local, peer, bundle, now, self.rng).is_ok() {
            self.put_session(user, device, &session);
        } else {
            self.complain(user, Misbehaviour::Signature);
        }
        Ok(())
    }
}

/// Compares what a server says with what is known and signed.
fn judge(
    known: &Person,
    user: &AccountId,
    identity: Option<EcKey>,
    list: Option<&ListDocument>,
) -> Verdict {
    let Some(identity) = identity else { return Verdict::NoKeys };
    if known.identity.is_some_and(|known| known != identity) {
        return Verdict::Changed(identity);
    }
    let before = known.verified_list(user);
    let Some(list) = list else {
        // Who had a list and has none any more has been rolled back.
        return match before {
            Some(before) => {
                Verdict::Refused(Misbehaviour::Rollback { known: before.as_list().version })
            }
            None => Verdict::NoKeys,
        };
    };
    match list.0.verify(&user.to_string(), &identity.0, before.as_ref()) {
        Ok(verified) => Verdict::Believed(identity, Box::new((list.clone(), verified))),
        Err(err) => Verdict::Refused(match err {
            DeviceListError::Fork => Misbehaviour::Fork,
            DeviceListError::Reused => Misbehaviour::Reused,
            DeviceListError::Rollback { known } => Misbehaviour::Rollback { known },
            DeviceListError::Signature => Misbehaviour::Signature,
            _ => Misbehaviour::Malformed,
        }),
    }
}

/// A bundle whose keys the identity key signed.
fn verify(bundle: &Bundle, identity: PublicKey) -> Option<VerifiedBundle> {
    let number = u64::from(bundle.device.get());
    let one_time = bundle.one_time.as_ref();
    let made = PreKeyBundle {
        registration_id: bundle.registration_id.get(),
        device: posthouse_crypto::e2ee::address::DeviceId::new(number).ok()?,
        identity,
        signed: SignedPreKeyPublic {
            id: bundle.signed.id.into(),
            key: bundle.signed.key.0,
            signature: bundle.signed.signature.0,
        },
        one_time: one_time.map(|key| OneTimePreKeyPublic { id: key.id.into(), key: key.key.0 }),
        kem: Some(KemPreKeyPublic {
            id: bundle.kem.id.into(),
            key: bundle.kem.key.0.clone(),
            signature: bundle.kem.signature.0,
        }),
    };
    made.verify().ok()
}
