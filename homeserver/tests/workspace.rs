//! The rules of the workspace, held as tests: who may depend on whom, how long a file may be, and
//! that the documents say what the tree says.

#[cfg(test)]
#[path = "workspace/dependencies.rs"]
mod dependencies;

#[cfg(test)]
#[path = "workspace/sources.rs"]
mod sources;

#[cfg(test)]
#[path = "workspace/documents.rs"]
mod documents;

#[cfg(test)]
#[path = "workspace/specification.rs"]
mod specification;

#[cfg(test)]
#[path = "workspace/tree.rs"]
mod tree;
