//! Installer images, which contain ister, templates and their content, so that they install without an archive.

use super::model::{Installer, System};

/// The content cache of an installer.
pub const CACHE: &str = "/var/lib/ister/cache";
/// The directory of the embedded templates.
pub const TEMPLATES: &str = "/usr/share/defaults/ister";

const UNIT: &str = "ister-installer.service";

/// The installation starts only if the kernel command line contains `isterconf`, so that booting from the medium alone
/// erases nothing. After a successful installation the machine powers off, as with ister.py.
const UNIT_TEXT: &str = "# Written by ister.
[Unit]
Description=Unattended installation
Documentation=man:ister-build(1)
ConditionKernelCommandLine=isterconf
After=network.target

[Service]
Type=oneshot
WorkingDirectory=/var/lib/ister
ExecStart=/usr/bin/ister.py --offline --statedir /var/lib/ister/cache --output /var/lib/ister/installed
ExecStartPost=/usr/bin/systemctl --no-block poweroff
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=infinity
";

/// Adds the files of an installer. `embedded` are the file names of the embedded templates; the first is the default.
pub(super) fn installer(embedded: &[String], system: &mut System) {
    let Some(first) = embedded.first() else { return };
    system.files.insert(format!("/etc/systemd/system/{UNIT}"), UNIT_TEXT.to_owned());
    system.links.insert(
        format!("/etc/systemd/system/multi-user.target.wants/{UNIT}"),
        format!("/etc/systemd/system/{UNIT}"),
    );
    system.files.insert(format!("{TEMPLATES}/ister.conf"), format!("template=file://{TEMPLATES}/{first}\n"));
    system.installer = Some(Installer { templates: embedded.to_vec() });
}
