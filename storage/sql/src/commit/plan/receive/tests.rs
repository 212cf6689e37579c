//! Properties of receptions, and a model of what the database would hold.

use std::collections::{BTreeMap, HashMap, HashSet};

use posthouse_protocol::{
    cursor::Cursor,
    federation::receipt::RejectionReason,
    frame::Class,
    id::{AccountId, ConversationId, MessageId, ServerName},
    limits,
    time::{Stamp, Timestamp},
};
use posthouse_storage::{
    bodies::BodyId,
    inbox::StoredMessage,
    reception::{Received, Rejected},
};
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::commit::plan::{Conversation, Head};

/// An event of one origin, in small numbers so that they meet each other.
#[derive(Debug, Clone)]
struct Step {
    id: u8,
    sender: u8,
    /// Whether it is rejected instead of taken.
    rejected: bool,
    conversation: u8,
    stamp: u64,
    recipients: Vec<u8>,
    collapse: Option<bool>,
    size: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let event = (0..24_u8, 0..2_u8, prop::bool::weighted(0.25));
    let place = (0..3_u8, 1..1_000_u64);
    // Inboxes get full now and then.
    let size = prop_oneof![9 => 0..100_u64, 1 => Just(limits::MAX_INBOX_BYTES / 2 - 100)];
    let to = (vec(0..4_u8, 0..4), option::weighted(0.4, any::<bool>()), size);
    (event, place, to).prop_map(|((id, sender, rejected), (conversation, stamp), to)| {
        let (mut recipients, collapse, size) = to;
        recipients.sort_unstable();
        recipients.dedup();
        Step { id, sender, rejected, conversation, stamp, recipients, collapse, size }
    })
}

fn uuid(kind: u128, n: u8) -> Uuid {
    Uuid::from_u128(kind << 8 | u128::from(n))
}

fn received(step: &Step) -> Received {
    let server = ServerName::parse("us.example").unwrap();
    let message = StoredMessage {
        part: 0,
        sender: AccountId { uuid: uuid(2, step.sender), server },
        device: None,
        device_number: None,
        device_list_version: None,
        id: MessageId(uuid(1, step.id)),
        to: String::new(),
        conversation: ConversationId([step.conversation; 16]),
        stamp: Stamp(step.stamp),
        origin_number: step.stamp,
        class: Class::Message,
        collapse: step.collapse.map(|key| key.to_string()),
        expires: None,
        epoch: None,
        client_timestamp: Timestamp(0),
        accepted_at: Timestamp(0),
        body: BodyId([step.id; 16]),
    };
    let recipients = step.recipients.iter().map(|n| uuid(4, *n)).collect();
    let side = 1 + step.sender;
    Received { message, side, recipients, discard: false, size: step.size }
}

fn rejected(step: &Step) -> Rejected {
    let reason = RejectionReason::Refused;
    Rejected { sender: Some(uuid(2, step.sender)), id: uuid(1, step.id), reason }
}

/// A message by id and sender, the slot that it fills, and its size.
type Held = ((Uuid, Uuid), Option<Slot>, u64);

/// What the database holds.
#[derive(Debug, Default)]
struct Model {
    known: Known,
    rejected: Earlier,
    /// By account and cursor: the message's (id, sender), and the slot.
    inboxes: BTreeMap<(Uuid, Cursor), Held>,
    pointers: HashMap<(Uuid, Uuid), i64>,
}

