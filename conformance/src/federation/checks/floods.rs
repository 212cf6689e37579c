//! Much of everything, and everything slowly.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{Group, checks, transport::LATER};
use crate::{
    federation::{
        caller::{Caller, Cut, Line, Piece, Request},
        expect::is_refusal,
        formats::records::Record,
        receiving::MAX_DIGESTS,
        refusals::NOT_FRESH,
        seal::Kem,
        stage::{ENVELOPES, MESSAGES, Stage},
    },
    verdict::{Failure, Verdict, differs},
};

/// Connections that are opened in one step.
const STEP: usize = 100;
/// Most connections that may still be open when those that say nothing should be gone.
const LEFT: usize = 64;

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation.md §HTTP", "a body that comes slowly and never ends is cut off, and others are served meanwhile" => slow_body;
        "federation.md §HTTP", "a head that comes slowly is cut off, and others are served meanwhile" => slow_head;
        "federation.md §HTTP", "thousands of connections that say nothing are bounded, and others are served meanwhile" => connections;
        "federation.md §HTTP", "hundreds of connections of one certificate are bounded, and others are served meanwhile" => handshakes;
        "federation-envelopes.md §Ephemerals", "a flood of ephemerals is bounded, and messages of the same peer still arrive" => ephemerals;
    };
    Group { name: "federation: floods", hostile: true, checks }
}

fn hostile(stage: &Stage) -> Verdict<Caller> {
    // One that waits for as long as a server may.
    let patience = stage.pace.slow + Duration::from_secs(5);
    Ok(Caller { patience, ..stage.caller(&stage.roles.hostile, None)? })
}

async fn open(caller: &Caller) -> Verdict<Line> {
    caller.open().await.map_err(|cut| Failure::Unreachable(cut.to_string()))
}

/// Sends pieces without an end on several connections. Each must be cut off in time, and others must
/// be served meanwhile.
async fn slowly(stage: &Stage, head: Vec<u8>, drip: &'static [u8]) -> Verdict {
    let caller = hostile(stage)?;
    let mut lines = Vec::new();
    for _ in 0..20 {
        let mut line = open(&caller).await?;
        let head = head.clone();
        lines.push(tokio::spawn(async move {
            let drips = std::iter::repeat_with(|| {
                [Piece::Pause(Duration::from_millis(200)), Piece::Bytes(drip.to_vec())]
            });
            line.exchange(std::iter::once(Piece::Bytes(head)).chain(drips.flatten())).await
        }));
    }
    let served = stage.bystanders().await;
    for line in lines {
        match line.await {
            Ok(Ok(answer)) if answer.status < 400 => {
                return differs(format!("it is answered {}", answer.status));
            }
            Ok(Err(Cut::Late(after))) => {
                return differs(format!("the connection is still open after {after:?}"));
            }
            Ok(_) => {}
            Err(err) => return Err(Failure::Unreachable(err.to_string())),
        }
    }
    served
}

async fn slow_body(stage: &Stage) -> Verdict {
    let length = ("content-length", (1024 * 1024).to_string());
    let head = Request::post(ENVELOPES, Vec::new()).head(&stage.subject.server, &[length]);
    slowly(stage, head, b"\0").await
}

async fn slow_head(stage: &Stage) -> Verdict {
    let head = format!("POST {ENVELOPES} HTTP/1.1\r\nhost: {}\r\n", stage.subject.server);
    slowly(stage, head.into_bytes(), b"a: b\r\n").await
}

async fn connections(stage: &Stage) -> Verdict {
    let caller = hostile(stage)?;
    let started = Instant::now();
    let mut open: Vec<TcpStream> = Vec::new();
    let quick = Caller { patience: Duration::from_secs(2), ..caller };
    for _ in 0..stage.pace.connections.div_ceil(STEP) {
        let opening = (0..STEP).map(|_| quick.connect());
        let opened = futures_util::future::join_all(opening).await;
        // A connection that is refused is bounded already.
        open.extend(opened.into_iter().flatten());
    }
    let served = stage.bystanders().await;
    let held = open.len();
    let left = wait_for_ends(&mut open, started + stage.pace.slow).await;
    served.map_err(|err| Failure::Differs(format!("with {held} connections: {err}")))?;
    if left > LEFT {
        return differs(format!(
            "{left} of {held} connections that said nothing are open after {:?}",
            started.elapsed()
        ));
    }
    Ok(())
}

/// Waits until at most [`LEFT`] connections are open, or for `deadline`; how many are left.
async fn wait_for_ends(open: &mut Vec<TcpStream>, deadline: Instant) -> usize {
    while open.len() > LEFT && Instant::now() < deadline {
        let mut left = Vec::new();
        for mut stream in open.drain(..) {
            let mut byte = [0];
            let read = timeout(Duration::from_millis(1), stream.read(&mut byte)).await;
            if matches!(read, Err(_) | Ok(Ok(1..))) {
                left.push(stream);
            }
        }
        *open = left;
        sleep(Duration::from_millis(100)).await;
    }
    open.len()
}

async fn handshakes(stage: &Stage) -> Verdict {
    let caller = hostile(stage)?;
    let mut lines = Vec::new();
    for _ in 0..4 {
        let opening = (0..STEP).map(|_| caller.open());
        let opened = futures_util::future::join_all(opening).await;
        lines.extend(opened.into_iter().flatten());
    }
    // With TLS 1.3 a client learns only with an answer whether it was let in.
    let served = stage.bystanders().await;
    let mut answered = 0_usize;
    for line in &mut lines {
        let answer = line.send(&Request::get("/federation/v1/server")).await;
        answered += usize::from(answer.is_ok_and(|answer| answer.status == 200));
    }
    let held = lines.len();
    served.map_err(|err| Failure::Differs(format!("with {held} connections: {err}")))?;
    if answered == 4 * STEP {
        return differs(format!("{answered} connections of one peer are all served"));
    }
    Ok(())
}

async fn ephemerals(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.hostile, stage.alice()?);
    let caller = hostile(stage)?;
    let mut line = open(&caller).await?;
    let (mut taken, mut refused) = (0_usize, 0_usize);
    // All of one moment: none makes room for the next.
    let created = stage.now();
    for _ in 0..stage.pace.ephemerals {
        let mut draft = peer.draft(&stage.destination(Kem::X25519)?, 0, &[]);
        draft.header.created = created;
        let envelope = stage.build(draft)?.encode();
        let Ok(answer) = line.send(&Request::post(ENVELOPES, envelope)).await else {
            // It may also close the connection.
            refused += 1;
            line = open(&caller).await?;
            continue;
        };
        if answer.status == 200 {
            taken += 1;
        } else {
            refused += 1;
            let late = LATER.iter().chain([&NOT_FRESH]).copied().collect::<Vec<_>>();
            is_refusal(&answer, Some(&late))?;
        }
    }
    if taken > MAX_DIGESTS {
        return differs(format!("{taken} ephemerals of one moment are taken"));
    }
    let enclosed = stage.message(peer, alice, "after the flood");
    let id = enclosed.id;
    let sent = stage.send(peer, MESSAGES, &[Record::Event(enclosed)]).await;
    let told = |err: Failure| {
        Failure::Differs(format!("after {taken} ephemerals taken and {refused} refused: {err}"))
    };
    sent.map_err(told)?;
    stage.arrived(alice, &peer.account(), id).await.map(drop)
}
