//! Resolves bundle dependencies. Pure: the caller loads the manifests.

use super::manifest::{Bundle, BundleLine, BundleName, Release};
use std::collections::BTreeSet;

/// A bundle of the closure with its manifest.
#[derive(Debug)]
pub(super) struct Loaded {
    pub line: BundleLine,
    pub manifest: Bundle,
}

/// Why dependencies could not be resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClosureError<E> {
    /// The release has no bundle with this name. Contains similar names.
    Unknown { name: String, similar: Vec<String> },
    /// A manifest could not be loaded.
    Load(E),
}

/// The resolved bundles, and included bundles that the release lacks; upstream's client only warns about them.
#[derive(Debug)]
pub(super) struct Closure {
    /// Distinct bundles in the order in which they were found.
    pub bundles: Vec<Loaded>,
    /// Name of the missing bundle, and the bundle that includes it.
    pub absent: Vec<(String, BundleName)>,
}

/// Resolves the bundles `wanted` and their includes, recursively; with `optional`, also their optional dependencies.
/// `load` is called once per bundle, in batches.
pub(super) fn closure<E>(
    release: &Release,
    wanted: &[String],
    optional: bool,
    mut load: impl FnMut(&[BundleLine]) -> Result<Vec<Bundle>, E>,
) -> Result<Closure, ClosureError<E>> {
    let mut seen = BTreeSet::new();
    let mut next = Vec::new();
    for name in wanted {
        let line = release
            .bundle(name)
            .ok_or_else(|| ClosureError::Unknown { name: name.clone(), similar: similar(release, name) })?;
        if seen.insert(line.name.clone()) {
            next.push(line.clone());
        }
    }
    let mut closure = Closure { bundles: Vec::new(), absent: Vec::new() };
    while !next.is_empty() {
        let manifests = load(&next).map_err(ClosureError::Load)?;
        let wave: Vec<Loaded> = std::mem::take(&mut next)
            .into_iter()
            .zip(manifests)
            .map(|(line, manifest)| Loaded { line, manifest })
            .collect();
        for Loaded { line, manifest } in &wave {
            let header = &manifest.header;
            let also = header.also_add.iter().filter(|_| optional);
            for name in header.includes.iter().chain(also) {
                match release.bundle(name) {
                    Some(found) if seen.insert(found.name.clone()) => next.push(found.clone()),
                    Some(_) => (),
                    None => closure.absent.push((name.clone(), line.name.clone())),
                }
            }
        }
        closure.bundles.extend(wave);
    }
    Ok(closure)
}

/// Returns bundle names similar to `name`, most similar first.
fn similar(release: &Release, name: &str) -> Vec<String> {
    const MOST: usize = 3;
    // Minimum similarity, where 1 means equal.
    const LEAST: f64 = 0.7;
    let mut near: Vec<(f64, &str)> = release
        .bundles
        .iter()
        .map(|line| (strsim::jaro_winkler(name, line.name.as_str()), line.name.as_str()))
        .filter(|(likeness, _)| *likeness >= LEAST)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "f716c6cb18be9041e1748d52be544645cfc98d2c99dd7e72bdd6f702aa1ee744";

    fn release(names: &[&str]) -> Release {
        let lines: String = names.iter().map(|name| format!("M...\t{HASH}\t10\t{name}\n")).collect();
        Release::parse(format!("MANIFEST\t30\nversion:\t10\n\n{lines}").as_bytes()).unwrap()
    }

    /// `a: b c, ?d`: includes b and c, with the optional dependency d.
    fn load(rules: &str) -> impl FnMut(&[BundleLine]) -> Result<Vec<Bundle>, ()> {
        move |lines| {
            let one = |line: &BundleLine| {
                let rule = rules
                    .split(", ")
                    .find_map(|rule| rule.split_once(": ").filter(|(name, _)| *name == line.name.as_str()));
                let includes: String = rule
                    .map(|(_, names)| names)
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(|name| match name.strip_prefix('?') {
                        Some(name) => format!("also-add:\t{name}\n"),
                        None => format!("includes:\t{name}\n"),
                    })
                    .collect();
                Bundle::parse(format!("MANIFEST\t30\n{includes}\n").into_bytes()).unwrap()
            };
            Ok(lines.iter().map(one).collect())
        }
    }

    fn names(closure: &Closure) -> Vec<&str> {
        closure.bundles.iter().map(|loaded| loaded.line.name.as_str()).collect()
    }

    #[test]
    fn resolves_includes_optional_dependencies_and_cycles() {
        let release = release(&["a", "b", "c", "d", "e"]);
        let rules = "a: b ?d ?gone, b: a c, c: c, d: e";
        let with = closure(&release, &["a".into(), "a".into()], true, load(rules)).unwrap();
        assert_eq!(names(&with), ["a", "b", "d", "c", "e"]);
        assert_eq!(with.absent, [("gone".to_owned(), BundleName::parse("a").unwrap())]);
        let without = closure(&release, &["a".into()], false, load(rules)).unwrap();
        assert_eq!(names(&without), ["a", "b", "c"]);
    }

    #[test]
    fn missing_bundles_are_reported() {
        let release = release(&["editors", "os-core"]);
        let wanted = |name: &str| closure(&release, &[name.into()], true, load("editors: gone"));
        assert!(matches!(
            wanted("editor"),
            Err(ClosureError::Unknown { name, similar }) if name == "editor" && similar == ["editors"]
        ));
        let found = wanted("editors").unwrap();
        assert_eq!(found.absent, [("gone".to_owned(), BundleName::parse("editors").unwrap())]);
    }
}
