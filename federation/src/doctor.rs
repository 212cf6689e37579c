//! Why is a peer not reached? An examination from this side, stage by stage (docs/spec/federation.md
//! names what each stage asks): policy, DNS, TCP, TLS, server document, clock, echo.
//!
//! It uses connections of its own and changes nothing of what is known of the peer. It stops at the
//! first stage that fails, and names those that it did not reach.

mod certificate;
mod reach;
mod speak;

use std::sync::{Arc, Mutex, PoisonError};

use posthouse_crypto::sign::SigningKey;
use posthouse_protocol::{
    id::ServerName,
    time::{Clock, Timestamp},
};
use rand::{SeedableRng as _, rngs::StdRng};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    discovery::Discovery,
    policy::PolicyStore,
    ports::KnownKeys,
    tls::{IdentityStore, TrustStore},
};

/// What the examination works with.
pub struct DoctorParts {
    /// Our name.
    pub own: ServerName,
    /// The key that signs the echo.
    pub signing: SigningKey,
    /// Our certificate.
    pub identity: Arc<IdentityStore>,
    /// Whose certificates are believed.
    pub trust: Arc<TrustStore>,
    /// With whom we federate.
    pub policy: Arc<PolicyStore>,
    /// Where peers are; it is asked anew and remembers nothing.
    pub discovery: Arc<Discovery>,
    /// What is known of peers' keys; it is only read.
    pub known: Arc<dyn KnownKeys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Examines peers.
pub struct Doctor {
    parts: DoctorParts,
    rng: Mutex<StdRng>,
}

/// A stage of the examination, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Our own rules.
    Policy,
    /// From the domain to addresses.
    Dns,
    /// Whether something listens at the addresses.
    Tcp,
    /// Whether it proves the domain.
    Tls,
    /// What it says of itself, and whether its keys are those that are known.
    Document,
    /// How far its clock is from ours.
    Clock,
    /// Whether it holds the signing key of its document, and accepts ours.
    Echo,
}

impl StageName {
    /// All stages, in order.
    pub const ALL: [Self; 7] =
        [Self::Policy, Self::Dns, Self::Tcp, Self::Tls, Self::Document, Self::Clock, Self::Echo];
}

/// How a stage went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, and something should be looked at.
    Warning,
    /// It does not work; nothing behind it was tried.
    Failed,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about.
    pub name: String,
    /// What it is.
    pub value: String,
}

/// One stage's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Which.
    pub name: StageName,
    /// How it went.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What was found.
    pub facts: Vec<Fact>,
    /// What to do, in one sentence.
    pub advice: String,
}

/// The result of an examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who was examined.
    pub peer: ServerName,
    /// When, in milliseconds since 1970.
    pub at: Timestamp,
    /// Whether no stage failed.
    pub reachable: bool,
    /// The stages that were reached, in order.
    pub stages: Vec<Stage>,
    /// Those that were not, in order.
    pub not_reached: Vec<StageName>,
}

/// What a stage found, and what the next one needs of it.
struct Finding<T> {
    value: Option<T>,
    outcome: Outcome,
    facts: Vec<Fact>,
    advice: String,
}

/// Facts on their way into a finding.
#[derive(Default)]
struct Notes {
    facts: Vec<Fact>,
    warning: Option<String>,
}

impl Notes {
    #[expect(clippy::needless_pass_by_value, reason = "texts, numbers and addresses alike")]
    fn fact(&mut self, name: impl ToString, value: impl ToString) {
        self.facts.push(Fact { name: name.to_string(), value: value.to_string() });
    }

    /// The first warning is the one that is told.
    fn warn(&mut self, advice: impl Into<String>) {
        self.warning.get_or_insert_with(|| advice.into());
    }

    fn done<T>(self, value: T) -> Finding<T> {
        let outcome = if self.warning.is_some() { Outcome::Warning } else { Outcome::Ok };
        let advice = self.warning.unwrap_or_else(|| "Nothing to do.".to_owned());
        Finding { value: Some(value), outcome, facts: self.facts, advice }
    }

    fn failed<T>(self, advice: impl Into<String>) -> Finding<T> {
        let (outcome, advice) = (Outcome::Failed, advice.into());
        Finding { value: None, outcome, facts: self.facts, advice }
    }
}

impl Report {
    /// Runs a stage; `None` ends the examination.
    async fn stage<T>(
        &mut self,
        name: StageName,
        stage: impl Future<Output = Finding<T>>,
    ) -> Option<T> {
        let started = Instant::now();
        let Finding { value, outcome, facts, advice } = stage.await;
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.stages.push(Stage { name, outcome, elapsed_ms, facts, advice });
        self.not_reached.retain(|stage| *stage != name);
        self.reachable = value.is_some() && self.not_reached.is_empty();
        value
    }
}

impl Doctor {
    /// An examiner. `rng` is drawn from once.
    pub fn new(parts: DoctorParts, rng: &mut impl CryptoRng) -> Self {
        Self { parts, rng: Mutex::new(StdRng::from_rng(rng)) }
    }

    /// Examines a peer. It takes a minute at most, and a second if all is well.
    pub async fn examine(&self, peer: &ServerName) -> Report {
        let mut report = Report {
            peer: peer.clone(),
            at: self.parts.clock.now(),
            reachable: false,
            stages: Vec::new(),
            not_reached: StageName::ALL.to_vec(),
        };
        // Where it stopped stands in the report.
        let _: Option<()> = Box::pin(self.walk(peer, &mut report)).await;
        report
    }

    async fn walk(&self, peer: &ServerName, report: &mut Report) -> Option<()> {
        let parts = &self.parts;
        report.stage(StageName::Policy, async { policy(parts, peer) }).await?;
        let mut rng = self.rng();
        let targets = report.stage(StageName::Dns, reach::dns(parts, peer, &mut rng)).await?;
        let sockets = report.stage(StageName::Tcp, reach::tcp(targets)).await?;
        let stream = report.stage(StageName::Tls, reach::tls(parts, peer, sockets)).await?;
        let stage = speak::document(parts, peer, stream);
        let (mut line, head) = report.stage(StageName::Document, stage).await?;
        let asked = speak::ask(parts, &mut line, &mut rng).await;
        report.stage(StageName::Clock, async { speak::clock(&asked) }).await?;
        if let Some(stage) = report.stages.last_mut() {
            stage.elapsed_ms = asked.elapsed_ms();
        }
        report.stage(StageName::Echo, async { speak::echo(parts, peer, &head, asked) }).await
    }

    /// A generator for one use, so that nobody waits for anybody.
    fn rng(&self) -> StdRng {
        // The generator has no state that a panic could leave half changed.
        StdRng::from_rng(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Our own rules are no reason to stop: the operator may want to change them.
fn policy(parts: &DoctorParts, peer: &ServerName) -> Finding<()> {
    let mut notes = Notes::default();
    let allowed = parts.policy.current().allows(peer);
    notes.fact("allowed", allowed);
    if !allowed {
        notes.warn(format!(
            "Our own rules deny {peer}: change the allow or deny list to speak with it."
        ));
    }
    notes.done(())
}

#[cfg(test)]
mod tests;
