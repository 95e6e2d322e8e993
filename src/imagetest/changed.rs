//! Determines which image types a change affects.

use std::collections::BTreeSet;

/// The inputs of a type, as paths relative to the top of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ingredients {
    /// The type's own directory with the template, `type.json` and all other files in it, and the directories that the
    /// template names.
    pub directories: BTreeSet<String>,
    /// Bundles, including nested ones.
    pub bundles: BTreeSet<String>,
    /// Files that the template names: hooks, keys, sources, configuration files.
    pub files: BTreeSet<String>,
}

/// The directory of the bundle definitions, relative to the top of the repository.
const BUNDLES: &str = "bundles/";
/// The parts of ister's own repository that affect the content of every type.
const MAKERS: [&str; 2] = ["src/plan/bundle/", "src/content/"];

/// The first changed path that is an input of the type, which is the reason to test it again.
pub(crate) fn touched<'p>(ingredients: &Ingredients, changed: &'p [String]) -> Option<&'p str> {
    let is_one = |path: &str| {
        let is_in =
            |directory: &String| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        ingredients.directories.iter().any(is_in)
            || path.strip_prefix(BUNDLES).is_some_and(|name| ingredients.bundles.contains(name))
            || ingredients.files.contains(path)
            || MAKERS.iter().any(|directory| path.starts_with(directory))
    };
    changed.iter().map(String::as_str).find(|path| is_one(path))
}

/// All strings in a template that may name a file.
pub(crate) fn texts(template: &serde_json::Value) -> Vec<&str> {
    use serde_json::Value;
    match template {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_is_touched_only_by_its_inputs() {
        let kvm = Ingredients {
            directories: ["vm-tests/kvm", "files"].map(str::to_owned).into(),
            bundles: ["os-core", "editors"].map(str::to_owned).into(),
            files: ["hooks/post.sh".to_owned()].into(),
        };
        let why = |path: &str| touched(&kvm, &[path.to_owned()]).is_some();
        for path in [
            "vm-tests/kvm/template.json",
            "vm-tests/kvm/type.json",
            "bundles/editors",
            "hooks/post.sh",
            "files/etc/motd",
            "src/content/neutral.rs",
        ] {
            assert!(why(path), "{path}");
        }
        for path in [
            "vm-tests/kvm-legacy/template.json",
            "vm-tests/kvm",
            "bundles/kernel-aws",
            "README.md",
            "src/cli/test.rs",
            "editors",
        ] {
            assert!(!why(path), "{path}");
        }
    }

    #[test]
    fn nested_strings_are_found() {
        let template = serde_json::json!({ "PostNonChroot": ["a"], "Users": [{ "key": "b", "uid": 3 }] });
        assert_eq!(texts(&template), ["a", "b"]);
    }
}
