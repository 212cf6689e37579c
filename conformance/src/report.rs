//! Reports: a table for people, JSON for programs.

use core::fmt::Write as _;

use serde_json::{Value, json};

use crate::check::Outcome;

/// How many checks ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// The server keeps the statement.
    pub passed: usize,
    /// It does not.
    pub failed: usize,
    /// The check says nothing about this server.
    pub skipped: usize,
}

/// Counts the outcomes.
pub fn totals(outcomes: &[Outcome]) -> Totals {
    let count = |word| outcomes.iter().filter(|outcome| outcome.word() == word).count();
    Totals { passed: count("passed"), failed: count("failed"), skipped: count("skipped") }
}

/// A table: one line for each check, the reason below those that did not pass.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let mut group = "";
    for outcome in outcomes {
        let title = if outcome.group == group { "" } else { outcome.group };
        group = outcome.group;
        text.push_str(&lines(title, outcome));
    }
    let Totals { passed, failed, skipped } = totals(outcomes);
    push(&mut text, format_args!("\n{passed} passed, {failed} failed, {skipped} skipped\n"));
    text
}

/// The lines of one check, below the title of its group if that is given.
pub fn lines(title: &str, outcome: &Outcome) -> String {
    let mut text = if title.is_empty() { String::new() } else { format!("\n{title}\n") };
    let Outcome { section, statement, took, .. } = outcome;
    let (word, took) = (outcome.word(), took.as_millis());
    push(&mut text, format_args!("  {word:7} {section:22} {statement} ({took} ms)\n"));
    if let Err(failure) = &outcome.verdict {
        push(&mut text, format_args!("          {failure}\n"));
    }
    text
}

/// The same as JSON.
pub fn json(server: &str, outcomes: &[Outcome]) -> Value {
    let Totals { passed, failed, skipped } = totals(outcomes);
    let checks: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "group": outcome.group, "section": outcome.section,
                "statement": outcome.statement, "outcome": outcome.word(),
                "reason": outcome.verdict.as_ref().err().map(ToString::to_string),
                "milliseconds": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    json!({
        "server": server, "passed": passed, "failed": failed, "skipped": skipped,
        "checks": checks,
    })
}

fn push(text: &mut String, line: core::fmt::Arguments<'_>) {
    // Writing to a string has no way to fail.
    let _ = text.write_fmt(line);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::verdict::{Failure, Verdict};

    fn outcome(verdict: Verdict) -> Outcome {
        let (section, statement) = ("statuses.md §3", "a repetition is harmless");
        Outcome { group: "messages", section, statement, verdict, took: Duration::from_millis(7) }
    }

    #[test]
    fn both_forms_tell_the_same() {
        let outcomes = [
            outcome(Ok(())),
            outcome(Err(Failure::Differs("the stamp differs".into()))),
            outcome(Err(Failure::Lacks("groups".into()))),
        ];
        let text = table(&outcomes);
        assert!(text.contains("passed  statuses.md §3"), "{text}");
        assert!(text.contains("          the stamp differs"), "{text}");
        assert!(text.ends_with("\n1 passed, 1 failed, 1 skipped\n"), "{text}");
        let json = json("eu.example", &outcomes);
        assert_eq!(json["failed"], 1);
        assert_eq!(json["checks"][1]["reason"], "the stamp differs");
        assert_eq!(json["checks"][0]["reason"], Value::Null);
    }
}
