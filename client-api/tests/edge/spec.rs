//! The examples of `docs/spec/client-socket.md`, `rest.md` and `errors.md` are what the code takes
//! and makes.

use std::{collections::BTreeSet, path::Path};

use posthouse_client_api::{mailbox::Close, rest::ROUTES};
use posthouse_protocol::{
    cursor::Cursor,
    frame::{
        Ack, Changed, ClientFrame, DevicesChangedFrame, GroupFrame, KeysFrame, MessageFrame,
        PresenceFrame, ServerFrame, StatusFrame, Submission, TallyFrame, WatermarkFrame,
    },
    id::{AccountId, ServerName},
    limits,
    problem::{Code, Problem, Rejection, StaleDevices},
    rest::groups::{
        CreateGroupLink, DeclineJoin, EpochTaken, Epochs, GroupHead, GroupInfo, GroupLinkCreated,
        GroupLinks, Groups, JoinGroup, JoinRequests, RevokeGroupLink, SubmitEpoch,
    },
    rest::keys::{
        ApproveLink, ClaimBundles, Devices, FetchLink, KeyChanges, Link, LinkResult, LinkedDevice,
        PreKeyStatus, RenameDevice, SetIdentity, StartLink, UserDevices,
    },
    rest::{
        AccountSecurity, Blocks, Capabilities, ChangePassword, ConfirmTotp, Confirmation, Contacts,
        Conversations, DeleteMessages, Deleted, FileReport, Limits, LogIn, Me, Named, Privacy,
        Profile, PutContact, PutProfile, RecoveryCodes, Refresh, Register, ReportFiled, Requests,
        Sent, SessionTokens, Sessions, SetPin, SyncPage, Ticket, TotpSecret, User,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

use crate::support::TestServer;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The fenced JSON blocks of a page: what follows `json` in the fence, and the text.
fn examples(name: &str) -> Vec<(String, String)> {
    let text = page(name);
    let mut found = Vec::new();
    for block in text.split("\n```json").skip(1) {
        let (kind, rest) = block.split_once('\n').unwrap();
        let (example, _) = rest.split_once("\n```").unwrap();
        found.push((kind.trim().to_owned(), example.to_owned()));
    }
    found
}

fn own() -> ServerName {
    ServerName::parse("eu.example").unwrap()
}

/// Parses an example as `T` and writes it again: nothing is lost and nothing is added.
fn round_trips<T: Serialize + DeserializeOwned>(example: &str) {
    let value: T = serde_json::from_str(example).unwrap_or_else(|err| panic!("{err}: {example}"));
    let written = serde_json::to_value(&value).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(example).unwrap());
}

fn message_round_trips(example: &str) {
    let example = example.replace('\n', "");
    let frame: MessageFrame<'_> = serde_json::from_str(&example).unwrap();
    let written: Value = serde_json::from_str(&frame.to_json()).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(&example).unwrap());
}

/// What the server's `error` frame looks like for a refusal with the example's values.
fn error_round_trips(example: &str) {
    let value: Value = serde_json::from_str(example).unwrap();
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let code = Code::ALL.iter().find(|code| Some(code.as_str()) == value["code"].as_str());
    let mut rejection = Rejection::new(*code.unwrap(), text("message").unwrap());
    rejection.retry_after = value["retry_after"].as_u64().map(|s| u32::try_from(s).unwrap());
    if value["hash"].is_string() {
        let head: GroupHead = serde_json::from_value(value.clone()).unwrap();
        rejection.head = Some(Box::new(head));
    }
    if value["missing"].is_array() {
        let stale: StaleDevices = serde_json::from_value(value.clone()).unwrap();
        rejection.stale_devices = Some(Box::new(stale));
    }
    let reference = text("ref");
    let frame = ServerFrame::error(&rejection, reference.as_deref());
    assert_eq!(serde_json::to_value(&frame).unwrap(), value);
}

