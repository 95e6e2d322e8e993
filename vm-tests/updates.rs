//! Installs packages later: a kernel for which the EFI partition has too little free space.

use super::{Outcome, World, expect, ister};

/// A user without a password who exists only in the running system.
pub const VISITOR: &str = "w+ /etc/passwd - - - - visitor::0:0::/root:/bin/sh\\n\n";

/// Fills the EFI partition, and installs a kernel package with dpkg, so that its hook copies the kernel there.
const UPDATE: &str = r#"cd /tmp; v=9.9.9-test; mkdir -p p/DEBIAN p/boot; cp /boot/vmlinuz-$(uname -r) p/boot/vmlinuz-$v;
printf 'Package: linux-image-%s\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: a kernel\n' $v >p/DEBIAN/control;
printf '#!/bin/sh\nexec /etc/kernel/postinst.d/zz-systemd-boot %s /boot/vmlinuz-%s\n' $v $v >p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst;
dpkg-deb -b p k.deb; cat /dev/zero >/efi/fill; sync; dpkg -i k.deb; echo status $?; dpkg-query -W -f '${db:Status-Abbrev}\n' linux-image-$v;
ls /efi/loader/entries"#;

/// dpkg reports the error, and the old kernel still boots.
pub fn full_esp(world: &World) -> Outcome {
    let visitor = world.path("visitor");
    std::fs::write(&visitor, VISITOR).map_err(|e| e.to_string())?;
    let credential = format!("tmpfiles.extra=file:{}", visitor.display());
    let update = UPDATE.replace('\n', " ");
    let image = world.path("kvm.img");
    let boot = ["boot", image.to_str().ok_or("the path is not text")?, "--format", "json", "--again"];
    let inside = ["--login", "visitor", "--credential", &credential, "--run", &update];
    let verdict = ister(&[&boot[..], &inside].concat(), &[("--report", &world.path("full-esp-report"))], 0)?;
    let said =
        verdict["answers"].as_array().and_then(|all| all.last()).ok_or("no answers")?["lines"].to_string();
    expect(said.contains("No space left on device") && !said.contains("status 0"), &said)?;
    expect(said.contains("iF") && !said.contains("9.9.9-test.conf"), &said)?;
    expect(verdict["again"]["seconds"].as_f64() > Some(1.0), &format!("{verdict:#}"))
}
