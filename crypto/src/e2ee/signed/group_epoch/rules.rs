//! Who may change what, and what follows without anybody's signature.

use super::{
    Change, EpochError, GroupRole, GroupState, MAX_DEPUTIES, MAX_INVITED, MAX_MEMBERS, Member,
    Person,
};

/// Why a change is not for its actor.
const IS_MEMBER: &str = "the person is a member already";
const IS_NEITHER: &str = "the person is neither a member nor invited";
pub(super) const NO_MEMBER: &str = "the actor is no member";
pub(super) const NOT_INVITED: &str = "the actor is not invited";
pub(super) const WITHOUT_ACTOR: &str =
    "without an actor, and without a signature, a region takes over and nothing else";

impl GroupState {
    /// Makes the change of a member whose signature was checked, or of nobody.
    pub(super) fn change(&mut self, actor: Option<&str>, change: Change) -> Result<(), EpochError> {
        let Some(actor) = actor else {
            return match change {
                Change::TakeOver(region) => self.take_over(region),
                _ => Err(EpochError::NotAllowed(WITHOUT_ACTOR)),
            };
        };
        match change {
            Change::Accept => self.accept(actor),
            Change::Leave => self.leave(actor),
            Change::Invite(person) => {
                self.need(actor, GroupRole::Admin)?;
                self.invite(person)
            }
            Change::Add(person) => {
                self.need(actor, GroupRole::Admin)?;
                self.invited.remove(&person.account);
                self.add(person)
            }
            Change::Remove(account) => {
                let role = self.need(actor, GroupRole::Admin)?;
                self.remove(&account, role)
            }
            Change::SetRole { account, role } => {
                self.need(actor, GroupRole::Owner)?;
                self.set_role(actor, &account, role)
            }
            Change::Rename(title) => {
                self.need(actor, GroupRole::Admin)?;
                self.title = title;
                Ok(())
            }
            Change::SetDeputies(regions) => {
                self.need(actor, GroupRole::Owner)?;
                if regions.len() > MAX_DEPUTIES {
                    return Err(EpochError::Full);
                }
                self.deputies = regions;
                Ok(())
            }
            Change::Create { .. } => Err(EpochError::NotAllowed("the group exists already")),
            Change::TakeOver(_) => {
                Err(EpochError::NotAllowed("a region takes over without anybody's signature"))
            }
        }
    }

    fn need(&self, actor: &str, least: GroupRole) -> Result<GroupRole, EpochError> {
        let role = self.members.get(actor).map(|member| member.role);
        role.filter(|role| *role >= least).ok_or(EpochError::NotAllowed(match least {
            GroupRole::Owner => "only an owner may",
            _ => "only an admin or owner may",
        }))
    }

    fn invite(&mut self, person: Person) -> Result<(), EpochError> {
        if self.members.contains_key(&person.account) {
            return Err(EpochError::NotAllowed(IS_MEMBER));
        }
        if self.invited.len() >= MAX_INVITED {
            return Err(EpochError::Full);
        }
        self.invited.insert(person.account, person.identity);
        Ok(())
    }

    fn accept(&mut self, actor: &str) -> Result<(), EpochError> {
        let invited = self.invited.remove_entry(actor);
        let (account, identity) = invited.ok_or(EpochError::NotAllowed(NOT_INVITED))?;
        self.add(Person { account, identity })
    }

    fn add(&mut self, person: Person) -> Result<(), EpochError> {
        if self.members.contains_key(&person.account) {
            return Err(EpochError::NotAllowed(IS_MEMBER));
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(EpochError::Full);
        }
        let joined = self.epoch + 1;
        let member = Member { identity: person.identity, role: GroupRole::Member, joined };
        self.members.insert(person.account, member);
        Ok(())
    }

    fn remove(&mut self, account: &str, actor: GroupRole) -> Result<(), EpochError> {
        if self.invited.remove(account).is_some() {
            return Ok(());
        }
        let role = self.members.get(account).map(|member| member.role);
        let role = role.ok_or(EpochError::NotAllowed(IS_NEITHER))?;
        if role >= actor {
            let why = "only an owner removes an admin, and nobody an owner";
            return Err(EpochError::NotAllowed(why));
        }
        self.members.remove(account);
        Ok(())
    }

    /// A member leaves, or who is invited declines.
    fn leave(&mut self, actor: &str) -> Result<(), EpochError> {
        if self.invited.remove(actor).is_some() {
            return Ok(());
        }
        self.members.remove(actor).ok_or(EpochError::NotAllowed(NO_MEMBER))?;
        self.succeed();
        Ok(())
    }

    fn set_role(&mut self, actor: &str, account: &str, role: GroupRole) -> Result<(), EpochError> {
        let last = self.owners() == 1;
        let member = self.members.get_mut(account);
        let member =
            member.ok_or(EpochError::NotAllowed("who is to have the role is no member"))?;
        let resigns = member.role == GroupRole::Owner && role != GroupRole::Owner;
        if resigns && (actor != account || last) {
            let why = "an owner's role is given up by that owner, and not by the last one";
            return Err(EpochError::NotAllowed(why));
        }
        member.role = role;
        Ok(())
    }

    fn take_over(&mut self, region: String) -> Result<(), EpochError> {
        if !self.deputies.contains(&region) {
            return Err(EpochError::NotAllowed("the region is none of the deputies"));
        }
        self.region = region;
        Ok(())
    }

    /// When the last owner has left, the oldest admin becomes owner, else the oldest member; of
    /// two who joined in one epoch, the one whose name sorts first. Everyone computes the same.
    fn succeed(&mut self) {
        if self.owners() > 0 {
            return;
        }
        let heir = self
            .members
            .iter_mut()
            .min_by_key(|(_, member)| (member.role != GroupRole::Admin, member.joined));
        if let Some((_, heir)) = heir {
            heir.role = GroupRole::Owner;
        }
    }

    fn owners(&self) -> usize {
        self.members.values().filter(|member| member.role == GroupRole::Owner).count()
    }
}
