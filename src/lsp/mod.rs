//! `ister lsp`: the language server, over standard input and output.
//!
//! Diagnostics are those of `ister lint`, actions are its fixes, help is the JSON Schema's. One thread, one message after
//! the other: a template is linted in less time than a key takes to come up again. The protocol's types and its UTF-16
//! columns stay in this directory; it knows template, lint, layout and bundle, and neither images nor machines.
//! Source: Language Server Protocol 3.17.

mod actions;
mod completion;
mod cursor;
mod diagnostics;
mod document;
mod formatting;
mod hover;
mod navigation;
mod rename;
mod server;
mod spelling;
mod symbols;
mod transport;

pub(crate) use server::{End, Knowledge, serve};
pub(crate) use transport::stdio;
