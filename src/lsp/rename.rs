//! `textDocument/rename`: renames a disk in all partition sections.

use super::actions::workspace_edit;
use super::document::Document;
use super::navigation::{Thing, mentions, thing};
use crate::template::{Span, json_string};
use lsp_types::{Position, Range, TextEdit, WorkspaceEdit};

/// The range of the disk name at the cursor, without its quotes.
pub(super) fn prepare(document: &Document, position: Position) -> Result<Range, String> {
    let offset = document.offset(position);
    let Some(Thing::Disk(name)) = thing(document, offset) else {
        return Err("only disks can be renamed; place the cursor on a `disk` value".to_owned());
    };
    let span = mentions(&document.linted().template, &Thing::Disk(name))
        .into_iter()
        .map(|(_, span)| span)
        .find(|span| (span.start..=span.end).contains(&offset));
    let span = span.ok_or("place the cursor on the name of the disk")?;
    Ok(document.range(inside(document, span)))
}

pub(super) fn rename(
    document: &Document,
    position: Position,
    new_name: &str,
) -> Result<WorkspaceEdit, String> {
    prepare(document, position)?;
    let Some(Thing::Disk(name)) = thing(document, document.offset(position)) else {
        return Err("only disks can be renamed; place the cursor on a `disk` value".to_owned());
    };
    let file = new_name.rsplit('/').next().unwrap_or_default();
    if matches!(file.trim(), "" | "." | "..") || new_name.contains(char::is_control) {
        return Err(format!("invalid disk name `{}`", new_name.escape_debug()));
    }
    let template = &document.linted().template;
    let taken = template.layout().iter().filter_map(|e| e.place.disk.as_ref()).any(|d| d.value == new_name);
    if taken && name != new_name {
        return Err(format!("disk `{new_name}` already exists"));
    }
    let edits = mentions(template, &Thing::Disk(name))
        .into_iter()
        .map(|(_, span)| TextEdit { range: document.range(span), new_text: json_string(new_name) })
        .collect();
    Ok(workspace_edit(&document.uri, edits))
}

/// A string without its quotes.
fn inside(document: &Document, span: Span) -> Span {
    let text = &document.text()[span.start..span.end];
    if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') {
        Span::new(span.start + 1, span.end - 1)
    } else {
        span
    }
}
