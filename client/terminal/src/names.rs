//! What people are called here: accounts have numbers, people have names.

use std::collections::BTreeMap;

use posthouse_protocol::id::AccountId;
use serde::{Deserialize, Serialize};

/// Names that are remembered; beyond that accounts are shown.
const MAX_NAMES: usize = 10_000;

/// Names by account, as they were looked up: `bob`, `bob@us.example`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// What somebody is called; the account if that is not known.
    pub(crate) fn of(&self, user: &AccountId) -> String {
        let user = user.to_string();
        self.0.get(&user).cloned().unwrap_or(user)
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

    /// Whom a name means.
    pub(crate) fn whose(&self, name: &str) -> Option<AccountId> {
        let (user, _) = self.0.iter().find(|(_, known)| *known == name)?;
        AccountId::parse(user).ok()
    }

    /// Whether there is a name.
    pub(crate) fn knows(&self, user: &AccountId) -> bool {
        self.0.contains_key(&user.to_string())
    }

    /// Remembers a name. Whether that is news.
    pub(crate) fn learn(&mut self, user: &AccountId, name: &str) -> bool {
        let user = user.to_string();
        // A name means one account: another one of the same name is shown as its account.
        if self.0.iter().any(|(other, known)| known == name && *other != user) {
            return false;
        }
        let is_full = self.0.len() >= MAX_NAMES && !self.0.contains_key(&user);
        if is_full || user == name || self.0.get(&user).is_some_and(|known| known == name) {
            return false;
        }
        self.0.insert(user, name.to_owned());
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
