//! What the bundles of a template bring, as far as the definitions tell.

use crate::bundle::{Definitions, Resolved};
use crate::template::{Bytes, SoftwareManager, Spanned, Template};

pub struct Content<'a> {
    pub definitions: &'a Definitions,
    /// What all bundles together come to. Only with apt are the packages those of the image.
    pub resolved: Resolved,
    pub manager: Option<SoftwareManager>,
}

impl<'a> Content<'a> {
    pub fn of(template: &Template, definitions: &'a Definitions) -> Self {
        let resolved = definitions.resolve(template.bundles().iter().map(|b| b.value.as_str()));
        Content { definitions, resolved, manager: template.manager() }
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
        bundle.starts_with("kernel-")
            || self.is_apt()
                && self.definitions.resolve([bundle]).packages.iter().any(|p| p.starts_with("linux-image-"))
    }

    /// The bundles that bring a kernel, each name once.
    pub fn kernels<'t>(&self, template: &'t Template) -> Vec<&'t Spanned<String>> {
        let mut kernels: Vec<&Spanned<String>> = Vec::new();
        for bundle in template.bundles() {
            if !kernels.iter().any(|k| k.value == bundle.value) && self.is_kernel(&bundle.value) {
                kernels.push(bundle);
            }
        }
        kernels
    }
}
