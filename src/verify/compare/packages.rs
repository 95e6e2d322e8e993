//! Compares the packages of two systems, by dpkg's database.

use super::images::Difference;
use std::collections::BTreeMap;

pub(super) const STATUS: &str = "/var/lib/dpkg/status";
/// The first component of the place of a package difference.
pub(super) const PLACE: &str = "packages";

/// The versions of installed packages, by name. Source: deb822(5); dpkg(1).
fn installed(status: &str) -> BTreeMap<&str, &str> {
    let of = |paragraph: &'_ str, field: &str| -> Option<(usize, usize)> {
        let start = if paragraph.starts_with(field) { 0 } else { paragraph.find(&format!("\n{field}"))? + 1 };
        let value = start + field.len();
        let end = paragraph[value..].find('\n').map_or(paragraph.len(), |end| value + end);
        Some((value, end))
    };
    status
        .split("\n\n")
        .filter_map(|paragraph| {
            let field = |name: &str| of(paragraph, name).map(|(start, end)| paragraph[start..end].trim());
            let is_installed = field("Status:")?.ends_with(" installed");
            Some((field("Package:")?, field("Version:")?)).filter(|_| is_installed)
        })
        .collect()
}

/// Returns a difference for each package whose version differs, or that only one system has.
pub(super) fn compare(a: &str, b: &str) -> Vec<Difference> {
    let (left, right) = (installed(a), installed(b));
    let mut names: Vec<&str> = left.keys().chain(right.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let version = |packages: &BTreeMap<&str, &str>, name: &str| {
        packages.get(name).map_or("not installed".to_owned(), |version| (*version).to_owned())
    };
    names
        .into_iter()
        .filter(|name| left.get(name) != right.get(name))
        .map(|name| Difference {
            place: vec![PLACE.to_owned(), name.to_owned()],
            a: version(&left, name),
            b: version(&right, name),
            is_identity: false,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        let a = "Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\nVersion: 2\nStatus: deinstall ok config-files\n\nPackage: c\nStatus: install ok installed\nVersion: 1\n";
        let b = a.replace(
            "Package: c\nStatus: install ok installed\nVersion: 1",
            "Package: c\nStatus: install ok installed\nVersion: 1.1",
        );
        let found = compare(a, &(b + "\nPackage: d\nStatus: install ok installed\nVersion: 3\n"));
        let found: Vec<String> = found.iter().map(|d| format!("{}: {} {}", d.place[1], d.a, d.b)).collect();
        assert_eq!(found, ["c: 1 1.1", "d: not installed 3"]);
    }
}
