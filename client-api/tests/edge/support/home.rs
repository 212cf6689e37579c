//! A homeserver in memory: accounts by token, one inbox per device, and knobs for what tests need
//! to see go wrong.

mod presence;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use posthouse_client_api::{
    mailbox::{Close, Frame, Mailbox},
    ports::{Accounts, Answer, Caller, Feed, Health, Messaging},
};
use posthouse_protocol::{
    cursor::{Cursor, Since},
    frame::{Ack, AckTarget, PresenceUpdate, ServerFrame, StatusFrame, Submission},
    id::{
        AccountId, Address, ConversationId, DeviceId, DeviceNumber, HandleName, MessageId,
        ServerName, SessionId,
    },
    limits,
    problem::{Code, Rejection},
    rest::{
        Conversations, LogIn, Me, Refresh, Register, Secret, Sent, SessionInfo, SessionTokens,
        Sessions, SyncPage, User as UserInfo,
    },
    status::Status,
    time::{Stamp, Timestamp},
};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// A person with one device.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) token: String,
    pub(crate) caller: Caller,
}

/// The homeserver.
pub(crate) struct Home {
    state: Mutex<State>,
    /// Room for submissions; without a permit, `submit` waits.
    pub(crate) room: Semaphore,
    /// Keeps answers back until [`Home::release`].
    pub(crate) hold_answers: AtomicBool,
    /// What `Health` says.
    pub(crate) is_ready: AtomicBool,
    pub(crate) is_watched: AtomicBool,
    pub(crate) feed_fails: AtomicBool,
    /// Ends a session just before its feed is there.
    pub(crate) ends_on_connect: AtomicBool,
}

#[derive(Default)]
struct State {
    users: HashMap<String, User>,
    ended: HashSet<SessionId>,
    inboxes: HashMap<DeviceId, Arc<Inbox>>,
    submissions: Vec<Submission>,
    held: Vec<(Submission, Answer)>,
    presence: Vec<PresenceUpdate>,
    watched: Vec<Address>,
    acks: Vec<Ack>,
}

/// What waits for one device.
#[derive(Default)]
struct Inbox {
    entries: Mutex<Vec<Frame>>,
    connected: Mutex<Option<Arc<Mailbox>>>,
    acknowledged: AtomicUsize,
}

impl Inbox {
    fn put(&self, text: String) {
        self.entries.lock().unwrap().push(Frame::from(text));
        if let Some(mailbox) = &*self.connected.lock().unwrap() {
            mailbox.wake();
        }
    }
}

impl Home {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            room: Semaphore::new(Semaphore::MAX_PERMITS),
            hold_answers: AtomicBool::new(false),
            is_ready: AtomicBool::new(true),
            is_watched: AtomicBool::new(false),
            feed_fails: AtomicBool::new(false),
            ends_on_connect: AtomicBool::new(false),
        })
    }

    /// A new account with one device and a token.
    pub(crate) fn user(&self) -> User {
        let mut state = self.state();
        let number = state.users.len() as u128 + 1;
        let server = ServerName::parse("eu.example").unwrap();
        let uuid = |kind: u128| Uuid::from_u128(kind << 64 | number);
        let user = User {
            token: format!("token-{number}"),
            caller: Caller {
                account: AccountId { uuid: uuid(1), server },
                device: DeviceId(uuid(2)),
                number: DeviceNumber::FIRST,
                session: SessionId(uuid(3)),
            },
        };
        state.users.insert(user.token.clone(), user.clone());
        user
    }

    /// Puts a frame into a device's inbox.
    pub(crate) fn deliver(&self, user: &User, text: impl Into<String>) {
        self.inbox(&user.caller).put(text.into());
    }

    /// The mailbox of a connected device.
    pub(crate) fn mailbox(&self, user: &User) -> Option<Arc<Mailbox>> {
        self.inbox(&user.caller).connected.lock().unwrap().clone()
    }

    /// Ends a session and cuts its socket.
    pub(crate) fn end(&self, user: &User) {
        self.state().ended.insert(user.caller.session);
        if let Some(mailbox) = self.mailbox(user) {
            mailbox.close(Close::Revoked);
        }
    }

    /// Answers what was held back.
    pub(crate) fn release(&self) {
        self.hold_answers.store(false, Ordering::SeqCst);
        let held = std::mem::take(&mut self.state().held);
        for (submission, answer) in held {
            Self::settle(&submission, answer);
        }
    }

    pub(crate) fn submissions(&self) -> Vec<Submission> {
        self.state().submissions.clone()
    }

    pub(crate) fn acks(&self) -> Vec<Ack> {
        self.state().acks.clone()
    }

    pub(crate) fn presence(&self) -> Vec<PresenceUpdate> {
        self.state().presence.clone()
    }

    pub(crate) fn watched(&self) -> Vec<Address> {
        self.state().watched.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn inbox(&self, caller: &Caller) -> Arc<Inbox> {
        Arc::clone(self.state().inboxes.entry(caller.device).or_default())
    }

    fn find(&self, token: &str) -> Result<User, Rejection> {
        let state = self.state();
        let user = state.users.get(token).filter(|u| !state.ended.contains(&u.caller.session));
        user.cloned().ok_or_else(|| Rejection::new(Code::Unauthorized, "the token is not valid"))
    }

    fn settle(submission: &Submission, answer: Answer) {
        let at = Timestamp(1_705_234_567_900);
        let conversation_id = ConversationId([7; 16]);
        match answer {
            Answer::Socket(mailbox) => {
                let status = StatusFrame {
                    message_id: submission.id,
                    status: Status::Sent,
                    at,
                    user: None,
                    conversation_id: None,
                    stamp: None,
                    origin_number: None,
                    reason: None,
                    cursor: None,
                };
                mailbox.answer(Frame::from(status.to_json()));
            }
            Answer::Request(sender) => {
                let sent = Sent {
                    message_id: submission.id,
                    status: Status::Sent,
                    conversation_id,
                    stamp: Stamp::at(at),
                    origin_number: 1,
                    at,
                };
                drop(sender.send(Ok(sent)));
            }
        }
    }

    fn tokens(user: &User, handle: HandleName) -> SessionTokens {
        SessionTokens {
            account_id: user.caller.account.clone(),
            handle,
            device_id: user.caller.device,
            device: user.caller.number,
            session_id: user.caller.session,
            access_token: Secret(user.token.clone()),
            expires_in: limits::ACCESS_TOKEN_SECONDS,
            refresh_token: Secret("refresh".into()),
        }
    }
}

