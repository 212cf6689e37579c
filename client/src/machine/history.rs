//! The history of an account on its way to a device that was let in: through the account's own
//! sessions, in pieces that the new device asks for.
//!
//! The giving device keeps nothing but whom it let in: each request names the position behind
//! which it is to go on. The new device moves its position with what it takes over, in one
//! transaction. So it does not matter which of the two stops when.

use posthouse_crypto::e2ee::{
    content::{
        Body, Content,
        history::{HistoryChunk, HistoryStep, MAX_HISTORY_BYTES},
    },
    time::UnixMillis,
};
use posthouse_protocol::{
    content::Ciphertext,
    frame::Class,
    id::{ConversationId, DeviceNumber, RegistrationId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{
    Step,
    past::{Position, count, page},
};
use crate::{
    Message,
    message_id::message_id,
    records::{Bytes, Queued, own},
    store::{StoreError, Table, Tx},
    update::Update,
};

/// Pieces of one answer.
const ANSWER: usize = 8;
/// Milliseconds after which a piece that did not come is asked for again; each time twice as long,
/// an hour at most.
const PATIENCE: u64 = 60_000;
const MAX_PATIENCE: u64 = 60 * 60_000;
/// A newer request of a device replaces an older one that is still waiting: the key begins so.
const COLLAPSE: &str = "history-";

/// How far the history of this new device has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Receiving {
    /// The device that gives it, once one has answered.
    from: Option<DeviceNumber>,
    /// The position behind what came.
    after: Option<Bytes>,
    /// Requests in a row without an answer.
    tries: u32,
    /// When the next request is due.
    due: Timestamp,
    done: bool,
}

/// A device that this one let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LetIn {
    device: DeviceNumber,
    registration_id: RegistrationId,
    /// Messages in all, once they were counted.
    of: Option<u64>,
}

/// When the next request is due for a device that starts: at once, since the last one, or its answer,
/// may have been lost with the process. One that comes twice is answered once more.
pub(super) async fn due(tx: &Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    let record = tx.read::<Receiving>(Table::Own, own::HISTORY).await?;
    Ok(record.filter(|record| !record.done).map(|_| Timestamp(0)))
}

