//! People of the homeserver in memory: it keeps nothing, and shows what it was asked.

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, ListRange, People};
use posthouse_protocol::{
    id::{AccountId, Address, ConversationId},
    problem::{Code, Rejection},
    rest::{
        BlockInfo, Blocks, ContactInfo, Contacts, ConversationInfo, Conversations, FileReport,
        Label, Privacy, Profile, PutProfile, ReportFiled, RequestInfo, Requests,
    },
    time::{Stamp, Timestamp},
};

use super::home::Home;

/// One conversation, with the caller itself, before the place that was asked for.
pub(super) fn conversations(
    caller: &Caller,
    before: Option<(Stamp, ConversationId)>,
    limit: usize,
) -> Conversations {
    let last_stamp = before.map_or(Stamp(5), |(stamp, _)| Stamp(stamp.0.saturating_sub(1)));
    let conversation_id = ConversationId::direct(&caller.account, &caller.account);
    let one = ConversationInfo {
        conversation_id,
        with: caller.account.to_string(),
        last_activity: last_stamp.time(),
        last_stamp,
    };
    let next = (limit == 1).then(|| format!("{last_stamp}.{conversation_id}"));
    Conversations { conversations: vec![one], next }
}

fn account(caller: &Caller, user: Address) -> Result<AccountId, Rejection> {
    match user {
        Address::Account(id) => Ok(id),
        Address::Handle(handle) if handle.name.as_str() == "bob" => Ok(caller.account.clone()),
        _ => Err(Rejection::new(Code::UnknownUser, "no such user")),
    }
}

#[async_trait]
impl People for Home {
    async fn contacts(&self, caller: &Caller, range: ListRange) -> Result<Contacts, Rejection> {
        let who = caller.account.clone();
        let next = (range.limit == 1).then(|| who.clone());
        let contact = ContactInfo { account_id: who, label: None, added_at: Timestamp(1) };
        let contacts = if range.after.is_some() { vec![] } else { vec![contact] };
        Ok(Contacts { contacts, next })
    }

    async fn put_contact(
        &self,
        caller: &Caller,
        user: Address,
        _: Option<Label>,
    ) -> Result<(), Rejection> {
        account(caller, user).map(drop)
    }

    async fn remove_contact(&self, caller: &Caller, user: Address) -> Result<(), Rejection> {
        account(caller, user).map(drop)
    }

    async fn blocks(&self, caller: &Caller, _: ListRange) -> Result<Blocks, Rejection> {
        let blocked = BlockInfo { account_id: caller.account.clone(), blocked_at: Timestamp(1) };
        Ok(Blocks { blocks: vec![blocked], next: None })
    }

    async fn block(&self, caller: &Caller, user: Address) -> Result<(), Rejection> {
        account(caller, user).map(drop)
    }

    async fn unblock(&self, caller: &Caller, user: Address) -> Result<(), Rejection> {
        account(caller, user).map(drop)
    }

    async fn requests(&self, caller: &Caller, _: ListRange) -> Result<Requests, Rejection> {
        let request = RequestInfo {
            account_id: caller.account.clone(),
            conversation_id: ConversationId([7; 16]),
            requested_at: Timestamp(1),
        };
        Ok(Requests { requests: vec![request], next: None })
    }

    async fn answer_request(
        &self,
        caller: &Caller,
        user: Address,
        _: bool,
    ) -> Result<(), Rejection> {
        account(caller, user).map(drop)
    }

    async fn privacy(&self, _: &Caller) -> Result<Privacy, Rejection> {
        Ok(Privacy::default())
    }

    async fn set_privacy(&self, _: &Caller, _: Privacy) -> Result<(), Rejection> {
        Ok(())
    }

    async fn profile(&self, caller: &Caller, user: Address) -> Result<Profile, Rejection> {
        let account_id = account(caller, user)?;
        let (name, about, avatar) = (None, None, None);
        Ok(Profile { account_id, version: 0, name, about, avatar, updated_at: None })
    }

    async fn put_profile(&self, caller: &Caller, put: PutProfile) -> Result<Profile, Rejection> {
        let PutProfile { replaces, name, about, avatar } = put;
        let account_id = caller.account.clone();
        let version = replaces.saturating_add(1);
        Ok(Profile { account_id, version, name, about, avatar, updated_at: Some(Timestamp(1)) })
    }

    async fn report(
        &self,
        caller: &Caller,
        user: Address,
        _: FileReport,
    ) -> Result<ReportFiled, Rejection> {
        account(caller, user)?;
        Ok(ReportFiled { report_id: "01890a5d-ac96-774b-bcce-b302099a8057".into() })
    }
}