impl Model {
    /// Takes a batch and writes what was decided.
    fn take(&mut self, messages: &[Received], refused: &[Rejected]) -> Receipt {
        let receipt = receive(self.known.clone(), &self.rejected, messages, refused);
        let plan = &receipt.plan;
        let of = |message: usize| &messages[plan.messages[message].submission].message;
        for (n, new) in plan.messages.iter().enumerate() {
            let message = of(n);
            let key = (message.id.0, message.sender.uuid);
            assert_eq!(self.pointers.insert(key, new.pointers), None, "written twice");
            let facts = Accepted {
                conversation: message.conversation,
                stamp: message.stamp,
                origin_number: message.origin_number,
                at: message.accepted_at,
                arrivals: Vec::new(),
            };
            let event = (message.id, message.sender.uuid);
            self.known.accepted.insert(event, facts);
            self.known.parts.entry(event).or_default().insert(message.part);
        }
        let slot = |message: &StoredMessage| {
            let key = message.collapse.clone()?;
            Some(Slot::Collapse(message.sender.uuid, message.conversation, key))
        };
        // Replaced entries go first, as the writes do.
        for entry in &plan.entries {
            let Some(slot) = slot(of(entry.message)) else { continue };
            let same = |(place, (_, other, _)): &(&(Uuid, Cursor), &Held)| {
                place.0 == entry.account && other.as_ref() == Some(&slot)
            };
            let gone = self.inboxes.iter().find(same).map(|(place, _)| *place);
            if let Some((event, ..)) = gone.and_then(|place| self.inboxes.remove(&place)) {
                *self.pointers.get_mut(&event).unwrap() -= 1;
            }
        }
        for entry in &plan.entries {
            let message = of(entry.message);
            let value = ((message.id.0, message.sender.uuid), slot(message), entry.size);
            assert_eq!(self.inboxes.insert((entry.account, entry.cursor), value), None);
        }
        for place in &receipt.rejected {
            let one = &refused[*place];
            let event = (one.id, one.sender.unwrap_or_default());
            assert_eq!(self.rejected.insert(event, one.reason), None);
        }
        for place in &receipt.full {
            let message = &messages[*place].message;
            let event = (message.id.0, message.sender.uuid);
            assert_eq!(self.rejected.insert(event, RejectionReason::QueueFull), None);
        }
        let told: HashMap<(Uuid, Uuid), RejectionReason> = (receipt.standing.iter())
            .map(|one| ((one.id, one.sender.unwrap_or_default()), one.reason))
            .collect();
        for one in messages {
            let event = (one.message.id.0, one.message.sender.uuid);
            assert_eq!(told.get(&event), self.rejected.get(&event), "taken, or told why not");
        }
        // The loads of the inboxes are those of the entries that are there.
        self.known.loads.clear();
        for ((account, _), (_, _, size)) in &self.inboxes {
            let load = self.known.loads.entry(*account).or_default();
            load.entries += 1;
            load.bytes += size;
            assert!(load.bytes <= limits::MAX_INBOX_BYTES, "more than fits");
        }
        for (id, state) in &plan.conversations {
            self.known.conversations.insert(*id, Conversation { stored: true, ..*state });
        }
        for (account, head) in &plan.inboxes {
            self.known.inboxes.insert(*account, Head { stored: true, ..*head });
        }
        receipt
    }

    /// Takes the steps, cut into envelopes of these sizes; gives every arrival.
    fn run(&mut self, steps: &[Step], sizes: &[usize]) -> Vec<((Uuid, Uuid), Vec<Arrival>)> {
        let (mut rest, mut all) = (steps, Vec::new());
        for size in sizes.iter().copied().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            let (refused, taken): (Vec<&Step>, Vec<&Step>) =
                now.iter().partition(|step| step.rejected);
            let messages: Vec<Received> = taken.into_iter().map(received).collect();
            let refused: Vec<Rejected> = refused.into_iter().map(rejected).collect();
            let receipt = self.take(&messages, &refused);
            assert_eq!(receipt.arrivals.len(), messages.len());
            let key = |one: &Received| (one.message.id.0, one.message.sender.uuid);
            all.extend(messages.iter().map(key).zip(receipt.arrivals));
        }
        all
    }
}

