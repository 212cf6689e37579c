//! What people are called here: accounts have numbers, people have names. There are two kinds: handles,
//! which their region gives to one account each, and what people call themselves in their profile, which
//! may be anything. The second is shown, and never alone where it could be somebody else's.

use std::collections::{BTreeMap, BTreeSet};

use posthouse_client::Profile;
use posthouse_protocol::id::{AccountId, GroupId, HandleName, ServerName};
use serde::{Deserialize, Serialize};

/// Names that are remembered; beyond that accounts are shown.
const MAX_NAMES: usize = 10_000;

/// How somebody with this handle is named in the region `own`: `bob`, `bob@us.example`.
pub(crate) fn called(user: &AccountId, handle: &HandleName, own: &ServerName) -> String {
    if user.server == *own { handle.to_string() } else { format!("{handle}@{}", user.server) }
}

/// Names by account, as they were looked up: `bob`, `bob@us.example`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Names {
    people: BTreeMap<String, String>,
    #[serde(skip)]
    groups: BTreeMap<GroupId, String>,
    /// What people say of themselves: name and words. The store has it; here is who is shown.
    #[serde(skip)]
    said: BTreeMap<AccountId, (Option<String>, Option<String>)>,
    /// Those whose own name is that of somebody else, too.
    #[serde(skip)]
    alike: BTreeSet<AccountId>,
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

    /// What somebody calls themselves.
    pub(crate) fn said(&self, user: &AccountId) -> Option<&str> {
        self.said.get(user)?.0.as_deref()
    }

    /// What somebody says about themselves.
    pub(crate) fn about(&self, user: &AccountId) -> Option<&str> {
        self.said.get(user)?.1.as_deref()
    }

    /// Whether it was looked what somebody says of themselves.
    pub(crate) fn asked(&self, user: &AccountId) -> bool {
        self.said.contains_key(user)
    }

    /// What somebody is called on the screen: as they call themselves, and if that could be somebody
    /// else, by their handle or account as well.
    pub(crate) fn title(&self, user: &AccountId) -> String {
        match self.said(user) {
            Some(_) if self.alike.contains(user) => self.full(user),
            Some(name) => name.to_owned(),
            None => self.short(user),
        }
    }

    /// The same with the handle or account always.
    pub(crate) fn full(&self, user: &AccountId) -> String {
        let short = self.short(user);
        self.said(user).map_or_else(|| short.clone(), |name| format!("{name} ({short})"))
    }

    /// Remembers what somebody says of themselves, while the program runs.
    pub(crate) fn learn_profile(&mut self, user: &AccountId, profile: Option<Profile>) {
        let is_full = self.said.len() >= MAX_NAMES && !self.said.contains_key(user);
        if !is_full {
            let Profile { name, about, .. } = profile.unwrap_or_default();
            self.said.insert(user.clone(), (name, about));
            self.compare();
        }
    }

    /// Looks who is called like somebody else: names, handles, and what is said of oneself.
    fn compare(&mut self) {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        all.entry("you".to_owned()).or_default().insert(String::new());
        for (user, handle) in &self.people {
            let short = handle.split('@').next().unwrap_or(handle);
            for name in [short, handle] {
                all.entry(name.to_lowercase()).or_default().insert(user.clone());
            }
        }
        let said = self.said.iter().filter_map(|(user, (name, _))| Some((user, name.as_ref()?)));
        for (user, name) in said.clone() {
            all.entry(name.to_lowercase()).or_default().insert(user.to_string());
        }
        let alike =
            said.filter(|(_, name)| all.get(&name.to_lowercase()).is_some_and(|n| n.len() > 1));
        self.alike = alike.map(|(user, _)| user.clone()).collect();
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
        self.compare();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> AccountId {
        let id = format!("01890a5d-ac96-774b-bcce-b302099a80{number:02}@eu.example");
        AccountId::parse(&id).unwrap()
    }

    #[test]
    fn who_is_called_like_somebody_else_is_told_apart() {
        let (mut names, called) = (Names::default(), |name| Some(Profile::named(name)));
        names.learn(&account(1), "ben");
        names.learn_profile(&account(1), called("Benedict"));
        assert_eq!(names.title(&account(1)), "Benedict");
        assert_eq!(names.full(&account(1)), "Benedict (ben)");
        assert_eq!((names.of(&account(1)), names.short(&account(1))), ("ben".into(), "ben".into()));
        // Somebody else takes the name, the handle, or what own messages are headed by.
        for name in ["BENEDICT", "Ben", "You"] {
            names.learn_profile(&account(2), called(name));
            let shown = format!("{name} (…b302099a8002@eu.example)");
            assert_eq!(names.title(&account(2)), shown);
        }
        names.learn_profile(&account(2), called("benedict"));
        assert_eq!(names.title(&account(1)), "Benedict (ben)", "both are told apart");
        names.learn_profile(&account(2), None);
        assert_eq!(names.title(&account(1)), "Benedict");
        assert_eq!(names.title(&account(2)), "…b302099a8002@eu.example");
        assert!(names.asked(&account(2)) && !names.asked(&account(3)));
    }

    #[test]
    fn a_name_means_one_account() {
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
