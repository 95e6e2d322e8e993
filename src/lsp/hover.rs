//! `textDocument/hover`: help for keys, partitions, bundles and rules.

use super::cursor::{At, Cursor};
use super::document::Document;
use super::server::Knowledge;
use crate::lint::{KeyDoc, Partitions, describe, rule};
use crate::plan::layout::{self, DiskSize, Layout, PartitionRequest, SectorSize};
use crate::report::explain;
use crate::template::{Bytes, Size, Spanned, Template, Value};
use lsp_types::{Hover, HoverContents, MarkupContent, MarkupKind, Position};

pub(super) fn hover(document: &Document, position: Position, known: &Knowledge) -> Option<Hover> {
    if !document.is_template() {
        return None;
    }
    let linted = document.linted();
    let cursor = Cursor::find(&linted.node, document.text(), document.offset(position));
    let (span, text) = match &cursor.at {
        At::Key(member) => {
            let mut parts = vec![match cursor.path().collect::<Vec<_>>()[..] {
                ["$lint", "allow"] => rule(&member.key).map(|rule| explain(&rule.text())).unwrap_or_default(),
                _ => {
                    describe(cursor.path().chain([member.key.as_str()])).map(|d| key_text(&member.key, &d))?
                }
            }];
            parts.extend(partition_text(&linted.template, &cursor));
            (member.key_span, parts.join("\n\n---\n\n"))
        }
        At::Value(node) => {
            let mut parts = Vec::new();
            if let (["Bundles", _], Value::String(name)) =
                (&cursor.path().collect::<Vec<_>>()[..], &node.value)
            {
                parts.extend(bundle_text(name, known));
            }
            if parts.is_empty() {
                let key = cursor.path.last()?;
                parts.push(key_text(key, &describe(cursor.path())?));
            }
            parts.extend(partition_text(&linted.template, &cursor));
            (node.span, parts.join("\n\n---\n\n"))
        }
        At::Object(node) => (node.span, partition_text(&linted.template, &cursor)?),
        At::Array => return None,
    };
    if text.is_empty() {
        return None;
    }
    let contents = HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value: text });
    Some(Hover { contents, range: Some(document.range(span)) })
}

/// Title, description, values, default and examples of a key.
pub(super) fn key_text(key: &str, doc: &KeyDoc) -> String {
    let mut text = format!("**{key}**: {}\n\n{}", doc.title, doc.description);
    let code = |values: &[serde_json::Value]| -> String {
        values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
    };
    if !doc.values.is_empty() {
        let values: Vec<String> = doc.values.iter().map(|value| format!("`{value}`")).collect();
        text += &format!("\n\nOne of {}.", values.join(", "));
    }
    if let Some(default) = &doc.default {
        text += &format!("\n\nDefault: `{default}`");
    }
    if !doc.examples.is_empty() && doc.values.is_empty() {
        text += &format!("\n\nFor example {}", code(&doc.examples));
    }
    text
}

/// The description and packages of a bundle.
fn bundle_text(name: &str, known: &Knowledge) -> Option<String> {
    let definition = known.definitions.get(name)?;
    let resolved = known.definitions.resolve([name]);
    let mut text =
        format!("**{name}**: {}\n\nWith apt: {}", definition.description, resolved.packages.join(", "));
    if resolved.installed.0 > 0 {
        text += &format!("\n\nAbout {} installed", resolved.installed);
    }
    Some(text)
}

/// The place on the disk, filesystem and mount point of the partition at the cursor.
fn partition_text(template: &Template, cursor: &Cursor) -> Option<String> {
    let entry = cursor.entry?.span;
    let place = template.places().find(|place| place.span == entry)?;
    let partitions = Partitions::of(template);
    let partition = partitions.get(place)?;
    let solved = solve(template, partition.disk)?;
    let slot = solved.slots.iter().find(|slot| slot.number == partition.number)?;
    let size = slot.size(solved.sector);
    let whole = Bytes(solved.sectors * solved.sector.bytes());
    let mut text = format!(
        "**Partition {} of {}**\n\n| | |\n| --- | --- |\n| LBA | {} to {} |\n| size | {size} ({} bytes) |",
        partition.number,
        partition.disk,
        slot.first(),
        slot.last(),
        size.0,
    );
    // The size of a physical disk is not part of the template.
    if template.is_virtual() {
        text += &format!("\n| share | {:.1} % of {whole} |", size.0 as f64 * 100.0 / whole.0 as f64);
    }
    if let Some(kind) = partition.filesystem_kind() {
        text += &format!("\n| filesystem | {kind} |");
    }
    if let Some(mount) = partition.mount_path() {
        text += &format!("\n| mounted at | `{}` |", mount.value);
    }
    Some(text)
}

/// The layout of a disk, if all sizes are known.
fn solve(template: &Template, disk: &str) -> Option<Layout> {
    let requests: Vec<PartitionRequest> = template
        .layout()
        .iter()
        .filter(|entry| entry.place.key().is_some_and(|(name, _)| name == disk))
        .map(|entry| match (&entry.place.partition, &entry.size) {
            (Some(number), Some(Spanned { value: Ok(size), .. })) => {
                Some(PartitionRequest { number: number.value, size: *size })
            }
            _ => None,
        })
        .collect::<Option<_>>()?;
    let size = match &template.disk_size {
        Some(Spanned { value: Ok(Size::Exact(bytes)), .. }) if template.is_virtual() => {
            DiskSize::Exactly(*bytes)
        }
        _ => DiskSize::Fit,
    };
    layout::solve(&requests, size, SectorSize::B512).ok()
}
