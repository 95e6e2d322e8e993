//! Writes the package list and the SBOMs next to an image.

use crate::host::{Failure, write_whole};
use crate::image::pipeline::{Built, sibling_path};
use crate::plan::Plan;
use crate::report::{Contents, PackageLine, cyclonedx, package_list, spdx};
use std::path::Path;

/// Writes the package list and the SBOMs.
pub(super) fn write(built: &Built, plan: &Plan, directory: &Path) -> Result<(), Failure> {
    let inventory = &built.inventory;
    let contents = Contents {
        image: plan.disks.first().map_or("", |disk| &disk.name),
        disk: plan.disks.first().map(|disk| disk.guid).unwrap_or_default(),
        distribution: &inventory.distribution,
        version: &inventory.version,
        kind: &inventory.kind,
        packages: inventory
            .packages
            .iter()
            .map(|package| PackageLine {
                name: &package.name,
                version: &package.version,
                architecture: &package.architecture,
                source: (&package.source.0, &package.source.1),
                maintainer: package.maintainer.as_deref(),
                homepage: package.homepage.as_deref(),
                license: package.license.as_deref(),
            })
            .collect(),
        epoch: built.content.epoch,
    };
    let text = |sbom: &serde_json::Value| {
        serde_json::to_string_pretty(sbom).expect("an SBOM can be serialized") + "\n"
    };
    let files = [
        (".packages", package_list(&contents)),
        (".spdx.json", text(&spdx(&contents))),
        (".cdx.json", text(&cyclonedx(&contents))),
    ];
    for (suffix, text) in files {
        write_whole(&sibling_path(directory, plan, suffix), text.as_bytes())?;
    }
    Ok(())
}
