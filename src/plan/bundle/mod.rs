//! Bundle definitions: which packages a bundle name stands for.
//!
//! A definition is a text in the form of clr-bundles: `# [KEY]: value` comments, `include(NAME)` lines, one
//! package a line. Nothing here reads a file: definitions come in as texts.

mod builtin;
mod definition;

pub use builtin::builtin;
pub use definition::{Definition, DefinitionFault, Definitions, Resolved, not_a_package_name};
