//! Step 4: who gets what. Pure.

use bytes::Bytes;
use posthouse_protocol::id::{ConversationId, ServerName};
use posthouse_storage::{
    bodies::BodyId,
    inbox::StoredMessage,
    ledger::{Accept, Accepted, Destination},
};

use super::{accept::Admitted, group::AdmittedToGroup, supplement::AdmittedSupplement};

/// A message with its recipients worked out, ready to be committed. Only [`route`],
/// [`route_to_group`] and [`route_supplement`] make one.
#[derive(Debug)]
pub struct Plan {
    accept: Accept,
    body: Bytes,
}

impl Plan {
    /// What the ledger is asked to accept.
    pub fn accept(&self) -> &Accept {
        &self.accept
    }

    /// The body, under the id that [`Plan::accept`] names.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The message as an inbox holds it once it is accepted.
    pub fn stored(&self, accepted: &Accepted) -> StoredMessage {
        let accept = &self.accept;
        StoredMessage {
            part: accept.part,
            sender: accept.sender.clone(),
            device: Some(accept.device),
            device_number: Some(accept.device_number),
            device_list_version: accept.device_list_version,
            id: accept.id,
            to: accept.to.clone(),
            conversation: accept.conversation,
            stamp: accepted.stamp,
            origin_number: accepted.origin_number,
            class: accept.class,
            collapse: accept.collapse.clone(),
            expires: accept.expires,
            epoch: accept.epoch,
            client_timestamp: accept.client_timestamp,
            accepted_at: accepted.at,
            body: accept.body,
        }
    }
}

/// Works out the recipients: a pointer in each local inbox, at most one each, the sender's own if
/// other devices of it need a copy, or if it writes to itself; and one intent for each other region.
pub fn route(admitted: &Admitted, own: &ServerName, body: BodyId) -> Plan {
    let (submission, sender) = (admitted.submission(), &admitted.sender().account);
    let (recipient, at) = (admitted.recipient(), admitted.at());
    let mut recipients = Vec::with_capacity(2);
    let mut destinations = Vec::new();
    if recipient.server == *own {
        recipients.push(recipient.uuid);
    } else {
        let (server, there) = (recipient.server.clone(), vec![recipient.uuid]);
        destinations.push(Destination { server, recipients: there });
    }
    if admitted.own_copy() && sender != recipient {
        recipients.push(sender.uuid);
    }
    let content: Bytes = submission.content.to_stored().into();
    let accept = Accept {
        part: 0,
        sender: sender.clone(),
        device: admitted.sender().device,
        device_number: admitted.sender().number,
        id: submission.id,
        conversation: ConversationId::direct(sender, recipient),
        side: side(&sender.to_string(), &recipient.to_string()),
        prev: submission.prev,
        after: submission.after,
        recipients,
        discard: admitted.reception().discard,
        destinations,
        to: recipient.to_string(),
        class: submission.class,
        collapse: submission.collapse.clone(),
        expires: submission.expires,
        epoch: submission.epoch,
        device_list_version: submission.device_list_version,
        client_timestamp: submission.timestamp.unwrap_or(at),
        now: at,
        body,
        size: content.len() as u64,
    };
    Plan { accept, body: content }
}

/// The same in a group, whose members were worked out when the message was let pass.
pub fn route_to_group(admitted: &AdmittedToGroup, body: BodyId) -> Plan {
    let (submission, at) = (admitted.submission(), admitted.at());
    let content: Bytes = submission.content.to_stored().into();
    let accept = Accept {
        part: 0,
        sender: admitted.sender().account.clone(),
        device: admitted.sender().device,
        device_number: admitted.sender().number,
        id: submission.id,
        conversation: ConversationId::group(admitted.group()),
        side: 0,
        prev: submission.prev,
        after: submission.after,
        recipients: admitted.recipients().to_vec(),
        discard: false,
        destinations: admitted.destinations().to_vec(),
        to: admitted.group().to_string(),
        class: submission.class,
        collapse: submission.collapse.clone(),
        expires: submission.expires,
        epoch: submission.epoch,
        device_list_version: submission.device_list_version,
        client_timestamp: submission.timestamp.unwrap_or(at),
        now: at,
        body,
        size: content.len() as u64,
    };
    Plan { accept, body: content }
}

/// The same for a supplement, which has the facts of its message but for the device that sends it.
pub fn route_supplement(admitted: &AdmittedSupplement, own: &ServerName, body: BodyId) -> Plan {
    let (message, recipient) = (admitted.message(), admitted.recipient());
    let mut recipients = Vec::with_capacity(2);
    let mut destinations = Vec::new();
    if admitted.serves(recipient) {
        if recipient.server == *own {
            recipients.push(recipient.uuid);
        } else {
            let (server, there) = (recipient.server.clone(), vec![recipient.uuid]);
            destinations.push(Destination { server, recipients: there });
        }
    }
    let sender = &admitted.sender().account;
    if sender != recipient && admitted.serves(sender) {
        recipients.push(sender.uuid);
    }
    let content: Bytes = admitted.content().to_stored().into();
    let accept = Accept {
        part: admitted.part(),
        sender: sender.clone(),
        device: admitted.sender().device,
        device_number: admitted.sender().number,
        id: message.id,
        conversation: message.conversation,
        side: 0,
        prev: None,
        after: None,
        recipients,
        discard: admitted.is_discarded(),
        destinations,
        to: message.to.clone(),
        class: message.class,
        collapse: message.collapse.clone(),
        expires: message.expires,
        epoch: message.epoch,
        device_list_version: admitted.device_list_version(),
        client_timestamp: message.client_timestamp,
        now: message.accepted_at,
        body,
        size: content.len() as u64,
    };
    Plan { accept, body: content }
}

/// The bit of the sender's side: who writes to themselves speaks for both.
fn side(sender: &str, recipient: &str) -> u8 {
    match sender.cmp(recipient) {
        core::cmp::Ordering::Less => 1,
        core::cmp::Ordering::Equal => 3,
        core::cmp::Ordering::Greater => 2,
    }
}

#[cfg(test)]
mod tests;