#[test]
fn the_sockets_examples_are_right() {
    let mut kinds = BTreeSet::new();
    for (kind, example) in examples("client-socket.md") {
        let written = |frame: &ServerFrame<'_>| {
            let expected: Value = serde_json::from_str(&example).unwrap();
            assert_eq!(serde_json::to_value(frame).unwrap(), expected);
        };
        match kind.as_str() {
            "client" => {
                let frame = ClientFrame::parse(&example, &own());
                assert!(frame.is_ok(), "{frame:?} {example}");
            }
            "server message" => message_round_trips(&example),
            "server status" => round_trips::<StatusFrame>(&example),
            "server watermark" => round_trips::<WatermarkFrame>(&example),
            "server presence" => round_trips::<PresenceFrame>(&example),
            "server caught_up" => written(&ServerFrame::CaughtUp { cursor: Cursor(17) }),
            "server group" => round_trips::<GroupFrame>(&example),
            "server group_status" => round_trips::<TallyFrame>(&example),
            "server keys" => round_trips::<KeysFrame>(&example),
            "server devices_changed" => round_trips::<DevicesChangedFrame>(&example),
            "server changed" => {
                let user = AccountId::parse("01890a5d-1111-774b-bcce-b302099a8057@us.example");
                let (what, user) = (Changed::Requests, user.unwrap());
                written(&ServerFrame::Changed { what, user: Some(&user) });
            }
            "server error" => error_round_trips(&example),
            "server pong" => written(&ServerFrame::Pong { reference: Some("7") }),
            other => panic!("no example is a `{other}`"),
        }
        let value: Value = serde_json::from_str(&example).unwrap();
        kinds.insert(format!("{} {}", &kind[..6], value["type"].as_str().unwrap()));
    }
    let expected = [
        "client ack",
        "client message",
        "client ping",
        "client presence",
        "client subscribe",
        "client unsubscribe",
        "server caught_up",
        "server changed",
        "server devices_changed",
        "server error",
        "server group",
        "server group_status",
        "server keys",
        "server message",
        "server pong",
        "server presence",
        "server status",
    ];
    assert!(kinds.iter().map(String::as_str).eq(expected), "{kinds:?}");
}

/// What the pages show is sent in a region that nobody set up otherwise, which takes encrypted
/// contents only.
#[test]
fn messages_of_the_examples_are_encrypted() {
    let mut examined = 0;
    for (_, example) in [examples("client-socket.md"), examples("rest.md")].concat() {
        let value: Value = serde_json::from_str(&example).unwrap();
        let message = value.pointer("/messages/0").unwrap_or(&value);
        let content = &message["content"];
        // The `content` that a report shows is another thing.
        if content["body"].is_string() || content["ciphertexts"].is_array() {
            assert_eq!(content["type"], "encrypted", "{example}");
            assert_eq!(content["encrypted"], true, "{example}");
            examined += 1;
        }
    }
    assert!(examined >= 6, "{examined}");
}

/// The examples about groups.
fn group_example(kind: &str, example: &str) {
    match kind {
        "request SubmitEpoch" => round_trips::<SubmitEpoch>(example),
        "response EpochTaken" => round_trips::<EpochTaken>(example),
        "response Groups" => round_trips::<Groups>(example),
        "response GroupInfo" => round_trips::<GroupInfo>(example),
        "response Epochs" => round_trips::<Epochs>(example),
        "request CreateGroupLink" => round_trips::<CreateGroupLink>(example),
        "response GroupLinkCreated" => round_trips::<GroupLinkCreated>(example),
        "response GroupLinks" => round_trips::<GroupLinks>(example),
        "request RevokeGroupLink" => round_trips::<RevokeGroupLink>(example),
        "request JoinGroup" => round_trips::<JoinGroup>(example),
        "response JoinRequests" => round_trips::<JoinRequests>(example),
        "request DeclineJoin" => round_trips::<DeclineJoin>(example),
        other => panic!("no example is a `{other}`"),
    }
}

