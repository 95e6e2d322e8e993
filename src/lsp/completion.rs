//! `textDocument/completion`: missing keys, allowed values, and existing disks, partitions and bundles.

use super::cursor::{At, Cursor};
use super::document::Document;
use super::hover::key_text;
use super::server::Knowledge;
use crate::lint::{KeyDoc, Level, Partitions, RULES, describe};
use crate::template::{
    LayoutEntry, Member, Node, PartitionRef, PartitionType, SoftwareManager, Span, Template, Value,
    json_string,
};
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, InsertTextFormat, MarkupContent,
    MarkupKind, Position, TextEdit,
};
use std::collections::BTreeSet;

/// Capabilities of the client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Abilities {
    /// The client supports snippets.
    pub snippets: bool,
}

pub(super) fn completion(
    document: &Document,
    position: Position,
    abilities: Abilities,
    known: &Knowledge,
) -> Vec<CompletionItem> {
    if !document.is_template() {
        return Vec::new();
    }
    let offset = document.offset(position);
    let text = document.text();
    let linted = document.linted();
    let cursor = Cursor::find(&linted.node, text, offset);
    let context = Context { document, template: &linted.template, known, abilities, offset };
    let here = ReplacedText { span: Span::new(offset, offset), quotes: Quotes::None };
    match &cursor.at {
        At::Key(member) => context.keys(&cursor, context.word(member.key_span), Some(member)),
        At::Value(node) => {
            let path: Vec<&str> = cursor.path().collect();
            context.values(&path, cursor.entry, context.word(node.span))
        }
        At::Object(node) => match value_is_due(node, text, offset) {
            Some(member) => {
                let path: Vec<&str> = cursor.path().chain([member.key.as_str()]).collect();
                context.values(&path, cursor.entry, here)
            }
            None => context.keys(&cursor, here, None),
        },
        At::Array => {
            let path: Vec<&str> = cursor.path().chain(["*"]).collect();
            context.values(&path, cursor.entry, here)
        }
    }
}

/// The member whose value is expected at the cursor, because the cursor follows its colon.
fn value_is_due<'n>(object: &'n Node, text: &str, offset: usize) -> Option<&'n Member> {
    let Value::Object(members) = &object.value else { return None };
    text[..offset]
        .trim_end()
        .ends_with(':')
        .then(|| members.iter().rev().find(|m| m.key_span.end <= offset))?
}

struct Context<'a> {
    document: &'a Document,
    template: &'a Template,
    known: &'a Knowledge<'a>,
    abilities: Abilities,
    offset: usize,
}

