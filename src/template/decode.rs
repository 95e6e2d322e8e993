//! Decodes JSON nodes to the typed template, and collects all errors.

mod values;

use super::edit::{Change, Fix};
use super::json;
use super::keys::{self, KeyedObject};
use super::model::*;
use super::node::{Member, Node, Value};
use super::text::{Encoding, SourceText, Span};
use std::collections::HashMap;
use values::{boolean, integer, list, name, partition_number, secret, size, text, version, wrong_type};

/// An error in the text of a template.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodeError {
    pub kind: DecodeErrorKind,
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
    /// Related places, each with a short explanation.
    pub related: Vec<(Span, String)>,
    pub fix: Option<Fix>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeErrorKind {
    Syntax,
    DuplicateKey,
    /// An unknown key that is similar to a known one.
    MisspeltKey,
    UnknownKey,
    WrongType,
}

/// Parses a template. The node is the JSON document, for validation by the JSON Schema.
pub fn parse(source: &SourceText) -> (Template, Node, Vec<DecodeError>) {
    let (node, syntax) = json::read(source.text());
    let mut faults =
        DecodeErrors { list: encoding_fault(source).into_iter().collect(), ..DecodeErrors::default() };
    let syntax = syntax.into_iter().map(|fault| DecodeError {
        kind: DecodeErrorKind::Syntax,
        span: fault.span,
        message: fault.message,
        help: fault.help.map(str::to_owned),
        related: Vec::new(),
        fix: fault.fix,
    });
    syntax.for_each(|fault| faults.push(fault));
    let template = template(&node, &mut faults).unwrap_or_default();
    (template, node, faults.list)
}

fn encoding_fault(source: &SourceText) -> Option<DecodeError> {
    let (at, message) = match source.encoding() {
        Encoding::Utf8 => return None,
        Encoding::Utf16 => (0, "the file is UTF-16, but JSON must be UTF-8"),
        Encoding::Unknown { at } => (at, "the file is neither UTF-8 nor UTF-16 from here on"),
    };
    let span = Span::new(at, at);
    // The empty change is enough, because fixed files are always written as UTF-8.
    let fix = (source.encoding() == Encoding::Utf16)
        .then(|| Fix::safe("save it as UTF-8", Change::Replace(span, String::new())));
    let help = Some("save it as UTF-8".to_owned());
    Some(DecodeError {
        kind: DecodeErrorKind::Syntax,
        span,
        message: message.to_owned(),
        help,
        related: Vec::new(),
        fix,
    })
}

/// Collects errors, up to a limit per kind, so that many errors of one kind do not hide others.
#[derive(Default)]
struct DecodeErrors {
    list: Vec<DecodeError>,
    counts: HashMap<DecodeErrorKind, usize>,
}

const MAX_FAULTS: usize = 1000;

impl DecodeErrors {
    fn push(&mut self, fault: DecodeError) {
        let count = self.counts.entry(fault.kind).or_default();
        *count += 1;
        if *count <= MAX_FAULTS {
            self.list.push(fault);
        }
    }

    fn is_full(&self, kind: DecodeErrorKind) -> bool {
        self.counts.get(&kind).is_some_and(|count| *count >= MAX_FAULTS)
    }
}

fn template(node: &Node, faults: &mut DecodeErrors) -> Option<Template> {
    let mut fields = Fields::of(node, &keys::TEMPLATE, faults)?;
    Some(Template {
        span: node.span,
        destination: fields.get("DestinationType", name),
        layout: fields.get("PartitionLayout", |n, f| list(n, f, layout_entry)),
        filesystems: fields.get("FilesystemTypes", |n, f| list(n, f, filesystem_entry)),
        mounts: fields.get("PartitionMountPoints", |n, f| list(n, f, mount_entry)),
        version: fields.get("Version", version),
        bundles: fields.get("Bundles", |n, f| list(n, f, text)),
        software_manager: fields.get("SoftwareManager", name),
        users: fields.get("Users", |n, f| list(n, f, user)),
        hostname: fields.get("Hostname", text),
        static_ip: fields.get("Static_IP", static_ip),
        legacy_bios: fields.get("LegacyBios", boolean),
        cmdline: fields.get("cmdline", text),
        https_proxy: fields.get("HTTPSProxy", text),
        http_proxy: fields.get("HTTPProxy", text),
        mirror_url: fields.get("MirrorURL", text),
        version_url: fields.get("VersionURL", text),
        pre_install_shell: fields.get("PreInstallShell", |n, f| list(n, f, text)),
        post_non_chroot: fields.get("PostNonChroot", |n, f| list(n, f, text)),
        post_non_chroot_shell: fields.get("PostNonChrootShell", |n, f| list(n, f, text)),
        post_chroot: fields.get("PostChroot", |n, f| list(n, f, text)),
        post_chroot_shell: fields.get("PostChrootShell", |n, f| list(n, f, text)),
        cloud_init_service: fields.get("IsterCloudInitSvc", text),
        disabled_new_partitions: fields.get("DisabledNewPartitions", boolean),
        disk_size: fields.get("DiskSize", size),
        formats: fields.get("Formats", |n, f| list(n, f, name)),
        allowances: fields.get("$lint", allowances).unwrap_or_default(),
        present: fields.present,
    })
}