#[test]
fn the_calls_examples_are_right() {
    for (kind, example) in examples("rest.md") {
        match kind.as_str() {
            "request Register" => round_trips::<Register>(&example),
            "request LogIn" => {
                // An absent device is written as an empty one.
                let request: LogIn = serde_json::from_str(&example).unwrap();
                assert_eq!(request.password.0, "correct horse battery staple");
            }
            "request Refresh" => round_trips::<Refresh>(&example),
            "request ChangePassword" => round_trips::<ChangePassword>(&example),
            "request Confirmation" => round_trips::<Confirmation>(&example),
            "request ConfirmTotp" => round_trips::<ConfirmTotp>(&example),
            "request SetPin" => round_trips::<SetPin>(&example),
            "response AccountSecurity" => round_trips::<AccountSecurity>(&example),
            "response TotpSecret" => round_trips::<TotpSecret>(&example),
            "response RecoveryCodes" => round_trips::<RecoveryCodes>(&example),
            "request Submission" => assert!(Submission::parse(&example, &own()).is_ok()),
            "request Ack" => assert!(Ack::parse(&example, &own()).is_ok()),
            "response SessionTokens" => round_trips::<SessionTokens>(&example),
            "request StartLink" => round_trips::<StartLink>(&example),
            "request ApproveLink" => round_trips::<ApproveLink>(&example),
            "request FetchLink" => round_trips::<FetchLink>(&example),
            "response Link" => round_trips::<Link>(&example),
            "response LinkedDevice" => round_trips::<LinkedDevice>(&example),
            "response LinkResult" => round_trips::<LinkResult>(&example),
            "request RenameDevice" => round_trips::<RenameDevice>(&example),
            "request SetIdentity" => round_trips::<SetIdentity>(&example),
            "request ClaimBundles" => round_trips::<ClaimBundles>(&example),
            "response Devices" => round_trips::<Devices>(&example),
            "response PreKeyStatus" => round_trips::<PreKeyStatus>(&example),
            "response UserDevices" => round_trips::<UserDevices>(&example),
            "response KeyChanges" => round_trips::<KeyChanges>(&example),
            "response Contacts" => round_trips::<Contacts>(&example),
            "request PutContact" => round_trips::<PutContact>(&example),
            "response Blocks" => round_trips::<Blocks>(&example),
            "request Named" => round_trips::<Named>(&example),
            "response Requests" => round_trips::<Requests>(&example),
            "response Privacy" => round_trips::<Privacy>(&example),
            "response Profile" => round_trips::<Profile>(&example),
            "request PutProfile" => round_trips::<PutProfile>(&example),
            "request FileReport" => round_trips::<FileReport>(&example),
            "response ReportFiled" => round_trips::<ReportFiled>(&example),
            "response Conversations" => round_trips::<Conversations>(&example),
            "request DeleteMessages" => round_trips::<DeleteMessages>(&example),
            "response Deleted" => round_trips::<Deleted>(&example),
            "response Me" => round_trips::<Me>(&example),
            "response Sessions" => round_trips::<Sessions>(&example),
            "response User" => round_trips::<User>(&example),
            "response Sent" => round_trips::<Sent>(&example),
            "response Ticket" => round_trips::<Ticket>(&example),
            "response presence" => {
                let value: Value = serde_json::from_str(&example).unwrap();
                round_trips::<PresenceFrame>(&value["presence"][0].to_string());
            }
            "response SyncPage" => {
                let page: SyncPage = serde_json::from_str(&example).unwrap();
                let [message] = &page.messages[..] else { panic!() };
                let [event] = &page.events[..] else { panic!() };
                message_round_trips(RawValue::get(message));
                round_trips::<WatermarkFrame>(event.get());
            }
            "response Capabilities" => {
                round_trips::<Capabilities>(&example);
                let capabilities: Capabilities = serde_json::from_str(&example).unwrap();
                assert_eq!(capabilities.limits, Limits::current());
            }
            "response health" => assert_eq!(example, r#"{"status":"ready"}"#),
            other => group_example(other, &example),
        }
    }
    for (kind, example) in examples("errors.md") {
        assert_eq!(kind, "problem");
        round_trips::<Problem>(&example);
        let problem: Problem = serde_json::from_str(&example).unwrap();
        let code = Code::ALL.iter().find(|code| code.as_str() == problem.code).unwrap();
        assert_eq!((problem.status, problem.title.as_str()), (code.status(), code.title()));
    }
}

/// The table of calls is the table of routes.
#[test]
fn every_call_is_specified_and_no_other() {
    let text = page("rest.md");
    let specified: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (call, rest) = line.split_once('`')?;
            let who = rest.trim_start_matches(" | ").split(' ').next()?;
            Some((call.to_owned(), who.to_owned()))
        })
        .collect();
    let served: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|route| {
            let who = format!("{:?}", route.access).to_lowercase();
            (format!("{} {}", route.method, route.path), who)
        })
        .collect();
    assert_eq!(specified, served);
    for route in ROUTES {
        let heading = format!("`{} {}", route.method, route.path);
        let described = text.lines().filter(|line| line.starts_with("### "));
        assert_eq!(
            described
                .filter(|line| line.contains(&format!("{heading}`"))
                    || line.contains(&format!("{heading}?")))
                .count(),
            1,
            "{heading}"
        );
    }
}

