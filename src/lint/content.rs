//! What the bundles of a template bring, as far as the definitions tell.

use crate::plan::bundle::{Definitions, Resolved};
use crate::template::{Bytes, SoftwareManager, Spanned, Template};
use std::collections::HashSet;

/// No image has more bundles than this; those behind it are not looked up.
const MOST: usize = 10_000;

pub struct Content<'a> {
    pub definitions: &'a Definitions,
    /// What all bundles together come to. Only with apt are the packages those of the image.
    pub resolved: Resolved,
    pub manager: Option<SoftwareManager>,
    /// The bundles that bring a kernel, each name once.
    pub kernels: Vec<&'a Spanned<String>>,
}

impl<'a> Content<'a> {
    pub fn of(template: &'a Template, definitions: &'a Definitions) -> Self {
        let names = template.bundles().iter().take(MOST).map(|b| b.value.as_str());
        let resolved = definitions.resolve(names);
        let mut content = Content { definitions, resolved, manager: template.manager(), kernels: Vec::new() };
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

    /// Whether an apt image has a package.
    pub fn has_package(&self, name: &str) -> bool {
        self.resolved.packages.binary_search_by(|package| package.as_str().cmp(name)).is_ok()
    }

    /// What the content takes at least, as far as the definitions say: packages change their size.
    pub fn least_size(&self) -> Bytes {
        Bytes(self.resolved.installed.0 / 10 * 9)
    }

    /// Whether a bundle, or with apt a package, is a kernel.
    pub fn is_kernel(&self, bundle: &str) -> bool {
        // Debian's names, and Ubuntu's packages that depend on an image.
        let package = |name: &str| {
            name.starts_with("linux-image-")
                || name.strip_prefix("linux-").is_some_and(|kind| {
                    let kinds =
                        ["generic", "virtual", "kvm", "lowlatency", "aws", "azure", "gcp", "oracle", "raspi"];
                    kinds.iter().any(|known| kind == *known || kind.starts_with(&format!("{known}-")))
                })
        };
        bundle.starts_with("kernel-")
            || self.is_apt()
                && match self.definitions.get(bundle) {
                    Some(_) => self.definitions.resolve([bundle]).packages.iter().any(|p| package(p)),
                    None => package(bundle),
                }
    }
}
