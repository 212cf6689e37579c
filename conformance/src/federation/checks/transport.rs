//! Hostile connections and requests.

use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tokio::time::{Instant, timeout};

use super::{Group, checks};
use crate::{
    federation::{
        caller::{Caller, Cut, Line, Piece, Request},
        expect::{Expect, is_refusal},
        formats::envelope::MAX_ENVELOPE,
        peer::Peer,
        refusals::{MALFORMED, NOT_FOUND, OVERLOADED, RATE_LIMITED, TOO_LARGE, WRONG_ORIGIN},
        seal::Kem,
        stage::{CONTROL, ENVELOPES, Stage},
        tls::{self, Shape},
    },
    verdict::{Failure, Verdict, differs},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation-tls.md §", "TLS 1.2 is not spoken" => tls12;
        "federation-tls.md §", "a client without a certificate is turned away" => no_certificate;
        "federation-tls.md §", "a certificate of an authority that is not trusted is turned away" => untrusted;
        "federation-tls.md §", "a certificate whose time is over is turned away" => expired;
        "federation-tls.md §", "an envelope under another domain's certificate is refused" => other_name;
        "federation-tls.md §", "a wildcard in a certificate proves nothing" => wildcard;
        "federation-tls.md §", "an address in a certificate proves nothing" => address;
        "federation-tls.md §", "a connection that speaks no TLS is ended" => no_tls;
        "federation-envelopes.md §Limits", "an envelope that says that it is a byte too large is refused" => large_by_length;
        "federation-envelopes.md §Limits", "an envelope in chunks that grows a byte too large is refused" => large_by_chunks;
        "federation.md §HTTP", "a body that claims to be compressed is refused" => compressed;
        "federation.md §HTTP", "a body of another type is refused" => media_types;
        "federation.md §HTTP", "another method is refused" => methods;
        "federation.md §HTTP", "another path is refused" => paths;
        "federation.md §HTTP", "what is no HTTP is cut off" => no_http;
        "federation.md §HTTP", "a head without end is cut off" => large_head;
        "federation.md §HTTP", "two lengths in a request are not taken for one" => smuggling;
        "federation.md §Queries", "queries of another origin, for another server, too old, or forged are refused" => bad_queries;
    };
    Group { name: "federation: hostile connections and requests", hostile: true, checks }
}

async fn bad_queries(stage: &Stage) -> Verdict {
    super::identity::bad_queries(stage).await
}

/// A question as the hostile peer: harmless, and answered 200 on a connection that is in order.
async fn question(stage: &Stage, peer: &Peer) -> Verdict<Vec<u8>> {
    stage.is_open(peer).await?;
    let draft = peer.draft(&stage.destination(Kem::XWing)?, CONTROL, &[]);
    stage.build(draft).map(|envelope| envelope.encode())
}

async fn attempt(stage: &Stage, caller: &Caller, expect: Expect) -> Verdict {
    let peer = &stage.roles.hostile;
    let posted = caller.send(&Request::post(ENVELOPES, question(stage, peer).await?)).await;
    expect.holds(stage, peer, None, posted)
}

fn unusable(reason: String) -> Failure {
    Failure::Unreachable(reason)
}

/// The hostile peer's caller with a certificate of this shape.
fn shaped(stage: &Stage, authority: &tls::Authority, shape: Shape<'_>) -> Verdict<Caller> {
    let credential = authority.issue(shape).map_err(unusable)?;
    stage.caller(&stage.roles.hostile, Some(&credential))
}

async fn tls12(stage: &Stage) -> Verdict {
    let peer = &stage.roles.hostile;
    let config = tls::client(&stage.authority, Some(&peer.credential), &[&TLS12]);
    let caller = Caller { config: config.map_err(unusable)?, ..stage.caller.clone() };
    match caller.open().await {
        Err(Cut::Tls(_) | Cut::Ended(_)) => Ok(()),
        Err(other) => differs(other.to_string()),
        Ok(_) => differs("a TLS 1.2 handshake succeeded"),
    }
}

async fn no_certificate(stage: &Stage) -> Verdict {
    let config = tls::client(&stage.authority, None, &[&TLS13]).map_err(unusable)?;
    let caller = Caller { config, ..stage.caller.clone() };
    attempt(stage, &caller, Expect::Cut).await?;
    // Not even the document is for strangers without a certificate.
    match caller.send(&Request::get("/federation/v1/server")).await {
        Err(Cut::Tls(_) | Cut::Ended(_)) => Ok(()),
        other => differs(format!("the document is answered {other:?}")),
    }
}

