//! The checks of the federation, by what they are about.

mod attacks;
mod floods;
mod groups;
mod identity;
mod keylogs;
mod outgoing;
mod receipts;
mod receiving;
mod streams;
mod transport;

use std::{future::Future, pin::Pin};

use tokio::time::Instant;

use super::{
    expect::Expect,
    formats::envelope::Envelope,
    stage::{Posted, Stage},
};
use crate::{
    check::Outcome,
    verdict::{Failure, Verdict},
};

/// A running check.
pub type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// What an attack sends: the bytes, and the envelope if they are one that is in order.
pub type Ammunition = (Vec<u8>, Option<Envelope>);

/// How a statement is checked.
pub enum Way {
    /// By a function.
    Run(for<'a> fn(&'a Stage) -> Running<'a>),
    /// The hostile peer posts bytes, and this has to come of it.
    Attack(fn(&Stage) -> Verdict<Ammunition>, Expect),
}

/// A statement of the specification, and how to see whether the subject keeps it.
pub struct Check {
    /// The page and section of `docs/spec/`.
    pub section: &'static str,
    /// The statement.
    pub statement: &'static str,
    /// How it is checked.
    pub way: Way,
}

/// Checks of one kind.
pub struct Group {
    /// What they are about.
    pub name: &'static str,
    /// Whether bystanders are looked after when each has run.
    pub hostile: bool,
    /// The checks, run in this order.
    pub checks: Vec<Check>,
}

/// Lists checks: section, statement, and the function that checks it.
macro_rules! checks {
    ($($section:literal, $statement:literal => $check:ident;)*) => {
        vec![$($crate::federation::checks::Check {
            section: $section,
            statement: $statement,
            way: $crate::federation::checks::Way::Run(|stage| Box::pin($check(stage))),
        },)*]
    };
}
pub(crate) use checks;

/// All groups: first what is right, then what is hostile.
pub fn groups() -> Vec<Group> {
    vec![
        identity::group(),
        receiving::group(),
        groups::group(),
        outgoing::group(),
        transport::group(),
        attacks::group(),
        streams::group(),
        keylogs::group(),
        receipts::group(),
        floods::group(),
        Group {
            name: "federation: in the end",
            hostile: false,
            checks: checks! {
                "federation-invariants.md §", "after all of this the local conversation is intact" => intact;
            },
        },
    ]
}

async fn intact(stage: &Stage) -> Verdict {
    stage.bystanders().await?;
    stage.local_conversation_is_intact().await
}

impl Group {
    /// Runs those checks of the group whose group, section or statement contains `filter`, and tells
    /// each outcome as it comes.
    pub async fn run(
        &self,
        stage: &Stage,
        filter: Option<&str>,
        told: &mut (dyn FnMut(&Outcome) + Send),
        out: &mut Vec<Outcome>,
    ) {
        for check in &self.checks {
            let named = [self.name, check.section, check.statement];
            if filter.is_some_and(|part| !named.iter().any(|name| name.contains(part))) {
                continue;
            }
            let started = Instant::now();
            let mut verdict = check.run(stage).await;
            if self.hostile {
                verdict = both(verdict, stage.bystanders().await);
            }
            let Check { section, statement, .. } = *check;
            let took = started.elapsed();
            let outcome = Outcome { group: self.name, section, statement, verdict, took };
            told(&outcome);
            out.push(outcome);
        }
    }
}

fn both(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        (Err(Failure::Differs(one)), Err(other)) => {
            Err(Failure::Differs(format!("{one}; {other}")))
        }
        (Ok(()) | Err(Failure::Lacks(_)), other @ Err(_)) => other,
        (one, _) => one,
    }
}

impl Check {
    /// Runs it, without a look at the bystanders.
    ///
    /// # Errors
    /// [`Failure`] if the subject does not keep the statement.
    pub async fn run(&self, stage: &Stage) -> Verdict {
        match self.way {
            Way::Run(run) => run(stage).await,
            Way::Attack(load, expect) => {
                let peer = &stage.roles.hostile;
                stage.is_open(peer).await?;
                let (bytes, envelope) = load(stage)?;
                let posted: Posted = stage.post(peer, &bytes).await?;
                expect.holds(stage, peer, envelope.as_ref(), posted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_names_a_section_that_exists_and_is_the_only_one_of_its_name() {
        let spec = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec");
        let mut statements = BTreeSet::new();
        let checks: Vec<_> = groups().into_iter().flat_map(|group| group.checks).collect();
        assert!(checks.len() > 60, "{}", checks.len());
        for check in checks {
            let (page, title) = check.section.split_once(" §").unwrap();
            let text = std::fs::read_to_string(spec.join(page)).unwrap();
            let heading = |line: &str| line.strip_prefix("## ").is_some_and(|line| line == title);
            // Pages without headings are short enough to be one section.
            assert!(title.is_empty() || text.lines().any(heading), "{}", check.section);
            assert!(statements.insert(check.statement), "twice: {}", check.statement);
        }
    }
}
