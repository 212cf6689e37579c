//! Encryption for all devices of a person and all other own devices.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_crypto::e2ee::{
    address::{Address, DeviceId},
    content::Content,
    primitives::curve::PublicKey,
    session::{Peer, Session},
    time::UnixMillis,
};
use posthouse_protocol::{
    content::Ciphertext,
    id::{AccountId, DeviceNumber, RegistrationId},
};
use uuid::Uuid;

use super::{Call, Step, address, lanes::Hold, parts::Room};
use crate::{
    records::{Served, session_key},
    store::{StoreError, Table},
    update::Update,
};

/// What is missing before something can be encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lack {
    /// The devices of this person, as their server knows them now.
    Devices(AccountId),
    /// Sessions with these devices.
    Sessions(AccountId, Vec<DeviceNumber>),
    /// The person's word on a changed key.
    Consent,
}

/// A device to encrypt for, and its session.
struct Target {
    device: DeviceNumber,
    registration_id: RegistrationId,
    address: Address,
    session: Session,
}

/// The devices of one account, and the key that they must have.
pub(super) struct Targets {
    identity: PublicKey,
    devices: Vec<Target>,
}

impl Targets {
    /// The one device, or all if none is named, and the others.
    pub(super) fn split(self, only: Option<DeviceNumber>) -> (Self, Self) {
        let Self { identity, devices } = self;
        let is_meant = |target: &Target| only.is_none_or(|only| only == target.device);
        Self { identity, devices }.divide(is_meant)
    }

    /// Those for which this holds, and the others.
    fn divide(self, holds: impl FnMut(&Target) -> bool) -> (Self, Self) {
        let Self { identity, devices } = self;
        let (meant, others) = devices.into_iter().partition(holds);
        (Self { identity, devices: meant }, Self { identity, devices: others })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }
}

/// A message, or the part of it that goes into one.
pub(super) struct Part {
    pub(super) ciphertexts: Vec<Ciphertext>,
    /// Who has it then; empty if everybody does.
    pub(super) has: Vec<Served>,
}