impl Context<'_> {
    /// The text that a completion replaces: the word at the cursor without its opening quote, as editors define words.
    fn word(&self, span: Span) -> ReplacedText {
        let text = &self.document.text()[span.start..span.end];
        let closed = text.len() >= 2 && text.ends_with('"');
        // If the cursor is outside of the quotes, the whole string is replaced.
        let outside = self.offset == span.start || closed && self.offset == span.end;
        if !text.starts_with('"') || outside {
            return ReplacedText { span, quotes: Quotes::None };
        }
        // If the string is unterminated, the text after the cursor does not belong to it.
        let end = if closed { span.end - 1 } else { self.offset.min(span.end) };
        let quotes = if closed { Quotes::Both } else { Quotes::First };
        ReplacedText { span: Span::new((span.start + 1).min(end), end), quotes }
    }

    /// The keys that are missing in the object.
    fn keys(&self, cursor: &Cursor, replaced: ReplacedText, on: Option<&Member>) -> Vec<CompletionItem> {
        let path: Vec<&str> = cursor.path().collect();
        let present = self.present(&path);
        let rules = matches!(path[..], ["$lint", "allow"]);
        let doc = describe(path.iter().copied()).unwrap_or_default();
        let mut names: Vec<String> = if rules { suppressible(self.document) } else { doc.keys.clone() };
        // Keys about the file itself (`$…`) come last.
        names.sort_by_key(|name| name.starts_with('$'));
        // If the key already has a value, only the key is replaced.
        let has_value = on.is_some_and(|member| {
            let between = self.document.text().get(member.key_span.end..member.value.span.start);
            between.is_some_and(|text| text.contains(':'))
        });
        let comma = self.comma(replaced);
        names
            .into_iter()
            .filter(|name| !present.contains(name) || on.is_some_and(|member| member.key == *name))
            .enumerate()
            .map(|(index, name)| {
                let key = describe(path.iter().copied().chain([name.as_str()])).unwrap_or_default();
                let mut item =
                    self.item(&name, CompletionItemKind::PROPERTY, replaced, json_string(&name), index);
                if !has_value {
                    self.add_value(&mut item, &name, &key, replaced, comma);
                }
                item.detail = Some(key.title.clone());
                item.documentation = Some(markdown(key_text(&name, &key)));
                item
            })
            .collect()
    }

    /// Adds a value to the completion of a key. The closing quote of the key is replaced, too.
    fn add_value(
        &self,
        item: &mut CompletionItem,
        name: &str,
        key: &KeyDoc,
        replaced: ReplacedText,
        comma: &str,
    ) {
        let quoted = json_string(name);
        let key_text = if replaced.quotes == Quotes::None { quoted.as_str() } else { &quoted[1..] };
        let end = replaced.span.end + usize::from(replaced.quotes == Quotes::Both);
        let (text, format) = if self.abilities.snippets {
            // `$` starts a placeholder in snippets, so it is escaped in keys.
            let text = format!("{}: {}{comma}", key_text.replace('$', "\\$"), snippet(key));
            (text, InsertTextFormat::SNIPPET)
        } else {
            (format!("{key_text}: "), InsertTextFormat::PLAIN_TEXT)
        };
        let range = self.document.range(Span::new(replaced.span.start, end));
        item.text_edit = Some(CompletionTextEdit::Edit(TextEdit { range, new_text: text }));
        item.insert_text_format = Some(format);
    }

    /// A comma, if another key, value or entry follows without one.
    fn comma(&self, replaced: ReplacedText) -> &'static str {
        let after = replaced.span.end + usize::from(replaced.quotes == Quotes::Both);
        let rest = self.document.text()[self.offset.max(after)..].trim_start();
        if rest.starts_with(['"', '{']) { "," } else { "" }
    }

    /// The keys of the object at a path.
    fn present(&self, path: &[&str]) -> BTreeSet<String> {
        let mut node = &self.document.linted().node;
        for step in path {
            let child = match &node.value {
                Value::Object(members) => members.iter().find(|m| m.key == *step).map(|m| &m.value),
                Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            let Some(child) = child else { return BTreeSet::new() };
            node = child;
        }
        match &node.value {
            Value::Object(members) => members.iter().map(|m| m.key.clone()).collect(),
            _ => BTreeSet::new(),
        }
    }

    fn values(&self, path: &[&str], entry: Option<&Node>, replaced: ReplacedText) -> Vec<CompletionItem> {
        let doc = describe(path.iter().copied()).unwrap_or_default();
        let mut offers: Vec<Offer> = match path {
            ["Bundles", _] => self.bundles(),
            ["PartitionLayout" | "FilesystemTypes" | "PartitionMountPoints", _] => {
                return self.entries(path[0], replaced);
            }
            [.., "disk"] => self.disks(entry),
            [section, _, "partition"] => self.numbers(section, entry),
            ["Version"] => self.versions(),
            ["Formats", _] => self.formats(&doc),
            ["PartitionMountPoints", _, "mount"] => self.mounts(entry, &doc),
            _ if !doc.values.is_empty() => {
                let kind = CompletionItemKind::ENUM_MEMBER;
                doc.values.iter().map(|value| Offer::new(json_string(value), kind)).collect()
            }
            _ if doc.kind == "boolean" => ["true", "false"]
                .iter()
                .map(|v| Offer::new((*v).to_owned(), CompletionItemKind::VALUE))
                .collect(),
            _ => doc
                .examples
                .iter()
                .map(|value| Offer {
                    about: "for example".to_owned(),
                    ..Offer::new(value.to_string(), CompletionItemKind::VALUE)
                })
                .collect(),
        };
        if let [.., "disk"] = path
            && offers.is_empty()
        {
            offers =
                doc.examples.iter().map(|v| Offer::new(v.to_string(), CompletionItemKind::VALUE)).collect();
        }
        offers
            .into_iter()
            .enumerate()
            .map(|(index, offer)| {
                let label = offer.json.trim_matches('"').to_owned();
                let mut item = self.item(&label, offer.kind, replaced, offer.json, index);
                if let Some(CompletionTextEdit::Edit(edit)) = &mut item.text_edit
                    && replaced.quotes == Quotes::None
                {
                    edit.new_text.push_str(self.comma(replaced));
                }
                item.detail = Some(offer.about).filter(|about| !about.is_empty());
                if !doc.description.is_empty() {
                    item.documentation = Some(markdown(format!("**{}**\n\n{}", doc.title, doc.description)));
                }
                item
            })
            .collect()
    }

    fn bundles(&self) -> Vec<Offer> {
        let present: BTreeSet<&str> = self.template.bundles().iter().map(|b| b.value.as_str()).collect();
        self.known
            .definitions
            .names()
            .filter(|name| !present.contains(name))
            .map(|name| Offer {
                about: self.known.definitions.get(name).map(|d| d.description.clone()).unwrap_or_default(),
                ..Offer::new(json_string(name), CompletionItemKind::MODULE)
            })
            .collect()
    }

    /// Disks that other entries use.
    fn disks(&self, entry: Option<&Node>) -> Vec<Offer> {
        let this = entry.map(|node| node.span);
        let others = self.template.places().filter(|place| Some(place.span) != this);
        let names: BTreeSet<&str> = others.filter_map(|p| Some(p.disk.as_ref()?.as_str())).collect();
        names.into_iter().map(|name| Offer::new(json_string(name), CompletionItemKind::REFERENCE)).collect()
    }

    /// The next free number in the layout; in other sections, partitions of the layout that are missing there.
    fn numbers(&self, section: &str, entry: Option<&Node>) -> Vec<Offer> {
        let template = self.template;
        let this = entry.map(|node| node.span);
        let disk = template
            .places()
            .find(|p| Some(p.span) == this)
            .and_then(|p| Some(p.disk.as_ref()?.value.as_str()));
        if section == "PartitionLayout" {
            let next = next_number(template, disk, this);
            let value = Offer::new(next.to_string(), CompletionItemKind::VALUE);
            return vec![Offer { about: "next free number".to_owned(), ..value }];
        }
        let taken = self.taken(section, this);
        let fits = |key: (&str, u32)| !taken.contains(&key) && disk.is_none_or(|disk| disk == key.0);
        template
            .layout()
            .iter()
            .filter_map(|e| {
                let (_, number) = e.place.key().filter(|key| fits(*key))?;
                Some(Offer {
                    about: self.about(e),
                    ..Offer::new(number.to_string(), CompletionItemKind::REFERENCE)
                })
            })
            .collect()
    }

    /// The partitions that a section already contains, except for one entry.
    fn taken(&self, section: &str, but: Option<Span>) -> BTreeSet<(&str, u32)> {
        let filesystems = self.template.filesystems().iter().map(|e| &e.place);
        let mounts = self.template.mounts().iter().map(|e| &e.place);
        let places: Vec<&PartitionRef> =
            if section == "FilesystemTypes" { filesystems.collect() } else { mounts.collect() };
        places.into_iter().filter(|place| Some(place.span) != but).filter_map(PartitionRef::key).collect()
    }

    fn formats(&self, doc: &KeyDoc) -> Vec<Offer> {
        let present: Vec<String> = self
            .template
            .formats
            .iter()
            .flat_map(|list| &list.value)
            .filter_map(|format| Some(format.known()?.to_string()))
            .collect();
        let free = doc.values.iter().filter(|value| !present.contains(value));
        free.map(|value| Offer::new(json_string(value), CompletionItemKind::ENUM_MEMBER)).collect()
    }

    /// Common mount points that are not in use.
    fn mounts(&self, entry: Option<&Node>, doc: &KeyDoc) -> Vec<Offer> {
        let this = entry.map(|node| node.span);
        let others = self.template.mounts().iter().filter(|e| Some(e.place.span) != this);
        let taken: BTreeSet<&str> = others.filter_map(|e| Some(e.mount.as_ref()?.as_str())).collect();
        let free =
            doc.examples.iter().filter(|value| value.as_str().is_some_and(|path| !taken.contains(path)));
        free.map(|value| Offer::new(value.to_string(), CompletionItemKind::VALUE)).collect()
    }

    fn versions(&self) -> Vec<Offer> {
        let names: &[(&str, &str)] = match self.template.manager() {
            Some(SoftwareManager::Apt) => &[
                ("\"bookworm\"", "Debian 12"),
                ("\"trixie\"", "Debian 13"),
                ("\"noble\"", "Ubuntu 24.04"),
                ("\"latest\"", "the current Debian stable release"),
            ],
            _ => &[("\"latest\"", "the latest release")],
        };
        let offer = |(json, about): &(&str, &str)| Offer {
            about: (*about).to_owned(),
            ..Offer::new((*json).to_owned(), CompletionItemKind::VALUE)
        };
        names.iter().map(offer).collect()
    }

    /// Whole entries: new partitions in the layout, and missing partitions in other sections.
    fn entries(&self, section: &str, replaced: ReplacedText) -> Vec<CompletionItem> {
        let template = self.template;
        let comma = self.comma(replaced);
        let entry = |label: String, (disk, number): (&str, u32), rest: &str, index: usize| {
            let disk = json_string(disk);
            let text = format!("{{ \"disk\": {disk}, \"partition\": {number}, {rest} }}{comma}");
            self.item(&label, CompletionItemKind::STRUCT, replaced, text, index)
        };
        if section == "PartitionLayout" {
            let disk =
                template.layout().iter().rev().find_map(|e| Some(e.place.disk.as_ref()?.value.as_str()));
            let number = next_number(template, disk, None);
            let efi = Partitions::of(template).efi().is_some();
            return [("linux", "8G"), ("swap", "1G"), ("EFI", "512M")]
                .iter()
                .filter(|(kind, _)| *kind != "EFI" || !efi)
                .enumerate()
                .map(|(index, (kind, size))| {
                    let rest = format!("\"size\": \"{size}\", \"type\": \"{kind}\"");
                    entry(
                        format!("{kind} partition {number}"),
                        (disk.unwrap_or("kvm.img"), number),
                        &rest,
                        index,
                    )
                })
                .collect();
        }
        let filesystems = section == "FilesystemTypes";
        let taken = self.taken(section, None);
        let root = template.mounts().iter().any(|e| e.mount.as_ref().is_some_and(|m| m.value == "/"));
        template
            .layout()
            .iter()
            .enumerate()
            .filter_map(|(index, e)| {
                let key = e.place.key().filter(|key| !taken.contains(key))?;
                let kind = e.kind.as_ref().and_then(|k| k.known()).unwrap_or(PartitionType::Linux);
                let rest = match (filesystems, kind) {
                    (true, PartitionType::Efi) => "\"type\": \"vfat\"",
                    (true, PartitionType::Swap) => "\"type\": \"swap\"",
                    (true, PartitionType::Linux) => "\"type\": \"ext4\"",
                    (false, PartitionType::Swap) => return None,
                    (false, PartitionType::Efi) => "\"mount\": \"/boot\"",
                    (false, PartitionType::Linux) if root => "\"mount\": \"/srv\"",
                    (false, PartitionType::Linux) => "\"mount\": \"/\"",
                };
                Some(entry(format!("partition {} of {} ({})", key.1, key.0, self.about(e)), key, rest, index))
            })
            .collect()
    }

    fn about(&self, entry: &LayoutEntry) -> String {
        let raw = |span: Span| self.document.text()[span.start..span.end].trim_matches('"').to_owned();
        let size = entry.size.as_ref().map(|s| raw(s.span)).unwrap_or_default();
        let kind = entry.kind.as_ref().map(|k| raw(k.span)).unwrap_or_default();
        format!("{size} {kind}").trim().to_owned()
    }

    /// A completion item that replaces the target with `json`, without existing quotes.
    fn item(
        &self,
        label: &str,
        kind: CompletionItemKind,
        replaced: ReplacedText,
        json: String,
        index: usize,
    ) -> CompletionItem {
        let text = match replaced.quotes {
            Quotes::None => json,
            Quotes::Both => json.trim_matches('"').to_owned(),
            Quotes::First => format!("{}\"", json.trim_matches('"')),
        };
        let range = self.document.range(replaced.span);
        CompletionItem {
            label: label.chars().take(60).collect(),
            kind: Some(kind),
            filter_text: Some(label.to_owned()),
            sort_text: Some(format!("{index:04}")),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit { range, new_text: text })),
            ..CompletionItem::default()
        }
    }
}

