//! Bundle definitions: the packages of each bundle.
//!
//! A definition is a text in the format of clr-bundles: `# [KEY]: value` comments, `include(NAME)` lines, and one
//! package per line. This module does no I/O; definitions are passed in as texts.

mod builtin;
mod definition;

pub use builtin::builtin;
pub use definition::{Definition, DefinitionError, Definitions, Resolved, invalid_package_name};
