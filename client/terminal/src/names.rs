//! What people are called here: accounts have numbers, people have names.

use std::collections::BTreeMap;

use posthouse_protocol::id::{AccountId, GroupId};
use serde::{Deserialize, Serialize};

/// Names that are remembered; beyond that accounts are shown.
const MAX_NAMES: usize = 10_000;

/// Names by account, as they were looked up: `bob`, `bob@us.example`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Names {
    people: BTreeMap<String, String>,
    #[serde(skip)]
    groups: BTreeMap<GroupId, String>,
}

impl Names {
    /// What somebody is called; the account if that is not known.
    pub(crate) fn of(&self, user: &AccountId) -> String {
        let user = user.to_string();
        self.people.get(&user).cloned().unwrap_or(user)
    }

    /// The same in little room: an account without a name by its end, which is random.
    pub(crate) fn short(&self, user: &AccountId) -> String {
        let name = self.of(user);
        match name.split_once('@') {
            Some((id, region)) if !self.knows(user) => {
                let end = id.rsplit('-').next().unwrap_or(id);
                format!("…{end}@{region}")
            }
            _ => name,
        }
    }

    /// What a group is called; its id if that is not known.
    pub(crate) fn group(&self, group: &GroupId) -> String {
        self.groups.get(group).cloned().unwrap_or_else(|| group.to_string())
    }

    /// Remembers what groups are called, while the program runs: their chains say it anew.
    pub(crate) fn learn_groups(
        &mut self,
        all: impl IntoIterator<Item = (GroupId, Option<String>)>,
    ) {
        let named = all.into_iter().filter_map(|(id, title)| Some((id, title?)));
        self.groups = named.collect();
    }

    /// Whom a name means.
    pub(crate) fn whose(&self, name: &str) -> Option<AccountId> {
        let (user, _) = self.people.iter().find(|(_, known)| *known == name)?;
        AccountId::parse(user).ok()
    }

    /// Whether there is a name.
    pub(crate) fn knows(&self, user: &AccountId) -> bool {
        self.people.contains_key(&user.to_string())
    }

    /// Remembers a name. Whether that is news.
    pub(crate) fn learn(&mut self, user: &AccountId, name: &str) -> bool {
        let user = user.to_string();
        // A name means one account: another one of the same name is shown as its account.
        if self.people.iter().any(|(other, known)| known == name && *other != user) {
            return false;
        }
        let is_full = self.people.len() >= MAX_NAMES && !self.people.contains_key(&user);
        if is_full || user == name || self.people.get(&user).is_some_and(|known| known == name) {
            return false;
        }
        self.people.insert(user, name.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_account() {
        let account = |number: u8| {
            let id = format!("01890a5d-ac96-774b-bcce-b302099a80{number:02}@eu.example");
            AccountId::parse(&id).unwrap()
        };
        let mut names = Names::default();
        assert!(names.learn(&account(1), "ben"));
        assert!(!names.learn(&account(1), "ben"));
        // Whoever takes the name later does not become the one that is known by it.
        assert!(!names.learn(&account(2), "ben"));
        assert_eq!(names.whose("ben"), Some(account(1)));
        assert_eq!((names.of(&account(1)), names.short(&account(1))), ("ben".into(), "ben".into()));
        assert_eq!(names.of(&account(2)), account(2).to_string());
        assert_eq!(names.short(&account(2)), "…b302099a8002@eu.example");
    }
}