/// The text that a completion replaces, and the existing quotes around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReplacedText {
    span: Span,
    quotes: Quotes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    None,
    /// Only the opening quote exists.
    First,
    Both,
}

/// A proposed value.
struct Offer {
    json: String,
    kind: CompletionItemKind,
    about: String,
}

impl Offer {
    fn new(json: String, kind: CompletionItemKind) -> Offer {
        Offer { json, kind, about: String::new() }
    }
}

/// The rules that a template may suppress, starting with those that have findings.
fn suppressible(document: &Document) -> Vec<String> {
    let has_findings = |name: &str| document.linted().findings.iter().any(|f| f.rule == name);
    let mut names: Vec<&str> =
        RULES.iter().filter(|rule| rule.level != Level::Error).map(|rule| rule.name).collect();
    names.sort_by_key(|name| !has_findings(name));
    names.into_iter().map(str::to_owned).collect()
}

/// The number after the highest partition number of a disk, or of all disks, ignoring one entry.
fn next_number(template: &Template, disk: Option<&str>, but: Option<Span>) -> u32 {
    let places = template.layout().iter().map(|e| &e.place).filter(|place| Some(place.span) != but);
    let of_disk = places.filter(|p| disk.is_none() || p.disk.as_ref().map(|d| d.value.as_str()) == disk);
    of_disk.filter_map(|p| p.partition.as_ref()).map(|p| p.value).max().unwrap_or(0).saturating_add(1)
}

/// A snippet for the value of a key. Source: LSP 3.17, snippet syntax.
fn snippet(key: &KeyDoc) -> String {
    if !key.values.is_empty() {
        return format!("\"${{1|{}|}}\"", key.values.join(","));
    }
    match key.kind.as_str() {
        "string" => "\"$1\"".to_owned(),
        "array" => "[$1]".to_owned(),
        "object" => "{ $1 }".to_owned(),
        "boolean" => "${1|true,false|}".to_owned(),
        _ => "$1".to_owned(),
    }
}

fn markdown(text: String) -> Documentation {
    Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value: text })
}
