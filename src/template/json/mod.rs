//! A JSON reader (RFC 8259) in which every value knows its place and no fault ends the reading.
//!
//! After a fault the reader goes on with what was most likely meant, so that one missing comma does not hide
//! the rest of a template. The usual slips (comments, trailing commas, single quotes, Python's literals) are
//! named as what they are.

mod fault;
mod reader;
mod string;

pub(super) use fault::SyntaxFault;
pub use reader::read;