/// The last column of the limits: what a text that is one byte too long is answered with.
#[tokio::test]
async fn texts_beyond_their_limits_are_answered_as_specified() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let text = page("limits.md");
    let message = |content: &str| {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        format!(r#"{{"id":"{id}","to":"bob","content":{{"encrypted":true,{content}}}}}"#)
    };
    for (limit, call, body) in [
        ("MAX_CONTACT_LABEL", "POST /v1/contacts", r#"{"user":"bob","label":"…"}"#.into()),
        ("MAX_PROFILE_NAME", "PUT /v1/users/me/profile", r#"{"replaces":0,"name":"…"}"#.into()),
        ("MAX_PROFILE_ABOUT", "PUT /v1/users/me/profile", r#"{"replaces":0,"about":"…"}"#.into()),
        ("MAX_PROFILE_AVATAR", "PUT /v1/users/me/profile", r#"{"replaces":0,"avatar":"…"}"#.into()),
        (
            "MAX_REPORT_COMMENT",
            "POST /v1/reports",
            r#"{"user":"bob","reason":"spam","comment":"…"}"#.into(),
        ),
        ("MAX_BODY", "POST /v1/messages", message(r#""type":"encrypted","body":"…""#)),
        ("MAX_LABEL", "POST /v1/messages", message(r#""type":"…","body":"x""#)),
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        let row = text.lines().find(|line| line.starts_with(&format!("| `{limit}` |"))).unwrap();
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let longest: usize = cells[1].parse().unwrap();
        let code = cells[4].trim_matches('`');
        let send = async |length: usize| {
            server.call(method, path, Some(&user), &body.replace('…', &"x".repeat(length))).await
        };
        assert!(send(longest).await.status.is_success(), "{limit}: as long as that it is taken");
        let refused = send(longest + 1).await;
        assert_eq!(refused.problem(), code, "{limit}");
    }
}

#[test]
fn close_codes_are_specified() {
    let text = page("client-socket.md");
    for close in [Close::Restart, Close::Replaced, Close::TooSlow, Close::Revoked] {
        let row = format!("| {} |", close.code());
        assert_eq!(text.lines().filter(|line| line.starts_with(&row)).count(), 1, "{row}");
    }
}

/// The examples of requests are taken by a server.
#[tokio::test]
async fn requests_of_the_examples_are_taken() {
    let server = TestServer::start().await;
    let user = server.home.user();
    for (kind, example) in examples("rest.md") {
        let (path, user, status) = match kind.as_str() {
            "request Register" => ("/v1/accounts", None, 201),
            // The homeserver in memory knows another password.
            "request LogIn" => ("/v1/sessions", None, 401),
            "request Refresh" => ("/v1/sessions/refresh", None, 401),
            "request ChangePassword" => ("/v1/account/password", Some(&user), 401),
            "request Confirmation" => ("/v1/account/totp/off", Some(&user), 401),
            "request ConfirmTotp" => ("/v1/account/totp/confirm", Some(&user), 200),
            "request SetPin" => ("/v1/account/pin", Some(&user), 401),
            "request PutContact" => ("/v1/contacts", Some(&user), 204),
            "request Named" => ("/v1/blocks", Some(&user), 204),
            "request FileReport" => ("/v1/reports", Some(&user), 201),
            "request DeleteMessages" => ("/v1/messages/delete", Some(&user), 200),
            "request Submission" => ("/v1/messages", Some(&user), 200),
            "request Ack" => ("/v1/messages/ack", Some(&user), 204),
            _ => continue,
        };
        let answer = server.call("POST", path, user, &example).await;
        assert_eq!(answer.status, status, "{kind}");
    }
    let capabilities = server.call("GET", "/v1/capabilities", None, "").await.json();
    let example = examples("rest.md").into_iter().find(|(kind, _)| kind == "response Capabilities");
    let example: Value = serde_json::from_str(&example.unwrap().1).unwrap();
    assert_eq!(capabilities, example);
    assert_eq!(server.call("GET", "/readyz", None, "").await.json(), json!({"status": "ready"}));
}

/// The same column for PINs, lists, ciphertexts and the collapse key.
#[tokio::test]
async fn what_is_beyond_a_bound_is_refused_as_the_page_says() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let message = |content: Value, more: (&str, String)| {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        ("POST", "/v1/messages", json!({"id": id, "to": "bob", "content": content, more.0: more.1}))
    };
    let body = json!({"type": "text", "body": "x"});
    let pin = |digits: usize| {
        let pin = "1".repeat(digits);
        ("POST", "/v1/account/pin", json!({"current_password": "correct horse", "pin": pin}))
    };
    let list = json!({"list": "AAAA".repeat(limits::MAX_DEVICE_LIST / 3 + 1)});
    let ciphertext = json!({"device": 1, "registration_id": 1, "type": 2, "data": "AAAA"});
    let many = json!({"type": "encrypted", "encrypted": true,
                      "ciphertexts": vec![ciphertext; limits::MAX_CIPHERTEXTS + 1]});
    let none = || ("ref", String::new());
    let cases = [
        ("MIN_PIN", pin(limits::MIN_PIN - 1)),
        ("MAX_PIN", pin(limits::MAX_PIN + 1)),
        ("MAX_DEVICE_LIST", ("PUT", "/v1/keys/device-list", list)),
        ("MAX_LABEL", message(body, ("collapse", "x".repeat(limits::MAX_LABEL + 1)))),
        ("MAX_CIPHERTEXTS", message(many, none())),
    ];
    let limits = page("limits.md");
    for (name, (method, path, body)) in cases {
        let row = limits.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        let code = server.call(method, path, Some(&user), &body.to_string()).await.problem();
        assert!(row.ends_with(&format!("| `{code}` |")), "{code}: {row}");
    }
}

/// `errors.md`, `bad_json` and `bad_request`: what is missing is told by another code in frames than
/// in other bodies.
#[tokio::test]
async fn what_is_missing_is_bad_json_but_in_frames() {
    let server = TestServer::start().await;
    let user = server.home.user();
    for (method, path, body, code) in [
        ("POST", "/v1/contacts", r"{}", "bad_json"),
        ("POST", "/v1/sessions", r#"{"user":"bob"}"#, "bad_json"),
        ("POST", "/v1/reports", r#"{"user":"bob","reason":"dull"}"#, "bad_json"),
        ("POST", "/v1/messages/delete", r#"{"messages":["x"]}"#, "bad_json"),
        ("POST", "/v1/messages", r#"{"to":"bob"}"#, "bad_request"),
        ("POST", "/v1/messages", r#"{"id":"x","to":"bob"}"#, "bad_request"),
        ("POST", "/v1/messages/ack", r#"{"through":"c1"}"#, "bad_request"),
        ("POST", "/v1/messages/ack", r#"{"through":"1","status":"read"}"#, "bad_json"),
        ("GET", "/v1/messages/sync?limit=0", "", "bad_request"),
    ] {
        let answer = server.call(method, path, Some(&user), body).await;
        assert_eq!(answer.problem(), code, "{method} {path} {body}");
    }
}
