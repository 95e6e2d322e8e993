//! Where a program runs that reads what strangers made: in mount and PID namespaces with a root of their own, in which of this
//! host there are only programs and libraries, read-only, and a few devices. What it works on it has inherited.

use super::process::{find_program, run};
use super::{Invocation, RunError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

/// What a jailed program sees besides programs, libraries and devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JailNetwork {
    Nothing,
    /// How this host resolves names.
    Resolver,
}

/// Directories on which the new root can be mounted; only the namespace has that mount.
const PLACES: [&str; 4] = ["/mnt", "/media", "/srv", "/tmp"];

/// The first argument is the place, the second what of /etc is seen, then comes the command. Source: mount(8), pivot_root(8).
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

/// The invocation in a jail, or why this host has none for the program: namespaces are not allowed, or the program lies where a
/// jail does not look. It dies with us either way.
pub fn jailed(invocation: &Invocation, network: JailNetwork) -> (Invocation, Option<String>) {
    static DENIED: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());
    let mut known = DENIED.lock().unwrap_or_else(|e| e.into_inner());
    let denied = known.entry(invocation.program.clone()).or_insert_with(|| {
        let probe = Invocation::new(&invocation.program).arg("--version");
        // The first line has the cause; mount(8) follows it with where more may be found.
        let why = |error: RunError| error.last_lines().first().cloned().unwrap_or_else(|| error.to_string());
        run(&inside(&probe, network)).err().map(why)
    });
    match denied {
        None => (inside(invocation, network), None),
        Some(why) => (invocation.clone().dying_with_us(), Some(why.clone())),
    }
}

fn inside(invocation: &Invocation, network: JailNetwork) -> Invocation {
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
    fn nothing_of_the_host_is_seen_but_programs() {
        let look = "ls /; ls /dev; ls /etc; test ! -e /root -a ! -e /home -a ! -e /var; ! touch /usr/x 2>/dev/null; echo $$";
        let (invocation, denied) = jailed(&Invocation::new("bash").args(["-ec", look]), JailNetwork::Nothing);
        if let Some(why) = denied {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            return;
        }
        let said = run(&invocation).unwrap_or_else(|failure| panic!("{failure}"));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        assert!(!lines.contains(&"shadow") && !lines.contains(&"old"), "{said}");
        assert!(lines.contains(&"null") && lines.contains(&"ld.so.cache"), "{said}");
        // It is the first process of its namespace.
        assert_eq!(lines.last(), Some(&"1"), "{said}");
    }
}