#[async_trait]
impl Accounts for Home {
    async fn register(&self, request: Register) -> Result<SessionTokens, Rejection> {
        Ok(Self::tokens(&self.user(), request.handle))
    }

    async fn log_in(&self, request: LogIn) -> Result<SessionTokens, Rejection> {
        if request.password.0 != "correct horse" {
            return Err(Rejection::new(Code::WrongCredentials, "no"));
        }
        Ok(Self::tokens(&self.user(), HandleName::parse("alice").unwrap()))
    }

    async fn refresh(&self, request: Refresh) -> Result<SessionTokens, Rejection> {
        if request.refresh_token.0 != "refresh" {
            return Err(Rejection::new(Code::Unauthorized, "the refresh token is not valid"));
        }
        Ok(Self::tokens(&self.user(), HandleName::parse("alice").unwrap()))
    }

    async fn authenticate(&self, access_token: &str) -> Result<Caller, Rejection> {
        self.find(access_token).map(|user| user.caller)
    }

    async fn still_valid(&self, caller: &Caller) -> Result<(), Rejection> {
        if self.state().ended.contains(&caller.session) {
            return Err(Rejection::new(Code::Unauthorized, "the session was ended"));
        }
        Ok(())
    }

    async fn me(&self, caller: &Caller) -> Result<Me, Rejection> {
        Ok(Me {
            account_id: caller.account.clone(),
            handle: HandleName::parse("alice").unwrap(),
            device_id: caller.device,
            device: caller.number,
        })
    }

    async fn sessions(&self, caller: &Caller) -> Result<Sessions, Rejection> {
        let session = SessionInfo {
            session_id: caller.session,
            device_id: caller.device,
            device: caller.number,
            device_name: "phone".into(),
            created_at: Timestamp(1),
            refreshed_at: Timestamp(2),
            current: true,
        };
        Ok(Sessions { sessions: vec![session] })
    }

    async fn log_out(&self, caller: &Caller) -> Result<(), Rejection> {
        self.state().ended.insert(caller.session);
        Ok(())
    }

    async fn end_session(&self, caller: &Caller, session: SessionId) -> Result<(), Rejection> {
        if session != caller.session {
            return Err(Rejection::new(Code::NotFound, "no such session"));
        }
        self.log_out(caller).await
    }

    async fn user(&self, _: &Caller, address: Address) -> Result<UserInfo, Rejection> {
        match address {
            Address::Handle(handle) if handle.name.as_str() == "bob" => {
                let account_id = self.user().caller.account;
                Ok(UserInfo { account_id, handle: handle.name })
            }
            _ => Err(Rejection::new(Code::UnknownUser, "no such user")),
        }
    }
}

#[async_trait]
impl Messaging for Home {
    async fn submit(&self, _: &Caller, submission: Submission, answer: Answer) {
        self.room.acquire().await.unwrap().forget();
        self.state().submissions.push(submission.clone());
        if self.hold_answers.load(Ordering::SeqCst) {
            self.state().held.push((submission, answer));
        } else {
            Self::settle(&submission, answer);
        }
    }

