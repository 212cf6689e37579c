//! The published documents of a running region: every call that is documented is answered, and the
//! documents can be kept.

use serde_json::Value;

use super::{calls::call, contract::DOCUMENT, device::Device, home::Home, http::whole};

#[tokio::test]
async fn every_documented_call_is_answered() {
    let home = Home::start().await;
    let (_, served, _) = whole(home.address(), "GET", "/v1/openapi.json", None, None).await;
    let served: Value = serde_json::from_str(&served).unwrap();
    assert_eq!(served, *DOCUMENT);
    for (path, item) in served["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let handle = format!("u{}", uuid::Uuid::from_bytes(seed()).simple());
            let caller = Device::register(&home, &handle[..20]).await;
            let mut address = path.clone();
            let mut query = Vec::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (name, example) = (parameter["name"].as_str().unwrap(), &parameter["example"]);
                let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                if parameter["in"] == "path" {
                    address = address.replace(&format!("{{{name}}}"), &text);
                } else if parameter["required"] == true {
                    query.push(format!("{name}={text}"));
                }
            }
            if !query.is_empty() {
                address = format!("{address}?{}", query.join("&"));
            }
            let body = operation["requestBody"]["content"]["application/json"].get("example");
            let method = method.to_uppercase();
            let answer = call(&home, &method, &address, Some(caller.token()), body.cloned()).await;
            // `call` has compared it with the document already.
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
            assert_ne!(answer.status, 405, "{method} {path}");
            if answer.status == 404 {
                let known = ["not_found", "unknown_user"].contains(&answer.code());
                let detail = answer.body["detail"].as_str().unwrap_or_default();
                assert!(known && !detail.contains("at this path"), "{method} {path}: {answer:?}");
            }
        }
    }
}

/// The documents change with the version only, and are not sent again to who has them.
#[tokio::test]
async fn documents_can_be_kept() {
    let home = Home::start().await;
    for (path, media_type) in [
        ("/v1/openapi.json", "application/json"),
        ("/v1/asyncapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
    ] {
        let (head, body, status) = whole(home.address(), "GET", path, None, None).await;
        assert_eq!(status, 200);
        assert!(body.len() > 10_000, "{path}: {}", body.len());
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("{path}: no {name}: {head}")).to_owned()
        };
        assert_eq!(field("content-type"), media_type);
        assert_eq!(field("cache-control"), "public, max-age=300");
        let etag = field("etag");
        let known = format!("if-none-match: \"other\", W/{etag}\r\n");
        let (head, body, status) = whole(home.address(), "GET", path, None, Some(&known)).await;
        assert_eq!((status, body.as_str()), (304, ""));
        assert!(head.contains(&etag));
        let other = "if-none-match: \"other\"\r\n";
        assert_eq!(whole(home.address(), "GET", path, None, Some(other)).await.2, 200);
    }
    let (head, ..) = whole(home.address(), "GET", "/docs", None, None).await;
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'sha256-"));
    let (head, ..) = whole(home.address(), "GET", "/v1/capabilities", None, None).await;
    assert!(head.contains("cache-control: no-store"), "{head}");
}

fn seed() -> [u8; 16] {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).unwrap();
    seed
}