async fn untrusted(stage: &Stage) -> Verdict {
    let names = [stage.roles.hostile.name.as_str()];
    let shape = Shape { names: &names, ..Shape::default() };
    attempt(stage, &shaped(stage, &stage.stranger, shape)?, Expect::Cut).await
}

async fn expired(stage: &Stage) -> Verdict {
    let names = [stage.roles.hostile.name.as_str()];
    let shape = Shape { names: &names, expired: true, ..Shape::default() };
    attempt(stage, &shaped(stage, &stage.authority, shape)?, Expect::Cut).await
}

/// Nothing else is wrong, so that nothing else can be the reason.
const NOT_PROVED: Expect = Expect::RefusedOrCut(&[WRONG_ORIGIN]);

async fn other_name(stage: &Stage) -> Verdict {
    let caller = stage.caller(&stage.roles.hostile, Some(&stage.roles.keys.credential))?;
    attempt(stage, &caller, Expect::Refused(&[WRONG_ORIGIN])).await?;
    let below = format!("below.{}", stage.roles.hostile.name);
    let names = [below.as_str()];
    let shape = Shape { names: &names, ..Shape::default() };
    let caller = shaped(stage, &stage.authority, shape)?;
    attempt(stage, &caller, Expect::Refused(&[WRONG_ORIGIN])).await
}

async fn wildcard(stage: &Stage) -> Verdict {
    let (_, parent) = stage.roles.hostile.name.split_once('.').unwrap_or_default();
    let wild = format!("*.{parent}");
    let names = [wild.as_str()];
    let shape = Shape { names: &names, ..Shape::default() };
    attempt(stage, &shaped(stage, &stage.authority, shape)?, NOT_PROVED).await
}

async fn address(stage: &Stage) -> Verdict {
    let addresses = ["127.0.0.1", "::1"].map(|text| text.parse().ok());
    let addresses: Vec<_> = addresses.into_iter().flatten().collect();
    let shape = Shape { addresses: &addresses, ..Shape::default() };
    attempt(stage, &shaped(stage, &stage.authority, shape)?, NOT_PROVED).await
}

async fn no_tls(stage: &Stage) -> Verdict {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let told = |err: Cut| Failure::Unreachable(err.to_string());
    let mut stream = stage.caller.connect().await.map_err(told)?;
    let head = b"GET /federation/v1/server HTTP/1.1\r\nhost: x\r\n\r\n";
    // If it cannot be written, it was ended already.
    let _ = stream.write_all(head).await;
    let mut got = Vec::new();
    match timeout(stage.pace.slow, stream.read_to_end(&mut got)).await {
        Err(_) => differs("the connection is still open"),
        Ok(_) if got.starts_with(b"HTTP/") => differs("it is answered in clear text"),
        Ok(_) => Ok(()),
    }
}

async fn line(stage: &Stage) -> Verdict<Line> {
    let opened = stage.caller(&stage.roles.hostile, None)?.open().await;
    opened.map_err(|cut| Failure::Unreachable(cut.to_string()))
}

async fn large_by_length(stage: &Stage) -> Verdict {
    let request = Request::post(ENVELOPES, Vec::new());
    let length = (MAX_ENVELOPE + 1).to_string();
    let head = request.head(&stage.subject.server, &[("content-length", length)]);
    let body = std::iter::repeat_n(Piece::Bytes(vec![0; 65_536]), MAX_ENVELOPE / 65_536 + 1);
    let posted = line(stage).await?.exchange(std::iter::once(Piece::Bytes(head)).chain(body)).await;
    Expect::Refused(&[TOO_LARGE]).holds(stage, &stage.roles.hostile, None, posted)
}

async fn large_by_chunks(stage: &Stage) -> Verdict {
    let request = Request::post(ENVELOPES, Vec::new());
    let chunked = ("transfer-encoding", "chunked".to_owned());
    let head = request.head(&stage.subject.server, &[chunked]);
    let chunk = [b"10000\r\n".as_slice(), &vec![0; 65_536], b"\r\n"].concat();
    let whole = std::iter::repeat_n(Piece::Bytes(chunk), MAX_ENVELOPE / 65_536);
    let pieces = std::iter::once(Piece::Bytes(head))
        .chain(whole)
        .chain([Piece::Bytes(b"1\r\n\0\r\n0\r\n\r\n".to_vec())]);
    let posted = line(stage).await?.exchange(pieces).await;
    Expect::Refused(&[TOO_LARGE]).holds(stage, &stage.roles.hostile, None, posted)
}

/// A request that is changed must be refused with one of these codes.
async fn changed(
    stage: &Stage,
    request: &Request<'_>,
    codes: &'static [crate::federation::refusals::Code],
) -> Verdict {
    let caller = stage.caller(&stage.roles.hostile, None)?;
    let answer = caller.send(request).await;
    let what = format!("{} {} with {:?}", request.method, request.path, request.fields);
    let answer = answer.map_err(|cut| Failure::Differs(format!("{what}: {cut}")))?;
    is_refusal(&answer, Some(codes)).map_err(|err| Failure::Differs(format!("{what}: {err}")))
}

