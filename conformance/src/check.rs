//! Checks, in groups that share their people.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::time::Instant;

use crate::{
    person::Person,
    server::Server,
    verdict::{Failure, Verdict},
};

/// A running check.
pub type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// One statement of the specification, and how to see whether a server keeps it.
pub struct Check {
    /// The page and section of `docs/spec/`.
    pub section: &'static str,
    /// The statement.
    pub statement: &'static str,
    /// The check.
    pub run: for<'a> fn(&'a Server, &'a [Person]) -> Running<'a>,
}

/// Checks that share people, so that a run registers few accounts.
pub struct Group {
    /// What they are about.
    pub name: &'static str,
    /// How many people they need, freshly registered.
    pub people: usize,
    /// The checks, run in this order.
    pub checks: Vec<Check>,
}

/// How one check ended.
#[derive(Debug)]
pub struct Outcome {
    /// The group.
    pub group: &'static str,
    /// The section.
    pub section: &'static str,
    /// The statement.
    pub statement: &'static str,
    /// The end.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

impl Group {
    /// Runs those checks of the group whose section or statement contains `filter`.
    pub async fn run(&self, server: &Server, filter: Option<&str>, out: &mut Vec<Outcome>) {
        let selected: Vec<_> = self
            .checks
            .iter()
            .filter(|check| {
                filter.is_none_or(|part| {
                    check.section.contains(part) || check.statement.contains(part)
                })
            })
            .collect();
        if selected.is_empty() {
            return;
        }
        let people = self.register(server).await;
        for check in selected {
            let started = Instant::now();
            let verdict = match &people {
                Ok(people) => (check.run)(server, people).await,
                Err(failure) => Err(failure.clone()),
            };
            let Check { section, statement, .. } = *check;
            let took = started.elapsed();
            out.push(Outcome { group: self.name, section, statement, verdict, took });
        }
    }

    async fn register(&self, server: &Server) -> Verdict<Vec<Person>> {
        let mut people = Vec::new();
        for _ in 0..self.people {
            people.push(Person::register(server).await?);
        }
        Ok(people)
    }
}

impl Outcome {
    /// `passed`, `failed` or `skipped`.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Ok(()) => "passed",
            Err(Failure::Lacks(_)) => "skipped",
            Err(_) => "failed",
        }
    }
}
