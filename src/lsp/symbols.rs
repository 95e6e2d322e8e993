//! `textDocument/documentSymbol`: the outline.

use super::document::Document;
use crate::template::{Member, Node, Value};
use lsp_types::{DocumentSymbol, SymbolKind};

pub(super) fn symbols(document: &Document) -> Vec<DocumentSymbol> {
    let Value::Object(members) = &document.linted().node.value else { return Vec::new() };
    if !document.is_template() {
        return Vec::new();
    }
    members
        .iter()
        .map(|member| {
            let children = match &member.value.value {
                Value::Array(items) => items.iter().map(|item| entry(document, item)).collect(),
                _ => Vec::new(),
            };
            let detail = match &member.value.value {
                Value::Array(items) => Some(format!("{}", items.len())),
                Value::Object(_) | Value::Broken => None,
                _ => Some(raw(document, &member.value)),
            };
            let kind = match &member.value.value {
                Value::Array(_) => SymbolKind::ARRAY,
                Value::Object(_) => SymbolKind::OBJECT,
                _ => SymbolKind::PROPERTY,
            };
            symbol(document, &member.key, detail, kind, (member, &member.value), children)
        })
        .collect()
}

/// An entry of a section: a partition, a user, a bundle.
fn entry(document: &Document, item: &Node) -> DocumentSymbol {
    let Value::Object(members) = &item.value else {
        let name = match &item.value {
            Value::String(text) => text.clone(),
            _ => raw(document, item),
        };
        return symbol_of(document, &name, None, SymbolKind::STRING, item, item.span, Vec::new());
    };
    let value = |key: &str| {
        members.iter().find(|m| m.key == key).map(|m| match &m.value.value {
            Value::String(text) => text.clone(),
            _ => raw(document, &m.value),
        })
    };
    let name = match (value("partition"), value("username")) {
        (Some(number), _) => format!("partition {number}"),
        (_, Some(name)) => name,
        _ => "entry".to_owned(),
    };
    let rest =
        ["size", "type", "mount", "label", "uid"].iter().filter_map(|key| value(key)).collect::<Vec<_>>();
    symbol_of(document, &name, Some(rest.join(" ")), SymbolKind::STRUCT, item, item.span, Vec::new())
}

fn symbol(
    document: &Document,
    name: &str,
    detail: Option<String>,
    kind: SymbolKind,
    (member, value): (&Member, &Node),
    children: Vec<DocumentSymbol>,
) -> DocumentSymbol {
    let mut made = symbol_of(document, name, detail, kind, value, member.key_span, children);
    made.range.start = made.selection_range.start;
    made
}

#[expect(deprecated, reason = "the field `deprecated` must be initialized")]
fn symbol_of(
    document: &Document,
    name: &str,
    detail: Option<String>,
    kind: SymbolKind,
    node: &Node,
    selection: crate::template::Span,
    children: Vec<DocumentSymbol>,
) -> DocumentSymbol {
    DocumentSymbol {
        // An empty name is not allowed.
        name: if name.trim().is_empty() { "(empty)".to_owned() } else { name.to_owned() },
        detail: detail.filter(|text| !text.is_empty()),
        kind,
        tags: None,
        deprecated: None,
        range: document.range(node.span),
        selection_range: document.range(selection),
        children: Some(children).filter(|list| !list.is_empty()),
    }
}

/// The text of a scalar, limited to 60 characters.
fn raw(document: &Document, node: &Node) -> String {
    let text = &document.text()[node.span.start..node.span.end];
    text.chars().take(60).collect()
}
