//! swupd content: a Debian system in the format of mixer's output, built and signed here because no Clear Linux mix is
//! available. mixer's own command must build an image of it, and the image must boot.

use super::{Outcome, World, expect, ister, run};
use std::path::Path;
use std::process::Command;

const SCRIPT: &str = r#"
cd "$1"; rm -rf tree; mkdir tree
tar --numeric-owner -xf "$2" -C tree
# As Clear has it: the kernel below /usr, and nothing in /boot.
mkdir -p tree/usr/lib/kernel
kernel=$(cd tree/boot; echo vmlinuz-*); version=${kernel#vmlinuz-}
mv tree/boot/$kernel tree/usr/lib/kernel/org.clearlinux.kvm.$version
mv tree/boot/initrd.img-$version tree/usr/lib/kernel/initrd-org.clearlinux.kvm.$version
echo 'ister.test=own  printk.time=1' >tree/usr/lib/kernel/cmdline-$version.kvm
rm -rf tree/boot/* tree/vmlinuz* tree/initrd*
# So that something has to make it.
rm -f tree/etc/ld.so.cache
python3 "$3" www 40 tree keys --gzip --bundle kernel-kvm=usr/lib/kernel,usr/lib/modules --bundle bootloader=usr/lib/systemd/boot
rm -rf tree
"#;

pub fn swupd(world: &World) -> Outcome {
    let directory = world.path("swupd");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).map_err(|e| e.to_string())?;
    // The content of the kvm type, which is downloaded if it is not in the cache.
    ister(&["build", "vm-tests/kvm/template.json", "-q"], &[("-o", &directory)], 0)?;
    let plan = std::fs::read_to_string(directory.join("kvm.img.plan.json")).map_err(|e| e.to_string())?;
    let plan: serde_json::Value = serde_json::from_str(&plan).map_err(|e| e.to_string())?;
    let listed = ister(&["cache", "list", "--format", "json"], &[], 0)?;
    let wanted = &plan["content"]["packages"];
    let entries = listed["entries"].as_array().ok_or("no list")?;
    let entry = entries.iter().rfind(|entry| entry["metadata"]["wanted"]["packages"] == *wanted);
    let key = entry.and_then(|entry| entry["key"].as_str()).ok_or("the content is not in the cache")?;
    let packed = format!("{}/content/{key}.tar", listed["directory"].as_str().ok_or("no directory")?);
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/swupd_content.py");
    let script = ["-euc", SCRIPT, "sh", directory.to_str().unwrap(), &packed, tool.to_str().unwrap()];
    if rustix::process::geteuid().is_root() {
        run("sh", &script)?;
    } else {
        run("unshare", &[&["--map-root-user", "--map-auto", "sh"][..], &script].concat())?;
    }

    // mixer runs the program under the name ister.py.
    let program = directory.join("ister.py");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ister"), &program).map_err(|e| e.to_string())?;
    let url = format!("file://{}", directory.join("www").display());
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm-tests/swupd/template.json");
    let called = Command::new(&program)
        .args(["-S", "state", "-t", template.to_str().unwrap(), "-V", &url, "-C", &url, "-f", "30"])
        .args(["-s", "keys/cert.pem", "-l", "log"])
        .current_dir(&directory)
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&called.stderr).into_owned();
    expect(called.status.success(), &format!("mixer's command failed: {said}"))?;
    expect(directory.join("state/swupd/objects").is_dir(), "there are no objects in the state directory")?;
    let log = std::fs::read_to_string(directory.join("log")).map_err(|e| e.to_string())?;
    expect(log.contains("fetching 3 bundles"), &format!("unexpected log: {log}"))?;
    // Again with only the cache, because the mix may be deleted.
    std::fs::rename(directory.join("www"), directory.join("gone")).map_err(|e| e.to_string())?;
    let again = [("-o", directory.join("again")), ("-S", directory.join("state"))];
    let again: Vec<(&str, &Path)> = again.iter().map(|(option, path)| (*option, path.as_path())).collect();
    ister(&["build", "vm-tests/swupd/template.json", "-q", "--offline"], &again, 0)?;
    let hashes = run(
        "sha256sum",
        &[directory.join("swupd.img").to_str().unwrap(), directory.join("again/swupd.img").to_str().unwrap()],
    )?;
    let hashes: Vec<&str> = hashes.lines().filter_map(|line| line.split_whitespace().next()).collect();
    expect(hashes[0] == hashes[1], "the images differ")?;

    let image = directory.join("swupd.img");
    let report = world.path("swupd-report");
    let args = ["boot", image.to_str().unwrap(), "--format", "json"];
    let verdict = ister(&args, &[("--report", &report)], 0)?;
    expect(verdict["class"] == "login-prompt", "the boot did not reach its login prompt")?;
    let serial = std::fs::read_to_string(report.join("serial.log")).map_err(|e| e.to_string())?;
    expect(serial.contains("swupd login: "), "the prompt does not show the template's host name")?;
    expect(
        serial.contains("ister.test=own printk.time=1 root=PARTUUID="),
        "the kernel's own options are missing",
    )?;
    std::fs::remove_dir_all(&directory).map_err(|e| e.to_string().into())
}