async fn compressed(stage: &Stage) -> Verdict {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let mut request = Request::post(ENVELOPES, question(stage, &stage.roles.hostile).await?);
        request.fields.push(("content-encoding", coding.to_owned()));
        changed(stage, &request, &[MALFORMED]).await?;
    }
    Ok(())
}

async fn media_types(stage: &Stage) -> Verdict {
    for media_type in ["application/json", "text/plain", "application/octet-stream", ""] {
        let mut request = Request::post(ENVELOPES, question(stage, &stage.roles.hostile).await?);
        request.fields = vec![("content-type", media_type.to_owned())];
        request.fields.retain(|_| !media_type.is_empty());
        changed(stage, &request, &[MALFORMED]).await?;
    }
    Ok(())
}

async fn methods(stage: &Stage) -> Verdict {
    for (method, path) in [
        ("GET", ENVELOPES),
        ("PUT", ENVELOPES),
        ("DELETE", "/federation/v1/server"),
        ("POST", "/federation/v1/keylog"),
        ("OPTIONS", ENVELOPES),
    ] {
        let request = Request { method, ..Request::get(path) };
        changed(stage, &request, &[NOT_FOUND]).await?;
    }
    Ok(())
}

async fn paths(stage: &Stage) -> Verdict {
    for path in [
        "/",
        "/federation/v1",
        "/federation/v2/envelopes",
        "/federation/v1/envelopes/",
        "/federation/v1/../v1/server",
        "/v1/capabilities",
        "/v1/accounts",
        "/metrics",
        "/healthz",
    ] {
        changed(stage, &Request::get(path), &[NOT_FOUND]).await?;
    }
    Ok(())
}

async fn no_http(stage: &Stage) -> Verdict {
    let started = Instant::now();
    let garbage = vec![Piece::Bytes(vec![0x16; 4096])];
    let answer = line(stage).await?.exchange(garbage).await;
    ended(stage, started, answer)
}

async fn large_head(stage: &Stage) -> Verdict {
    let started = Instant::now();
    let head = format!("GET /federation/v1/server HTTP/1.1\r\nhost: {}\r\n", stage.subject.server);
    let field = format!("x-filler: {}\r\n", "x".repeat(1000));
    let pieces = std::iter::once(Piece::Bytes(head.into_bytes()))
        .chain(std::iter::repeat_n(Piece::Bytes(field.into_bytes()), 20_000));
    let answer = line(stage).await?.exchange(pieces).await;
    ended(stage, started, answer)
}

/// What is no request may be refused in any way, or cut off, within the time for slow ones.
fn ended(stage: &Stage, started: Instant, answer: crate::federation::stage::Posted) -> Verdict {
    match answer {
        Ok(answer) if answer.status < 400 => differs(format!("it is answered {}", answer.status)),
        Err(Cut::Late(_)) => differs("the connection stays open"),
        _ if started.elapsed() > stage.pace.slow + Duration::from_secs(5) => {
            differs(format!("it took {:?}", started.elapsed()))
        }
        _ => Ok(()),
    }
}

async fn smuggling(stage: &Stage) -> Verdict {
    let body = question(stage, &stage.roles.hostile).await?;
    let hidden = b"0\r\n\r\nGET /federation/v1/server HTTP/1.1\r\nhost: x\r\n\r\n";
    let request = Request::post(ENVELOPES, Vec::new());
    let two = [("content-length", "5".to_owned()), ("content-length", body.len().to_string())];
    let both =
        [("content-length", hidden.len().to_string()), ("transfer-encoding", "chunked".to_owned())];
    for (fields, body) in [(two, body.as_slice()), (both, hidden)] {
        let head = request.head(&stage.subject.server, &fields);
        let mut line = line(stage).await?;
        let pieces = vec![Piece::Bytes([head, body.to_vec()].concat())];
        match line.exchange(pieces).await {
            Ok(answer) if answer.status < 400 => {
                return differs(format!("it is answered {}", answer.status));
            }
            _ => {}
        }
        // A second answer on the connection would be one to what was hidden in the body.
        if let Ok(answer) = line.exchange(Vec::new()).await
            && answer.status == 200
        {
            return differs("a request that was hidden in a body is answered");
        }
    }
    Ok(())
}

/// Codes that say nothing about the request itself.
pub(super) const LATER: &[crate::federation::refusals::Code] = &[RATE_LIMITED, OVERLOADED];
