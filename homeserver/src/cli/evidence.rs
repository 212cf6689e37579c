//! The messages of a report, for an operator to read. They are what the reporter's client says that they
//! are: words of strangers, which must not steer the terminal.

use core::fmt::Write as _;

use posthouse_protocol::time::Timestamp;
use serde_json::{Map, Value};

use super::people::date;

/// Shows what a report has of messages.
pub(super) fn show(out: &mut String, evidence: &str) {
    let Ok(messages) = serde_json::from_str::<Vec<Map<String, Value>>>(evidence) else {
        _ = writeln!(out, "  evidence {}", visible(evidence));
        return;
    };
    if messages.is_empty() {
        out.push_str("  no messages\n");
    }
    for (place, message) in messages.iter().enumerate() {
        let of = |name: &str| message.get(name).map(plain).unwrap_or_default();
        _ = writeln!(out, "  message {} of {}, from {}", place + 1, messages.len(), of("from"));
        _ = write!(out, "    {}", of("id"));
        match message.get("content").and_then(Value::as_object) {
            Some(content) if content.get("text").is_some_and(Value::is_string) => {
                words(out, content);
            }
            _ => {
                out.push('\n');
                quote(out, &message.get("content").map(pretty).unwrap_or_default());
            }
        }
    }
}

/// A message as Posthouse's own clients show it.
fn words(out: &mut String, content: &Map<String, Value>) {
    let of = |name: &str| content.get(name).filter(|value| !value.is_null());
    if let Some(at) = of("sent_at").and_then(Value::as_u64) {
        _ = write!(out, "  written {}", date(Timestamp(at)));
    }
    if of("edited").and_then(Value::as_bool) == Some(true) {
        out.push_str("  edited");
    }
    if let Some(group) = of("group") {
        _ = write!(out, "  in {}", plain(group));
    }
    if let Some(to) = of("reply_to") {
        _ = write!(out, "  answers {}", plain(to));
    }
    out.push('\n');
    quote(out, of("text").and_then(Value::as_str).unwrap_or_default());
}

/// Text with a bar before each line, so that none can look like something else.
fn quote(out: &mut String, text: &str) {
    for line in text.split('\n') {
        _ = writeln!(out, "    | {}", visible(line));
    }
}

fn plain(value: &Value) -> String {
    visible(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The text with what steers a terminal, or the direction of what follows, as its number.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let steers = matches!(
            c,
            '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        );
        if c.is_control() || steers {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::show;

    fn shown(evidence: &str) -> String {
        let mut out = String::new();
        show(&mut out, evidence);
        out
    }

    #[test]
    fn words_stand_as_they_were_written_and_steer_nothing() {
        let evidence = r#"[
            {"id":"01","from":"a@eu.example","content":{"text":"Buy \"this\"\nor\u001b[2J else\u202e",
             "sent_at":1709251199000,"edited":true,"group":null,"reply_to":"02"},"stamp":"5"},
            {"id":"03","from":"b@eu.example","content":{"kind":9}}
        ]"#;
        let wanted = "  message 1 of 2, from a@eu.example\n    01  written 2024-02-29 23:59 UTC  edited  \
                      answers 02\n    | Buy \"this\"\n    | or\\u{1b}[2J else\\u{202e}\n  message 2 of 2, \
                      from b@eu.example\n    03\n    | {\n    |   \"kind\": 9\n    | }\n";
        assert_eq!(shown(evidence), wanted);
        assert_eq!(shown("[]"), "  no messages\n");
        assert_eq!(shown("no\u{7}json"), "  evidence no\\u{7}json\n");
    }
}
