//! What is left of a deleted account in the database file of SQLite. Rows are looked at in all tables.
//! Bytes of secrets and contents are looked for in the whole file; for ids that would be too much to
//! ask, since splits of pages leave copies of keys in the unused parts of pages.

#![expect(clippy::unwrap_used, reason = "test code: it fails by panicking")]

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    id::{AccountId, ConversationId},
    rest::{Privacy, ReportReason},
    status::Reached,
};
use posthouse_storage::{
    accounts::PasswordHash,
    contract::{
        Subject,
        world::{Person, START, World, server},
    },
    erasure::{Erasure, Next, SETTLE_MS},
    factors::Factors,
    ledger::Ledger,
    people::{Contact, People},
    profiles::{Profile, Profiles},
    receipts::{Watermark, WatermarkRise},
    reports::{Report, Reports},
};
use posthouse_storage_sql::SqlStore;
use sqlx::{Connection, Row, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

struct Sqlite(TempDir);

impl Sqlite {
    fn path(&self) -> String {
        self.0.path().join("posthouse.db").display().to_string()
    }
}

#[async_trait]
impl Subject for Sqlite {
    type Store = SqlStore;

    async fn open(&self) -> SqlStore {
        SqlStore::open(&self.path(), Uuid::nil()).await.unwrap()
    }

    async fn close(&self, store: SqlStore) {
        store.close().await;
    }

    fn shared(&self) -> bool {
        false
    }
}

async fn tables(connection: &mut SqliteConnection) -> Vec<(String, Vec<String>)> {
    let names = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let mut tables = Vec::new();
    for row in names.fetch_all(&mut *connection).await.unwrap() {
        let name: String = row.get(0);
        let columns = sqlx::query("SELECT name FROM pragma_table_info(?)").bind(&name);
        let columns = columns.fetch_all(&mut *connection).await.unwrap();
        tables.push((name, columns.iter().map(|column| column.get(0)).collect()));
    }
    tables
}

/// Places in all tables that hold `needle`, as bytes or as text, in any part of a value.
async fn places(path: &str, needle: &[u8]) -> Vec<String> {
    let mut connection = SqliteConnection::connect(path).await.unwrap();
    let mut found = Vec::new();
    for (table, columns) in tables(&mut connection).await {
        for column in columns {
            let text =
                format!("SELECT COUNT(*) FROM {table} WHERE instr(CAST({column} AS BLOB), ?) > 0");
            let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(needle);
            let count: i64 = query.fetch_one(&mut connection).await.unwrap().get(0);
            if count > 0 {
                found.push(format!("{table}.{column}"));
            }
        }
    }
    found
}

/// How often `needle` stands in the file, whatever SQLite thinks of that place.
fn bytes_in(path: &str, needle: &[u8]) -> usize {
    let file = std::fs::read(path).unwrap();
    file.windows(needle.len()).filter(|window| *window == needle).count()
}

fn watermark(reader: &AccountId, conversation: ConversationId) -> Watermark {
    Watermark {
        conversation,
        reader: reader.clone(),
        origin: server(),
        reached: Reached::Read,
        through: 1,
        except: Vec::new(),
        at: START,
    }
}

/// What Alice says of herself and of somebody, and what somebody else says of her.
async fn know_each_other(
    world: &World<SqlStore>,
    alice: &Person,
    (of_hers, her_fan): (&Person, &Person),
) {
    let profile = Profile {
        version: 1,
        name: Some("profile of alice".into()),
        about: None,
        avatar: None,
        updated_at: START,
    };
    world.store.put_profile(alice.uuid(), &profile).await.unwrap();
    world.store.set_privacy(alice.uuid(), &Privacy::default()).await.unwrap();
    for (by, about) in [(alice, of_hers), (her_fan, alice)] {
        let (who, label) = (about.account.clone(), Some("label about alice".into()));
        let contact = Contact { who, label, at: START };
        world.store.put_contact(by.uuid(), &contact, 9).await.unwrap();
        world.store.block(by.uuid(), &about.account, START, 9).await.unwrap();
        let report = Report {
            id: world.id(),
            reporter: by.uuid(),
            reported: about.account.clone(),
            reason: ReportReason::Spam,
            comment: None,
            evidence: if by.uuid() == alice.uuid() {
                "evidence by alice"
            } else {
                "evidence about alice"
            }
            .into(),
            at: START,
            resolved_at: None,
            note: None,
        };
        world.store.file_report(&report, 9).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_of_a_deleted_account_is_left() {
    let subject = Sqlite(TempDir::new().unwrap());
    let world = World::new(&subject).await;
    let alice = world.person("alice-who-goes").await;
    let mut friends = Vec::new();
    for n in 0..20 {
        friends.push(world.person(&format!("friend{n}")).await);
    }
    for round in 0..10 {
        for friend in &friends {
            for (from, to, text) in
                [(&alice, friend, "written by alice"), (friend, &alice, "written to alice")]
            {
                let accept = world.message(from, to, START);
                let body = Bytes::from(text);
                let body = [(accept.body, body)];
                world.store.commit(std::slice::from_ref(&accept), &body).await.unwrap();
            }
            if round == 9 {
                // Both have read: Alice's watermark stands in the friend's inbox.
                let conversation = ConversationId::direct(&alice.account, &friend.account);
                let rises =
                    [(&alice, friend), (friend, &alice)].map(|(reader, told)| WatermarkRise {
                        watermark: watermark(&reader.account, conversation),
                        tell: vec![told.uuid()],
                        forward: None,
                    });
                world.store.record(&[], &rises).await.unwrap();
            }
        }
    }
    world.store.set_pin(alice.uuid(), &PasswordHash("hash of alice's pin".into())).await.unwrap();
    world.store.enrol_totp(alice.uuid(), b"alice's totp secret.").await.unwrap();
    know_each_other(&world, &alice, (&friends[0], &friends[1])).await;
    world.store.begin_erasure(alice.uuid(), START).await.unwrap();
    let now = START.plus_millis(SETTLE_MS);
    while world.store.erase_some(&alice.account, 50, now).await.unwrap().next != Next::Done {}

    let (id, text) = (alice.uuid(), alice.account.to_string());
    // A running server's log has been emptied; what is in the file now is all there is.
    let path = subject.path();
    assert_eq!(places(&path, b"alice-who-goes").await, ["handles.handle"]);
    let left = places(&path, id.as_bytes()).await;
    assert_eq!(left, ["gone_accounts.id", "messages.sender"], "others hold her messages");
    // What others report of her stays for the operator.
    let left = places(&path, text.as_bytes()).await;
    assert_eq!(left, ["messages.addressed_to", "reports.reported"]);
    assert_eq!(places(&path, b"evidence about alice").await, ["reports.evidence"]);
    assert_eq!(places(&path, alice.device.id.0.as_bytes()).await, ["messages.device"]);
    for secret in [
        "hash of alice's pin",
        "alice's totp secret.",
        "written to alice",
        "profile of alice",
        "label about alice",
        "evidence by alice",
    ] {
        assert_eq!(places(&path, secret.as_bytes()).await, Vec::<String>::new());
        assert_eq!(bytes_in(&path, secret.as_bytes()), 0, "{secret} is in the file");
    }
    assert!(bytes_in(&path, b"written by alice") >= 200, "others hold it");
    assert_eq!(world.inbox_ids(&friends[0]).await.len(), 10);
    subject.close(world.store).await;
}

/// Each table that names an account or a device is known to `storage/sql/src/erasure.rs`; a new one
/// must be added there, and then here.
#[tokio::test]
async fn every_table_with_personal_rows_is_erased() {
    const ERASED: &[&str] = &[
        "accounts",
        "acquaintances",
        "blocks",
        "claimed_prekeys",
        "conversation_lists",
        "device_marks",
        "devices",
        "erasures",
        "group_asks",
        "group_links",
        "inbox",
        "inboxes",
        "key_changes",
        "links",
        "messages",
        "pins",
        "prekey_marks",
        "prekeys",
        "privacy",
        "profiles",
        "recovery_codes",
        "relations",
        "reports",
        "sessions",
        "totp",
        "watermarks",
    ];
    /// Handles and ids stay as tombstones; answers of other regions are about their users. That an
    /// account is in a group stays until a member takes it out: chains are all members'.
    const STAY: &[&str] =
        &["gone_accounts", "group_people", "handles", "rejected_events", "remote_handles"];
    /// What is under way to another region goes there.
    const PASS: &[&str] = &["outbox"];
    const PERSONAL: &[&str] = &[
        "account",
        "device",
        "sender",
        "reader",
        "blocked",
        "recipient",
        "handle",
        "owner",
        "other",
        "reporter",
        "reported",
    ];
    let subject = Sqlite(TempDir::new().unwrap());
    let store = subject.open().await;
    let mut connection = SqliteConnection::connect(&subject.path()).await.unwrap();
    for (table, columns) in tables(&mut connection).await {
        let known = [ERASED, STAY, PASS].concat().contains(&table.as_str());
        let personal = columns.iter().any(|column| PERSONAL.contains(&column.as_str()));
        assert!(known || !personal, "{table} {columns:?} is not erased with its account");
    }
    store.close().await;
}
