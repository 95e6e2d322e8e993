//! The image types published by Clear Linux, as templates to start from. They are those of `vm-tests`, which are built
//! and booted, so that a new template starts from a tested one. This module does no I/O.

use crate::plan::bundle::Definitions;
use crate::template::{Format, Size, SoftwareManager, format_json};
use serde_json::{Map, Value, json};

#[derive(Debug)]
pub struct ImageType {
    pub name: &'static str,
    template: &'static str,
    /// `type.json`, with the formats that are tested.
    test: &'static str,
}

macro_rules! image_types {
    ($($name:literal),* $(,)?) => {
        &[$(ImageType {
            name: $name,
            template: include_str!(concat!("../../vm-tests/", $name, "/template.json")),
            test: include_str!(concat!("../../vm-tests/", $name, "/type.json")),
        }),*]
    };
}

/// Sorted by name.
pub const TYPES: &[ImageType] = image_types![
    "aws",
    "azure",
    "azure-docker",
    "azure-machine-learning",
    "ciao-networking",
    "cloud-docker",
    "cloudguest",
    "container",
    "gce",
    "hyperv",
    "hyperv-mini",
    "installer",
    "kvm",
    "kvm-legacy",
    "live-docker",
    "live-server",
    "mbr",
    "provision",
    "release",
    "vmware",
];

impl ImageType {
    fn members(&self) -> Map<String, Value> {
        serde_json::from_str(self.template).expect("the templates of vm-tests are JSON objects")
    }

    /// The formats that the platform of this type requires instead of a raw image.
    fn required_formats(&self) -> Vec<Value> {
        const REQUIRED: [Format; 5] = [Format::TarGz, Format::Vhd, Format::Vhdx, Format::Vmdk, Format::Ova];
        let test: Value = serde_json::from_str(self.test).expect("the types of vm-tests are JSON objects");
        let mut formats = test["formats"].as_array().cloned().unwrap_or_default();
        formats.retain(|format| REQUIRED.iter().any(|required| format == &json!(required.to_string())));
        formats
    }

    /// Where images of this type run.
    pub fn purpose(&self) -> String {
        let members = self.members();
        let comment = members["$comment"].as_str().unwrap_or_default();
        comment.strip_prefix(&format!("{}: ", self.name)).unwrap_or(comment).to_owned()
    }
}

/// A template to start from, and the bundles that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTemplate {
    pub text: String,
    /// Bundles of the type that have no definition for this software manager.
    pub left_out: Vec<String>,
}

/// The last release of Clear Linux with templates for ister.py.
const RELEASE: u32 = 27_910;

/// Minimum size of the ESP, with space for kernel updates.
const LEAST_ESP: &str = "128M";

/// What a new template has besides the keys of its type.
#[derive(Clone, Debug, Default)]
pub struct NewOptions<'o> {
    /// The value of `$schema`.
    pub schema: Option<&'o str>,
    /// An entry of `Users`.
    pub user: Option<Value>,
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
    options: &NewOptions<'_>,
) -> NewTemplate {
    let mut members = kind.members();
    // Boot tests log in by a credential, and some read the screen; people need a user and a serial console.
    remove_allowance(&mut members, "login-impossible");
    members.shift_remove("cmdline");
    if manager != SoftwareManager::Swupd && enlarge_esp(&mut members) {
        remove_allowance(&mut members, "esp-fat32");
    }
    if let Some(size) = options.root_size {
        set_root_size(&mut members, size);
    }
    if let Some(name) = options.name {
        members.insert("Hostname".to_owned(), json!(name));
        for entry in members.values_mut().filter_map(Value::as_array_mut).flatten() {
            if let Some(disk) = entry.get_mut("disk") {
                *disk = json!(format!("{name}.img"));
            }
        }
    }
    if manager != SoftwareManager::Apt {
        members.insert("SoftwareManager".to_owned(), json!(manager.to_string()));
        members.insert("Version".to_owned(), json!(RELEASE));
    }
    let mut left_out = Vec::new();
    if manager == SoftwareManager::Dnf {
        let mut names: Vec<String> = serde_json::from_value(members["Bundles"].take()).unwrap_or_default();
        left_out = names.extract_if(.., |name| definitions.get(name).is_none()).collect();
        members.insert("Bundles".to_owned(), json!(names));
    }
    let mut ordered = Map::new();
    if let Some(schema) = options.schema {
        ordered.insert("$schema".to_owned(), json!(schema));
    }
    for (key, value) in members {
        let is_bundles = key == "Bundles";
        ordered.insert(key, value);
        let formats = kind.required_formats();
        if is_bundles && !formats.is_empty() {
            ordered.insert("Formats".to_owned(), Value::Array(formats));
        }
        if let (true, Some(user)) = (is_bundles, &options.user) {
            ordered.insert("Users".to_owned(), json!([user]));
        }
    }
    let text = format_json(&Value::Object(ordered).to_string()).expect("the text is valid JSON");
    NewTemplate { text, left_out }
}

