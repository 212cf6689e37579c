//! Accounts, groups, and what a client may write in `to`.

use core::fmt;

use uuid::Uuid;

use super::{Handle, HandleName, IdError, ServerName, parse_uuid, text_id};

/// An account: `<uuid>@domain`, for ever. A handle is only an alias of it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId {
    /// The account within its region.
    pub uuid: Uuid,
    /// The region that owns the account.
    pub server: ServerName,
}

impl AccountId {
    /// Parses the full form `<uuid>@domain`.
    ///
    /// # Errors
    /// [`IdError`] with the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let what = "an account id";
        let why = "the form is <uuid>@<domain>";
        let (uuid, server) = text.split_once('@').ok_or(IdError { what, why })?;
        Ok(Self { uuid: parse_uuid(uuid, what)?, server: ServerName::parse(server)? })
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.uuid.as_hyphenated(), self.server)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

text_id!(AccountId);

/// A group: `g.<uuid>@domain`, owned by that region.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId {
    /// The group within its region.
    pub uuid: Uuid,
    /// The region that sequences the group's membership.
    pub server: ServerName,
}

impl GroupId {
    /// Parses the full form `g.<uuid>@domain`.
    ///
    /// # Errors
    /// [`IdError`] with the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let what = "a group id";
        let why = "the form is g.<uuid>@<domain>";
        let rest = text.strip_prefix("g.").ok_or(IdError { what, why })?;
        let (uuid, server) = rest.split_once('@').ok_or(IdError { what, why })?;
        Ok(Self { uuid: parse_uuid(uuid, what)?, server: ServerName::parse(server)? })
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g.{}@{}", self.uuid.as_hyphenated(), self.server)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

text_id!(GroupId);

/// What a client writes where a recipient or a user is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An account, by id.
    Account(AccountId),
    /// An account, by its handle: to be resolved by the region that owns it.
    Handle(Handle),
    /// A group.
    Group(GroupId),
}

impl Address {
    /// What a link to a user starts with: `posthouse:` and the full form of an address.
    pub const LINK: &str = "posthouse:";

    /// The region that owns it.
    pub fn server(&self) -> &ServerName {
        match self {
            Self::Account(account) => &account.server,
            Self::Handle(handle) => &handle.server,
            Self::Group(group) => &group.server,
        }
    }

    /// Parses a full or a bare form, or a link. A bare UUID or handle means the region `own`.
    ///
    /// # Errors
    /// [`IdError`] with the rule that `text` breaks.
    pub fn parse(text: &str, own: &ServerName) -> Result<Self, IdError> {
        let (text, is_link) = match text.strip_prefix(Self::LINK) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (local, server) = match text.split_once('@') {
            Some((local, server)) => (local, ServerName::parse(server)?),
            None if is_link => {
                return Err(IdError { what: "a link to a user", why: "it names no region" });
            }
            None => (text, own.clone()),
        };
        if let Some(uuid) = local.strip_prefix("g.") {
            let uuid = parse_uuid(uuid, "a group id")?;
            return Ok(Self::Group(GroupId { uuid, server }));
        }
        if let Ok(uuid) = parse_uuid(local, "an account id") {
            return Ok(Self::Account(AccountId { uuid, server }));
        }
        Ok(Self::Handle(Handle { name: HandleName::parse(local)?, server }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn bare_forms_mean_the_own_region() {
        let own = ServerName::parse("eu.example").unwrap();
        let full = format!("{UUID}@eu.example");
        assert_eq!(Address::parse(UUID, &own), Address::parse(&full, &own));
        assert_eq!(Address::parse("alice", &own), Address::parse("alice@eu.example", &own));
        let group = Address::parse(&format!("g.{UUID}@us.example"), &own).unwrap();
        assert!(matches!(group, Address::Group(g) if g.server.as_str() == "us.example"));
    }

    #[test]
    fn links_name_their_region() {
        let own = ServerName::parse("eu.example").unwrap();
        for full in ["alice@us.example", &format!("{UUID}@us.example")] {
            let link = format!("posthouse:{full}");
            assert_eq!(Address::parse(&link, &own), Address::parse(full, &own));
        }
        for bad in ["posthouse:alice", "posthouse:", "posthouse:posthouse:a@us.example"] {
            assert!(Address::parse(bad, &own).is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_other_spellings_of_a_uuid() {
        let own = ServerName::parse("eu.example").unwrap();
        for bad in [UUID.to_uppercase(), UUID.replace('-', ""), format!("{{{UUID}}}")] {
            assert!(Address::parse(&bad, &own).is_err(), "{bad}");
            assert!(AccountId::parse(&format!("{bad}@eu.example")).is_err(), "{bad}");
        }
    }
}
