//! `ister lsp`: the language server, over standard input and output.
//!
//! Diagnostics and code actions are the findings and fixes of `ister lint`; help texts are from the JSON Schema.
//! Messages are processed one after the other on a single thread, because linting is faster than typing. Protocol
//! types and UTF-16 columns are only used in this module, which depends on template, lint, layout and bundle, but not
//! on image or boot. Source: Language Server Protocol 3.17.

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
