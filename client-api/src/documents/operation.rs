//! What is said of a call. A description is a [`Draft`] until it says what is answered; only then is
//! it an [`Operation`], without which a route cannot be registered.

use posthouse_protocol::problem::Code;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    config::{self, RequestRates},
    rate::Rate,
};

/// Makes the schema of a type, and those that it refers to.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A type's schema, or a reference to it.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A JSON text that stands for others of its kind.
pub(crate) struct Example {
    pub(crate) text: &'static str,
    /// Reads it as the product does, and says what is wrong.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests read the examples"))]
    pub(crate) check: fn(&str) -> Result<(), String>,
}

/// A body with its schema.
pub(crate) struct Shape {
    pub(crate) schema: SchemaOf,
    pub(crate) example: Example,
}

/// A parameter of the path or the query.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: &'static str,
    pub(crate) required: bool,
    pub(crate) description: &'static str,
    pub(crate) schema: SchemaOf,
    pub(crate) example: &'static str,
}

/// What is answered if nothing is wrong.
pub(crate) enum Answer {
    /// A JSON body.
    Json(u16, Shape),
    /// 204 and no body.
    Nothing,
    /// 101, and a socket from then on.
    Socket,
    /// A document of another media type, which can be cached.
    Document(&'static str),
}

/// Which of the edge's rates a call counts against, besides the account's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Account,
    Register,
    LogIn,
    Refresh,
    Link,
    LinkResult,
    Message,
    Lookup,
}

impl Limit {
    /// Who is counted, and the default rate.
    pub(crate) fn rate(self) -> (&'static str, Rate) {
        let rates = RequestRates::default();
        match self {
            Self::Account => ("account", rates.account),
            Self::Register => ("address", rates.register),
            Self::LogIn => ("address", rates.log_in),
            Self::Refresh => ("address", rates.refresh),
            Self::Link => ("address", config::LINKS),
            Self::LinkResult => ("address", config::LINK_RESULTS),
            Self::Message => ("account", rates.messages),
            Self::Lookup => ("account", rates.lookup),
        }
    }
}

/// A description that lacks the answer.
pub(crate) struct Draft(Operation);

/// A call's description.
pub(crate) struct Operation {
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Shape>,
    pub(crate) errors: Vec<Code>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) answer: Answer,
}

/// Begins a description.
pub(crate) fn operation(summary: &'static str, description: &'static str) -> Draft {
    Draft(Operation {
        summary,
        description,
        parameters: Vec::new(),
        body: None,
        errors: Vec::new(),
        limits: Vec::new(),
        answer: Answer::Nothing,
    })
}

impl Draft {
    /// The variable segment of the path.
    pub(crate) fn path<T: JsonSchema>(
        self,
        name: &'static str,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        let schema = schema_of::<T>;
        self.with(Parameter { name, place: "path", required: true, description, schema, example })
    }

    /// A parameter of the query that may be absent.
    pub(crate) fn query<T: JsonSchema>(
        self,
        name: &'static str,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        let schema = schema_of::<T>;
        self.with(Parameter { name, place: "query", required: false, description, schema, example })
    }

    /// The parameter of the query that was described last may not be absent.
    pub(crate) fn required(mut self) -> Self {
        if let Some(parameter) = self.0.parameters.last_mut() {
            parameter.required = true;
        }
        self
    }

    fn with(mut self, parameter: Parameter) -> Self {
        self.0.parameters.push(parameter);
        self
    }

    /// The request's body.
    pub(crate) fn takes<T: JsonSchema + DeserializeOwned>(mut self, example: &'static str) -> Self {
        let check = |text: &str| read::<T>(text).map(drop);
        let example = Example { text: example, check };
        self.0.body = Some(Shape { schema: schema_of::<T>, example });
        self
    }

    /// The request's body, which `check` parses in its own way.
    pub(crate) fn takes_parsed<T: JsonSchema>(
        mut self,
        example: &'static str,
        check: fn(&str) -> Result<(), String>,
    ) -> Self {
        let example = Example { text: example, check };
        self.0.body = Some(Shape { schema: schema_of::<T>, example });
        self
    }

    /// Codes that the call can be refused with, besides those that its form brings along.
    pub(crate) fn fails(mut self, codes: &[Code]) -> Self {
        self.0.errors.extend_from_slice(codes);
        self
    }

    /// A rate that the call counts against.
    pub(crate) fn limited(mut self, limit: Limit) -> Self {
        self.0.limits.push(limit);
        self
    }

    /// The answer's status and body.
    pub(crate) fn gives<T: JsonSchema + Serialize + DeserializeOwned>(
        self,
        status: u16,
        example: &'static str,
    ) -> Operation {
        let example = Example { text: example, check: round_trip::<T> };
        self.answers(Answer::Json(status, Shape { schema: schema_of::<T>, example }))
    }

    /// The answer is 204 and has no body.
    pub(crate) fn done(self) -> Operation {
        self.answers(Answer::Nothing)
    }

    /// Any other answer.
    pub(crate) fn answers(self, answer: Answer) -> Operation {
        Operation { answer, ..self.0 }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|err| err.to_string())
}

/// Whether a text is read and written again without loss.
fn round_trip<T: Serialize + DeserializeOwned>(text: &str) -> Result<(), String> {
    let written = serde_json::to_value(read::<T>(text)?).map_err(|err| err.to_string())?;
    let given: serde_json::Value = read(text)?;
    if written == given { Ok(()) } else { Err(format!("{text} becomes {written}")) }
}
