//! What a device has sent and received, and the rules that this must keep at every moment.

use std::collections::HashMap;

use posthouse_client::Message;
use posthouse_protocol::{
    content::Payload, cursor::Cursor, frame::StatusFrame, id::MessageId, status::Status,
    time::Stamp,
};

/// What one device sends, in order.
#[derive(Default)]
pub(crate) struct Sent {
    /// The ids, by number.
    pub(crate) ids: Vec<MessageId>,
    numbers: HashMap<MessageId, usize>,
    told: HashMap<usize, Told>,
    /// All numbers below have been told `sent`.
    pub(crate) answered: usize,
}

/// What the server promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    stamp: Stamp,
    origin_number: u64,
}

impl Sent {
    /// A new message.
    pub(crate) fn add(&mut self, id: MessageId) {
        self.numbers.insert(id, self.ids.len());
        self.ids.push(id);
    }

    /// Whether the message was told `sent`.
    pub(crate) fn is_answered(&self, number: usize) -> bool {
        self.told.contains_key(&number)
    }

    /// A status came. An answer that is repeated must be the same.
    pub(crate) fn status(&mut self, status: &StatusFrame) {
        let Some(number) = self.numbers.get(&status.message_id).copied() else {
            panic!("a status of a message that was never sent: {status:?}");
        };
        assert_ne!(status.status, Status::Failed, "{status:?}");
        if status.status != Status::Sent {
            return;
        }
        let told = Told {
            stamp: status.stamp.expect("a stamp on `sent`"),
            origin_number: status.origin_number.expect("a number on `sent`"),
        };
        let first = *self.told.entry(number).or_insert(told);
        assert_eq!(first, told, "message {number} was answered differently");
        while self.told.contains_key(&self.answered) {
            self.answered += 1;
        }
    }
}

/// What one device has received of its one peer.
#[derive(Default)]
pub(crate) struct Received {
    /// In the order they came for the first time.
    messages: Vec<Message>,
    places: HashMap<MessageId, usize>,
    /// The highest stamp seen.
    pub(crate) highest: Option<Stamp>,
    connection: Connected,
}

/// What came on the present connection.
#[derive(Default)]
struct Connected {
    cursor: Cursor,
    next: Option<usize>,
}

impl Received {
    /// A new connection: what was not acknowledged may come again, but only once.
    pub(crate) fn reconnected(&mut self) {
        self.connection = Connected::default();
    }

    /// How many different messages have come.
    pub(crate) fn count(&self) -> usize {
        self.messages.len()
    }

    /// All messages, in their order.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// A message came.
    pub(crate) fn take(&mut self, message: Message) {
        let number = number(&message);
        let place = message.place.expect("a place");
        let connection = &mut self.connection;
        assert!(place.cursor > connection.cursor, "cursors go back at {message:?}");
        connection.cursor = place.cursor;
        // The inbox of this device holds nothing but its peer's messages, so each connection gets
        // them one after the other, without a gap and without a duplicate.
        if let Some(next) = connection.next {
            assert_eq!(number, next, "on one connection: {message:?}");
        }
        connection.next = Some(number + 1);
        let first = self.places.get(&message.id).and_then(|place| self.messages.get(*place));
        if let Some(first) = first {
            assert_eq!(*first, message, "a message came again and differs");
            return;
        }
        assert_eq!(number, self.messages.len(), "a message was skipped: {message:?}");
        let last = self.messages.last().and_then(|last| last.place);
        assert!(last.is_none_or(|last| {
            place.stamp > last.stamp && place.origin_number > last.origin_number
        }));
        self.highest = self.highest.max(Some(place.stamp));
        self.places.insert(message.id, number);
        self.messages.push(message);
    }

    /// Every message that `peer` was told to be sent is here, as it was told, and nothing else.
    pub(crate) fn holds_exactly(&self, peer: &Sent) {
        assert_eq!(self.messages.len(), peer.ids.len());
        for (number, message) in self.messages.iter().enumerate() {
            assert_eq!(Some(&message.id), peer.ids.get(number));
            let place = message.place.expect("a place");
            let arrived = Told { stamp: place.stamp, origin_number: place.origin_number };
            assert_eq!(peer.told.get(&number), Some(&arrived), "message {number}");
        }
    }
}

/// The number that a message carries in its body.
fn number(message: &Message) -> usize {
    let Payload::Body(body) = &message.content.payload else { panic!("no body: {message:?}") };
    body.parse().expect("a number")
}