impl Step<'_> {
    /// This device lets another one in, which may have the history then.
    pub(super) async fn let_in(
        &mut self,
        device: DeviceNumber,
        registration_id: RegistrationId,
    ) -> Result<(), StoreError> {
        let mut all = self.all_let_in().await?;
        all.retain(|one| one.device != device);
        all.push(LetIn { device, registration_id, of: None });
        self.tx.write(Table::Own, own::LET_IN.to_vec(), &all);
        Ok(())
    }

    async fn all_let_in(&self) -> Result<Vec<LetIn>, StoreError> {
        Ok(self.tx.read(Table::Own, own::LET_IN).await?.unwrap_or_default())
    }

    /// Asks for the next piece, if that is due.
    pub(super) async fn ask_for_history(&mut self) -> Result<(), StoreError> {
        let is_due = self.machine.history_due.is_some_and(|due| due <= self.now);
        if !is_due || !self.machine.online {
            return Ok(());
        }
        match self.tx.read::<Receiving>(Table::Own, own::HISTORY).await? {
            Some(record) if !record.done => self.request(record),
            _ => self.machine.history_due = None,
        }
        Ok(())
    }

    fn request(&mut self, mut record: Receiving) {
        let after = record.after.as_ref().map(|after| after.0.to_vec());
        self.queue_history(HistoryStep::Request { after }, record.from);
        let pause = PATIENCE.checked_shl(record.tries).unwrap_or(MAX_PATIENCE).min(MAX_PATIENCE);
        record.tries = record.tries.saturating_add(1).min(16);
        record.due = self.now.plus_millis(pause);
        self.machine.history_due = Some(record.due);
        self.tx.write(Table::Own, own::HISTORY.to_vec(), &record);
    }

    /// A step of the history, from another own device.
    pub(super) async fn on_history(
        &mut self,
        message: &Message,
        step: &HistoryStep,
    ) -> Result<(), StoreError> {
        let Some(device) = message.from_device else { return Ok(()) };
        match step {
            HistoryStep::Nothing => Ok(()),
            HistoryStep::Request { after } => self.answer(device, after.as_deref()).await,
            HistoryStep::Chunk(chunk) => self.take_chunk(device, chunk).await,
        }
    }

    /// Answers a device that this one let in, and no other.
    async fn answer(
        &mut self,
        device: DeviceNumber,
        after: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let own = self.own();
        let Some(list) = self.person(&own).await?.verified_list(&own) else { return Ok(()) };
        let listed = list.as_list().devices.iter().find(|(n, _)| n.get() == device.get());
        let mut all = self.all_let_in().await?;
        let fits = |one: &&mut LetIn| {
            let id = one.registration_id.get();
            one.device == device && listed.is_some_and(|(_, listed)| listed.registration_id == id)
        };
        let Some(let_in) = all.iter_mut().find(fits) else { return Ok(()) };
        // A whole answer is on its way already. Less of one may be the rest of an earlier one,
        // whose acknowledgement was lost.
        let lane = self.machine.lanes.get(ConversationId::direct(&own, &own));
        if lane.is_some_and(|lane| lane.items.len() >= ANSWER) {
            return Ok(());
        }
        let of = match let_in.of {
            Some(of) => of,
            None => count(&self.tx).await?,
        };
        let_in.of = Some(of);
        self.tx.write(Table::Own, own::LET_IN.to_vec(), &all);
        let mut at = match after.map(Position::from_bytes) {
            None => Position::default(),
            Some(Some(position)) => position,
            // Not one of this device.
            Some(None) => return Ok(()),
        };
        let mut asked = after.map(<[u8]>::to_vec);
        for number in 1..=ANSWER {
            let (items, next) = page(&self.tx, &own, at, MAX_HISTORY_BYTES).await?;
            let (is_last, messages) = match &next {
                Some(next) => (false, next.messages),
                None => (true, of),
            };
            let next_bytes = next.as_ref().map(Position::to_bytes);
            let chunk = HistoryChunk {
                after: asked,
                next: next_bytes.clone(),
                ends: is_last || number == ANSWER,
                messages,
                of: of.max(messages),
                items,
            };
            self.queue_history(HistoryStep::Chunk(chunk), Some(device));
            if is_last || number == ANSWER {
                let (device, of) = (device.get(), of.max(messages));
                self.tell(&Update::HistorySent { device, messages, of, done: is_last });
            }
            let Some(next) = next else { return Ok(()) };
            (at, asked) = (next, next_bytes);
        }
        Ok(())
    }

    async fn take_chunk(
        &mut self,
        device: DeviceNumber,
        chunk: &HistoryChunk,
    ) -> Result<(), StoreError> {
        let record = self.tx.read::<Receiving>(Table::Own, own::HISTORY).await?;
        let Some(mut record) = record.filter(|record| !record.done) else { return Ok(()) };
        let expected = record.after.as_ref().map(|after| after.0.as_slice());
        // Another device answers too, or this piece came before.
        if record.from.is_some_and(|from| from != device) || chunk.after.as_deref() != expected {
            return Ok(());
        }
        for item in &chunk.items {
            self.take_over(item).await?;
        }
        record.from = Some(device);
        record.tries = 0;
        record.done = chunk.next.is_none();
        record.after = chunk.next.clone().map(|next| Bytes(next.into()));
        record.due = self.now.plus_millis(PATIENCE);
        self.machine.history_due = (!record.done).then_some(record.due);
        self.tx.write(Table::Own, own::HISTORY.to_vec(), &record);
        let (messages, of, done) = (chunk.messages, chunk.of, record.done);
        self.tell(&Update::History { messages, of, done });
        if chunk.ends && !done {
            self.request(record);
        }
        Ok(())
    }

    /// Queues a step, for one own other device or all of them.
    fn queue_history(&mut self, step: HistoryStep, only: Option<DeviceNumber>) {
        let is_request = matches!(step, HistoryStep::Request { .. });
        let content = Content::new(UnixMillis(self.now.0), None, Body::History(step));
        // A chunk keeps to its bounds.
        let Ok(padded) = content.to_padded_bytes() else { return };
        let id = message_id(self.now, self.rng);
        let to = self.own();
        let collapse =
            is_request.then(|| format!("{COLLAPSE}{}", self.machine.account.device.get()));
        let queued =
            Queued { collapse, only, ..Queued::new(id, to.into(), Class::Control, self.now) };
        self.enqueue_content(&queued, padded);
    }

    /// Encrypts a step for the own other devices; those that it is not for get nothing in its
    /// place, since the homeserver wants something for each.
    pub(super) async fn seal_for_own(
        &mut self,
        queued: &Queued,
        padded: &[u8],
    ) -> Result<Option<Vec<Ciphertext>>, StoreError> {
        let own = self.own();
        let targets = match self.targets(&own).await? {
            Ok(targets) => targets,
            Err(lack) => {
                self.provide(ConversationId::direct(&own, &own), lack);
                return Ok(None);
            }
        };
        let (meant, others) = targets.split(queued.only);
        if meant.is_empty() {
            // The device is gone.
            self.fail(queued.id, "no_device").await?;
            return Ok(None);
        }
        let nothing = self.nothing()?;
        let mut sealed = Vec::new();
        let lack = match self.encrypt(&own, Some(&own), meant, padded, &mut sealed) {
            None => self.encrypt(&own, Some(&own), others, &nothing, &mut sealed),
            lack => lack,
        };
        if let Some(lack) = lack {
            self.provide(ConversationId::direct(&own, &own), lack);
            return Ok(None);
        }
        Ok(Some(sealed))
    }
}
