//! Checks of the client API, by area.

mod accounts;
mod errors;
mod inbox;
mod messages;
mod ordering;
mod presence;
mod service;
mod sockets;
mod statuses;

use crate::check::Group;

/// Lists checks: section, statement, and the function that checks it.
macro_rules! checks {
    ($($section:literal, $statement:literal => $check:ident;)*) => {
        vec![$($crate::check::Check {
            section: $section,
            statement: $statement,
            run: |server, people| Box::pin($check(server, people)),
        },)*]
    };
}
pub(crate) use checks;

/// All groups, in the order in which a reader of the specification meets them.
pub fn groups() -> Vec<Group> {
    vec![
        service::group(),
        accounts::group(),
        sockets::group(),
        errors::group(),
        messages::group(),
        ordering::group(),
        inbox::group(),
        statuses::group(),
        presence::group(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_names_a_section_that_exists_and_is_the_only_one_of_its_name() {
        let spec = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec");
        let mut statements = BTreeSet::new();
        for check in groups().into_iter().flat_map(|group| group.checks) {
            let (page, number) = check.section.split_once(" §").unwrap();
            let text = std::fs::read_to_string(spec.join(page)).unwrap();
            let heading = |line: &str| {
                let title = line.trim_start_matches('#').trim_start();
                line.starts_with("##")
                    && title.starts_with(&format!("{number}{}", separator(number)))
            };
            assert!(text.lines().any(heading), "{} is no section", check.section);
            assert!(statements.insert(check.statement), "twice: {}", check.statement);
        }
    }

    /// `## 2. Title`, but `### 2.1 Title`.
    fn separator(number: &str) -> &'static str {
        if number.contains('.') { " " } else { ". " }
    }

    #[test]
    fn a_run_stays_within_the_registrations_that_a_default_server_takes_at_once() {
        let people: usize = groups().iter().map(|group| group.people).sum();
        assert!(people <= 20, "{people}");
    }
}
