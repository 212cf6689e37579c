//! A frame of a device → a call of a port.

use std::sync::Arc;

use posthouse_protocol::{
    frame::{ClientFrame, Malformed, PresenceUpdate, ServerFrame, Submission},
    problem::{Code, Rejection},
};

use super::{connection::Connection, end::End};
use crate::{
    edge::too_often,
    mailbox::Frame,
    ports::{Answer, Feed},
    rate::TooOften,
};

/// Most frames in a row that are refused for their rate; then the socket is closed with 1008.
pub(super) const MAX_REFUSED: u32 = 1_000;

impl Connection<'_> {
    /// Does what a frame asks for. What goes wrong is told in an `error` frame and does not end
    /// the connection, unless the device keeps ignoring its rate.
    pub(super) async fn dispatch(
        &mut self,
        parsed: Result<ClientFrame, Malformed>,
        feed: &mut dyn Feed,
    ) -> Result<(), End> {
        let limited = self.frames.take(self.edge.config().frames, self.now());
        if let Err(err) = limited {
            return self.refuse_rate(err, &parsed);
        }
        self.refused = 0;
        match parsed {
            Ok(ClientFrame::Message(submission)) => self.submit(*submission).await,
            Ok(ClientFrame::Ack(ack)) => {
                let result = feed.acknowledge(ack).await;
                // An acknowledgement makes room in the window.
                self.pull_due |= feed.is_held_back();
                self.tell(result, None);
            }
            Ok(ClientFrame::Presence(update)) => self.presence(update).await,
            Ok(ClientFrame::Subscribe(users)) => {
                let presence = &self.edge.ports().presence;
                let result = presence.subscribe(self.caller, self.mailbox, users).await;
                self.tell(result, None);
            }
            Ok(ClientFrame::Unsubscribe(users)) => {
                let presence = &self.edge.ports().presence;
                let result = presence.unsubscribe(self.caller, self.mailbox, users).await;
                self.tell(result, None);
            }
            Ok(ClientFrame::Ping(reference)) => {
                let pong = ServerFrame::Pong { reference: reference.as_deref() };
                self.writer.text(Frame::from(pong.to_json()));
            }
            Err(malformed) => {
                self.refuse(&malformed.rejection, malformed.reference.as_deref());
            }
        }
        Ok(())
    }

    /// Hands a message in. If the port has no room yet, the call goes on beside reading and
    /// writing, and no further frame is looked at until it is done.
    async fn submit(&mut self, submission: Submission) {
        // `may_receive` has seen a free place, and only this connection takes them.
        if !self.mailbox.reserve() {
            let rejection =
                Rejection::new(Code::Overloaded, "too many messages wait for an answer");
            return self.refuse(&rejection, Some(&submission.id.to_string()));
        }
        let answer = Answer::Socket(Arc::clone(self.mailbox));
        let mut call = self.edge.ports().messaging.submit(self.caller, submission, answer);
        let done = std::future::poll_fn(|cx| core::task::Poll::Ready(call.as_mut().poll(cx)));
        if done.await.is_pending() {
            self.submitting = Some(call);
        }
    }

    async fn presence(&mut self, update: PresenceUpdate) {
        if matches!(update, PresenceUpdate::Typing { .. }) {
            let limited = self.typing.take(self.edge.config().typing, self.now());
            if let Err(err) = limited {
                return self.refuse(&too_often(err), None);
            }
        }
        let result = self.edge.ports().presence.update(self.caller, update).await;
        self.tell(result, None);
    }

    fn refuse_rate(
        &mut self,
        err: TooOften,
        parsed: &Result<ClientFrame, Malformed>,
    ) -> Result<(), End> {
        self.count_refused()?;
        let id = match parsed {
            Ok(ClientFrame::Message(submission)) => Some(submission.id.to_string()),
            Ok(ClientFrame::Ping(reference)) => reference.clone(),
            Ok(_) => None,
            Err(malformed) => malformed.reference.clone(),
        };
        self.refuse(&too_often(err), id.as_deref());
        Ok(())
    }

    /// Counts a ping, a pong or a part of a message; `false` if there are too many.
    pub(super) fn count_control(&mut self) -> Result<bool, End> {
        match self.frames.take(self.edge.config().frames, self.now()) {
            Ok(()) => Ok(true),
            Err(_) => self.count_refused().map(|()| false),
        }
    }

    fn count_refused(&mut self) -> Result<(), End> {
        self.refused += 1;
        if self.refused > MAX_REFUSED {
            return Err(End::Policy("the device keeps sending faster than it may"));
        }
        Ok(())
    }

    /// Tells a failure, if it is one.
    fn tell(&mut self, result: Result<(), Rejection>, reference: Option<&str>) {
        if let Err(rejection) = result {
            self.refuse(&rejection, reference);
        }
    }

    /// Tells a refusal.
    pub(super) fn refuse(&mut self, rejection: &Rejection, reference: Option<&str>) {
        self.edge.counters().error(rejection.code);
        let frame = ServerFrame::error(rejection, reference);
        self.writer.text(Frame::from(frame.to_json()));
    }
}
