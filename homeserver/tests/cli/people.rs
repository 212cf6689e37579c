//! `posthouse invite` and `posthouse account`: on the database itself, and through a running server.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
};

use serde_json::{Value, json};

use super::harness::{DOMAIN, Ended, PATIENCE, Region, Server, eventually, parse, run};

/// `POST path` in the clear: the status and the answer.
fn post(address: SocketAddr, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    raw(address, path, &bearer.unwrap_or_default(), &body.to_string())
}

fn raw(address: SocketAddr, path: &str, fields: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n{fields}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (status, body) = parse(&answer);
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn register(server: &Server, handle: &str, invite: Option<&str>) -> (u16, Value) {
    let body = json!({"handle": handle, "password": "correct horse battery", "invite": invite});
    post(server.address("client"), "/v1/accounts", None, &body)
}

fn region(registration: &str) -> Region {
    Region::with(&["--certificate", "none", "--registration", registration])
}

/// A command of the operator, who knows where the server's operator listener is.
fn order(region: &Region, server: Option<&Server>, arguments: &[&str]) -> Ended {
    let mut command: Command = region.command(arguments);
    if let Some(server) = server {
        let address = server.address("operator").to_string();
        command.args(["--set", &format!("operator.listen={address}")]);
    }
    run(command)
}

/// The code that `invite create` prints.
fn code(ended: &Ended) -> String {
    ended.done().lines().next().unwrap().to_owned()
}

#[test]
fn invitations_are_made_with_and_without_a_server() {
    let region = region("invite");
    let before = order(&region, None, &["invite", "create", "--uses", "1", "--expires", "7d"]);
    let before = code(&before);
    let server = region.serve(&[]);
    assert_eq!(register(&server, "ada", None).1["code"], "invite_invalid");
    assert_eq!(register(&server, "ada", Some(&before)).0, 201);
    assert_eq!(register(&server, "ben", Some(&before)).1["code"], "invite_invalid");
    let during = order(&region, Some(&server), &["invite", "create", "--uses", "5"]);
    let during = code(&during);
    assert_eq!(register(&server, "ben", Some(&during)).0, 201);
    let list = order(&region, Some(&server), &["invite", "list"]);
    let (first, second) = (&during[..4], &before[..4]);
    assert!(list.done().contains(&format!("{first}-…  1 of 5 used")), "{}", list.out);
    assert!(list.done().contains(&format!("{second}-…  1 of 1 used")), "{}", list.out);
    assert!(!list.out.contains(&during), "a code is shown once");
    order(&region, Some(&server), &["invite", "withdraw", first]).done();
    assert_eq!(register(&server, "cem", Some(&during)).1["code"], "invite_invalid");
    let again = order(&region, Some(&server), &["invite", "withdraw", first]);
    again.failed(1, &["there is no invitation", "posthouse invite list"]);
    assert!(!server.log().contains(&during), "codes are not logged");
}

#[test]
fn an_account_is_suspended_in_a_running_server() {
    let region = region("open");
    let server = region.serve(&[]);
    let (_, tokens) = register(&server, "ada", None);
    let token = tokens["access_token"].as_str().unwrap();
    let ticket = || post(server.address("client"), "/v1/connect/ticket", Some(token), &json!({})).0;
    assert_eq!(ticket(), 200);
    let shown = order(&region, Some(&server), &["account", "suspend", "ada"]);
    assert!(shown.done().contains("suspended"), "{}", shown.out);
    assert_eq!(ticket(), 401);
    let log_in = json!({"user": "ada", "password": "correct horse battery"});
    let (status, problem) = post(server.address("client"), "/v1/sessions", None, &log_in);
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden")));
    drop(server);
    // Now on the database itself.
    let shown = order(&region, None, &["account", "list"]);
    assert!(shown.done().starts_with("ada  "), "{}", shown.out);
    order(&region, None, &["account", "resume", "ada"]).done();
    let shown = order(&region, None, &["account", "show", tokens["account_id"].as_str().unwrap()]);
    assert!(shown.done().contains("active") && shown.out.contains("device 1"), "{}", shown.out);
    order(&region, None, &["account", "show", "nobody"]).failed(1, &["has no account nobody"]);
}

#[test]
fn only_the_operator_gives_orders() {
    let region = region("open");
    let server = region.serve(&[]);
    let order_text = r#"{"order":"account_suspend","user":"ada"}"#;
    let address = server.address("operator");
    assert_eq!(raw(address, "/orders", "", order_text).0, 401);
    let forged = "Authorization: Posthouse-Operator 1800000000000 AAAA\r\n";
    assert_eq!(raw(address, "/orders", forged, order_text).0, 401);
    let another = self::region("open");
    let mut command = another.command(&["account", "list"]);
    command.args(["--set", &format!("operator.listen={address}")]);
    command.arg("--database").arg(format!("sqlite:{}", region.shown("data/posthouse.db")));
    run(command).failed(1, &["not the operator's", "signing key"]);
    let off = order(&region, None, &["account", "list", "--set", "operator.listen=off"]);
    off.failed(4, &["A server uses the database", "operator listener is off"]);
    let wrong = order(&region, Some(&server), &["invite", "create", "--uses", "0"]);
    wrong.failed(2, &["1 to 100000 uses"]);
}

/// A deletion that was answered is finished by the next start, wherever it was killed.
#[test]
fn a_deletion_survives_kill_9() {
    let region = region("open");
    for round in 0..5 {
        let server = region.serve(&["--set", "messages.allow_unencrypted=true"]);
        let (ada, ben) = (format!("ada{round}"), format!("ben{round}"));
        let (_, tokens) = register(&server, &ada, None);
        let (_, bens) = register(&server, &ben, None);
        let client = server.address("client");
        for n in 0..40 {
            let id = format!("01890a5d-ac96-774b-bcce-{round:04}{n:08}");
            let content = json!({"type": "text", "encrypted": false, "body": format!("note {n}")});
            let body = json!({"id": id, "to": tokens["account_id"], "content": content});
            let sent = post(client, "/v1/messages", bens["access_token"].as_str(), &body);
            assert_eq!(sent.0, 200, "{}", sent.1);
        }
        let delete = json!({"current_password": "correct horse battery"});
        let token = tokens["access_token"].as_str();
        assert_eq!(post(client, "/v1/account/delete", token, &delete).0, 204);
        server.signal("KILL");
        drop(server);
        let server = region.serve(&[]);
        let log_in = json!({"user": ada, "password": "correct horse battery"});
        let (status, problem) = post(server.address("client"), "/v1/sessions", None, &log_in);
        assert_eq!((status, &problem["code"]), (401, &json!("wrong_credentials")));
        let account = tokens["account_id"].as_str().unwrap();
        let show = || order(&region, Some(&server), &["account", "show", account]);
        assert!(show().done().contains("deleted "), "{}", show().out);
        // The body of the last note is only in the database, until it is erased.
        let database = || std::fs::read(region.path("data/posthouse.db")).unwrap();
        let wal = || std::fs::read(region.path("data/posthouse.db-wal")).unwrap_or_default();
        let holds = |bytes: Vec<u8>| bytes.windows(7).any(|window| window == b"note 39");
        eventually("the notes to be gone", || !holds(database()) && !holds(wal()));
    }
}