/// Removes a rule from `$lint`, and `$lint` if nothing remains in it.
fn remove_allowance(members: &mut Map<String, Value>, rule: &str) {
    let Some(lint) = members.get_mut("$lint").and_then(Value::as_object_mut) else { return };
    if let Some(allowed) = lint.get_mut("allow").and_then(Value::as_object_mut) {
        allowed.shift_remove(rule);
        if allowed.is_empty() {
            lint.shift_remove("allow");
        }
    }
    if lint.is_empty() {
        members.shift_remove("$lint");
    }
}

/// Makes space for kernel updates in the ESP. Returns whether its size was changed.
fn enlarge_esp(members: &mut Map<String, Value>) -> bool {
    let layout = members["PartitionLayout"].as_array_mut().into_iter().flatten();
    let mut esps = layout.filter(|entry| entry["type"] == "EFI");
    let Some(size) = esps.next().map(|entry| &mut entry["size"]) else { return false };
    let bytes = |size: &str| match Size::parse(size) {
        Ok(Size::Exact(bytes)) => Some(bytes),
        _ => None,
    };
    let is_small = bytes(size.as_str().unwrap_or_default()) < bytes(LEAST_ESP);
    if is_small {
        *size = json!(LEAST_ESP);
    }
    is_small
}

/// The root partition is the last one of every type.
fn set_root_size(members: &mut Map<String, Value>, size: &str) {
    if let Some(root) = members["PartitionLayout"].as_array_mut().and_then(|layout| layout.last_mut()) {
        root["size"] = json!(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{Files, lint};
    use crate::plan::bundle::builtin;
    use crate::template::SourceText;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(TYPES.is_sorted_by_key(|kind| kind.name));
        for kind in TYPES {
            let members = kind.members();
            assert_ne!(kind.purpose(), members["$comment"].as_str().unwrap(), "{}", kind.name);
            let (partitions, mounts) = (&members["PartitionLayout"], &members["PartitionMountPoints"]);
            let root = mounts.as_array().unwrap().iter().find(|entry| entry["mount"] == "/").unwrap();
            assert_eq!(root["partition"], partitions.as_array().unwrap().len(), "{}", kind.name);
        }
    }

    #[test]
    fn templates_have_no_findings_with_any_manager() {
        let definitions = builtin();
        for kind in TYPES {
            for manager in [SoftwareManager::Apt, SoftwareManager::Swupd] {
                let user = json!({"username": "ada", "password": {"env": "ADA"}});
                let user = (manager == SoftwareManager::Apt).then_some(user);
                let schema = Some("./ister-template.schema.json");
                let options = NewOptions { schema, user, name: Some("web"), root_size: Some("6G") };
                let new = new_template(kind, manager, &definitions, &options);
                assert!(!new.text.contains(&format!("{}.img", kind.name)), "{}", new.text);
                assert!(new.text.contains("\"6G\""), "{}", new.text);
                let linted =
                    lint(&SourceText::new(kind.name, new.text.clone()), &definitions, |_| Files::new());
                let found: Vec<_> = linted.findings.iter().map(|f| &f.message).collect();
                assert!(found.is_empty(), "{} with {manager}: {found:?}\n{}", kind.name, new.text);
            }
        }
    }
}
