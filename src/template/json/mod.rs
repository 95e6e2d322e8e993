//! A JSON parser (RFC 8259) with spans and error recovery.
//!
//! After an error, the parser continues with the most likely meaning, so that one missing comma does not hide the
//! rest of a template. Common mistakes (comments, trailing commas, single quotes, Python literals) have specific
//! error messages.

mod fault;
mod reader;
mod string;

pub(super) use fault::JsonSyntaxError;
pub use reader::read;