/// `"$lint": {"allow": {"rule-name": "reason"}}`
fn allowances(node: &Node, faults: &mut DecodeErrors) -> Option<Vec<Allowance>> {
    let mut fields = Fields::of(node, &keys::LINT, faults)?;
    fields.get("allow", |node, faults| {
        let Value::Object(members) = &node.value else {
            wrong_type(node, faults, "an object of rules and reasons, { \"rule-name\": \"reason\" }");
            return None;
        };
        let mut seen: HashMap<&str, &Member> = HashMap::new();
        for member in members {
            if let Some(earlier) = seen.insert(&member.key, member) {
                faults.push(duplicate_key(earlier, member));
            }
        }
        let allowance = |member: &Member| Allowance {
            rule: Spanned { value: member.key.clone(), span: member.key_span },
            reason: text(&member.value, faults),
        };
        Some(members.iter().map(allowance).collect())
    })
}

fn layout_entry(node: &Node, faults: &mut DecodeErrors) -> Option<LayoutEntry> {
    let mut fields = Fields::of(node, &keys::PARTITION, faults)?;
    Some(LayoutEntry {
        size: fields.get("size", size),
        kind: fields.get("type", name),
        place: place(node, fields),
    })
}

fn filesystem_entry(node: &Node, faults: &mut DecodeErrors) -> Option<FilesystemEntry> {
    let mut fields = Fields::of(node, &keys::FILESYSTEM, faults)?;
    Some(FilesystemEntry {
        kind: fields.get("type", name),
        label: fields.get("label", text),
        options: fields.get("options", text),
        disable_format: fields.get("disable_format", |node, _| Some(node.span)),
        encryption: fields.get("encryption", encryption),
        place: place(node, fields),
    })
}

fn encryption(node: &Node, faults: &mut DecodeErrors) -> Option<Encryption> {
    let mut fields = Fields::of(node, &keys::ENCRYPTION, faults)?;
    Some(Encryption {
        span: node.span,
        name: fields.get("name", text),
        passphrase: fields.get("passphrase", secret),
    })
}

fn mount_entry(node: &Node, faults: &mut DecodeErrors) -> Option<MountEntry> {
    let mut fields = Fields::of(node, &keys::MOUNT_POINT, faults)?;
    Some(MountEntry {
        mount: fields.get("mount", text),
        force_unit: fields.get("forcemu", boolean),
        encryption: fields.get("encryption", encryption),
        place: place(node, fields),
    })
}

fn place(node: &Node, mut fields: Fields) -> PartitionRef {
    PartitionRef {
        span: node.span,
        disk: fields.get("disk", text),
        partition: fields.get("partition", partition_number),
        present: fields.present,
    }
}

fn user(node: &Node, faults: &mut DecodeErrors) -> Option<User> {
    let mut fields = Fields::of(node, &keys::USER, faults)?;
    Some(User {
        span: node.span,
        username: fields.get("username", text),
        key: fields.get("key", text),
        uid: fields.get("uid", |n, f| integer(n, f, "an integer, or a string of digits")),
        sudo: fields.get("sudo", boolean),
        password: fields.get("password", secret),
        fullname: fields.get("fullname", text),
        present: fields.present,
    })
}

fn static_ip(node: &Node, faults: &mut DecodeErrors) -> Option<StaticIp> {
    let mut fields = Fields::of(node, &keys::STATIC_ADDRESS, faults)?;
    Some(StaticIp {
        span: node.span,
        iface: fields.get("iface", text),
        address: fields.get("address", text),
        gateway: fields.get("gateway", text),
        dns: fields.get("dns", text),
        address6: fields.get("address6", text),
        gateway6: fields.get("gateway6", text),
    })
}

