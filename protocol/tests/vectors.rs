//! The test vectors of the specification (`docs/spec/vectors/`): made from this code, and checked
//! against it, so that a change of what is on the wire shows as a change of a vector.
//!
//! `UPDATE_VECTORS=1 cargo test -p posthouse-protocol --test vectors` writes them anew.

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use posthouse_protocol::{
        cursor::Since,
        id::{AccountId, Address, ConversationId, GroupId, MessageId, ServerName},
        time::{Stamp, Timestamp},
    };
    use serde_json::{Value, json};

    const UUID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
    const LATER_UUID: &str = "01890a5e-0000-774b-bcce-b302099a8057";

    #[test]
    fn identifiers() {
        let names = [
            "eu.example",
            "xn--bcher-kva.example",
            "1.eu.example",
            "localhost",
            "EU.example",
            "eu.example.",
            "eu..example",
            "-eu.example",
            "e_u.example",
            "127.0.0.1",
            "eu.example:7443",
            "",
        ];
        let long_label = format!("{}.example", "a".repeat(64));
        let names = names.into_iter().chain([long_label.as_str()]);
        let uppercase = UUID.to_uppercase();
        let bare = UUID.replace('-', "");
        let braced = format!("{{{UUID}}}");
        let urn = format!("urn:uuid:{UUID}");
        let ids = [UUID, &uppercase, &bare, &braced, &urn, ""];
        let full = format!("{UUID}@us.example");
        let group = format!("g.{UUID}");
        let full_group = format!("g.{UUID}@us.example");
        let loud = format!("{uppercase}@us.example");
        let (longest, too_long) = ("a".repeat(32), "a".repeat(33));
        let addresses = [
            UUID,
            &full,
            &group,
            &full_group,
            "alice",
            "alice@us.example",
            "a.b-c_d",
            "0cool",
            &longest,
            &too_long,
            &loud,
            &bare,
            "Alice",
            ".alice",
            "alice-",
            "g.alice",
            "alice@",
            "@us.example",
            "alice@us.example@eu.example",
            "alice@localhost",
            "älice",
            "",
        ];
        let own = ServerName::parse("eu.example").unwrap();
        let vectors = json!({
            "section": "identifiers.md §1 to §4",
            "own_server": own,
            "server_names": names.map(|text| json!({
                "text": text, "valid": ServerName::parse(text).is_ok(),
            })).collect::<Vec<_>>(),
            "message_ids": ids.map(|text| json!({
                "text": text, "valid": MessageId::parse(text).is_ok(),
            })),
            "addresses": addresses.map(|text| match Address::parse(text, &own) {
                Ok(Address::Account(id)) => json!({"text": text, "kind": "account", "means": id}),
                Ok(Address::Group(id)) => json!({"text": text, "kind": "group", "means": id}),
                Ok(Address::Handle(handle)) => {
                    json!({"text": text, "kind": "handle", "means": handle.to_string()})
                }
                Err(_) => json!({"text": text, "kind": null}),
            }),
        });
        check("identifiers.json", &vectors);
    }

    #[test]
    fn conversations() {
        let accounts = [
            format!("{UUID}@eu.example"),
            format!("{LATER_UUID}@eu.example"),
            format!("{UUID}@us.example"),
        ];
        let mut direct = Vec::new();
        for one in &accounts {
            for other in &accounts {
                let parse = |text: &str| AccountId::parse(text).unwrap();
                let id = ConversationId::direct(&parse(one), &parse(other));
                direct.push(json!({"accounts": [one, other], "conversation_id": id}));
            }
        }
        let groups = ["eu.example", "us.example"].map(|server| {
            let group = GroupId::parse(&format!("g.{UUID}@{server}")).unwrap();
            json!({"group": group, "conversation_id": ConversationId::group(&group)})
        });
        let vectors = json!({
            "section": "identifiers.md §6", "direct": direct, "groups": groups,
        });
        check("conversations.json", &vectors);
    }

    #[test]
    fn stamps() {
        let now = 1_705_234_567_890_u64;
        let first = Stamp::at(Timestamp(now));
        let ahead = Stamp(first.0 + (60_000 << 16));
        let last_of_counter = Stamp(first.0 | 0xffff);
        let cases = [
            (now, None, None),
            (now, Some(first), None),
            (now, None, Some(first)),
            (now, Some(first), Some(Stamp(first.0 + 7))),
            (now, Some(ahead), Some(ahead)),
            (now, None, Some(last_of_counter)),
            (now, Some(Stamp(1)), Some(Stamp(2))),
            (0, None, None),
            (u64::MAX >> 1, None, None),
            (now, Some(Stamp(u64::MAX)), None),
        ];
        let next = cases.map(|(now, after, highest)| {
            let stamp = Stamp::next(Timestamp(now), after, highest);
            // Numbers above 2^53 are text, so that any JSON reader keeps them.
            json!({"now": now.to_string(), "after": after, "highest": highest, "stamp": stamp})
        });
        let texts = [
            "0",
            "111751857961238528",
            "18446744073709551615",
            "18446744073709551616",
            "",
            "-1",
            "+1",
            "1.0",
            "0x1",
        ];
        let texts = texts.map(|text| json!({"text": text, "valid": Stamp::parse(text).is_ok()}));
        let vectors = json!({"section": "ordering.md §1 and §2", "next": next, "texts": texts});
        check("stamps.json", &vectors);
    }

    #[test]
    fn cursors() {
        let texts = [
            "c0",
            "c17",
            "c18446744073709551615",
            "c18446744073709551616",
            "1705234567890",
            "0",
            "c",
            "17c",
            "C17",
            "c-1",
            "c+1",
            "c 1",
            "-1",
            "",
        ];
        let since = texts.map(|text| match Since::parse(text) {
            Ok(Since::Cursor(cursor)) => json!({"text": text, "kind": "cursor", "means": cursor}),
            Ok(Since::Time(time)) => json!({"text": text, "kind": "time", "means": time}),
            Err(_) => json!({"text": text, "kind": null}),
        });
        check("cursors.json", &json!({"section": "identifiers.md §7", "since": since}));
    }

    /// Compares a file of vectors with what the code makes, or writes it.
    #[track_caller]
    fn check(name: &str, made: &Value) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors").join(name);
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            let text = serde_json::to_string_pretty(made).unwrap();
            fs::write(&path, text + "\n").unwrap();
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{name}: {err}"));
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            &written, made,
            "{name} differs: a change of the wire? See the head of this file"
        );
    }
}
