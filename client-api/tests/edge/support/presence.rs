//! Everybody that is watched is online, and everybody that is asked about is away.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use posthouse_client_api::{
    mailbox::{Frame, Mailbox},
    ports::{Caller, Presence},
};
use posthouse_protocol::{
    frame::{Presence as PresenceKind, PresenceFrame, PresenceUpdate},
    id::Address,
    problem::{Code, Rejection},
    time::Timestamp,
};

use super::Home;

#[async_trait]
impl Presence for Home {
    async fn update(&self, _: &Caller, update: PresenceUpdate) -> Result<(), Rejection> {
        self.state().presence.push(update);
        Ok(())
    }

    async fn subscribe(
        &self,
        _: &Caller,
        mailbox: &Arc<Mailbox>,
        users: Vec<Address>,
    ) -> Result<(), Rejection> {
        for user in &users {
            let Address::Account(user_id) = user else {
                return Err(Rejection::new(Code::UnknownUser, "no such user"));
            };
            let frame = PresenceFrame {
                user_id: user_id.clone(),
                status: PresenceKind::Online,
                last_seen: Some(Timestamp(1_705_234_567_890)),
                expires_in: None,
            };
            mailbox.push(Frame::from(frame.to_json()));
        }
        self.state().watched.extend(users);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: &Caller,
        _: &Arc<Mailbox>,
        users: Vec<Address>,
    ) -> Result<(), Rejection> {
        self.state().watched.retain(|one| !users.contains(one));
        Ok(())
    }

    async fn query(
        &self,
        _: &Caller,
        users: Vec<Address>,
    ) -> Result<Vec<PresenceFrame>, Rejection> {
        let account = |user| match user {
            Address::Account(id) => Some(id),
            _ => None,
        };
        let frame = |user_id| PresenceFrame {
            user_id,
            status: PresenceKind::Away,
            last_seen: None,
            expires_in: None,
        };
        Ok(users.into_iter().filter_map(account).map(frame).collect())
    }

    fn is_watched(&self, _: &Caller) -> bool {
        self.is_watched.load(Ordering::SeqCst)
    }
}
