//! Images in the layouts of other builders, created here with the usual tools (`foreign.sh`). `verify` must find no
//! errors, and each image must reach its login prompt with the firmware that its disk is made for.

use super::{Outcome, World, expect, ister, run};

/// The name, and the firmware that is chosen by default.
const KINDS: &[(&str, &str)] = &[
    ("debian-cloud", "uefi"),
    ("genimage-gpt", "uefi"),
    ("genimage-hybrid", "uefi"),
    ("genimage-mbr", "uefi"),
    ("grub-mbr", "bios"),
    ("extlinux", "bios"),
    ("superfloppy", "bios"),
    ("syslinux-fat", "bios"),
    ("uki", "uefi"),
    ("uki-systemd-boot", "uefi"),
    ("uki-erofs", "uefi"),
    ("isolinux", "bios"),
    ("efi-iso", "uefi"),
    ("grub-iso", "uefi"),
];

/// Images that BIOS boots too.
const BY_BIOS_TOO: &[&str] = &["debian-cloud", "grub-iso"];

/// Kernel, system, and all boot loaders that the script installs.
const PACKAGES: &str = "systemd-sysv,udev,dbus,linux-image-cloud-amd64,initramfs-tools,login,passwd,kmod,iproute2,zstd,live-boot,\
     extlinux,grub-efi-amd64-bin,grub-efi-amd64-signed,grub-pc-bin,isolinux,shim-signed,syslinux-common,systemd-boot-efi";

/// Names of kinds: only these are tested.
const CHOICE: &str = "ISTER_TEST_FOREIGN";

pub fn images_of_other_builders(world: &World) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return super::skip("only root can create a tree with files of several owners");
    }
    let choice = std::env::var(CHOICE).unwrap_or_default();
    let is_chosen = |name: &str| choice.is_empty() || choice.split(',').any(|other| other == name);
    let directory = world.path("foreign");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).map_err(|e| e.to_string())?;
    let tree = directory.join("tree");
    let tree = tree.to_str().ok_or("the path is not text")?;
    let include = format!("--include={PACKAGES}");
    let erofs = "--essential-hook=mkdir -p \"$1/etc/initramfs-tools\" && echo erofs \
        >\"$1/etc/initramfs-tools/modules\"";
    run("mmdebstrap", &["--quiet", "--mode=root", "--variant=minbase", &include, erofs, "bookworm", tree])?;
    for (name, firmware) in KINDS.iter().filter(|(name, _)| is_chosen(name)) {
        let image = directory.join(format!("{name}.img"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/vm-tests/foreign.sh");
        run(script, &[name, tree, image.to_str().ok_or("the path is not text")?])?;
        // There are no findings, and the boot path leads to a kernel.
        let found = ister(
            &["verify", "--no-plan", "--explain-boot", "--format", "json", "-q"],
            &[("--", &image)],
            0,
        )?;
        let kernels = found["boot_paths"]["kernels"].as_array().map_or(0, Vec::len);
        expect(kernels > 0 || name.contains("iso"), &format!("{name}: {}", found["boot_paths"]))?;
        let report = directory.join(format!("report-{name}"));
        let args = ["boot", "--format", "json"];
        let paths = [("--report", report.as_path()), ("--", image.as_path())];
        let verdict = ister(&args, &paths, 0)?;
        eprintln!("{name}: {} s, {}", verdict["seconds"], verdict["firmware"]);
        expect(verdict["class"] == "login-prompt", &format!("{name}: {}", verdict["class"]))?;
        expect(verdict["firmware"] == *firmware, &format!("{name}: tried with {}", verdict["firmware"]))?;
        if BY_BIOS_TOO.contains(name) {
            let verdict = ister(&[&args[..], &["--firmware", "bios"]].concat(), &paths, 0)?;
            eprintln!("{name}: {} s, bios", verdict["seconds"]);
        }
        std::fs::remove_file(&image).map_err(|e| e.to_string())?;
    }
    std::fs::remove_dir_all(directory.join("tree")).map_err(|e| e.to_string())?;
    Ok(())
}
