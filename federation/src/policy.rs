//! With whom the operator federates. It is asked before anything that costs.

use core::{fmt, str::FromStr};
use std::sync::{Arc, PoisonError, RwLock};

use posthouse_protocol::{
    federation::refusal::{Refusal, RefusalCode},
    id::{IdError, ServerName},
};

use crate::tls::PeerNames;

/// Which names are meant: `eu.example` that name alone, `*.example` every name below `example`, at
/// any depth, and not the name itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    name: Box<str>,
    below: bool,
}

impl Pattern {
    /// Whether `name` is meant.
    pub fn matches(&self, name: &ServerName) -> bool {
        if !self.below {
            return *self.name == *name.as_str();
        }
        let head = name.as_str().strip_suffix(&*self.name);
        head.is_some_and(|head| head.len() > 1 && head.ends_with('.'))
    }
}

impl FromStr for Pattern {
    type Err = IdError;

    /// A server name, or `*.` and the end of server names, which may be a single label.
    fn from_str(text: &str) -> Result<Self, IdError> {
        if let Some(parent) = text.strip_prefix("*.") {
            ServerName::parse(&format!("a.{parent}"))?;
            return Ok(Self { name: parent.into(), below: true });
        }
        ServerName::parse(text)?;
        Ok(Self { name: text.into(), below: false })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.below { "*." } else { "" };
        write!(f, "{star}{}", self.name)
    }
}

/// The operator's rules. Without any, everybody is welcome.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Only these; `None` for everybody.
    pub allow: Option<Vec<Pattern>>,
    /// Not these, even if they are allowed.
    pub deny: Vec<Pattern>,
}

impl Policy {
    /// Whether the operator federates with `name`.
    pub fn allows(&self, name: &ServerName) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        !any(&self.deny) && self.allow.as_deref().is_none_or(any)
    }

    /// The names under which a peer may act: those of its names that are allowed. Whoever also
    /// holds a denied name is denied as a whole.
    pub fn admitted(&self, peer: &PeerNames) -> Option<PeerNames> {
        let denied = |name: &ServerName| self.deny.iter().any(|pattern| pattern.matches(name));
        if peer.as_slice().iter().any(denied) {
            return None;
        }
        peer.only(|name| self.allows(name))
    }
}

/// What a denied peer is told, and what sending to one comes to.
pub fn denial() -> Refusal {
    Refusal::new(RefusalCode::Denied, "the operator does not federate with this server")
}

/// The rules in force, which can be exchanged while the server runs.
#[derive(Debug, Default)]
pub struct PolicyStore(RwLock<Arc<Policy>>);

impl PolicyStore {
    /// Starts with `policy`.
    pub fn new(policy: Policy) -> Self {
        Self(RwLock::new(Arc::new(policy)))
    }

    /// Uses `policy` from the next request on.
    pub fn replace(&self, policy: Policy) {
        // A poisoned lock holds a whole value: writers only exchange it.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    /// The rules in force.
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        ServerName::parse(text).unwrap()
    }

    fn patterns(list: &[&str]) -> Vec<Pattern> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_wildcard_means_what_lies_below() {
        let wild: Pattern = "*.eu.example".parse().unwrap();
        assert!(wild.matches(&name("a.eu.example")));
        assert!(wild.matches(&name("a.b.eu.example")));
        for other in ["eu.example", "aeu.example", "a.us.example", "eu.example.a.org"] {
            assert!(!wild.matches(&name(other)), "{other}");
        }
        let top: Pattern = "*.example".parse().unwrap();
        assert!(top.matches(&name("eu.example")) && !top.matches(&name("eu.other")));
        for text in ["*.eu.example", "*.example", "eu.example"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        for bad in ["", "*", "*.", "a.*.example", "*eu.example", "EU.example"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn deny_wins_and_a_denied_name_taints_its_holder() {
        let policy = Policy {
            allow: Some(patterns(&["*.example", "north.test"])),
            deny: patterns(&["bad.example"]),
        };
        assert!(policy.allows(&name("good.example")));
        assert!(policy.allows(&name("north.test")));
        assert!(!policy.allows(&name("bad.example")));
        assert!(!policy.allows(&name("south.test")));
        let names = |list: &[&str]| PeerNames::proved(list.iter().map(|one| name(one)).collect());
        let admitted = policy.admitted(&names(&["north.test", "south.test"])).unwrap();
        assert_eq!(admitted.as_slice(), [name("north.test")]);
        assert_eq!(policy.admitted(&names(&["south.test"])), None);
        assert_eq!(policy.admitted(&names(&["bad.example", "good.example"])), None);
        assert!(Policy::default().allows(&name("anyone.test")));
    }
}
