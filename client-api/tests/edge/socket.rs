//! The socket: frames, good and bad.

use crate::support::TestServer;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn messages_statuses_and_the_backlog() {
    let server = TestServer::start().await;
    let user = server.home.user();
    server.home.deliver(&user, r#"{"type":"message","n":1}"#);
    let mut socket = server.connect(&user).await;
    assert_eq!(socket.text().await, r#"{"type":"message","n":1}"#);
    assert_eq!(socket.json().await["type"], "caught_up");
    server.home.deliver(&user, r#"{"type":"message","n":2}"#);
    assert_eq!(socket.text().await, r#"{"type":"message","n":2}"#);
    let to = user.caller.account.to_string();
    let content = r#"{"type":"text","body":"Hello!","encrypted":true}"#;
    let frame = format!(r#"{{"type":"message","id":"{ID}","to":"{to}","content":{content}}}"#);
    socket.send(frame).await;
    let status = socket.json().await;
    assert_eq!((&status["status"], &status["message_id"]), (&"sent".into(), &ID.into()));
    assert_eq!(server.home.submissions().len(), 1);
}

#[tokio::test]
async fn requests_work() {
    let server = TestServer::start().await;
    let body = r#"{"handle":"alice","password":"correct horse"}"#;
    let answer = server.call("POST", "/v1/accounts", None, body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["handle"], "alice");
}
