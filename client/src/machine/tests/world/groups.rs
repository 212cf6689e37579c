//! What devices do in groups, and what they are sent of them.

use posthouse_crypto::e2ee::secret::Secret;
use posthouse_protocol::id::{Address, GroupId};

use super::*;
use crate::{machine::Leaving, records::Group};

impl Device {
    /// A submission to a group as this device is sent it, with this epoch; `None` if nothing of
    /// it is for this device.
    pub(in crate::machine::tests) fn as_delivered_to_group(
        &mut self,
        from: &AccountId,
        frame: &str,
        epoch: u64,
    ) -> Option<String> {
        let mut sent: serde_json::Value = serde_json::from_str(frame).unwrap();
        let own = json!(self.account.id);
        if let Some(all) = sent["content"]["ciphertexts"].as_array_mut() {
            all.retain(|one| one["user"] == own);
            if all.is_empty() {
                return None;
            }
        }
        self.cursor += 1;
        let group = submission(frame).to;
        let Address::Group(group) = group else { panic!("{group:?}") };
        let mut delivered = json!({"type": "message", "id": sent["id"], "from": from,
            "from_device": 1, "conversation_id": ConversationId::group(&group),
            "content": sent["content"], "timestamp": START, "server_timestamp": START,
            "stamp": ((START << 16) + self.cursor).to_string(), "epoch": epoch,
            "cursor": format!("c{}", self.cursor), "origin_number": self.cursor});
        if let Some(class) = sent.get("class") {
            delivered["class"] = class.clone();
        }
        Some(delivered.to_string())
    }

    /// Queues a text to a group.
    pub(in crate::machine::tests) async fn say_in(
        &mut self,
        group: &GroupId,
        text: &str,
    ) -> Outcome {
        let (machine, store) = (self.machine.as_mut().unwrap(), &self.store);
        let mut step = machine.begin(store, Timestamp(self.now), &mut self.rng);
        let body = Body::Text { text: text.to_owned() };
        let outgoing = Outgoing::new(group.clone().into(), body);
        step.say(outgoing).await.unwrap().unwrap();
        let effects = step.finish().await.unwrap();
        self.outcome(effects).await
    }

    /// Hands the key of a group's title to somebody.
    pub(in crate::machine::tests) async fn hand_title(
        &mut self,
        group: &GroupId,
        to: AccountId,
    ) -> Outcome {
        self.wish(Wish::Title(group.clone(), Secret::new([7; 32]), vec![to])).await
    }

    /// Its application's call to leave a group has come so far.
    pub(in crate::machine::tests) async fn leave(
        &mut self,
        group: &GroupId,
        leaving: Leaving,
    ) -> Outcome {
        self.wish(Wish::Leave(group.clone(), leaving)).await
    }

    /// What is kept of a group.
    pub(in crate::machine::tests) async fn group(&self, group: &GroupId) -> Group {
        let key = ConversationId::group(group).0;
        Tx::new(&self.store).read(Table::Groups, &key).await.unwrap().unwrap()
    }
}
