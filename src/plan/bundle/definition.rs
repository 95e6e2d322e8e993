//! Bundle definitions, and the resolution of bundle names to packages.

use crate::template::Bytes;
use std::collections::{BTreeMap, HashSet};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// `# [DESCRIPTION]: …`
    pub description: String,
    /// `# [INSTALLED]: 42 MiB`: the installed size of its packages, as in Debian's Installed-Size; 0 if unknown.
    pub installed: Bytes,
    pub includes: Vec<String>,
    pub packages: Vec<String>,
}

/// An invalid line of a definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bundle `{bundle}`, line {line}: {what}")]
pub struct DefinitionError {
    pub bundle: String,
    /// Starts at 1.
    pub line: usize,
    pub what: String,
}

impl Definition {
    pub fn parse(name: &str, text: &str) -> Result<Definition, DefinitionError> {
        let mut definition = Definition::default();
        for (index, line) in text.lines().enumerate() {
            let fault = |what: String| DefinitionError { bundle: name.to_owned(), line: index + 1, what };
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                if let Some(value) = comment.trim().strip_prefix("[DESCRIPTION]:") {
                    definition.description = value.trim().to_owned();
                } else if let Some(value) = comment.trim().strip_prefix("[INSTALLED]:") {
                    let number = value.trim().strip_suffix(" MiB").and_then(|n| n.parse::<u32>().ok());
                    let number = number
                        .ok_or_else(|| fault(format!("expected NUMBER MiB, found `{}`", value.trim())))?;
                    definition.installed = Bytes::mib(u64::from(number));
                }
            } else if let Some(rest) = line.strip_prefix("include(") {
                let included = rest
                    .strip_suffix(')')
                    .filter(|included| is_name(included))
                    .ok_or_else(|| fault(format!("expected include(NAME), found `{line}`")))?;
                definition.includes.push(included.to_owned());
            } else if !line.is_empty() {
                let package = line.split('#').next().unwrap_or_default().trim();
                if !is_name(package) {
                    return Err(fault(format!("invalid package name `{package}`")));
                }
                definition.packages.push(package.to_owned());
            }
        }
        Ok(definition)
    }
}

/// Whether a bundle or package name is valid: allowed by dpkg and rpm, and not an option. With `-` at the end,
/// apt-get(8) would remove the package.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._:=~".contains(c))
}

/// Why a package name is invalid, and how to fix it; `None` if it is valid.
pub fn invalid_package_name(text: &str) -> Option<(String, &'static str)> {
    if is_name(text) {
        return None;
    }
    let shown = text.escape_debug();
    Some(match text.strip_suffix('-') {
        Some(name) if is_name(name) => (
            format!("invalid package name `{shown}`: apt-get would remove `{name}`"),
            "remove the name, or use the name of a package to install",
        ),
        _ => (
            format!("`{shown}` is neither a bundle nor a valid package name"),
            "write one name per entry: letters, digits and `+-._:=~`, starting with a letter or digit",
        ),
    })
}

/// All known definitions, by name.
#[derive(Clone, Debug, Default)]
pub struct Definitions(BTreeMap<String, Definition>);

/// The result of resolving a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// All packages, sorted and without duplicates.
    pub packages: Vec<String>,
    /// The bundles, including those included by other bundles.
    pub bundles: Vec<String>,
    /// Names that are not bundles and are treated as packages.
    pub assumed_packages: Vec<String>,
    /// Names that are neither bundles nor valid package names.
    pub impossible: Vec<String>,
    /// The total installed size of the known bundles.
    pub installed: Bytes,
}

impl Definitions {
    /// Adds a definition, replacing one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, definition: Definition) {
        self.0.insert(name.into(), definition);
    }

    pub fn get(&self, name: &str) -> Option<&Definition> {
        self.0.get(name)
    }

    /// The packages of all bundles, some of them several times.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|definition| definition.packages.iter().map(String::as_str))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Looks up every name and follows includes, also cyclic ones. A name without a definition is treated as a package.
    pub fn resolve<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Resolved {
        let mut resolved = Resolved::default();
        let mut packages = Vec::new();
        let mut seen = HashSet::new();
        let mut todo: Vec<&str> = names.into_iter().collect();
        todo.reverse();
        while let Some(name) = todo.pop() {
            if !seen.insert(name) {
                continue;
            }
            match self.get(name) {
                Some(definition) => {
                    packages.extend(definition.packages.iter().cloned());
                    resolved.bundles.push(name.to_owned());
                    resolved.installed.0 += definition.installed.0;
                    todo.extend(definition.includes.iter().map(String::as_str));
                }
                None if is_name(name) => {
                    packages.push(name.to_owned());
                    resolved.assumed_packages.push(name.to_owned());
                }
                None => resolved.impossible.push(name.to_owned()),
            }
        }
        packages.sort_unstable();
        packages.dedup();
        resolved.packages = packages;
        resolved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions(texts: &[(&str, &str)]) -> Definitions {
        let mut definitions = Definitions::default();
        for (name, text) in texts {
            definitions.insert(*name, Definition::parse(name, text).unwrap());
        }
        definitions
    }

    #[test]
    fn includes_are_followed_and_cycles_end() {
        let known = definitions(&[
            ("a", "# [DESCRIPTION]: first\ninclude(b)\nvim  # an editor\n"),
            ("b", "include(a)\nnano\n\n"),
        ]);
        assert_eq!(known.get("a").unwrap().description, "first");
        let resolved = known.resolve(["a", "curl", "-x"]);
        assert_eq!(resolved.packages, ["curl", "nano", "vim"]);
        assert_eq!(resolved.bundles, ["a", "b"]);
        assert_eq!(resolved.assumed_packages, ["curl"]);
        assert_eq!(resolved.impossible, ["-x"]);
    }

    #[test]
    fn invalid_lines_are_reported() {
        let fault = Definition::parse("a", "nano\ninclude(b\n").unwrap_err();
        assert_eq!(fault.to_string(), "bundle `a`, line 2: expected include(NAME), found `include(b`");
        assert!(Definition::parse("a", "two words\n").is_err());
    }
}
