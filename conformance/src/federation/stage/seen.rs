//! What arrived: at local users, at peers, and at bystanders.

use std::{collections::BTreeSet, sync::PoisonError, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        formats::records::Record,
        lanes::Uuid,
        peer::{Peer, parse_uuid, uuid_text},
        site::Received,
    },
    MESSAGES, Stage,
};
use crate::{
    identifiers::direct_conversation,
    person::{Person, message},
    verdict::{Failure, Verdict, differs, list, must_be, short, text},
};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

impl Stage {
    /// The messages and the other entries of a person's whole inbox.
    ///
    /// # Errors
    /// [`Failure`] if the server refuses.
    pub async fn inbox(&self, person: &Person) -> Verdict<(Vec<Value>, Vec<Value>)> {
        let (mut messages, mut events, mut since) = (Vec::new(), Vec::new(), "c0".to_owned());
        loop {
            let page = person.sync(&self.server, &format!("?since={since}&limit=1000")).await?;
            messages.extend_from_slice(list(&page, "messages")?);
            events.extend_from_slice(list(&page, "events")?);
            if page.get("has_more") != Some(&Value::Bool(true)) {
                return Ok((messages, events));
            }
            text(&page, "next_cursor")?.clone_into(&mut since);
        }
    }

    /// Messages of a sender with this id in a person's inbox.
    ///
    /// # Errors
    /// [`Failure`] if the server refuses.
    pub async fn found(&self, person: &Person, from: &str, id: Uuid) -> Verdict<Vec<Value>> {
        let (mut messages, _) = self.inbox(person).await?;
        let id = uuid_text(id);
        messages.retain(|message| {
            message.get("id").is_some_and(|value| *value == id.as_str())
                && message.get("from").is_some_and(|value| value == from)
        });
        Ok(messages)
    }

    /// Waits until a message arrived, which must be there once.
    ///
    /// # Errors
    /// [`Failure::Differs`] if it does not come, or came twice.
    pub async fn arrived(&self, person: &Person, from: &str, id: Uuid) -> Verdict<Value> {
        let deadline = Instant::now() + self.pace.patience;
        loop {
            let found = self.found(person, from, id).await?;
            match found.as_slice() {
                [one] => return Ok(one.clone()),
                [] if Instant::now() < deadline => sleep(LOOK).await,
                [] => return differs(format!("message {} did not arrive", uuid_text(id))),
                more => return differs(format!("a message arrived {} times", more.len())),
            }
        }
    }

    /// Waits for a status in a person's inbox that `wanted` accepts.
    ///
    /// # Errors
    /// [`Failure::Differs`] if none comes in time.
    pub async fn status(
        &self,
        person: &Person,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Verdict<Value> {
        let deadline = Instant::now() + self.pace.patience;
        loop {
            let (_, events) = self.inbox(person).await?;
            if let Some(found) = events.iter().rev().find(|event| wanted(event)) {
                return Ok(found.clone());
            }
            if Instant::now() >= deadline {
                let last = events.last().map(short).unwrap_or_default();
                return differs(format!("{what} did not come; the last entry is {last}"));
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until `peer` received an event that `wanted` accepts.
    ///
    /// # Errors
    /// [`Failure::Differs`] if none comes in time.
    pub async fn received(
        &self,
        peer: &Peer,
        what: &str,
        wanted: impl Fn(&Received) -> bool,
    ) -> Verdict<Received> {
        let deadline = Instant::now() + self.pace.patience;
        loop {
            let found = peer.state().received.iter().find(|one| wanted(one)).cloned();
            if let Some(found) = found {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return differs(format!("{} did not receive {what}", peer.name));
            }
            sleep(LOOK).await;
        }
    }

    /// Another peer and a local user must be served, as if nothing happened.
    ///
    /// # Errors
    /// [`Failure::Differs`] if they are not.
    pub async fn bystanders(&self) -> Verdict {
        let told = |who: &'static str| {
            move |failure: Failure| Failure::Differs(format!("afterwards {who}: {failure}"))
        };
        self.witness_is_served().await.map_err(told("another peer is not served"))?;
        self.locals_are_served().await.map_err(told("a local user is not served"))
    }

    async fn witness_is_served(&self) -> Verdict {
        let (alice, witness) = (self.alice()?, &self.roles.witness);
        let enclosed = self.message(witness, alice, "still there?");
        let id = enclosed.id;
        self.send(witness, MESSAGES, &[Record::Event(enclosed)]).await?;
        self.arrived(alice, &witness.account(), id).await.map(drop)
    }

    async fn locals_are_served(&self) -> Verdict {
        let (alice, bob) = (self.alice()?, self.bob()?);
        let id = self.server.fresh_uuid();
        alice.post(&self.server, &message(&id, &bob.account, "bG9jYWw=")).await?;
        self.local.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        self.arrived(bob, &alice.account, parse_uuid(&id)).await.map(drop)
    }

    /// What the local users wrote must be there, once and in order, and nothing else between them.
    ///
    /// # Errors
    /// [`Failure::Differs`] if it is not.
    pub async fn local_conversation_is_intact(&self) -> Verdict {
        let (alice, bob) = (self.alice()?, self.bob()?);
        let conversation = direct_conversation(&alice.account, &bob.account);
        let (messages, mut events) = self.inbox(bob).await?;
        events.extend(self.inbox(alice).await?.1);
        let of_the_pair = |value: &&Value| {
            value.get("conversation_id").is_some_and(|id| *id == conversation.as_str())
        };
        let ids = messages.iter().filter(of_the_pair).filter_map(|message| message.get("id"));
        let ids: Vec<_> = ids.filter_map(Value::as_str).map(str::to_owned).collect();
        let written = self.local.lock().unwrap_or_else(PoisonError::into_inner).clone();
        must_be("the number of local messages", &ids.len(), &written.len())?;
        must_be("the local conversation", &ids, &written)?;
        let strangers: BTreeSet<_> = events
            .iter()
            .filter(of_the_pair)
            .filter_map(|event| event.get("user").and_then(Value::as_str))
            .filter(|user| !user.ends_with(&format!("@{}", self.subject.server)))
            .collect();
        must_be("strangers in the local conversation", &strangers, &BTreeSet::new())?;
        // Neither of the two ever read a thing: who says so made it up.
        let read = |event: &&Value| event.get("status").is_some_and(|status| status == "read");
        let read = events.iter().filter(of_the_pair).filter(read).count();
        must_be("`read` in the local conversation", &read, &0)
    }
}
