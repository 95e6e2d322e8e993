//! `textDocument/completion`: keys that are still missing, values that fit, disks, partitions and bundles that exist.

use super::cursor::{At, Cursor};
use super::document::Document;
use super::hover::key_text;
use super::server::Knowledge;
use crate::lint::{KeyDoc, Level, RULES, describe};
use crate::template::{LayoutEntry, Member, Node, SoftwareManager, Span, Template, Value, json_string};
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, InsertTextFormat, MarkupContent,
    MarkupKind, Position, TextEdit,
};
use std::collections::BTreeSet;

/// What a client can take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abilities {
    /// Text with places to fill in.
    pub snippets: bool,
}

pub fn completion(
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
    let here = Span::new(offset, offset);
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

/// The member whose value would stand at the cursor: its colon is the last thing before it.
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
    /// What a completion replaces: the word under the cursor, or its beginning where the string is not closed.
    fn word(&self, span: Span) -> Span {
        let text = &self.document.text()[span.start..span.end];
        let open = text.starts_with('"') && (text.len() < 2 || !text.ends_with('"'));
        if open { Span::new(span.start, self.offset.min(span.end)) } else { span }
    }

    /// The keys of the object that are not there yet.
    fn keys(&self, cursor: &Cursor, replaced: Span, on: Option<&Member>) -> Vec<CompletionItem> {
        let path: Vec<&str> = cursor.path().collect();
        let present = self.present(&path);
        let rules = matches!(path[..], ["$lint", "allow"]);
        let doc = describe(path.iter().copied()).unwrap_or_default();
        let names: Vec<String> = if rules { allowable(self.document) } else { doc.keys.clone() };
        // On a key that has its value already only the key changes.
        let has_value = on.is_some_and(|member| {
            let between = self.document.text().get(member.key_span.end..member.value.span.start);
            between.is_some_and(|text| text.contains(':'))
        });
        let rest = self.document.text()[self.offset.max(replaced.end)..].trim_start();
        let comma = if rest.starts_with('"') { "," } else { "" };
        names
            .into_iter()
            .filter(|name| !present.contains(name) || on.is_some_and(|member| member.key == *name))
            .enumerate()
            .map(|(index, name)| {
                let key = describe(path.iter().copied().chain([name.as_str()])).unwrap_or_default();
                let mut item =
                    self.item(&name, CompletionItemKind::PROPERTY, replaced, json_string(&name), index);
                if !has_value {
                    self.add_value(&mut item, &name, &key, comma);
                }
                item.detail = Some(key.title.clone());
                item.documentation = Some(markdown(key_text(&name, &key)));
                item
            })
            .collect()
    }

    fn add_value(&self, item: &mut CompletionItem, name: &str, key: &KeyDoc, comma: &str) {
        let quoted = json_string(name);
        let (text, format) = if self.abilities.snippets {
            // `$` begins a place to fill in: the key's own is escaped.
            let text = format!("{}: {}{comma}", quoted.replace('$', "\\$"), snippet(key));
            (text, InsertTextFormat::SNIPPET)
        } else {
            (format!("{quoted}: "), InsertTextFormat::PLAIN_TEXT)
        };
        if let Some(CompletionTextEdit::Edit(edit)) = &mut item.text_edit {
            edit.new_text = text;
        }
        item.insert_text_format = Some(format);
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

    fn values(&self, path: &[&str], entry: Option<&Node>, replaced: Span) -> Vec<CompletionItem> {
        let doc = describe(path.iter().copied()).unwrap_or_default();
        let mut offers: Vec<Offer> = match path {
            ["Bundles", _] => self.bundles(),
            ["PartitionLayout" | "FilesystemTypes" | "PartitionMountPoints", _] => {
                return self.entries(path[0], replaced);
            }
            [.., "disk"] => self.disks(),
            [section, _, "partition"] => self.numbers(section, entry),
            ["Version"] => self.versions(),
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

    fn disks(&self) -> Vec<Offer> {
        let template = self.template;
        let layout = template.layout().iter().map(|e| &e.place);
        let filesystems = template.filesystems().iter().map(|e| &e.place);
        let mounts = template.mounts().iter().map(|e| &e.place);
        let names: BTreeSet<&str> =
            layout.chain(filesystems).chain(mounts).filter_map(|p| Some(p.disk.as_ref()?.as_str())).collect();
        names.into_iter().map(|name| Offer::new(json_string(name), CompletionItemKind::REFERENCE)).collect()
    }

    /// Partitions of the layout that the section does not have yet; in the layout, the next number.
    fn numbers(&self, section: &str, entry: Option<&Node>) -> Vec<Offer> {
        let template = self.template;
        let this = entry.map(|node| node.span);
        let disk = |span: Option<Span>| {
            let places = template
                .filesystems()
                .iter()
                .map(|e| &e.place)
                .chain(template.mounts().iter().map(|e| &e.place));
            places.filter(|p| Some(p.span) == span).find_map(|p| Some(p.disk.as_ref()?.value.clone()))
        };
        let taken: BTreeSet<(&str, u32)> = match section {
            "FilesystemTypes" => template
                .filesystems()
                .iter()
                .filter(|e| Some(e.place.span) != this)
                .filter_map(|e| e.place.key())
                .collect(),
            "PartitionMountPoints" => template
                .mounts()
                .iter()
                .filter(|e| Some(e.place.span) != this)
                .filter_map(|e| e.place.key())
                .collect(),
            _ => {
                let next = next_number(template);
                return vec![Offer {
                    about: "the next one".to_owned(),
                    ..Offer::new(next.to_string(), CompletionItemKind::VALUE)
                }];
            }
        };
        let disk = disk(this);
        template
            .layout()
            .iter()
            .filter(|e| {
                e.place
                    .key()
                    .is_some_and(|key| !taken.contains(&key) && disk.as_deref().is_none_or(|d| d == key.0))
            })
            .filter_map(|e| {
                let (_, number) = e.place.key()?;
                Some(Offer {
                    about: self.about(e),
                    ..Offer::new(number.to_string(), CompletionItemKind::REFERENCE)
                })
            })
            .collect()
    }

    fn versions(&self) -> Vec<Offer> {
        let names: &[(&str, &str)] = match self.template.manager() {
            Some(SoftwareManager::Apt) => &[
                ("\"bookworm\"", "Debian 12"),
                ("\"trixie\"", "Debian 13"),
                ("\"noble\"", "Ubuntu 24.04"),
                ("\"latest\"", "Debian stable, whatever that is today"),
            ],
            _ => &[("\"latest\"", "the newest release, whatever that is today")],
        };
        let offer = |(json, about): &(&str, &str)| Offer {
            about: (*about).to_owned(),
            ..Offer::new((*json).to_owned(), CompletionItemKind::VALUE)
        };
        names.iter().map(offer).collect()
    }

    /// Whole entries: in the layout a new partition, elsewhere those that the section still lacks.
    fn entries(&self, section: &str, replaced: Span) -> Vec<CompletionItem> {
        let template = self.template;
        let disk = template.layout().iter().find_map(|e| Some(e.place.disk.as_ref()?.value.clone()));
        let disk_json = json_string(disk.as_deref().unwrap_or("kvm.img"));
        let entry = |label: String, number: u32, rest: &str, index: usize| {
            let text = format!("{{ \"disk\": {disk_json}, \"partition\": {number}, {rest} }}");
            self.item(&label, CompletionItemKind::STRUCT, replaced, text, index)
        };
        if section == "PartitionLayout" {
            let number = next_number(template);
            return [("linux", "8G"), ("swap", "1G"), ("EFI", "512M")]
                .iter()
                .enumerate()
                .map(|(index, (kind, size))| {
                    entry(
                        format!("{kind} partition {number}"),
                        number,
                        &format!("\"size\": \"{size}\", \"type\": \"{kind}\""),
                        index,
                    )
                })
                .collect();
        }
        let filesystems = section == "FilesystemTypes";
        let taken: BTreeSet<(&str, u32)> = if filesystems {
            template.filesystems().iter().filter_map(|e| e.place.key()).collect()
        } else {
            template.mounts().iter().filter_map(|e| e.place.key()).collect()
        };
        template
            .layout()
            .iter()
            .enumerate()
            .filter_map(|(index, e)| {
                let key = e.place.key().filter(|key| !taken.contains(key))?;
                let kind = e.kind.as_ref().and_then(|k| k.known()).map(|k| k.to_string()).unwrap_or_default();
                let rest = match (filesystems, kind.as_str()) {
                    (true, "EFI") => "\"type\": \"vfat\"",
                    (true, "swap") => "\"type\": \"swap\"",
                    (true, _) => "\"type\": \"ext4\"",
                    (false, "swap") => return None,
                    (false, "EFI") => "\"mount\": \"/boot\"",
                    (false, _) => "\"mount\": \"/\"",
                };
                Some(entry(format!("partition {} ({})", key.1, self.about(e)), key.1, rest, index))
            })
            .collect()
    }

    fn about(&self, entry: &LayoutEntry) -> String {
        let raw = |span: Span| self.document.text()[span.start..span.end].trim_matches('"').to_owned();
        let size = entry.size.as_ref().map(|s| raw(s.span)).unwrap_or_default();
        let kind = entry.kind.as_ref().map(|k| raw(k.span)).unwrap_or_default();
        format!("{size} {kind}").trim().to_owned()
    }

    fn item(
        &self,
        label: &str,
        kind: CompletionItemKind,
        replaced: Span,
        text: String,
        index: usize,
    ) -> CompletionItem {
        let range = self.document.range(replaced);
        // Editors compare what was typed with this: a quote, if the word has one.
        let typed = &self.document.text()[replaced.start..replaced.end];
        let filter = if typed.starts_with('"') { format!("\"{label}\"") } else { label.to_owned() };
        CompletionItem {
            label: label.to_owned(),
            kind: Some(kind),
            filter_text: Some(filter),
            sort_text: Some(format!("{index:04}")),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit { range, new_text: text })),
            ..CompletionItem::default()
        }
    }
}

/// A value that could stand at the cursor.
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

/// The rules that a template may allow itself; those that it breaks first.
fn allowable(document: &Document) -> Vec<String> {
    let fires = |name: &str| document.linted().findings.iter().any(|f| f.rule == name);
    let mut names: Vec<&str> =
        RULES.iter().filter(|rule| rule.level != Level::Error).map(|rule| rule.name).collect();
    names.sort_by_key(|name| !fires(name));
    names.into_iter().map(str::to_owned).collect()
}

fn next_number(template: &Template) -> u32 {
    template
        .layout()
        .iter()
        .filter_map(|e| e.place.partition.as_ref())
        .map(|p| p.value)
        .max()
        .unwrap_or(0)
        .saturating_add(1)
}

/// A value to fill in. Source: LSP 3.17, snippet syntax.
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
