//! `documents`: what the API is.

use crate::documents::{Answer, Operation, operation};

/// `documents::openapi`
pub(in crate::rest) fn openapi() -> Operation {
    operation("This document", "OpenAPI 3.1 of all calls.")
        .answers(Answer::Document("application/json"))
}

/// `documents::asyncapi`
pub(in crate::rest) fn asyncapi() -> Operation {
    operation("The document of the socket", "AsyncAPI 3 of all frames in both directions.")
        .answers(Answer::Document("application/json"))
}

/// `documents::page`
pub(in crate::rest) fn page() -> Operation {
    operation("Both documents for people", "A page that works without the network.")
        .answers(Answer::Document("text/html; charset=utf-8"))
}
