//! `textDocument/formatting`: the same as `ister fmt`.

use super::actions::whole_text;
use super::document::Document;
use crate::template::format_json;
use lsp_types::TextEdit;

/// The edits that format a document. `None` if it is not valid JSON or not a template.
pub(super) fn formatting(document: &Document) -> Option<Vec<TextEdit>> {
    let text = format_json(document.text()).ok().filter(|_| document.is_template())?;
    Some(if text == document.text() { Vec::new() } else { vec![whole_text(document, &text)] })
}
