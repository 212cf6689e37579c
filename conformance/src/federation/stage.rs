//! What the checks of the federation share: the subject, the peers, two local users, and ways to
//! send and to see what arrived.

mod seen;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{
    caller::{Answer, Caller, Cut, Request},
    formats::{
        envelope::Envelope,
        event::{Body, Event},
        receipt::{Receipt, SignedReceipt, outcome},
        records::{Enclosed, Record},
    },
    keys::Document,
    lanes::{Incarnation, Uuid, sha256},
    peer::{Destination, Draft, Peer, as_uuid, parse_uuid},
    seal::Kem,
    tls::{self, Authority, Credential},
};
use crate::{
    identifiers::direct_conversation,
    person::Person,
    server::Server,
    verdict::{Failure, Verdict, differs, must_be},
};

/// Where envelopes go.
pub const ENVELOPES: &str = "/federation/v1/envelopes";
/// The lane of messages.
pub const MESSAGES: u64 = 2;
/// The lane of receipts.
pub const RECEIPTS: u64 = 3;
/// The lane of control.
pub const CONTROL: u64 = 1;

/// How long things take and may take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long what must happen may take.
    pub patience: Duration,
    /// Least time between two incarnations, with a margin.
    pub minute: Duration,
    /// How long a server may wait for a head or body that does not come.
    pub slow: Duration,
    /// How long a forged receipt is given to do harm.
    pub harm: Duration,
    /// Connections that are opened by the flood.
    pub connections: usize,
    /// Ephemerals that are sent by the flood.
    pub ephemerals: usize,
}

/// The peers by their parts.
#[derive(Debug)]
pub struct Roles {
    /// Does what is right.
    pub honest: Arc<Peer>,
    /// Has to be served whatever another peer does.
    pub witness: Arc<Peer>,
    /// Sends what is wrong.
    pub hostile: Arc<Peer>,
    /// Answers wrongly.
    pub forger: Arc<Peer>,
    /// Changes its keys.
    pub keys: Arc<Peer>,
    /// Has a document whose time is over.
    pub expired: Arc<Peer>,
}

/// The stage.
#[derive(Debug)]
pub struct Stage {
    /// The subject's client API.
    pub server: Server,
    /// The subject's document.
    pub subject: Document,
    /// How it is called, without a client certificate.
    pub caller: Caller,
    /// The address that the bystanders call from.
    pub quiet_source: Option<std::net::IpAddr>,
    /// The authority of the test federation.
    pub authority: Authority,
    /// An authority that nobody trusts.
    pub stranger: Authority,
    /// The peers.
    pub roles: Roles,
    /// Two local users who write to each other.
    pub people: Vec<Person>,
    /// Times.
    pub pace: Pace,
    /// Milliseconds since 1970.
    pub clock: fn() -> u64,
    /// Where random numbers come from.
    pub seed: u64,
    /// How many were drawn.
    pub drawn: AtomicU64,
    /// Origin numbers that were given, by sender and recipient.
    pub numbers: Mutex<BTreeMap<(String, String), u64>>,
    /// What the local users wrote to each other, in order.
    pub local: Mutex<Vec<String>>,
}

/// What came of posting.
pub type Posted = Result<Answer, Cut>;

impl Roles {
    /// All of them.
    pub fn all(&self) -> [&Arc<Peer>; 6] {
        let Self { honest, witness, hostile, forger, keys, expired } = self;
        [honest, witness, hostile, forger, keys, expired]
    }
}

impl Stage {
    /// A random number generator that no other draws the same from.
    pub fn rng(&self) -> StdRng {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        StdRng::from_seed(sha256(&[&self.seed.to_be_bytes(), &drawn.to_be_bytes()]))
    }

    /// A UUID that was not used before.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        rand::Rng::fill_bytes(&mut self.rng(), &mut bytes);
        as_uuid(bytes)
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// The first local user.
    ///
    /// # Errors
    /// [`Failure::Lacks`] if nobody could be registered.
    pub fn alice(&self) -> Verdict<&Person> {
        self.people.first().ok_or_else(|| Failure::Lacks("local users".into()))
    }

