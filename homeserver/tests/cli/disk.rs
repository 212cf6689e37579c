//! A disk that takes nothing more: a limit on the size of the server's files, which needs no rights.
#![cfg(target_os = "linux")]

use std::{net::SocketAddr, process::Command};

use rlimit::{INFINITY, Resource, prlimit};

use super::harness::{Ended, Region, Server, eventually, run};

/// Serves with the signal ignored that would end a process whose file may not grow: its writes fail
/// instead, as on a full disk.
fn serve(region: &Region) -> Server {
    let inner = region.command(&["serve"]);
    let mut command = Command::new("/bin/sh");
    command.env_clear().args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    command.arg(inner.get_program()).args(inner.get_args());
    Server::start(command)
}

/// The largest size, in bytes, that a file of the server may have.
fn limit(server: &Server, most: u64) {
    let id = server.id().try_into().unwrap();
    let (mut soft, mut hard) = (0, 0);
    prlimit(id, Resource::FSIZE, None, Some((&mut soft, &mut hard))).unwrap();
    prlimit(id, Resource::FSIZE, Some((most.min(hard), hard)), None).unwrap();
}

fn health(region: &Region, operator: SocketAddr) -> Ended {
    let mut command = region.command(&["health"]);
    command.args(["--set", &format!("operator.listen={operator}")]);
    run(command)
}

/// An order that writes; the server carries it out.
fn invite(region: &Region, operator: SocketAddr) -> Ended {
    let mut command = region.command(&["invite", "create"]);
    command.args(["--set", &format!("operator.listen={operator}")]);
    run(command)
}

#[test]
fn a_server_that_cannot_write_is_not_ready_until_it_can() {
    let region = Region::with(&["--certificate", "none"]);
    let server = serve(&region);
    let operator = server.address("operator");
    let writable = |value: u8| {
        let line = format!("\nposthouse_store_writable {value}\n");
        server.operator("/metrics").1.contains(&line)
    };
    invite(&region, operator).done();
    assert_eq!(server.operator("/readyz"), (200, "ready\n".into()));
    assert!(writable(1));

    limit(&server, 1);
    invite(&region, operator).failed(4, &["It was not done", "disk may be full"]);
    let (status, body) = server.operator("/readyz");
    assert_eq!(
        (status, body.as_str()),
        (503, "the store cannot be written: its disk may be full\n")
    );
    let (status, body) = super::harness::get(server.address("client"), "/readyz");
    assert!(status == 503 && body.contains("cannot be written"), "{status} {body}");
    assert!(writable(0));
    health(&region, operator).failed(1, &["cannot be written", "disk may be full"]);
    // What asks again and again finds it so, also once a write was tried for it.
    eventually("a try to fail", || {
        assert_eq!(server.operator("/readyz").0, 503);
        server.log().contains("not ready: the store cannot be written")
    });

    limit(&server, INFINITY);
    eventually("/readyz to be well without anybody's write", || {
        server.operator("/readyz").0 == 200
    });
    assert!(writable(1));
    health(&region, operator).done();
    invite(&region, operator).done();

    // A write of somebody else is enough: nothing has to be asked in between.
    limit(&server, 1);
    invite(&region, operator).failed(4, &[]);
    assert!(writable(0));
    limit(&server, INFINITY);
    invite(&region, operator).done();
    assert!(writable(1));
}