proptest! {
    /// Where envelopes are cut makes no difference to messages, as long as inboxes have room: an
    /// entry that is replaced fills its inbox until the end of the envelope.
    #[test]
    fn batches_are_taken_like_single_messages(
        steps in vec(step(), 1..40), sizes in vec(1..9_usize, 1..5),
    ) {
        let steps: Vec<Step> =
            steps.into_iter().map(|step| Step { rejected: false, size: 1, ..step }).collect();
        let (mut single, mut batched) = (Model::default(), Model::default());
        prop_assert_eq!(single.run(&steps, &[1]), batched.run(&steps, &sizes));
        prop_assert_eq!(single.inboxes, batched.inboxes);
        prop_assert_eq!(single.known.conversations, batched.known.conversations);
        prop_assert_eq!(single.pointers, batched.pointers);
    }

    /// Every event has one verdict; the first stands, and of one envelope the message.
    #[test]
    fn an_event_has_one_verdict(steps in vec(step(), 1..60), sizes in vec(1..9_usize, 1..5)) {
        let mut model = Model::default();
        let told = model.run(&steps, &sizes);
        let taken: HashSet<(Uuid, Uuid)> = model.pointers.keys().copied().collect();
        prop_assert!(!model.rejected.keys().any(|event| taken.contains(event)));
        let named: HashSet<(Uuid, Uuid)> =
            steps.iter().map(|step| (uuid(1, step.id), uuid(2, step.sender))).collect();
        prop_assert_eq!(taken.len() + model.rejected.len(), named.len());
        let mut seen = HashSet::new();
        for (event, arrivals) in told {
            prop_assert!(arrivals.is_empty() || (taken.contains(&event) && seen.insert(event)));
        }
    }

    /// Arrivals are a chain in every inbox, replaced ones included, and each message counts the
    /// entries that are left.
    #[test]
    fn rows_are_what_was_told(steps in vec(step(), 1..60), sizes in vec(1..9_usize, 1..5)) {
        let mut model = Model::default();
        let told = model.run(&steps, &sizes);
        let mut heads: HashMap<Uuid, Cursor> = HashMap::new();
        for arrival in told.iter().flat_map(|(_, arrivals)| arrivals) {
            let head = heads.insert(arrival.account, arrival.cursor).unwrap_or_default();
            prop_assert_eq!(arrival.previous, head);
            prop_assert_eq!(arrival.cursor.0, head.0 + 1);
        }
        for (account, head) in &heads {
            prop_assert_eq!(model.known.inboxes[account].last, head.0);
        }
        for (event, pointers) in &model.pointers {
            let entries = model.inboxes.values().filter(|(of, ..)| of == event).count();
            prop_assert_eq!(*pointers, i64::try_from(entries).unwrap());
        }
        let mut slots = HashSet::new();
        for ((account, _), (_, slot, _)) in &model.inboxes {
            prop_assert!(slot.is_none() || slots.insert((account, slot)), "one entry of a slot");
        }
    }

    /// A conversation's highest stamp is that of what took effect, its sides are those that spoke,
    /// and this region's numbers are its own.
    #[test]
    fn conversations_rise(steps in vec(step(), 1..60), own: u8, highest in 1..1_000_u64) {
        let before = Conversation {
            highest: Some(Stamp(highest)),
            last_number: u64::from(own),
            spoken: 0,
            stored: true,
        };
        let id = ConversationId([0; 16]);
        let mut model = Model::default();
        model.known.conversations.insert(id, before);
        model.run(&steps, &[1]);
        let (mut stamp, mut spoken, mut verdicts) = (Stamp(highest), 0, HashSet::new());
        for step in &steps {
            let is_first = verdicts.insert((step.id, step.sender));
            // Not what no inbox had room for.
            let taken = model.pointers.contains_key(&(uuid(1, step.id), uuid(2, step.sender)));
            if is_first && !step.rejected && taken && step.conversation == 0 {
                stamp = stamp.max(Stamp(step.stamp));
                spoken |= 1 + step.sender;
            }
        }
        let want = Conversation { highest: Some(stamp), spoken, ..before };
        prop_assert_eq!(model.known.conversations[&id], want);
    }
}
