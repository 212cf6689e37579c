//! Stamps (ordering.md §1 and §2), written from the specification.

/// Reads a stamp's text: the decimal digits of an unsigned 64-bit integer.
pub fn parse(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The stamp of a message accepted at `now` (milliseconds).
pub fn next(now: u64, after: Option<u64>, highest: Option<u64>) -> u64 {
    let clock = now.min(0xffff_ffff_ffff) << 16;
    [after, highest].into_iter().flatten().map(|seen| seen.saturating_add(1)).fold(clock, u64::max)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_vectors_hold() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../docs/spec/vectors/stamps.json")).unwrap();
        let stamp = |value: &Value| value.as_str().map(|text| parse(text).unwrap());
        let cases = vectors["next"].as_array().unwrap();
        assert!(cases.len() >= 10);
        for case in cases {
            let now = case["now"].as_str().unwrap().parse().unwrap();
            let got = next(now, stamp(&case["after"]), stamp(&case["highest"]));
            assert_eq!(Some(got), stamp(&case["stamp"]), "{case}");
        }
        for case in vectors["texts"].as_array().unwrap() {
            let got = parse(case["text"].as_str().unwrap()).is_some();
            assert_eq!(got, case["valid"].as_bool().unwrap(), "{case}");
        }
    }
}
