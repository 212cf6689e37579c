//! Step 3 of a supplement: a message once more, for devices that it did not serve.
//!
//! Who was served, the message and its earlier supplements tell. So a repetition serves nobody and is
//! answered as it was, and what is served already is left out.

use posthouse_client_api::ports::{Answer, Caller};
use posthouse_protocol::{
    content::{Ciphertext, Content, Payload},
    frame::{Class, Submission},
    id::{AccountId, Address, ConversationId, DeviceNumber, RegistrationId},
    problem::{Code, Rejection, StaleDevices},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::addressable,
    bodies::BodyId,
    inbox::StoredMessage,
    ledger::{Accepted, MAX_PART},
    message_store::MessageStore,
};

use super::{
    MessagingService,
    accept::{Gate, named},
    commit::{nothing_to_supplement, refuse, sent},
    route::route_supplement,
};
use crate::accounts::store_failed;

/// A supplement that the policy lets pass. Only [`Gate`] makes one.
#[derive(Debug)]
pub struct AdmittedSupplement {
    message: StoredMessage,
    sender: Caller,
    recipient: AccountId,
    part: u8,
    content: Content,
    discard: bool,
    device_list_version: Option<u64>,
}

/// What becomes of a supplement.
enum Admission {
    Supplement(Box<AdmittedSupplement>),
    /// All its devices were served before.
    Served(Accepted),
}

impl AdmittedSupplement {
    /// The message that it belongs to.
    pub fn message(&self) -> &StoredMessage {
        &self.message
    }

    /// Who sends.
    pub fn sender(&self) -> &Caller {
        &self.sender
    }

    /// Who gets it.
    pub fn recipient(&self) -> &AccountId {
        &self.recipient
    }

    /// Its number.
    pub fn part(&self) -> u8 {
        self.part
    }

    /// Ciphertexts for devices that were not served.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Whether the recipient, of this region, does not hear the sender.
    pub fn is_discarded(&self) -> bool {
        self.discard
    }

    /// The version of the recipient's device list that the client knows.
    pub fn device_list_version(&self) -> Option<u64> {
        self.device_list_version
    }

    /// Whether it has something for this account.
    pub fn serves(&self, account: &AccountId) -> bool {
        let Payload::Ciphertexts(all) = &self.content.payload else { return false };
        all.iter().any(|one| one.user.as_ref().unwrap_or(&self.recipient) == account)
    }
}

/// What a device is known by.
type Served = (AccountId, DeviceNumber, RegistrationId);

/// The devices that ciphertexts of a message to `recipient` are for.
fn served<'a>(
    ciphertexts: &'a [Ciphertext],
    recipient: &'a AccountId,
) -> impl Iterator<Item = Served> + 'a {
    ciphertexts.iter().map(|one| {
        let user = one.user.as_ref().unwrap_or(recipient);
        (user.clone(), one.device, one.registration_id)
    })
}

