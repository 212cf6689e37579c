//! The official library in a node process, one JSON object a line.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/oracle.mjs");

pub(crate) struct Oracle {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts the library of one of the pinned versions.
    pub(crate) fn start(version: &str) -> Self {
        let mut process = Command::new("node")
            .args([SCRIPT, "--version", version])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let requests = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut oracle = Self { process, requests, answers };
        assert_eq!(oracle.call("hello", json!({}))["version"], version);
        oracle
    }

    /// An answer, or the library's error.
    pub(crate) fn try_call(&mut self, op: &str, mut request: Value) -> Result<Value, String> {
        request["id"] = json!(1);
        request["op"] = json!(op);
        writeln!(self.requests, "{request}").expect("the process reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the process answers");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        if answer["ok"] == true {
            Ok(answer)
        } else {
            Err(answer["error"].as_str().unwrap_or_default().to_owned())
        }
    }

    pub(crate) fn call(&mut self, op: &str, request: Value) -> Value {
        self.try_call(op, request).unwrap_or_else(|error| panic!("{op}: {error}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(STANDARD.encode(bytes))
}

pub(crate) fn decode(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("base64")).expect("base64")
}
