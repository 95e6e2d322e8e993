//! Creates a template from an entry of the table.

use super::types::{Firmware, ImageType};
use crate::plan::bundle::Definitions;
use crate::template::{SoftwareManager, format_json, json_string};

/// A template to start from, and the bundles that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTemplate {
    pub text: String,
    /// Bundles of the type that have no definition for this software manager.
    pub left_out: Vec<&'static str>,
}

/// The Debian release of templates for apt.
const SUITE: &str = "bookworm";
/// The last release of Clear Linux with templates for ister.py.
const RELEASE: u32 = 27_910;
/// Minimum size of the root partition with apt, in MiB. Debian's content is larger than that of Clear Linux.
const LEAST_ROOT: u64 = 1024;

/// Minimum size of the ESP, with space for kernel updates.
const LEAST_ESP: &str = "128M";

/// The larger of two sizes in MiB.
fn larger_of<'s>(one: &'s str, other: &'s str) -> &'s str {
    let mebibytes = |text: &str| text.strip_suffix('M').and_then(|number| number.parse::<u64>().ok());
    if mebibytes(one) < mebibytes(other) { other } else { one }
}

/// What a new template has besides the keys of its type.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewOptions<'o> {
    /// The value of `$schema`.
    pub schema: Option<&'o str>,
    /// An entry of `Users`, as JSON.
    pub user: Option<&'o str>,
    /// The host name, and the image file name without `.img`; the type's name by default.
    pub name: Option<&'o str>,
    /// `size` of the root partition; the type's by default.
    pub root_size: Option<&'o str>,
}

/// The template of a published type for a software manager.
pub fn new_template(
    kind: &ImageType,
    manager: SoftwareManager,
    definitions: &Definitions,
    options: &NewOptions,
) -> NewTemplate {
    let name = options.name.unwrap_or(kind.name);
    let disk = json_string(&format!("{name}.img"));
    let mut layout = Vec::new();
    let mut filesystems = Vec::new();
    let mut mounts = Vec::new();
    let mut number = 0;
    let mut add = |size: &str, what: &str, filesystem: &str, options: Option<&str>, mount: Option<&str>| {
        number += 1;
        let place = format!("\"disk\": {disk}, \"partition\": {number}");
        layout.push(format!("{{ {place}, \"size\": \"{size}\", \"type\": \"{what}\" }}"));
        let options = options.map(|o| format!(", \"options\": \"{o}\"")).unwrap_or_default();
        filesystems.push(format!("{{ {place}, \"type\": \"{filesystem}\"{options} }}"));
        if let Some(mount) = mount {
            mounts.push(format!("{{ {place}, \"mount\": \"{mount}\" }}"));
        }
    };
    if let Some(size) = kind.esp {
        let size = if manager == SoftwareManager::Swupd { size } else { larger_of(size, LEAST_ESP) };
        add(size, "EFI", "vfat", None, Some("/boot"));
    }
    if let Some(size) = kind.swap {
        add(size, "swap", "swap", None, None);
    }
    let apt = manager == SoftwareManager::Apt;
    let mebibytes = kind.root.strip_suffix('M').and_then(|n| n.parse::<u64>().ok());
    let small = apt && mebibytes.is_some_and(|n| n < LEAST_ROOT) && kind.firmware != Firmware::None;
    let root = if small { format!("{LEAST_ROOT}M") } else { kind.root.to_owned() };
    let root = options.root_size.map_or(root, str::to_owned);
    add(&root, "linux", "ext4", kind.options, Some("/"));

    let mut bundles: Vec<&str> = kind.bundles.iter().copied().chain(["os-core"]).collect();
    // Containers are rebuilt instead of updated.
    if kind.firmware != Firmware::None {
        bundles.push("os-core-update");
    }
    bundles.sort();
    let mut left_out = Vec::new();
    if manager != SoftwareManager::Swupd {
        left_out = kind.bundles.iter().copied().filter(|name| definitions.get(name).is_none()).collect();
        bundles.retain(|name| !left_out.contains(name));
    }

    let mut members = Vec::new();
    let mut member = |key: &str, value: String| members.push(format!("{}: {value}", json_string(key)));
    if let Some(schema) = options.schema {
        member("$schema", json_string(schema));
    }
    member("$comment", json_string(&format!("{}: {}", kind.name, kind.purpose)));
    if let Some((rule, why)) = exception(kind, manager) {
        member("$lint", format!("{{\"allow\": {{{}: {}}}}}", json_string(rule), json_string(why)));
    }
    member("DestinationType", json_string("virtual"));
    member("PartitionLayout", format!("[{}]", layout.join(", ")));
    member("FilesystemTypes", format!("[{}]", filesystems.join(", ")));
    member("PartitionMountPoints", format!("[{}]", mounts.join(", ")));
    member("SoftwareManager", json_string(&manager.to_string()));
    member("Version", if apt { json_string(SUITE) } else { RELEASE.to_string() });
    let names: Vec<String> = bundles.iter().map(|name| json_string(name)).collect();
    member("Bundles", format!("[{}]", names.join(", ")));
    if let Some(user) = options.user {
        member("Users", format!("[{user}]"));
    }
    member("Hostname", json_string(name));
    if kind.firmware == Firmware::Bios {
        member("LegacyBios", "true".to_owned());
    }
    let text =
        format_json(&format!("{{{}}}", members.join(", "))).expect("the text is composed of valid JSON");
    NewTemplate { text, left_out }
}

/// A lint rule that the published type violates on purpose, and the reason.
fn exception(kind: &ImageType, manager: SoftwareManager) -> Option<(&'static str, &'static str)> {
    match (kind.firmware, kind.esp.filter(|_| manager == SoftwareManager::Swupd)) {
        (Firmware::None, _) => Some(("image-without-boot", "a container has no kernel")),
        (_, Some("30M" | "32M")) => Some(("esp-fat32", "the published size; UEFI reads FAT16 too")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::TYPES;
    use super::*;
    use crate::lint::{Files, lint};
    use crate::plan::bundle::builtin;
    use crate::template::SourceText;

    #[test]
    fn the_table_is_sorted() {
        assert!(TYPES.is_sorted_by_key(|kind| kind.name));
    }

    #[test]
    fn templates_have_no_findings_with_any_manager() {
        let definitions = builtin();
        for kind in TYPES {
            for manager in [SoftwareManager::Apt, SoftwareManager::Swupd] {
                let user = r#"{"username": "ada", "password": {"env": "ADA"}}"#;
                let user = (manager == SoftwareManager::Apt).then_some(user);
                let schema = Some("./ister-template.schema.json");
                let options = NewOptions { schema, user, name: Some("web"), ..NewOptions::default() };
                let new = new_template(kind, manager, &definitions, &options);
                assert!(!new.text.contains(&format!("{}.img", kind.name)), "{}", new.text);
                let linted =
                    lint(&SourceText::new(kind.name, new.text.clone()), &definitions, |_| Files::new());
                let found: Vec<_> = linted.findings.iter().map(|f| &f.message).collect();
                assert!(found.is_empty(), "{} with {manager}: {found:?}\n{}", kind.name, new.text);
            }
        }
    }
}