impl Gate {
    async fn admit_supplement(
        &self,
        store: &MessageStore,
        sender: &Caller,
        submission: Submission,
        now: Timestamp,
    ) -> Result<Admission, Rejection> {
        self.check(sender, &submission, now)?;
        let refused = |detail: &'static str| Rejection::new(Code::BadRequest, detail);
        if submission.class == Class::Ephemeral || matches!(submission.to, Address::Group(_)) {
            return Err(refused("only what is kept, between two people, is supplemented"));
        }
        let Payload::Ciphertexts(all) = submission.content.payload else {
            return Err(refused("a supplement has `ciphertexts`; a `body` is for all devices"));
        };
        let recipient = self.addressee(sender, &submission.to).await?;
        self.check_named(sender, &recipient, &all, now).await?;
        let parts = store.ledger().parts(&sender.account, submission.id).await;
        let parts = parts.map_err(|err| store_failed(&err))?;
        let conversation = ConversationId::direct(&sender.account, &recipient);
        let is_known = |message: &&StoredMessage| {
            message.part == 0
                && message.conversation == conversation
                && message.expires.is_none_or(|expires| expires > now)
        };
        let message = parts.first().filter(is_known).ok_or_else(nothing_to_supplement)?.clone();
        let before = served_before(store, &parts, &recipient).await?;
        let is_new = |one: &Ciphertext| {
            let user = one.user.as_ref().unwrap_or(&recipient);
            !before.contains(&(user.clone(), one.device, one.registration_id))
        };
        let new: Vec<Ciphertext> = all.into_iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(Admission::Served(Accepted {
                conversation,
                stamp: message.stamp,
                origin_number: message.origin_number,
                at: message.accepted_at,
                arrivals: Vec::new(),
            }));
        }
        let part = parts.last().map_or(0, |last| last.part) + 1;
        if part > MAX_PART {
            return Err(refused("a message has at most 15 supplements; send a new one"));
        }
        let reception = self.receive(sender, &recipient, message.class, now).await?;
        let Content { kind, encrypted, .. } = submission.content;
        Ok(Admission::Supplement(Box::new(AdmittedSupplement {
            message,
            sender: sender.clone(),
            recipient,
            part,
            content: Content { kind, encrypted, payload: Payload::Ciphertexts(new) },
            discard: reception.discard,
            device_list_version: submission.device_list_version,
        })))
    }

    /// Whether every ciphertext is for a device that there is; which are left out does not matter.
    async fn check_named(
        &self,
        sender: &Caller,
        recipient: &AccountId,
        ciphertexts: &[Ciphertext],
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let (directory, abroad) = self.sources();
        let own = directory.current_devices(sender.account.uuid, now).await?;
        let own = named(addressable(&own).filter(|one| one.id != sender.device));
        let known = if *recipient == sender.account {
            Some(own.clone())
        } else if recipient.server == sender.account.server {
            let theirs = directory.current_devices(recipient.uuid, now).await?;
            Some(named(addressable(&theirs)))
        } else {
            let known = abroad.addressable(recipient);
            let fits = known.as_ref().is_none_or(|known| {
                let mut theirs = served(ciphertexts, recipient);
                theirs.all(|(user, number, registration)| {
                    user != *recipient || known.contains(&(number, registration))
                })
            });
            // The client may know better.
            if fits { known } else { abroad.renewed(recipient).await.or(known) }
        };
        for (at, (user, number, registration)) in served(ciphertexts, recipient).enumerate() {
            let there = if user == *recipient {
                known.as_ref()
            } else if user == sender.account {
                Some(&own)
            } else {
                let detail = "a ciphertext is for neither the recipient nor the sender";
                return Err(Rejection::new(Code::BadRequest, detail));
            };
            let mut earlier = served(ciphertexts, recipient).take(at);
            let is_double = earlier.any(|(whose, device, _)| whose == user && device == number);
            let fits = there.is_none_or(|there| there.contains(&(number, registration)));
            if !fits || is_double {
                let is_stale = there.is_some_and(|there| there.iter().any(|one| one.0 == number));
                return Err(unfit(&user, number, is_stale && !is_double));
            }
        }
        Ok(())
    }
}

/// Whom the message and its supplements served.
async fn served_before(
    store: &MessageStore,
    parts: &[StoredMessage],
    recipient: &AccountId,
) -> Result<Vec<Served>, Rejection> {
    let bodies: Vec<BodyId> = parts.iter().map(|part| part.body).collect();
    let bodies = store.bodies(&bodies).await.map_err(|err| store_failed(&err))?;
    let mut before = Vec::new();
    for body in bodies {
        // A body that is gone was fetched by everybody, or is too old.
        let content = body.and_then(|body| Content::from_stored(&body));
        let content = content.ok_or_else(nothing_to_supplement)?;
        let Payload::Ciphertexts(all) = &content.payload else {
            let detail = "the message has a `body`, which is for all devices";
            return Err(Rejection::new(Code::BadRequest, detail));
        };
        before.extend(served(all, recipient));
    }
    Ok(before)
}

fn unfit(user: &AccountId, number: DeviceNumber, is_stale: bool) -> Rejection {
    let mut stale = StaleDevices { user: user.to_string(), ..StaleDevices::default() };
    let wrong = if is_stale { &mut stale.stale } else { &mut stale.extra };
    wrong.push(number.get());
    let detail = "a ciphertext is for a device that the user does not have";
    let mut rejection = Rejection::new(Code::StaleDevices, detail);
    rejection.stale_devices = Some(Box::new(stale));
    rejection
}

impl MessagingService {
    /// A supplement of a message.
    pub(super) async fn supplement(&self, caller: &Caller, submission: Submission, answer: Answer) {
        let (id, now) = (submission.id, self.clock.now());
        match self.gate.admit_supplement(&self.store, caller, submission, now).await {
            Err(rejection) => refuse(answer, id, rejection),
            Ok(Admission::Served(accepted)) => sent(answer, id, &accepted),
            Ok(Admission::Supplement(admitted)) => {
                let body = BodyId::new(now, self.random.bytes());
                let plan = route_supplement(&admitted, self.directory.server(), body);
                self.committer.commit(plan, answer).await;
            }
        }
    }
}