    async fn connect(
        &self,
        caller: &Caller,
        mailbox: Arc<Mailbox>,
    ) -> Result<Box<dyn Feed>, Rejection> {
        if self.ends_on_connect.load(Ordering::SeqCst) {
            self.state().ended.insert(caller.session);
        }
        let inbox = self.inbox(caller);
        let earlier = inbox.connected.lock().unwrap().replace(Arc::clone(&mailbox));
        if let Some(earlier) = earlier {
            earlier.close(Close::Replaced);
        }
        let position = inbox.acknowledged.load(Ordering::SeqCst);
        let fails = self.feed_fails.load(Ordering::SeqCst);
        Ok(Box::new(InboxFeed { inbox, mailbox, at: position, told: false, fails }))
    }

    async fn sync(
        &self,
        caller: &Caller,
        since: Option<Since>,
        limit: usize,
    ) -> Result<SyncPage, Rejection> {
        let from = match since {
            Some(Since::Cursor(cursor)) => usize::try_from(cursor.0).unwrap_or(usize::MAX),
            _ => 0,
        };
        let entries = self.inbox(caller).entries.lock().unwrap().clone();
        if from > entries.len() {
            return Err(Rejection::new(Code::CursorReset, "beyond the end"));
        }
        let page = entries.iter().skip(from).take(limit);
        let messages: Vec<_> =
            page.map(|frame| serde_json::from_str(frame.as_str()).unwrap()).collect();
        let next = from + messages.len();
        let next_cursor = Cursor(next as u64);
        Ok(SyncPage { messages, events: vec![], has_more: next < entries.len(), next_cursor })
    }

    async fn acknowledge(&self, _: &Caller, ack: Ack) -> Result<(), Rejection> {
        self.state().acks.push(ack);
        Ok(())
    }

    async fn conversations(
        &self,
        caller: &Caller,
        before: Option<(Stamp, ConversationId)>,
        limit: usize,
    ) -> Result<Conversations, Rejection> {
        Ok(super::people::conversations(caller, before, limit))
    }

    async fn delete_conversation(&self, _: &Caller, _: ConversationId) -> Result<(), Rejection> {
        Err(Rejection::new(Code::NotFound, "no such conversation"))
    }

    async fn delete_messages(
        &self,
        _: &Caller,
        messages: Vec<(AccountId, MessageId)>,
    ) -> Result<u64, Rejection> {
        Ok(messages.len() as u64)
    }
}

struct InboxFeed {
    inbox: Arc<Inbox>,
    mailbox: Arc<Mailbox>,
    at: usize,
    told: bool,
    fails: bool,
}

#[async_trait]
impl Feed for InboxFeed {
    async fn pull(&mut self, out: &mut Vec<Frame>) -> Result<bool, Rejection> {
        let had = out.len();
        if self.fails {
            return Err(Rejection::new(Code::Unavailable, "the store is away"));
        }
        let entries = self.inbox.entries.lock().unwrap();
        let window = self.inbox.acknowledged.load(Ordering::SeqCst) + limits::WINDOW;
        let end = entries.len().min(window);
        out.extend_from_slice(&entries[self.at.min(end)..end]);
        self.at = self.at.max(end);
        if self.at == entries.len() && !self.told {
            self.told = true;
            let frame = ServerFrame::CaughtUp { cursor: Cursor(self.at as u64) };
            out.push(Frame::from(frame.to_json()));
        }
        Ok(out.len() > had)
    }

    async fn acknowledge(&mut self, ack: Ack) -> Result<(), Rejection> {
        match ack.target {
            AckTarget::Through(cursor) => {
                let position = usize::try_from(cursor.0).unwrap_or(usize::MAX);
                if position > self.at {
                    return Err(Rejection::new(Code::CursorReset, "beyond the end"));
                }
                self.inbox.acknowledged.fetch_max(position, Ordering::SeqCst);
            }
            AckTarget::Messages { ids, .. } => {
                self.inbox.acknowledged.fetch_add(ids.len(), Ordering::SeqCst);
            }
        }
        Ok(())
    }

    fn is_held_back(&self) -> bool {
        self.at < self.inbox.entries.lock().unwrap().len()
    }
}

impl Drop for InboxFeed {
    fn drop(&mut self) {
        let mut connected = self.inbox.connected.lock().unwrap();
        if connected.as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.mailbox)) {
            *connected = None;
        }
    }
}

#[async_trait]
impl Health for Home {
    async fn ready(&self) -> Result<(), Rejection> {
        if self.is_ready.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Rejection::new(Code::Unavailable, "the store is away"))
    }
}
