//! systemd mount and swap units for filesystems that systemd-gpt-auto-generator does not mount.

use crate::template::FilesystemType;

/// The unit name of a mount point: `/var/lib/my-app` is `var-lib-my\x2dapp.mount`. Source: systemd.unit(5),
/// "String Escaping for Inclusion in Unit Names".
pub(super) fn mount_unit_name(mount: &str) -> String {
    let parts: Vec<&str> = mount.split('/').filter(|part| !part.is_empty()).collect();
    let path = parts.join("/");
    let mut name = String::new();
    for (index, byte) in path.bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index > 0 => name.push('.'),
            b if b.is_ascii_alphanumeric() || matches!(b, b':' | b'_') => name.push(b as char),
            b => name.push_str(&format!("\\x{b:02x}")),
        }
    }
    format!("{}.mount", if name.is_empty() { "-" } else { &name })
}

/// `device` is an absolute path.
pub(super) fn mount_unit(mount: &str, kind: FilesystemType, device: &str) -> String {
    // Kernels and loader entries are readable only by root. vfat does not store file modes.
    let options = if kind == FilesystemType::Vfat { "Options=umask=0077\n" } else { "" };
    format!(
        "# Written by ister.\n[Unit]\nDescription=Mount for {mount}\nBefore=local-fs.target\n\n\
         [Mount]\nWhat={device}\nWhere={mount}\nType={kind}\n{options}\n\
         [Install]\nWantedBy=local-fs.target\n"
    )
}

pub(super) fn swap_unit_name(device: &str) -> String {
    format!("{}.swap", mount_unit_name(device).trim_end_matches(".mount"))
}

pub(super) fn swap_unit(device: &str) -> String {
    format!(
        "# Written by ister.\n[Unit]\nDescription=Swap on {device}\nBefore=swap.target\n\n\
         [Swap]\nWhat={device}\n\n[Install]\nWantedBy=swap.target\n"
    )
}

/// Whether systemd-gpt-auto-generator mounts this path, as with ister.py.
pub(super) fn is_left_to_generator(mount: &str) -> bool {
    matches!(mount, "/" | "/boot" | "/srv" | "/home" | "/usr") || mount.starts_with("/usr/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_systemd_escape_does() {
        assert_eq!(mount_unit_name("/"), "-.mount");
        assert_eq!(mount_unit_name("/boot"), "boot.mount");
        assert_eq!(mount_unit_name("/var/lib/my-app"), "var-lib-my\\x2dapp.mount");
        assert_eq!(mount_unit_name("/.x/y.z"), "\\x2ex-y.z.mount");
        assert_eq!(swap_unit_name("/dev/mapper/a"), "dev-mapper-a.swap");
    }
}
