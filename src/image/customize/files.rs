//! Host name, and the files and links of the plan.

use crate::content::Tree;
use crate::host::Failure;
use crate::plan::System;

pub fn write_files(tree: &Tree, system: &System) -> Result<(), Failure> {
    if let Some(name) = &system.hostname {
        tree.write("/etc/hostname", &format!("{name}\n"), 0o644)?;
        // Debian maps the host name to 127.0.1.1 to resolve it without a network. Source: Debian Reference, 5.1.1.
        tree.edit("/etc/hosts", |hosts| {
            let hosts =
                if hosts.is_empty() { "127.0.0.1\tlocalhost\n::1\tlocalhost\n".to_owned() } else { hosts };
            hosts + &format!("127.0.1.1\t{name}\n")
        })?;
    }
    // systemd-resolved manages the file as a link. Package scripts may have written one.
    if let Some(servers) = &system.name_server
        && !tree.exists("/usr/lib/systemd/systemd-resolved")
        && !tree.exists("/etc/resolv.conf")
    {
        let servers = servers.split([' ', ',']).filter(|server| !server.is_empty());
        let lines: String = servers.map(|server| format!("nameserver {server}\n")).collect();
        tree.write("/etc/resolv.conf", &format!("# Written by ister.\n{lines}"), 0o644)?;
    }
    for (path, text) in &system.files {
        tree.write(path, text, 0o644)?;
    }
    for (path, target) in &system.links {
        tree.symlink(path, target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// glibc ignores a line with several addresses. Source: resolv.conf(5).
    #[test]
    fn each_name_server_has_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        let system = System { name_server: Some("192.0.2.3, 192.0.2.4".to_owned()), ..System::default() };
        write_files(&tree, &system).unwrap();
        assert_eq!(
            tree.read("/etc/resolv.conf").unwrap().as_deref(),
            Some("# Written by ister.\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n")
        );
    }
}