impl Step<'_> {
    /// Encrypts for every device of `to` that its owner signed and its server has, and for the own
    /// other devices; for those that have not `had` it, and of them as many as it fits for. Sessions
    /// move on only if nothing is missing.
    pub(super) async fn seal(
        &mut self,
        to: &AccountId,
        padded: &[u8],
        had: &[Served],
    ) -> Result<Result<Part, Lack>, StoreError> {
        let own = self.own();
        let theirs = match self.targets(to).await? {
            Ok(theirs) => theirs,
            Err(lack) => return Ok(Err(lack)),
        };
        let ours = match self.targets(&own).await? {
            Ok(ours) => ours,
            Err(lack) => return Ok(Err(lack)),
        };
        let mut room = Room::new(padded.len(), theirs.devices.len() + ours.devices.len());
        let (mut has, mut lacking) = (had.to_vec(), false);
        let mut divide = |targets: Targets, own: bool| {
            targets.divide(|target| {
                let Target { device, registration_id, .. } = *target;
                let served = Served { own, device, registration_id };
                if had.contains(&served) {
                    return false;
                }
                let fits = room.take();
                lacking |= !fits;
                has.extend(fits.then_some(served));
                fits
            })
        };
        let (theirs, theirs_later) = divide(theirs, false);
        let (ours, ours_later) = divide(ours, true);
        let nothing = self.nothing()?;
        let all: [(_, _, _, &[u8]); 4] = [
            (to, None, theirs, padded),
            (to, None, theirs_later, &nothing),
            (&own, Some(&own), ours, padded),
            (&own, Some(&own), ours_later, &nothing),
        ];
        let mut ciphertexts = Vec::new();
        for (of, user, targets, padded) in all {
            let copy = match user {
                _ if targets.is_empty() => continue,
                Some(_) => Some(copy_for_own(to, padded).ok_or(StoreError::Corrupt(Table::Sent))?),
                None => None,
            };
            let padded = copy.as_ref().map_or(padded, |copy| copy.as_slice());
            if let Some(lack) = self.encrypt(of, user, targets, padded, &mut ciphertexts) {
                return Ok(Err(lack));
            }
        }
        Ok(Ok(Part { ciphertexts, has: if lacking { has } else { Vec::new() } }))
    }

    /// The devices of an account with their sessions, without the device that this is.
    pub(super) async fn targets(
        &self,
        of: &AccountId,
    ) -> Result<Result<Targets, Lack>, StoreError> {
        let person = self.person(of).await?;
        if person.announced.is_some() {
            return Ok(Err(Lack::Consent));
        }
        let (list, identity) = match (person.verified_list(of), person.identity) {
            (Some(list), Some(identity)) if person.fresh => (list, identity.0),
            _ => return Ok(Err(Lack::Devices(of.clone()))),
        };
        let own = &self.machine.account;
        let (mut devices, mut missing) = (Vec::new(), Vec::new());
        for (number, listed) in &list.as_list().devices {
            let Some(device) = number_of(*number) else { continue };
            let is_this = *of == own.id && device == own.device;
            if is_this || !person.present.contains(&device) {
                continue;
            }
            let Ok(registration_id) = RegistrationId::try_from(listed.registration_id) else {
                continue;
            };
            let session = self.session(of, device).await?;
            let fits = session.info().is_some_and(|info| {
                info.registration_id == listed.registration_id && info.identity == identity
            });
            if !fits {
                missing.push(device);
                continue;
            }
            let address = address(of, device);
            devices.push(Target { device, registration_id, address, session });
        }
        if !missing.is_empty() {
            return Ok(Err(Lack::Sessions(of.clone(), missing)));
        }
        if devices.is_empty() && *of != own.id {
            return Ok(Err(Lack::Devices(of.clone())));
        }
        Ok(Ok(Targets { identity, devices }))
    }

    pub(super) fn encrypt(
        &mut self,
        of: &AccountId,
        user: Option<&AccountId>,
        targets: Targets,
        padded: &[u8],
        sealed: &mut Vec<Ciphertext>,
    ) -> Option<Lack> {
        let now = UnixMillis(self.now.0);
        let mut moved = Vec::with_capacity(targets.devices.len());
        let mut stuck = Vec::new();
        for mut target in targets.devices {
            let peer = Peer { address: &target.address, known: Some(&targets.identity) };
            let local = &self.machine.local;
            match target.session.encrypt(local, peer, padded, now, self.rng) {
                Ok(ciphertext) => {
                    sealed.push(Ciphertext {
                        user: user.cloned(),
                        device: target.device,
                        registration_id: target.registration_id,
                        kind: ciphertext.kind(),
                        data: STANDARD.encode(ciphertext.as_bytes()),
                    });
                    moved.push((target.device, target.session));
                }
                // A session that cannot go on is replaced: its device gets a new one.
                Err(_) => stuck.push(target.device),
            }
        }
        if !stuck.is_empty() {
            return Some(Lack::Sessions(of.clone(), stuck));
        }
        for (device, session) in moved {
            self.put_session(of, device, &session);
        }
        None
    }

    /// Sees to what a lane lacks, and holds it until then.
    pub(super) fn provide(
        &mut self,
        conversation: posthouse_protocol::id::ConversationId,
        lack: Lack,
    ) {
        let hold = match lack {
            Lack::Devices(of) => {
                self.call(Call::Devices(of));
                Hold::Answer
            }
            Lack::Sessions(of, devices) => {
                let request = Uuid::from_u128(rand::RngExt::random(self.rng));
                self.call(Call::Bundles { of, devices, request });
                Hold::Answer
            }
            Lack::Consent => Hold::Person,
        };
        if let Some(lane) = self.machine.lanes.get(conversation) {
            lane.hold = Some(hold);
        }
    }

    /// A lane's first message waits for keys that its recipient has not uploaded.
    pub(super) fn tell_waiting(&mut self, user: &AccountId) {
        let conversation = self.conversation_with(user);
        let Some(lane) = self.machine.lanes.get(conversation) else { return };
        let first = (lane.refused == 0).then(|| lane.items.front().map(|item| item.id)).flatten();
        lane.refused = lane.refused.saturating_add(1);
        if let Some(id) = first {
            self.tell(&Update::WaitingForKeys { id, with: user.clone() });
        }
    }

    pub(super) async fn session(
        &self,
        of: &AccountId,
        device: DeviceNumber,
    ) -> Result<Session, StoreError> {
        match self.tx.get(Table::Sessions, &session_key(of, device)).await? {
            Some(stored) => {
                Session::from_bytes(&stored).map_err(|_| StoreError::Corrupt(Table::Sessions))
            }
            None => Ok(Session::new()),
        }
    }

    pub(super) fn put_session(&mut self, of: &AccountId, device: DeviceNumber, session: &Session) {
        self.tx.put(Table::Sessions, session_key(of, device), session.to_bytes());
    }
}

/// The same content for the own other devices, which must be told whom it is for: the server's
/// word alone would not do.
fn copy_for_own(to: &AccountId, padded: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let mut content = Content::from_padded_bytes(padded).ok()?;
    // What is about a group says so already.
    if content.conversation.is_none() {
        content.conversation = Some(to.to_string());
    }
    content.to_padded_bytes().ok()
}

/// A device's number as the protocol writes it.
pub(super) fn number_of(device: DeviceId) -> Option<DeviceNumber> {
    DeviceNumber::try_from(device.get()).ok()
}