/// The members of an object: known keys by name. Unknown and duplicate keys are reported when it is created.
struct Fields<'n, 'f> {
    object: &'static KeyedObject,
    known: Vec<(&'static str, &'n Node)>,
    present: Vec<Spanned<String>>,
    faults: &'f mut DecodeErrors,
}

impl<'n, 'f> Fields<'n, 'f> {
    fn of(node: &'n Node, object: &'static KeyedObject, faults: &'f mut DecodeErrors) -> Option<Self> {
        let Value::Object(members) = &node.value else {
            wrong_type(node, faults, &format!("{}: an object, {{ … }}", object.name));
            return None;
        };
        let mut known: Vec<(&'static str, &'n Node)> = Vec::new();
        let mut present: Vec<Spanned<String>> = Vec::new();
        let mut seen: HashMap<&str, &Member> = HashMap::new();
        for member in members {
            if let Some(earlier) = seen.insert(&member.key, member) {
                faults.push(duplicate_key(earlier, member));
            }
            present.push(Spanned { value: member.key.clone(), span: member.key_span });
            match object.keys.iter().find(|key| **key == member.key) {
                Some(key) => {
                    known.retain(|(name, _)| name != key);
                    known.push((key, &member.value));
                }
                // This may not be a key, but a value without quotes.
                None if member.value.value == Value::Broken => {}
                // Finding similar names takes time, so stop when the limit is reached.
                None if faults.is_full(DecodeErrorKind::UnknownKey)
                    || faults.is_full(DecodeErrorKind::MisspeltKey) => {}
                None => faults.push(unknown_key(member, members, object)),
            }
        }
        Some(Fields { object, known, present, faults })
    }

    fn get<T>(&mut self, key: &str, read: impl FnOnce(&Node, &mut DecodeErrors) -> Option<T>) -> Option<T> {
        debug_assert!(self.object.keys.contains(&key), "the schema has no key `{key}`");
        let (_, node) = self.known.iter().find(|(name, _)| *name == key)?;
        match node.value {
            // The error is already reported.
            Value::Broken => None,
            _ => read(node, self.faults),
        }
    }
}

fn duplicate_key(earlier: &Member, member: &Member) -> DecodeError {
    let same = earlier.value.to_plain() == member.value.to_plain();
    // If the values differ, removing one could change the meaning.
    let fix = if same { Fix::safe } else { Fix::unsafe_ };
    DecodeError {
        kind: DecodeErrorKind::DuplicateKey,
        span: member.key_span,
        message: format!("duplicate key `{}`", member.key),
        help: Some("remove one of them; ister.py silently uses the last one".into()),
        related: vec![(earlier.key_span, "first defined here".into())],
        fix: Some(fix("remove the first one".to_owned(), Change::Remove(earlier.key_span))),
    }
}

/// Names from an outdated document, and the actual keys.
const OLD_NAMES: &[(&str, &str)] = &[("PreSetupShell", "PreInstallShell")];

fn unknown_key(member: &Member, siblings: &[Member], object: &KeyedObject) -> DecodeError {
    let KeyedObject { name: what, keys, .. } = object;
    let Member { key, key_span, .. } = member;
    let old = OLD_NAMES.iter().find(|(old, new)| old == key && keys.contains(new)).map(|(_, new)| *new);
    let meant = old.or_else(|| nearest(key, keys));
    let rename = |name: &str| {
        let change = Change::string(*key_span, name);
        let title = format!("rename it to `{name}`");
        // A difference only in case or punctuation is unambiguous.
        if plain_name(key) == plain_name(name) {
            Fix::safe(title, change)
        } else {
            Fix::unsafe_(title, change)
        }
    };
    let free = |name: &&str| !siblings.iter().any(|other| other.key == **name);
    DecodeError {
        kind: if meant.is_some() { DecodeErrorKind::MisspeltKey } else { DecodeErrorKind::UnknownKey },
        span: *key_span,
        message: match old {
            // Do not print the key, because it may be the secret itself.
            _ if object.name == super::keys::SECRET.name => format!("unknown key in {what}"),
            Some(name) => {
                format!("`{key}` is an outdated name for `{name}` that ister.py never supported")
            }
            None => format!("unknown key `{}` in {what}", key.escape_debug()),
        },
        help: Some(match meant {
            Some(name) => format!("did you mean `{name}`?"),
            None if keys.len() <= 8 => format!("expected one of: {}", keys.join(", ")),
            None => "remove it, or move the text to `$comment`; ister.py ignores unknown keys".into(),
        }),
        related: Vec::new(),
        fix: match meant {
            Some(name) => meant.filter(free).map(|_| rename(name)),
            None => Some(Fix::unsafe_("remove it", Change::Remove(*key_span))),
        },
    }
}