    /// The second local user.
    ///
    /// # Errors
    /// [`Failure::Lacks`] if nobody could be registered.
    pub fn bob(&self) -> Verdict<&Person> {
        self.people.get(1).ok_or_else(|| Failure::Lacks("two local users".into()))
    }

    /// The subject as the destination of envelopes, with its key of this encapsulation.
    ///
    /// # Errors
    /// [`Failure::Differs`] if it has none.
    pub fn destination(&self, kem: Kem) -> Verdict<Destination<'_>> {
        let keys = self.subject.entry.sealing.iter();
        let key = keys.clone().find(|(id, _)| *id == u64::from(kem.id()));
        match key {
            Some((_, key)) => {
                Ok(Destination { name: &self.subject.server, key, kem, now: self.now() })
            }
            None => differs(format!("the subject offers no sealing key of {kem:?}")),
        }
    }

    /// How a peer calls the subject, with another credential if one is given.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if TLS cannot be set up.
    pub fn caller(&self, peer: &Peer, credential: Option<&Credential>) -> Verdict<Caller> {
        let credential = credential.unwrap_or(&peer.credential);
        let versions = &[&rustls::version::TLS13];
        let config = tls::client(&self.authority, Some(credential), versions);
        let config = config.map_err(Failure::Unreachable)?;
        let quiet = peer.name == self.roles.witness.name;
        let source = if quiet { self.quiet_source } else { None };
        Ok(Caller { source, config, ..self.caller.clone() })
    }

    /// Posts an envelope's bytes as a peer. An honest peer waits when it is asked to.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if TLS cannot be set up.
    pub async fn post(&self, peer: &Peer, bytes: &[u8]) -> Verdict<Posted> {
        let caller = self.caller(peer, None)?;
        let request = Request::post(ENVELOPES, bytes.to_vec());
        let mut tries = 0;
        loop {
            let answer = caller.send(&request).await;
            let wait = match &answer {
                Ok(Answer { status: 429 | 503, retry_after, .. }) => {
                    retry_after.unwrap_or(1).clamp(1, 15)
                }
                _ => return Ok(answer),
            };
            tries += 1;
            if tries > 6 {
                return Ok(answer);
            }
            sleep(Duration::from_secs(wait)).await;
        }
    }

    /// Seals and signs a draft.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be sealed.
    pub fn build(&self, draft: Draft) -> Verdict<Envelope> {
        draft.build(&mut self.rng())
    }

    /// The receipt in an answer, after every check that an origin has to make.
    ///
    /// # Errors
    /// [`Failure::Differs`] if there is none.
    pub fn receipt(&self, peer: &Peer, envelope: &Envelope, posted: Posted) -> Verdict<Receipt> {
        let answer = posted.map_err(|cut| Failure::Differs(cut.to_string()))?;
        if answer.status != 200 {
            return differs(format!("the envelope is answered {}", shown(&answer)));
        }
        must_be("the media type", &answer.media_type.as_str(), &"application/cbor")?;
        let signed = SignedReceipt::read(&answer.body)
            .map_err(|err| Failure::Differs(format!("the receipt is malformed: {err}")))?;
        let receipt = &signed.receipt;
        must_be("`from` of the receipt", &receipt.from, &self.subject.server)?;
        must_be("`to` of the receipt", &receipt.to, &peer.name)?;
        must_be("the digest in the receipt", &receipt.answers, &envelope.digest())?;
        let key = self.subject.entry.signing_key(receipt.signing_key, self.now());
        if !key.is_some_and(|key| signed.is_signed_by(&key)) {
            return differs("the receipt is not signed by a key of the subject's document");
        }
        Ok(signed.receipt)
    }

    /// Posts a draft and reads the receipt.
    ///
    /// # Errors
    /// [`Failure::Differs`] if there is none.
    pub async fn ask(&self, peer: &Peer, draft: Draft) -> Verdict<Receipt> {
        let envelope = self.build(draft)?;
        let posted = self.post(peer, &envelope.encode()).await?;
        self.receipt(peer, &envelope, posted)
    }

    /// Sends records in a lane of a peer's stream, which is opened if need be. They must be
    /// accepted.
    ///
    /// # Errors
    /// [`Failure::Differs`] if they are not.
    pub async fn send(&self, peer: &Peer, lane: u64, records: &[Record]) -> Verdict<Receipt> {
        let opened = peer.state().stream.is_some();
        if !opened {
            self.take_up(peer).await?;
        }
        let deadline = Instant::now() + self.pace.minute + self.pace.patience;
        loop {
            let draft = peer.draft(&self.destination(Kem::XWing)?, lane, records);
            let receipt = self.ask(peer, draft).await?;
            if receipt.outcome == outcome::TOO_SOON && Instant::now() < deadline {
                sleep(Duration::from_secs(1)).await;
                continue;
            }
            must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
            peer.advance(lane, records);
            return Ok(receipt);
        }
    }

    /// Opens a peer's stream with a message, if it is not open.
    ///
    /// # Errors
    /// [`Failure::Differs`] if the message is not accepted.
    pub async fn is_open(&self, peer: &Peer) -> Verdict {
        let open = peer.state().stream.is_some();
        if !open {
            let hello = self.message(peer, self.alice()?, "hello");
            self.send(peer, MESSAGES, &[Record::Event(hello)]).await?;
        }
        Ok(())
    }

    /// Asks where the subject stands, and begins the next incarnation.
    ///
    /// # Errors
    /// [`Failure::Differs`] if there is no receipt.
    pub async fn take_up(&self, peer: &Peer) -> Verdict {
        let incarnation = Incarnation { number: 1, random: self.uuid() };
        peer.begin(&self.subject.server, incarnation);
        let receipt = self.ask(peer, peer.draft(&self.destination(Kem::XWing)?, 1, &[])).await?;
        let number = receipt.standing.map_or(1, |(standing, _)| standing.number + 1);
        peer.begin(&self.subject.server, Incarnation { number, ..incarnation });
        Ok(())
    }

    /// A message of a peer's user to a local user.
    pub fn event(&self, peer: &Peer, to: &Person, text: &str) -> Event {
        let conversation = direct_conversation(&peer.account(), &to.account);
        let now = self.now();
        Event {
            kind: 1,
            class: 1,
            conversation: Some(hex16(&conversation)),
            device: Some(1),
            recipients: vec![parse_uuid(&to.account)],
            stamp: Some(now << 16),
            origin_number: Some(self.number(peer, to)),
            client_time: Some(now),
            accepted_at: Some(now),
            expires: Some(now + 24 * 3600 * 1000),
            content_type: Some("encrypted".into()),
            epoch: None,
            group: None,
            bodies: vec![Body::for_all(text)],
            encrypted: Some(true),
        }
    }

    fn number(&self, peer: &Peer, to: &Person) -> u64 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.entry((peer.name.clone(), to.account.clone())).or_default();
        *number += 1;
        *number
    }

    /// An event in its record, from the peer's user.
    pub fn enclose(&self, peer: &Peer, event: &Event) -> Enclosed {
        Enclosed { id: self.uuid(), sender: Some(peer.user), event: event.encode() }
    }

    /// A message of a peer's user to a local user, in its record.
    pub fn message(&self, peer: &Peer, to: &Person, text: &str) -> Enclosed {
        self.enclose(peer, &self.event(peer, to, text))
    }
}

/// The bytes of a conversation id.
pub fn hex16(text: &str) -> Uuid {
    parse_uuid(text)
}

/// An answer in a few words.
pub fn shown(answer: &Answer) -> String {
    match super::formats::Refusal::read(&answer.body) {
        Ok(refusal) => format!("{} `{}` ({})", answer.status, refusal.code, refusal.detail),
        Err(_) => format!("{} with {} bytes", answer.status, answer.body.len()),
    }
}
