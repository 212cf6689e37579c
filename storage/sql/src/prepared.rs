//! Every statement is prepared on both databases: the texts are only checked when they run.

use std::collections::HashSet;

#[cfg(feature = "postgres-tests")]
use sqlx::Executor;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    SqlStore, accounts, bodies, commit, conversations, db, entries, erasure, factors, fanouts,
    groups, invites, keys, leases, links, outbox, ownership, pages, peers, people, profiles,
    receipts, reception, reports, retention, servers, sessions,
    statement::{Dialect, MAX_ROWS, Statement},
    wakes, writing,
};

/// Every statement there is, with its place.
pub(crate) fn all() -> Vec<(String, &'static Statement)> {
    let lists = [
        ("accounts", accounts::ALL),
        ("bodies", bodies::ALL),
        ("commit::load", commit::load::ALL),
        ("commit::read", commit::read::ALL),
        ("commit::write", commit::write::ALL),
        ("conversations", conversations::ALL),
        ("entries", entries::ALL),
        ("erasure", erasure::ALL),
        ("erasure::people", erasure::people::ALL),
        ("erasure::regions", erasure::regions::ALL),
        ("factors", factors::ALL),
        ("invites", invites::ALL),
        ("sqlite::fanouts::recover", fanouts::RECOVER_ALL),
        ("sqlite::fanouts::settle", fanouts::SETTLE_ALL),
        ("leases", leases::ALL),
        ("links", links::ALL),
        ("outbox", outbox::ALL),
        ("outbox::entries", outbox::ENTRIES_ALL),
        ("outbox::marks", outbox::MARKS_ALL),
        ("outbox::settle", outbox::SETTLE_ALL),
        ("outbox::tell", outbox::TELL_ALL),
        ("ownership", ownership::ALL),
        ("pages", pages::ALL),
        ("people", people::ALL),
        ("peers", peers::ALL),
        ("profiles", profiles::ALL),
        ("receipts::forward", receipts::FORWARD_ALL),
        ("receipts", receipts::ALL),
        ("receipts::tally", receipts::TALLY_ALL),
        ("reception", reception::ALL),
        ("reception::read", reception::READ_ALL),
        ("reception::write", reception::WRITE_ALL),
        ("reports", reports::ALL),
        ("retention", retention::ALL),
        ("retention::verdicts", retention::VERDICTS_ALL),
        ("servers", servers::ALL),
        ("sessions", sessions::ALL),
        ("sqlite", db::sqlite::ALL),
        ("wakes", wakes::ALL),
        ("writing", writing::ALL),
    ];
    let name = |list: &str, name: &str| format!("{list}::{name}");
    lists
        .into_iter()
        .chain(keys::LISTS)
        .chain(groups::LISTS)
        .flat_map(|(list, all)| all.iter().map(move |(item, text)| (name(list, item), *text)))
        .collect()
}

/// The numbers of rows that a statement is prepared with.
fn sizes(statement: &Statement) -> &'static [usize] {
    if statement.row().is_empty() { &[1] } else { &[1, 2, MAX_ROWS] }
}

async fn sqlite() -> (TempDir, rusqlite::Connection) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("posthouse.db").display().to_string();
    SqlStore::open(&path, Uuid::nil()).await.unwrap().close().await;
    (directory, rusqlite::Connection::open(path).unwrap())
}

#[tokio::test]
async fn on_sqlite() {
    let (_directory, connection) = sqlite().await;
    for (name, statement) in all() {
        for rows in sizes(statement) {
            let text = statement.text(Dialect::Sqlite, *rows);
            let prepared = connection.prepare(text.as_str());
            assert!(prepared.is_ok(), "{name} with {rows} rows: {:?}", prepared.err());
        }
    }
}

#[cfg(feature = "postgres-tests")]
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the script that starts the server tells us so")]
async fn on_postgres() {
    let url = std::env::var("POSTHOUSE_TEST_POSTGRES").expect("run by tests/postgres.sh");
    let schema = format!("prepared_{}", std::process::id());
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let create = format!("CREATE SCHEMA {schema}");
    connection.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    let url = format!("{url}&options=-c%20search_path%3D{schema}");
    let store = SqlStore::open(&url, Uuid::nil()).await.unwrap();
    let mut connection = store.db().notifications().unwrap().acquire().await.unwrap();
    for (name, statement) in all().into_iter().filter(|(name, _)| !name.starts_with("sqlite::")) {
        for rows in sizes(statement) {
            let text = statement.text(Dialect::Postgres, *rows);
            let prepared = connection.prepare(text).await;
            assert!(prepared.is_ok(), "{name} with {rows} rows: {:?}", prepared.err());
        }
    }
}

/// No statement of the message path walks over a whole table or builds an index of its own.
#[tokio::test]
async fn with_indices_on_sqlite() {
    /// Small by nature, walked in order up to a limit, or an index of nothing but what is sought.
    const MAY_SCAN: [&str; 12] = [
        "groups::abroad::PENDING",
        "sqlite::fanouts::recover::FANOUTS",
        "retention::verdicts::OLDEST",
        "retention::verdicts::DROP_VOIDS",
        "erasure::UNFINISHED",
        "invites::LIST",
        "outbox::WAITING",
        "sessions::FORGET",
        "commit::read::NEXT_REFS",
        "retention::HAND_OVER",
        "links::OPEN",
        "leases::RELEASE_ALL",
    ];
    /// What a statement itself makes: VALUES lists and subqueries.
    const OWN: [&str; 6] = ["v", "CONSTANT ROW", "(subquery", "chosen", "gone", "found"];
    let (_directory, connection) = sqlite().await;
    let mut found = Vec::new();
    for (name, statement) in all() {
        if MAY_SCAN.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let text = statement.text(Dialect::Sqlite, 1);
        let explain = format!("EXPLAIN QUERY PLAN {}", text.as_str());
        let mut explained = connection.prepare(&explain).unwrap();
        let mut rows = explained.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let detail: String = row.get("detail").unwrap();
            let scans = detail.starts_with("SCAN ")
                && !OWN.iter().any(|own| detail.starts_with(&format!("SCAN {own}")));
            if scans || detail.contains("AUTOMATIC") {
                found.push(format!("{name}: {detail}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// See the notes in `statement`.
#[test]
fn no_limit_is_planned_anew() {
    for (name, statement) in all() {
        let text = statement.text(Dialect::Sqlite, 1);
        assert!(!text.as_str().contains("LIMIT ?"), "{name}");
    }
}

#[test]
fn names_are_unique() {
    let names: Vec<String> = all().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    assert!(names.len() > 60, "{}", names.len());
}