/// A name without the most common spelling differences: case, `_`, `-` and `$`.
fn plain_name(text: &str) -> String {
    text.to_lowercase().replace(['_', '-', '$'], "")
}

/// The known name that a misspelt name is closest to: equal except for case and `_`/`-`, or with an edit distance of
/// at most a third of its length (at least 1, at most 4).
pub fn nearest<'k>(text: &str, names: &[&'k str]) -> Option<&'k str> {
    if text.len() > 64 {
        return None;
    }
    let text = plain_name(text);
    names
        .iter()
        .filter(|name| name.len() <= 64)
        .map(|name| (strsim::damerau_levenshtein(&text, &plain_name(name)), *name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= (name.len() / 3).clamp(1, 4) && *distance < text.len())
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let source = SourceText::new("t.json", text);
        let (_, _, faults) = parse(&source);
        faults
            .iter()
            .map(|f| {
                let place = source.position(f.span.start);
                format!("{}:{} {}", place.line, place.column, f.message)
            })
            .collect()
    }

    #[test]
    fn one_wrong_value_does_not_affect_others() {
        let source = SourceText::new(
            "t.json",
            r#"{"LegacyBios": "yes", "Hostname": "a", "PartitionLayout": [7, {"disk": "d", "partition": "2"}]}"#,
        );
        let (template, _, faults) = parse(&source);
        assert_eq!(faults.len(), 2);
        assert_eq!(template.hostname.unwrap().value, "a");
        assert_eq!(template.layout.unwrap().value[0].place.key(), Some(("d", 2)));
    }

    #[test]
    fn misspelt_and_duplicate_keys_are_errors() {
        assert_eq!(
            faults("{\"Hostnmae\": \"a\",\n \"cmdline\": \"a\", \"cmdline\": \"b\"}"),
            ["1:2 unknown key `Hostnmae` in the template", "2:18 duplicate key `cmdline`"]
        );
    }

    #[test]
    fn every_key_of_the_schema_is_decoded() {
        for (object, pointer) in keys::ALL {
            for key in &object.keys {
                // Comments, and a key whose value does not matter.
                if ["$schema", "$comment", "disable_format"].contains(key) {
                    continue;
                }
                let wrong = format!("{{\"{key}\": [[1]]}}");
                let text = match *pointer {
                    "" => wrong,
                    "/$defs/layoutEntry" => format!("{{\"PartitionLayout\": [{wrong}]}}"),
                    "/$defs/filesystemEntry" => format!("{{\"FilesystemTypes\": [{wrong}]}}"),
                    "/$defs/mountEntry" => format!("{{\"PartitionMountPoints\": [{wrong}]}}"),
                    "/$defs/user" => format!("{{\"Users\": [{wrong}]}}"),
                    "/$defs/secretSource" => format!("{{\"Users\": [{{\"password\": {wrong}}}]}}"),
                    "/properties/Static_IP" => format!("{{\"Static_IP\": {wrong}}}"),
                    "/properties/$lint" => format!("{{\"$lint\": {wrong}}}"),
                    _ => format!("{{\"FilesystemTypes\": [{{\"encryption\": {wrong}}}]}}"),
                };
                let (_, _, faults) = parse(&SourceText::new("t.json", &text));
                let kinds: Vec<DecodeErrorKind> = faults.iter().map(|fault| fault.kind).collect();
                assert!(kinds.contains(&DecodeErrorKind::WrongType), "{text}: {kinds:?}");
                assert!(!kinds.contains(&DecodeErrorKind::UnknownKey), "{text}");
            }
        }
    }

    #[test]
    fn nearest_name_is_found() {
        assert_eq!(nearest("bundles", &keys::TEMPLATE.keys), Some("Bundles"));
        assert_eq!(nearest("Static-IP", &keys::TEMPLATE.keys), Some("Static_IP"));
        assert_eq!(nearest("DestinatoinType", &keys::TEMPLATE.keys), Some("DestinationType"));
        assert_eq!(nearest("Kernel", &keys::TEMPLATE.keys), None);
        assert_eq!(nearest("x", &keys::PARTITION.keys), None);
    }

    #[test]
    fn partition_numbers_start_at_one() {
        assert_eq!(
            faults(r#"{"PartitionLayout": [{"partition": 0}, {"partition": "x"}, {"partition": "12"}]}"#),
            [
                "1:36 expected a partition number from 1, as an integer or a string of digits, found 0",
                "1:54 expected a partition number from 1, as an integer or a string of digits, found a string",
            ]
        );
    }
}
