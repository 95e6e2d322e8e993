//! The built-in definitions: bundle names of Clear Linux, packages of Debian.

use super::definition::{Definition, Definitions};

/// One entry for each file of `bundles/`, sorted by name.
const TEXTS: &[(&str, &str)] = &[
    ("bootloader", include_str!("../../../bundles/bootloader")),
    ("c-basic", include_str!("../../../bundles/c-basic")),
    ("cloud-native-basic", include_str!("../../../bundles/cloud-native-basic")),
    ("cloud-network", include_str!("../../../bundles/cloud-network")),
    ("containers-basic", include_str!("../../../bundles/containers-basic")),
    ("containers-virt", include_str!("../../../bundles/containers-virt")),
    ("cryptsetup", include_str!("../../../bundles/cryptsetup")),
    ("dev-utils", include_str!("../../../bundles/dev-utils")),
    ("editors", include_str!("../../../bundles/editors")),
    ("kernel-aws", include_str!("../../../bundles/kernel-aws")),
    ("kernel-gce", include_str!("../../../bundles/kernel-gce")),
    ("kernel-hyperv", include_str!("../../../bundles/kernel-hyperv")),
    ("kernel-hyperv-mini", include_str!("../../../bundles/kernel-hyperv-mini")),
    ("kernel-kvm", include_str!("../../../bundles/kernel-kvm")),
    ("kernel-lts", include_str!("../../../bundles/kernel-lts")),
    ("kernel-native", include_str!("../../../bundles/kernel-native")),
    ("machine-learning-basic", include_str!("../../../bundles/machine-learning-basic")),
    ("network-basic", include_str!("../../../bundles/network-basic")),
    ("openssh-server", include_str!("../../../bundles/openssh-server")),
    ("os-cloudguest", include_str!("../../../bundles/os-cloudguest")),
    ("os-cloudguest-aws", include_str!("../../../bundles/os-cloudguest-aws")),
    ("os-cloudguest-azure", include_str!("../../../bundles/os-cloudguest-azure")),
    ("os-cloudguest-gce", include_str!("../../../bundles/os-cloudguest-gce")),
    ("os-core", include_str!("../../../bundles/os-core")),
    ("os-core-dev", include_str!("../../../bundles/os-core-dev")),
    ("os-core-update", include_str!("../../../bundles/os-core-update")),
    ("os-installer", include_str!("../../../bundles/os-installer")),
    ("os-utils", include_str!("../../../bundles/os-utils")),
    ("os-utils-gui", include_str!("../../../bundles/os-utils-gui")),
    ("python3-basic", include_str!("../../../bundles/python3-basic")),
    ("storage-utils", include_str!("../../../bundles/storage-utils")),
    ("sysadmin-basic", include_str!("../../../bundles/sysadmin-basic")),
    ("sysadmin-hostmgmt", include_str!("../../../bundles/sysadmin-hostmgmt")),
    ("telemetrics", include_str!("../../../bundles/telemetrics")),
    ("x11-server", include_str!("../../../bundles/x11-server")),
];

pub fn builtin() -> Definitions {
    let mut definitions = Definitions::default();
    for (name, text) in TEXTS {
        let definition = Definition::parse(name, text).expect("built-in definitions are valid");
        definitions.insert(*name, definition);
    }
    definitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the test reads the source tree")]
    #[test]
    fn every_definition_is_listed_described_and_complete() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/bundles");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let known = builtin();
        assert_eq!(files, known.names().collect::<Vec<_>>());
        for name in known.names() {
            let definition = known.get(name).unwrap();
            assert!(!definition.description.is_empty(), "{name} has no description");
            for included in &definition.includes {
                assert!(known.get(included).is_some(), "{name} includes unknown {included}");
            }
        }
    }
}
