//! Definitions and references of partitions and disks in the three partition sections.

use super::cursor::{At, Cursor};
use super::document::Document;
use crate::template::{Span, Template};
use lsp_types::{Location, Position};

/// The disk or partition at the cursor.
pub(super) enum Thing<'t> {
    /// A disk, by name.
    Disk(&'t str),
    /// A partition, by disk and number.
    Partition(&'t str, u32),
}

/// The disk, if the cursor is on a `disk` key or value, else the partition of the entry.
pub(super) fn thing(document: &Document, offset: usize) -> Option<Thing<'_>> {
    let linted = document.linted();
    let cursor = Cursor::find(&linted.node, document.text(), offset);
    let entry = cursor.entry?.span;
    let place = linted.template.places().find(|place| place.span == entry)?;
    let key = match &cursor.at {
        At::Key(member) => Some(member.key.as_str()),
        _ => cursor.path.last().map(String::as_str),
    };
    match (key, place.key(), &place.disk) {
        (Some("disk"), _, Some(disk)) => Some(Thing::Disk(disk)),
        (_, Some((disk, number)), _) => Some(Thing::Partition(disk, number)),
        _ => None,
    }
}

/// All places that refer to a disk or partition. Entries of the layout come first and are marked `true`.
pub(super) fn mentions(template: &Template, thing: &Thing) -> Vec<(bool, Span)> {
    let defining = template.layout().len();
    template
        .places()
        .enumerate()
        .filter_map(|(index, place)| {
            let span = match thing {
                Thing::Disk(name) => place.disk.as_ref().filter(|disk| disk.value == *name)?.span,
                Thing::Partition(disk, number) => {
                    (place.key() == Some((disk, *number))).then(|| place.partition_span())?
                }
            };
            Some((index < defining, span))
        })
        .collect()
}

pub(super) fn definition(document: &Document, position: Position) -> Option<Location> {
    let thing = thing(document, document.offset(position))?;
    let (_, span) =
        mentions(&document.linted().template, &thing).into_iter().find(|(defines, _)| *defines)?;
    Some(Location { uri: document.uri.clone(), range: document.range(span) })
}

/// The references; with `declaration`, including those in the layout.
pub(super) fn references(document: &Document, position: Position, declaration: bool) -> Vec<Location> {
    let Some(thing) = thing(document, document.offset(position)) else { return Vec::new() };
    mentions(&document.linted().template, &thing)
        .into_iter()
        .filter(|(defines, _)| declaration || !*defines)
        .map(|(_, span)| Location { uri: document.uri.clone(), range: document.range(span) })
        .collect()
}
