//! `posthouse serve`: listeners, signals, logs, metrics.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::Instant,
};

use serde_json::Value;

use super::harness::{PATIENCE, Region, eventually, get};

#[test]
fn a_taken_port_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = format!("Port {} is taken", taken.local_addr().unwrap().port());
    let region = Region::new();
    let client = format!("client.listen={address}");
    region.serve_fails(&["--set", &client]).failed(5, &[&port, "client.listen", "ss -ltnp"]);
    let operator = format!("operator.listen={address}");
    region.serve_fails(&["--set", &operator]).failed(5, &[&port, "operator.listen"]);
}

#[test]
fn an_address_of_another_machine_is_refused() {
    // 192.0.2.0/24 is for documents (RFC 5737): no machine has it.
    let said = Region::new().serve_fails(&["--set", "client.listen=192.0.2.1:8443"]);
    said.failed(5, &["has no address 192.0.2.1", "client.listen"]);
}

#[test]
fn the_lines_at_the_start_name_every_listener() {
    let region = Region::with(&["--certificate", "none"]);
    let listen = "client.listen=127.0.0.1:0,[::1]:0";
    let server = region.serve(&["--set", listen, "--set", "operator.listen=off"]);
    let lines: Vec<&str> = server.lines.iter().map(String::as_str).collect();
    let [first, second, ready] = lines[..] else { panic!("{lines:?}") };
    assert!(first.starts_with("listening client http://127.0.0.1:"), "{first}");
    assert!(second.starts_with("listening client http://[::1]:"), "{second}");
    assert_eq!(ready, "ready eu.example");
}

#[test]
fn clients_health_and_metrics_are_served() {
    let server = Region::with(&["--certificate", "none"]).serve(&[]);
    let (status, body) = get(server.address("client"), "/v1/capabilities");
    assert_eq!(status, 200);
    assert!(body.contains("\"registration\":\"closed\""), "{body}");
    assert_eq!(server.operator("/healthz"), (200, "alive\n".into()));
    assert_eq!(server.operator("/readyz"), (200, "ready\n".into()));
    assert_eq!(server.operator("/").0, 404);
    let (status, page) = server.operator("/metrics");
    assert_eq!(status, 200);
    let value = |name: &str| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
    };
    assert_eq!(value("posthouse_client_requests_total"), 1);
    assert!(value("posthouse_store_statements_total") > 0);
    assert_eq!(value("posthouse_messages_accepted_total"), 0);
    // Each metric has its help and its type, once.
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split([' ', '{']).next().unwrap();
        let kinds = page.lines().filter(|line| line.starts_with(&format!("# TYPE {name} ")));
        assert_eq!(kinds.count(), 1, "{name}");
    }
}

/// `init` and nothing else: what such a region says of itself is what the specification shows.
#[test]
fn a_new_region_is_the_one_of_the_specification() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/rest.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, example) = page.split_once("```json response Capabilities\n").unwrap();
    let (example, _) = example.split_once("\n```").unwrap();
    let shown: Value = serde_json::from_str(example).unwrap();
    let region = Region::with(&["--certificate", "none", "--registration", "open"]);
    let (status, body) = get(region.serve(&[]).address("client"), "/v1/capabilities");
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, said), (200, shown));
}

#[test]
fn sigterm_and_sigint_end_it_in_good_order() {
    let region = Region::with(&["--certificate", "none"]);
    for signal in ["TERM", "INT"] {
        let mut server = region.serve(&[]);
        server.signal(signal);
        assert_eq!(server.wait(), Some(0), "{}", server.log());
        server.wait_for_log("clients are told to reconnect");
    }
}

/// A request that is on its way holds the end up, as long as `drain` allows; a second signal does
/// not wait for it.
#[test]
fn a_second_signal_ends_it_at_once() {
    let region = Region::with(&["--certificate", "none"]);
    let mut server = region.serve(&["--set", "drain=10m"]);
    let mut stream = TcpStream::connect(server.address("client")).unwrap();
    let head = "POST /v1/accounts HTTP/1.1\r\nHost: eu.example\r\nExpect: 100-continue\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: from here on the request is running.
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    server.signal("TERM");
    eventually("/readyz to refuse", || server.operator("/readyz").0 == 503);
    assert_eq!(server.operator("/healthz").0, 200);
    let start = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(1));
    assert!(start.elapsed().as_secs() < 15, "it took {:?}", start.elapsed());
    server.wait_for_log("Stopped at once by a second signal (SIGTERM)");
}

#[test]
fn logs_can_be_json() {
    let region = Region::with(&["--certificate", "none"]);
    let mut server = region.serve(&["--log-format", "json"]);
    server.signal("TERM");
    server.wait();
    let log = server.log();
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).expect(line);
        assert!(parsed["level"].is_string() && parsed["message"].is_string(), "{line}");
    }
    let quiet = region.serve(&["--log-filter", "error"]);
    assert_eq!(quiet.log(), "");
}

#[test]
fn doors_that_stand_open_are_warned_of() {
    let region = Region::with(&["--certificate", "none"]);
    let flags = ["--set", "client.listen=0.0.0.0:0", "--set", "operator.listen=0.0.0.0:0"];
    let server = region.serve(&flags);
    server.wait_for_log("without TLS");
    server.wait_for_log("asks for no password");
}
