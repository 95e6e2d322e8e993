//! Runs programs that read untrusted data in a sandbox: mount and PID namespaces with a separate root that contains
//! only the programs and libraries of the host, read-only, and a few devices. Input and output files are inherited.

use super::process::{find_program, run};
use super::{Invocation, RunError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

/// Network configuration that is visible in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JailNetwork {
    Nothing,
    /// The name resolution settings of the host.
    Resolver,
}

/// Directories on which the new root can be mounted inside the namespace.
const PLACES: [&str; 4] = ["/mnt", "/media", "/srv", "/tmp"];

/// Arguments: mount point, visible files of /etc, command. Source: mount(8), pivot_root(8).
const SCRIPT: &str = r#"
set -eu
place=$1 settings=$2
shift 2
mount -t tmpfs -o mode=755 jail "$place"
cd "$place"
mkdir proc dev etc old
for name in usr bin sbin lib lib32 lib64 nix gnu; do
    if [ -L "/$name" ]; then
        ln -s "$(readlink "/$name")" "$name"
    elif [ -d "/$name" ]; then
        mkdir "$name"
        mount --rbind "/$name" "$name"
        mount -o remount,bind,ro "$name" 2>/dev/null || :
    fi
done
for name in $settings; do
    [ -e "/etc/$name" ] || continue
    : >"etc/$name"
    mount --bind "/etc/$name" "etc/$name"
done
for name in null zero random urandom kvm; do
    [ -e "/dev/$name" ] || continue
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
mount -t proc proc proc
pivot_root . old
cd /
umount -l /old
rmdir /old
mount -o remount,ro /
exec "$@"
"#;

/// Returns the sandboxed invocation, or the invocation itself with the reason why it cannot be sandboxed: namespaces
/// are not allowed, or the program is in a directory that is not visible in the sandbox. Either way, the program is
/// killed when ister ends.
pub fn jailed(invocation: &Invocation, network: JailNetwork) -> (Invocation, Option<String>) {
    static DENIED: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());
    let mut cache = DENIED.lock().unwrap_or_else(|e| e.into_inner());
    let denied = cache.entry(invocation.program.clone()).or_insert_with(|| {
        let probe = Invocation::new(&invocation.program).arg("--version");
        // The first line contains the cause; mount(8) prints only a hint after it.
        let why = |error: RunError| error.last_lines().first().cloned().unwrap_or_else(|| error.to_string());
        run(&jail_invocation(&probe, network)).err().map(why)
    });
    match denied {
        None => (jail_invocation(invocation, network), None),
        Some(why) => (invocation.clone().kill_on_exit(), Some(why.clone())),
    }
}

fn jail_invocation(invocation: &Invocation, network: JailNetwork) -> Invocation {
    let place = PLACES.into_iter().find(|place| Path::new(place).is_dir()).unwrap_or("/tmp");
    let settings = match network {
        JailNetwork::Nothing => "ld.so.cache",
        JailNetwork::Resolver => "ld.so.cache resolv.conf hosts nsswitch.conf",
    };
    let program = find_program(&invocation.program).unwrap_or_else(|| invocation.program.clone().into());
    let mut jailed = Invocation::new("setpriv").args(["--pdeathsig", "KILL", "unshare"]);
    if !rustix::process::geteuid().is_root() {
        jailed = jailed.arg("--map-root-user");
    }
    jailed = jailed
        .args(["--mount", "--propagation", "private", "--ipc", "--pid", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", SCRIPT, "jail", place, settings])
        .arg(program)
        .args(&invocation.args);
    jailed.env = invocation.env.clone();
    jailed.files = invocation.files.clone();
    jailed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_of_the_host_are_visible() {
        let script = "ls /; ls /dev; ls /etc; test ! -e /root -a ! -e /home -a ! -e /var; ! touch /usr/x 2>/dev/null; echo $$";
        let (invocation, denied) =
            jailed(&Invocation::new("bash").args(["-ec", script]), JailNetwork::Nothing);
        if let Some(why) = denied {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            return;
        }
        let output = run(&invocation).unwrap_or_else(|failure| panic!("{failure}"));
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = output.lines().collect();
        assert!(!lines.contains(&"shadow") && !lines.contains(&"old"), "{output}");
        assert!(lines.contains(&"null") && lines.contains(&"ld.so.cache"), "{output}");
        // It is process 1 of its namespace.
        assert_eq!(lines.last(), Some(&"1"), "{output}");
    }
}
