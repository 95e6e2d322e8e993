//! Syntax errors.

use crate::template::edit::Fix;
use crate::template::text::Span;

/// A place where the text is not valid JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonSyntaxError {
    pub span: Span,
    pub message: String,
    pub help: Option<&'static str>,
    pub fix: Option<Fix>,
}
