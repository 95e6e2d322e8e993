//! The packages of a template's bundles, according to the bundle definitions.

use crate::plan::bundle::{Definitions, Resolved};
use crate::template::{Bytes, SoftwareManager, Spanned, Template};
use std::collections::HashSet;

/// Limit on the bundles that are looked up; no real image has more.
const MOST: usize = 10_000;

pub struct BundleContent<'a> {
    pub definitions: &'a Definitions,
    /// The resolved packages of all bundles. They are the image's packages only with apt.
    pub resolved: Resolved,
    pub manager: Option<SoftwareManager>,
    /// The bundles that contain a kernel, each name once.
    pub kernels: Vec<&'a Spanned<String>>,
}

impl<'a> BundleContent<'a> {
    pub fn of(template: &'a Template, definitions: &'a Definitions) -> Self {
        let names = template.bundles().iter().take(MOST).map(|b| b.value.as_str());
        let resolved = definitions.resolve(names);
        let mut content =
            BundleContent { definitions, resolved, manager: template.manager(), kernels: Vec::new() };
        let mut seen = HashSet::new();
        content.kernels = template
            .bundles()
            .iter()
            .take(MOST)
            .filter(|bundle| content.is_kernel(&bundle.value) && seen.insert(bundle.value.as_str()))
            .collect();
        content
    }

    pub fn is_apt(&self) -> bool {
        self.manager == Some(SoftwareManager::Apt)
    }

    /// Whether the package is installed. Meaningful only with apt.
    pub fn has_package(&self, name: &str) -> bool {
        self.resolved.packages.binary_search_by(|package| package.as_str().cmp(name)).is_ok()
    }

    /// A lower bound for the installed size: 90 % of the sum in the definitions, since package sizes change.
    pub fn least_size(&self) -> Bytes {
        Bytes(self.resolved.installed.0 / 10 * 9)
    }

    /// Whether a bundle contains a kernel, or with apt whether a package is one.
    pub fn is_kernel(&self, bundle: &str) -> bool {
        // Debian's kernel packages, and Ubuntu's metapackages that depend on one.
        let package = |name: &str| {
            name.starts_with("linux-image-")
                || name.strip_prefix("linux-").is_some_and(|kind| {
                    let kinds =
                        ["generic", "virtual", "kvm", "lowlatency", "aws", "azure", "gcp", "oracle", "raspi"];
                    kinds.iter().any(|known| kind == *known || kind.starts_with(&format!("{known}-")))
                })
        };
        // Packages of other managers that are not kernels.
        let others = ["common", "doc", "headers", "install", "modules", "tools"];
        let kernel =
            |kind: &str| !others.iter().any(|other| kind == *other || kind.starts_with(&format!("{other}-")));
        if !self.is_apt() {
            return bundle.strip_prefix("kernel-").is_some_and(kernel);
        }
        match self.definitions.get(bundle) {
            Some(_) => self.definitions.resolve([bundle]).packages.iter().any(|p| package(p)),
            None => package(bundle) || bundle.strip_prefix("kernel-").is_some_and(kernel),
        }
    }
}
