//! Properties of the decisions, and a model of what the database would hold.

use posthouse_protocol::{
    frame::Class,
    id::{AccountId, ServerName},
    time::Timestamp,
};
use posthouse_storage::{bodies::BodyId, ledger::Destination, outbox::lane_of};
use proptest::{collection::vec, option, prelude::*};

use super::*;

const START: u64 = 1_800_000_000_000;

/// A submission, in small numbers so that they meet each other.
#[derive(Debug, Clone)]
struct Step {
    id: u8,
    sender: u8,
    device: u8,
    conversation: u8,
    prev: Option<u8>,
    /// What the client has seen: of the stamps given out so far, or one that nobody knows.
    after: Option<u8>,
    recipients: Vec<u8>,
    regions: Vec<u8>,
    collapse: Option<bool>,
    clock: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let ids = (0..24_u8, 0..2_u8, 0..3_u8, 0..3_u8);
    let refs = (option::weighted(0.4, 0..24_u8), option::weighted(0.3, 0..30_u8));
    let to = (vec(0..4_u8, 0..4), vec(0..2_u8, 0..2), option::weighted(0.3, any::<bool>()));
    (ids, refs, to, 0..5_u8).prop_map(|(ids, refs, to, clock)| {
        let ((id, sender, device, conversation), (prev, after)) = (ids, refs);
        let (mut recipients, mut regions, collapse) = to;
        recipients.sort_unstable();
        recipients.dedup();
        regions.dedup();
        Step { id, sender, device, conversation, prev, after, recipients, regions, collapse, clock }
    })
}

fn uuid(kind: u128, n: u8) -> Uuid {
    Uuid::from_u128(kind << 8 | u128::from(n))
}

fn message_id(n: u8) -> MessageId {
    MessageId(uuid(1, n))
}

fn accept(step: &Step, known_stamps: &[Stamp]) -> Accept {
    let server = ServerName::parse("eu.example").unwrap();
    let region = |n: &u8| ServerName::parse(&format!("r{n}.example")).unwrap();
    Accept {
        part: 0,
        sender: AccountId { uuid: uuid(2, step.sender), server },
        device: DeviceId(uuid(3, step.device)),
        device_number: posthouse_protocol::id::DeviceNumber::FIRST,
        id: message_id(step.id),
        conversation: ConversationId([step.conversation; 16]),
        side: 1 + step.sender,
        prev: step.prev.map(message_id),
        after: step.after.map(|n| match known_stamps.get(usize::from(n)) {
            Some(stamp) => *stamp,
            None => Stamp(u64::MAX >> 1),
        }),
        recipients: step.recipients.iter().map(|n| uuid(4, *n)).collect(),
        discard: false,
        destinations: step
            .regions
            .iter()
            .map(|n| Destination { server: region(n), recipients: Vec::new() })
            .collect(),
        to: String::new(),
        class: Class::Message,
        collapse: step.collapse.map(|key| key.to_string()),
        expires: None,
        epoch: None,
        device_list_version: None,
        client_timestamp: Timestamp(0),
        now: Timestamp(START + u64::from(step.clock)),
        body: BodyId([step.id; 16]),
        size: u64::from(step.id),
    }
}

/// What the database knows after a plan was written.
fn store(known: &mut Known, plan: &Plan, batch: &[Accept]) {
    for (accept, outcome) in batch.iter().zip(&plan.outcomes) {
        if let Outcome::Accepted(accepted) = outcome {
            let facts = Accepted { arrivals: Vec::new(), ..accepted.clone() };
            known.accepted.insert((accept.id, accept.sender.uuid), facts);
            known.parts.entry((accept.id, accept.sender.uuid)).or_default().insert(accept.part);
        }
    }
    for (id, state) in &plan.conversations {
        known.conversations.insert(*id, Conversation { stored: true, ..*state });
    }
    known.marks.extend(plan.marks.iter().copied());
    for (account, head) in &plan.inboxes {
        known.inboxes.insert(*account, Head { stored: true, ..*head });
    }
    for (region, head) in &plan.outboxes {
        known.outboxes.insert(region.clone(), Head { stored: true, ..*head });
    }
}

