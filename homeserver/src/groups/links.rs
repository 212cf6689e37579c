//! Invite links: whoever has one may ask to join, and an admin adds them or does not.

use posthouse_client_api::ports::Caller;
use posthouse_protocol::{
    federation::query::groups::{GroupAct, GroupAnswer, GroupOutcome, GroupQuestion},
    frame::{Changed, ServerFrame},
    id::{AccountId, GroupId, ServerName},
    limits,
    problem::{Code, Rejection},
    rest::{
        Secret,
        groups::{
            CreateGroupLink, GroupLinkCreated, GroupLinkInfo, GroupLinks, JoinRequest,
            JoinRequests, Standing,
        },
    },
};
use posthouse_storage::groups::{GroupLink, Grown};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    GroupsService,
    abroad::reason,
    book::{Known, no_such_group},
};
use crate::accounts::store_failed;

/// Random bytes of a code.
const CODE_BYTES: usize = 16;

impl GroupsService {
    pub(super) async fn make_link(
        &self,
        caller: &Caller,
        group: &GroupId,
        link: CreateGroupLink,
    ) -> Result<GroupLinkCreated, Rejection> {
        self.admin_of(caller, group).await?;
        let seconds = link.expires_in.unwrap_or(limits::MAX_GROUP_LINK_SECONDS);
        if !(1..=limits::MAX_GROUP_LINK_SECONDS).contains(&seconds) {
            let detail = format!("`expires_in` is 1 to {}", limits::MAX_GROUP_LINK_SECONDS);
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        let now = self.clock.now();
        let code: [u8; CODE_BYTES] = self.random.bytes();
        let mut code = code.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        // Whoever shows it elsewhere has to find the region that knows it.
        if group.server != self.own {
            code = format!("{code}@{}", self.own);
        }
        let link = GroupLink {
            id: self.random.uuid(),
            made_by: caller.account.clone(),
            expires_at: now.plus_millis(seconds * 1000),
        };
        let most = limits::MAX_GROUP_LINKS;
        let put = self.book.store().put_group_link(group, &link, (&hash(&code), most), now).await;
        match put.map_err(|err| store_failed(&err))? {
            Grown::New | Grown::Known => Ok(GroupLinkCreated {
                link_id: link.id,
                code: Secret(code),
                expires_at: link.expires_at,
            }),
            Grown::Full => {
                let detail = format!("a group has at most {most} links: revoke one first");
                Err(Rejection::new(Code::TooMany, detail))
            }
            Grown::Nothing => Err(no_such_group()),
        }
    }

    pub(super) async fn holding_links(
        &self,
        caller: &Caller,
        group: &GroupId,
    ) -> Result<GroupLinks, Rejection> {
        self.admin_of(caller, group).await?;
        let links = self.book.store().group_links(group, self.clock.now()).await;
        let links = links.map_err(|err| store_failed(&err))?;
        let shown = |link: GroupLink| GroupLinkInfo {
            link_id: link.id,
            made_by: link.made_by,
            expires_at: link.expires_at,
        };
        Ok(GroupLinks { links: links.into_iter().map(shown).collect() })
    }

    pub(super) async fn end_link(
        &self,
        caller: &Caller,
        group: &GroupId,
        link: Uuid,
    ) -> Result<(), Rejection> {
        self.admin_of(caller, group).await?;
        let revoked = self.book.store().revoke_group_link(group, link).await;
        if revoked.map_err(|err| store_failed(&err))? {
            return Ok(());
        }
        Err(Rejection::new(Code::NotFound, "the group has no such link"))
    }

    /// A wrong code, a link that has ended, and a group that does not exist are answered alike.
    pub(super) async fn ask(
        &self,
        caller: &Caller,
        group: &GroupId,
        code: &Secret,
    ) -> Result<(), Rejection> {
        let (code, maker) = (hash(&code.0), maker(&code.0));
        let known = self.book.current(group).await?;
        // A link may be of an admin here, whichever region sequences the group.
        match self.ask_here(known.as_deref(), group, (&caller.account, &code)).await {
            Err(rejection) if rejection.code == Code::NotFound => {}
            asked => return asked,
        }
        let asked = match (maker, &known) {
            (Some(maker), _) => maker,
            (None, Some(known)) => ServerName::parse(known.state.region())?,
            (None, None) => group.server.clone(),
        };
        if asked == self.own {
            return Err(no_such_group());
        }
        self.limits.asks(caller.account.uuid)?;
        let act = GroupAct::Join { account: caller.account.uuid, code };
        let question = GroupQuestion { group: group.clone(), act };
        let answer = self.regions.group(&asked, question).await?;
        match answer.outcome {
            GroupOutcome::Done => Ok(()),
            GroupOutcome::Refused => Err(reason(answer.reason.as_deref())),
            GroupOutcome::Nothing | GroupOutcome::Stale => Err(no_such_group()),
        }
    }

    /// The same by somebody of another region.
    pub(super) async fn asked(
        &self,
        origin: &ServerName,
        group: &GroupId,
        (account, code): (&AccountId, &[u8; 32]),
    ) -> Result<GroupAnswer, Rejection> {
        self.limits.asked(origin)?;
        let known = self.book.current(group).await?;
        self.ask_here(known.as_deref(), group, (account, code)).await?;
        Ok(GroupAnswer::of(GroupOutcome::Done, None))
    }

    async fn ask_here(
        &self,
        known: Option<&Known>,
        group: &GroupId,
        (account, hash): (&AccountId, &[u8; 32]),
    ) -> Result<(), Rejection> {
        let known = known.ok_or_else(no_such_group)?;
        let most = limits::MAX_JOIN_REQUESTS;
        let now = self.clock.now();
        if known.state.members().contains_key(&account.to_string()) {
            return Err(Rejection::new(Code::Conflict, "you are a member already"));
        }
        let asked = self.book.store().ask_to_join(group, account, (hash, most), now).await;
        match asked.map_err(|err| store_failed(&err))? {
            Grown::New => {
                self.hint_admins(known);
                Ok(())
            }
            Grown::Known => Ok(()),
            Grown::Full => {
                Err(Rejection::new(Code::TooMany, "too many people ask to join this group"))
            }
            Grown::Nothing => Err(no_such_group()),
        }
    }

    pub(super) async fn waiting(
        &self,
        caller: &Caller,
        group: &GroupId,
    ) -> Result<JoinRequests, Rejection> {
        self.admin_of(caller, group).await?;
        let asks = self.book.store().join_requests(group, limits::MAX_JOIN_REQUESTS).await;
        let asks = asks.map_err(|err| store_failed(&err))?;
        let request = |(account_id, asked_at)| JoinRequest { account_id, asked_at };
        Ok(JoinRequests { requests: asks.into_iter().map(request).collect() })
    }

    pub(super) async fn decline(
        &self,
        caller: &Caller,
        group: &GroupId,
        user: &AccountId,
    ) -> Result<(), Rejection> {
        let known = self.admin_of(caller, group).await?;
        let dropped = self.book.store().drop_join_request(group, user).await;
        if !dropped.map_err(|err| store_failed(&err))? {
            return Err(Rejection::new(Code::NotFound, "this user does not ask to join"));
        }
        self.hint_admins(&known);
        Ok(())
    }

    /// Tells connected devices of the admins here that the list of who asks to join has changed.
    fn hint_admins(&self, known: &Known) {
        let frame = ServerFrame::Changed { what: Changed::GroupRequests, user: None };
        let frame = frame.to_json().into();
        for (name, person) in &known.local {
            if !person.has_left && known.standing(name) >= Some(Standing::Admin) {
                self.connections.push(person.account.uuid, &frame, None);
            }
        }
    }
}

/// The region whose admin made a link, if its code says so.
fn maker(code: &str) -> Option<ServerName> {
    code.split_once('@').and_then(|(_, region)| ServerName::parse(region).ok())
}

fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(code).into()
}
