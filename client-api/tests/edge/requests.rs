//! Each REST call as it is meant.

use http_body_util::Full;
use hyper::Request;
use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn accounts_and_sessions() {
    let server = TestServer::start().await;
    let body = r#"{"handle":"alice","password":"correct horse","device":{"name":"phone","registration_id":7},"more":1}"#;
    let answer = server.call("POST", "/v1/accounts", None, body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["handle"], "alice");
    assert_eq!(answer.json()["access_token"], "token-1");

    let log_in = |password: &str| format!(r#"{{"user":"alice","password":"{password}"}}"#);
    let wrong = server.call("POST", "/v1/sessions", None, &log_in("wrong")).await;
    assert_eq!((wrong.status.as_u16(), wrong.problem().as_str()), (401, "wrong_credentials"));
    let right = server.call("POST", "/v1/sessions", None, &log_in("correct horse")).await;
    assert_eq!(right.status, 201);
    let refresh = r#"{"refresh_token":"refresh"}"#;
    assert_eq!(server.call("POST", "/v1/sessions/refresh", None, refresh).await.status, 200);

    let user = server.home.user();
    let me = server.call("GET", "/v1/account", Some(&user), "").await;
    assert_eq!(me.json()["account_id"], user.caller.account.to_string());
    let sessions = server.call("GET", "/v1/sessions", Some(&user), "").await.json();
    assert_eq!(sessions["sessions"][0]["session_id"], user.caller.session.to_string());
    let other = "/v1/sessions/01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(server.call("DELETE", other, Some(&user), "").await.problem(), "not_found");
    assert_eq!(
        server.call("DELETE", "/v1/sessions/7", Some(&user), "").await.problem(),
        "bad_request"
    );
    let own = format!("/v1/sessions/{}", user.caller.session);
    let ended = server.call("DELETE", &own, Some(&user), "").await;
    assert_eq!((ended.status.as_u16(), ended.body.len()), (204, 0));
    assert_eq!(server.call("GET", "/v1/account", Some(&user), "").await.status, 401);
    let user = server.home.user();
    assert_eq!(server.call("DELETE", "/v1/sessions/current", Some(&user), "").await.status, 204);
    assert_eq!(server.call("GET", "/v1/account", Some(&user), "").await.status, 401);
}

#[tokio::test]
async fn what_protects_an_account() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let post = async |path: &str, body: &str| {
        let answer = server.call("POST", &format!("/v1/account/{path}"), Some(&user), body).await;
        let code = if answer.status.is_success() { String::new() } else { answer.problem() };
        (answer.status.as_u16(), code)
    };
    let ok = |status: u16| (status, String::new());
    let refused = |status: u16, code: &str| (status, code.to_owned());
    let right = r#"{"current_password":"correct horse","more":1}"#;
    let wrong = r#"{"current_password":"wrong"}"#;
    let both = r#"{"current_password":"correct horse","code":"287082"}"#;
    let shown = server.call("GET", "/v1/account/security", Some(&user), "").await.json();
    assert_eq!(shown, json!({"totp": true, "recovery_codes": 10, "pin": false}));
    let change = r#"{"current_password":"correct horse","new_password":"battery staple"}"#;
    assert_eq!(post("password", change).await, ok(204));
    assert_eq!(post("password", right).await, refused(400, "bad_json"));
    assert_eq!(post("totp", right).await, ok(200));
    for path in ["totp", "totp/off", "recovery-codes", "pin/off", "delete"] {
        assert_eq!(post(path, wrong).await, refused(401, "wrong_credentials"), "{path}");
    }
    for path in ["totp/off", "recovery-codes"] {
        assert_eq!(post(path, right).await, refused(401, "code_required"), "{path}");
    }
    assert_eq!(post("totp/confirm", r#"{"code":"287082"}"#).await, ok(200));
    assert_eq!(post("totp/confirm", r#"{"code":"000000"}"#).await, refused(401, "wrong_code"));
    assert_eq!(post("totp/confirm", r#"{"code":287082}"#).await, refused(400, "bad_json"));
    assert_eq!(post("recovery-codes", both).await, ok(200));
    assert_eq!(post("totp/off", both).await, ok(204));
    let pin = |pin: &str| format!(r#"{{"current_password":"correct horse","pin":{pin}}}"#);
    assert_eq!(post("pin", &pin("\"123456\"")).await, ok(204));
    for bad in ["\"12345\"", "\"1234567890123\"", "\"abcdef\"", "123456", "null"] {
        assert_eq!(post("pin", &pin(bad)).await, refused(400, "bad_json"), "{bad}");
    }
    assert_eq!(post("pin/off", right).await, ok(204));
    assert_eq!(post("delete", right).await, ok(204));
    assert_eq!(post("delete", right).await, refused(401, "unauthorized"));
}

#[tokio::test]
async fn users_and_presence() {
    let server = TestServer::start().await;
    let user = server.home.user();
    for path in ["/v1/users/bob", "/v1/users/bob@eu.example", "/v1/users/bob%40eu.example"] {
        let answer = server.call("GET", path, Some(&user), "").await;
        assert_eq!(answer.json()["handle"], "bob", "{path}");
    }
    let group = "/v1/users/g.01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(server.call("GET", group, Some(&user), "").await.problem(), "bad_request");
    let id = user.caller.account.to_string();
    let path = format!("/v1/presence?users={id},bob");
    let answer = server.call("GET", &path, Some(&user), "").await;
    let expected = json!({"presence": [{"type": "presence", "user_id": id, "status": "away"}]});
    assert_eq!(answer.json(), expected);
    let many = format!("/v1/presence?users={}", vec!["bob"; 101].join(","));
    assert_eq!(server.call("GET", &many, Some(&user), "").await.problem(), "too_large");
    for path in ["/v1/presence", "/v1/presence?users=", "/v1/presence?users=a,,b"] {
        assert_eq!(
            server.call("GET", path, Some(&user), "").await.problem(),
            "bad_request",
            "{path}"
        );
    }
}

#[tokio::test]
async fn synchronisation() {
    let server = TestServer::start().await;
    let user = server.home.user();
    for n in 0..3 {
        server.home.deliver(&user, format!(r#"{{"n":{n}}}"#));
    }
    let sync = async |query: &str| {
        server.call("GET", &format!("/v1/messages/sync{query}"), Some(&user), "").await
    };
    let page = sync("?limit=2").await.json();
    let expected = json!({"messages": [{"n": 0}, {"n": 1}], "events": [], "has_more": true, "next_cursor": "c2"});
    assert_eq!(page, expected);
    let page = sync("?since=c2").await.json();
    assert_eq!((&page["messages"], &page["has_more"]), (&json!([{"n": 2}]), &json!(false)));
    assert_eq!(sync("?since=1705234567890&limit=1000").await.status, 200);
    assert_eq!(sync("?since=c99").await.problem(), "cursor_reset");
    for query in [
        "?limit=0",
        "?limit=1001",
        "?limit=x",
        "?limit=-1",
        "?since=17x",
        "?since=",
        "?limit=1&limit=2",
    ] {
        assert_eq!(sync(query).await.problem(), "bad_request", "{query}");
    }
}

#[tokio::test]
async fn about_the_server() {
    let server = TestServer::start().await;
    let answer = server.call("GET", "/v1/capabilities", None, "").await.json();
    assert_eq!(answer["server_name"], "eu.example");
    assert_eq!(answer["subprotocols"], json!(["posthouse.v1"]));
    assert_eq!(answer["registration"], "open");
    assert_eq!(answer["limits"]["window"], 256);
    assert_eq!(server.call("GET", "/healthz", None, "").await.status, 200);
    let head = server.call("HEAD", "/healthz", None, "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

/// Any page may call the API, since nothing is sent along by itself; health is nobody's business.
#[tokio::test]
async fn browsers_of_any_origin_may_call() {
    let server = TestServer::start().await;
    let preflight = |path: &str| {
        let request = Request::options(path)
            .header("host", "x")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, content-type");
        server.send(request.body(Full::default()).unwrap())
    };
    let answer = preflight("/v1/messages").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-headers"), "authorization, content-type");
    assert!(answer.header("access-control-allow-methods").contains("DELETE"));
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    let refused = server.call("GET", "/v1/account", None, "").await;
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    assert!(refused.header("access-control-expose-headers").contains("retry-after"));
    assert_eq!(preflight("/healthz").await.status, 405);
    let health = server.call("GET", "/healthz", None, "").await;
    assert_eq!(health.header("access-control-allow-origin"), "");
    assert_eq!(health.header("x-content-type-options"), "nosniff");
    assert_eq!(health.header("referrer-policy"), "no-referrer");
}