/// Plans the steps in batches of these sizes, one after the other.
fn run(steps: &[Step], sizes: &[usize]) -> (Vec<Accept>, Vec<Plan>) {
    let (mut known, mut stamps) = (Known::default(), Vec::new());
    let (mut all, mut plans) = (Vec::new(), Vec::new());
    let mut rest = steps;
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
        rest = later;
        let batch: Vec<Accept> = now.iter().map(|step| accept(step, &stamps)).collect();
        let plan = plan(known.clone(), &batch);
        store(&mut known, &plan, &batch);
        stamps.extend(plan.messages.iter().map(|message| message.stamp));
        all.extend(batch);
        plans.push(plan);
    }
    (all, plans)
}

fn outcomes(plans: &[Plan]) -> Vec<Outcome> {
    plans.iter().flat_map(|plan| plan.outcomes.clone()).collect()
}

proptest! {
    /// Where commits are cut makes no difference to anybody. (`after` is left out: what the steps
    /// know depends on the cuts.)
    #[test]
    fn batches_decide_like_single_commits(
        steps in vec(step(), 1..40), sizes in vec(1..9_usize, 1..5),
    ) {
        let steps: Vec<Step> =
            steps.into_iter().map(|step| Step { after: None, ..step }).collect();
        let (_, single) = run(&steps, &[1]);
        let (_, batched) = run(&steps, &sizes);
        prop_assert_eq!(outcomes(&single), outcomes(&batched));
    }

    /// Each conversation counts 1, 2, 3, …, and its stamps rise with the numbers and lie behind
    /// what the sender had seen and not before the clock.
    #[test]
    fn numbers_are_dense_and_stamps_causal(
        steps in vec(step(), 1..60), sizes in vec(1..9_usize, 1..5),
    ) {
        let (batch, plans) = run(&steps, &sizes);
        let mut last: HashMap<ConversationId, (u64, Stamp)> = HashMap::default();
        for (accept, outcome) in batch.iter().zip(outcomes(&plans)) {
            let Outcome::Accepted(accepted) = outcome else { continue };
            let (number, stamp) = last.get(&accept.conversation).copied().unwrap_or_default();
            prop_assert_eq!(accepted.origin_number, number + 1);
            prop_assert!(accepted.stamp > stamp);
            prop_assert!(accept.after.is_none_or(|after| accepted.stamp > after));
            prop_assert!(accepted.stamp >= Stamp::at(accept.now));
            last.insert(accept.conversation, (accepted.origin_number, accepted.stamp));
        }
    }

    /// An id is accepted once, and every repetition gets those facts; what is refused stays free.
    #[test]
    fn an_id_is_accepted_once(steps in vec(step(), 1..60), sizes in vec(1..9_usize, 1..5)) {
        let (batch, plans) = run(&steps, &sizes);
        let mut first: HashMap<(MessageId, Uuid), Accepted> = HashMap::default();
        for (accept, outcome) in batch.iter().zip(outcomes(&plans)) {
            let key = (accept.id, accept.sender.uuid);
            match outcome {
                Outcome::Accepted(accepted) => {
                    let facts = Accepted { arrivals: Vec::new(), ..accepted };
                    prop_assert_eq!(first.insert(key, facts), None);
                }
                Outcome::Repeated(repeated) => prop_assert_eq!(first.get(&key), Some(&repeated)),
                Outcome::Refused(_) => prop_assert!(!first.contains_key(&key)),
            }
        }
    }

    /// `prev` is compared with the device's last accepted message, so that whatever names a refused
    /// message as its `prev` is refused too.
    #[test]
    fn nothing_overtakes_a_refused_message(
        steps in vec(step(), 1..60), sizes in vec(1..9_usize, 1..5),
    ) {
        let (batch, plans) = run(&steps, &sizes);
        let mut marks: HashMap<(DeviceId, ConversationId), MessageId> = HashMap::default();
        for (accept, outcome) in batch.iter().zip(outcomes(&plans)) {
            let mark = marks.get(&(accept.device, accept.conversation)).copied();
            let follows = accept.prev.is_none() || accept.prev == mark;
            match outcome {
                Outcome::Accepted(_) => {
                    prop_assert!(follows);
                    marks.insert((accept.device, accept.conversation), accept.id);
                }
                Outcome::Refused(Refusal::OutOfOrder) => prop_assert!(!follows),
                Outcome::Refused(Refusal::AfterUnknown) => prop_assert!(accept.after.is_some()),
                Outcome::Refused(Refusal::QueueFull) => prop_assert!(false, "far from full"),
                Outcome::Refused(Refusal::NothingToSupplement | Refusal::Overtaken) => {
                    prop_assert!(false, "there are no supplements");
                }
                Outcome::Repeated(_) => {}
            }
        }
    }

    /// Arrivals are a chain in every inbox, intents in every outbox; the rows written are those of
    /// the answers less what a later one of the batch replaces; each message counts its pointers.
    #[test]
    fn rows_are_what_was_answered(steps in vec(step(), 1..60), sizes in vec(1..9_usize, 1..5)) {
        let (batch, plans) = run(&steps, &sizes);
        let mut heads: HashMap<Uuid, Cursor> = HashMap::default();
        let mut numbers: HashMap<(ServerName, Lane), u64> = HashMap::default();
        let mut batch = &batch[..];
        for plan in &plans {
            let (now, later) = batch.split_at(plan.outcomes.len());
            batch = later;
            let mut pointers = vec![0; plan.messages.len()];
            let mut accepted = Vec::new();
            for outcome in &plan.outcomes {
                let Outcome::Accepted(facts) = outcome else { continue };
                for arrival in &facts.arrivals {
                    let head = heads.insert(arrival.account, arrival.cursor).unwrap_or_default();
                    prop_assert_eq!(arrival.previous, head);
                    prop_assert_eq!(arrival.cursor.0, head.0 + 1);
                    accepted.push((arrival.account, arrival.cursor));
                }
            }
            for entry in &plan.entries {
                prop_assert!(accepted.contains(&(entry.account, entry.cursor)));
                pointers[entry.message] += 1;
            }
            // Whatever was answered and not written is replaced by a later entry of its inbox.
            let written = |account: &Uuid, cursor: &Cursor| {
                plan.entries.iter().find(|e| e.account == *account && e.cursor == *cursor)
            };
            for (account, cursor) in &accepted {
                let later = || plan.entries.iter().any(|entry| {
                    entry.account == *account && entry.cursor > *cursor && entry.slot.is_some()
                });
                prop_assert!(written(account, cursor).is_some() || later());
            }
            for intent in &plan.intents {
                let accept = &now[plan.messages[intent.message].submission];
                let region = &accept.destinations[intent.destination].server;
                let last = numbers.entry((region.clone(), lane_of(accept.class))).or_default();
                *last += 1;
                prop_assert_eq!(intent.index, *last);
                pointers[intent.message] += 1;
            }
            let counted: Vec<i64> = plan.messages.iter().map(|m| m.pointers).collect();
            prop_assert_eq!(counted, pointers);
            for (account, head) in &plan.inboxes {
                prop_assert_eq!(heads.get(account), Some(&Cursor(head.last)));
            }
            prop_assert!(plan.inboxes.is_sorted_by(|a, b| a.0 < b.0), "locked in one order");
            prop_assert!(plan.conversations.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}

/// The last place is given away, and no more.
#[test]
fn an_inbox_has_so_many_entries_and_no_more() {
    let step = Step {
        id: 1,
        sender: 0,
        device: 0,
        conversation: 0,
        prev: None,
        after: None,
        recipients: vec![1],
        regions: Vec::new(),
        collapse: None,
        clock: 0,
    };
    let one = accept(&step, &[]);
    let two = Accept { id: message_id(2), ..one.clone() };
    let mut known = Known::default();
    let load = Load { entries: posthouse_protocol::limits::MAX_INBOX_ENTRIES - 1, bytes: 0 };
    known.loads.insert(uuid(4, 1), load);
    let plan = plan(known, &[one, two]);
    assert!(matches!(plan.outcomes[0], Outcome::Accepted(_)));
    assert_eq!(plan.outcomes[1], Outcome::Refused(Refusal::QueueFull));
    assert_eq!(plan.entries.len(), 1);
}
