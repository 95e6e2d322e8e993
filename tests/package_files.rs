//! Programs that differ from their package, with dpkg, rpm and swupd. The rpm database is created by rpm itself.

use crate::common::system::{install, make, plan, template};
use crate::common::{need_tools, text, verify};
use ister::content::swupd::hash::{Attributes, ObjectKind, object_hash};
use md5::{Digest, Md5};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

const INIT: &str = "usr/sbin/init";

/// A package that contains only the init program of the tree.
const SPEC: &str = "Name: init\nVersion: 1\nRelease: 1\nSummary: init\nLicense: none\nAutoReqProv: no\n\
    %global __os_install_post %{nil}\n%global debug_package %{nil}\n%global _build_id_links none\n\
    %description\nAn init.\n%install\nmkdir -p %{buildroot}/usr/sbin\ncp %{tree}/usr/sbin/init %{buildroot}/usr/sbin/\n\
    %files\n/usr/sbin/init\n";

fn run(program: &str, args: &[&str]) {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
}

fn dpkg(root: &Path) {
    let digest = Md5::digest(std::fs::read(root.join(INIT)).unwrap());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    // Packages of bookworm use paths without /usr.
    std::fs::write(root.join("var/lib/dpkg/info/init.md5sums"), format!("{digest}  sbin/init\n")).unwrap();
}

fn rpm(root: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let spec = directory.path().join("init.spec");
    std::fs::write(&spec, SPEC).unwrap();
    let define = |name: &str, path: &Path| format!("{name} {}", path.display());
    let (tree, top) = (define("tree", root), define("_topdir", directory.path()));
    run("rpmbuild", &["-bb", "--quiet", "--define", &tree, "--define", &top, spec.to_str().unwrap()]);
    let package = directory.path().join("RPMS/x86_64/init-1-1.x86_64.rpm");
    let database = root.join("var/lib/rpm");
    let database = format!("--dbpath={}", database.display());
    run("rpm", &[&database, "-i", "--justdb", "--nodeps", package.to_str().unwrap()]);
}

fn swupd(root: &Path) {
    let init = root.join(INIT);
    let (bytes, file) = (std::fs::read(&init).unwrap(), std::fs::metadata(&init).unwrap());
    let (mode, size) = (file.mode() & 0o7777, file.size());
    let hash = object_hash(
        &Attributes { kind: ObjectKind::File, mode, uid: file.uid(), gid: file.gid(), size },
        &bytes,
    );
    let manifest = format!(
        "MANIFEST\t30\nversion:\t10\nprevious:\t0\nfilecount:\t1\ntimestamp:\t1795393094\ncontentsize:\t{size}\n\n\
         F...\t{hash}\t10\t/usr/sbin/init\n"
    );
    let place = root.join("var/lib/swupd/manifest/10");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("Manifest.os-core"), manifest).unwrap();
    std::fs::write(root.join("usr/lib/os-release"), "ID=clear-linux-os\nVERSION_ID=10\n").unwrap();
}

fn modified_program_is_reported() {
    need_tools(&["rpmbuild", "rpm"]);
    for (digest, database) in [("MD5", dpkg as fn(&Path)), ("SHA-256", rpm), ("swupd", swupd)] {
        let found = |is_damaged: bool| {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path().join("root");
            std::fs::create_dir(&root).unwrap();
            install(&root);
            database(&root);
            if is_damaged {
                // The result is still a valid program of the same size.
                let mut bytes = std::fs::read(root.join(INIT)).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(root.join(INIT), bytes).unwrap();
            }
            let image = make(&plan(&template("ext4", &[]), |_| {}), &root, directory.path());
            verify(&image, &[])
        };
        let of_rule = |findings: Vec<String>| -> Vec<String> {
            findings.into_iter().filter(|finding| finding.contains("[package-file]")).collect()
        };
        assert_eq!(of_rule(found(false)), [""; 0], "{digest}");
        let findings = of_rule(found(true));
        let expected = format!("differs from its package: {digest} checksum mismatch");
        assert!(findings.iter().any(|finding| finding.contains(&expected)), "{digest}: {findings:?}");
    }
}

crate::tests! {
    modified_program_is_reported,
}
