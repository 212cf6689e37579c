//! What waits on a line is bounded in number and in bytes.

use posthouse_protocol::{
    id::{AccountId, DeviceNumber, ServerName},
    time::Timestamp,
};
use posthouse_storage::{inbox::EntryKind, receipts::Watermark};

use super::*;

fn line() -> Line {
    line_of(2)
}

fn line_of(device: u128) -> Line {
    let server = ServerName::parse("eu.example").unwrap();
    let viewer = Caller {
        account: AccountId { uuid: Uuid::from_u128(1), server },
        device: DeviceId(Uuid::from_u128(device)),
        number: DeviceNumber::FIRST,
        session: SessionId(Uuid::from_u128(3)),
    };
    Line::new(viewer, Arc::new(Mailbox::new()))
}

fn arrival(line: &Line, n: u64, bytes: usize) -> Arc<LiveEntry> {
    let mark = Watermark {
        conversation: posthouse_protocol::id::ConversationId([0; 16]),
        reader: line.viewer.account.clone(),
        origin: line.viewer.account.server.clone(),
        reached: posthouse_protocol::status::Reached::Delivered,
        through: n,
        except: Vec::new(),
        at: Timestamp(0),
    };
    let kind = EntryKind::Status(Box::new(mark));
    let entry = Entry { cursor: Cursor(n), arrived_at: Timestamp(0), kind };
    let body = LiveBody { bytes: vec![0; bytes].into(), shared: None };
    Arc::new(LiveEntry { previous: Cursor(n - 1), entry, body: Some(body) })
}

/// How many entries of this size wait before the line overflows.
fn capacity(bytes: usize) -> usize {
    let line = line();
    for n in 1.. {
        line.arrive(&arrival(&line, n, bytes));
        if line.live().overflowed {
            assert!(line.live().entries.is_empty(), "nothing is kept");
            return usize::try_from(n - 1).unwrap();
        }
    }
    unreachable!("numbers end first")
}

#[test]
fn a_line_overflows_by_number_and_by_bytes() {
    assert_eq!(capacity(100), limits::WINDOW);
    assert_eq!(capacity(limits::MAX_BODY), MAX_WAITING_BYTES / limits::MAX_BODY + 1);
}

#[test]
fn what_is_put_back_counts_and_what_is_taken_does_not() {
    let line = line();
    for n in 1..=10 {
        line.arrive(&arrival(&line, n, 1_000));
    }
    let Taken::Entries(mut taken) = line.take() else { panic!("nothing overflowed") };
    assert_eq!(line.live().bytes, 0);
    taken.pop_front();
    line.arrive(&arrival(&line, 11, 1_000));
    line.put_back(taken);
    assert_eq!(line.live().bytes, 10_000);
    let cursors: Vec<u64> = line.live().entries.iter().map(|e| e.entry.cursor.0).collect();
    assert_eq!(cursors, (2..=11).collect::<Vec<_>>());
}

#[test]
fn a_removed_device_is_cut_and_its_siblings_are_not() {
    let connections = Connections::new();
    let lines = [2, 3].map(|device| Arc::new(line_of(device)));
    let account = Uuid::from_u128(1);
    for line in &lines {
        connections.open(account, Arc::clone(line));
    }
    connections.revoke_device(account, DeviceId(Uuid::from_u128(3)));
    let closing = lines.map(|line| line.mailbox.closing());
    assert_eq!(closing, [None, Some(Close::Revoked)]);
}
