//! Runs programs that read untrusted data in a sandbox: mount and PID namespaces with a separate root that contains
//! only the programs and libraries of the host, read-only, and a few devices. Input and output files are inherited.

use super::process::{Finished, find_program, run, run_bounded};
use super::{Inherited, Invocation, RunError};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// What is visible in the sandbox in addition to programs and inherited files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jail<'a> {
    Nothing,
    /// The network of the host, for ports on its loopback interface.
    Loopback,
    /// The network of the host and its name resolution settings.
    Resolver,
    /// A directory, writable, at its own path.
    Directory(&'a Path),
}

/// Directories on which the new root can be mounted inside the namespace.
const PLACES: [&str; 4] = ["/mnt", "/media", "/srv", "/tmp"];

/// The directories that are visible, with programs and libraries. The last two are those of Nix and Guix.
const VISIBLE: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/gnu"];

/// Arguments: mount point, directories of programs, files of /etc, another directory or an empty string, further
/// options of setpriv and the command.
/// The new root is remounted as a bind mount, so that mount(8) passes no options of tmpfs: `uid=` with an ID outside the
/// user namespace is an error.
///
/// Of root's capabilities only one remains: files that another user owns are opened by their names in /proc/self/fd.
/// Without the others, a program cannot mount, trace, or open files by handle. Sources: mount(8), pivot_root(8),
/// capabilities(7).
const SCRIPT: &str = r#"
set -eu
place=$1 visible=$2 settings=$3 directory=$4
shift 4
mount -t tmpfs -o mode=755 jail "$place"
cd "$place"
mkdir proc dev etc old
links=
for name in $visible; do
    if [ -L "$name" ]; then
        links="$links $name"
    elif [ -d "$name" ]; then
        mkdir ".$name"
        mount --rbind "$name" ".$name"
        mount -o remount,bind,ro ".$name" 2>/dev/null || :
    fi
done
[ -z "$links" ] || cp -P $links .
for name in $settings; do
    [ -e "/etc/$name" ] || continue
    : >"etc/$name"
    mount --bind "/etc/$name" "etc/$name"
done
for name in null urandom kvm; do
    [ -e "/dev/$name" ] || continue
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
if [ -n "$directory" ]; then
    mkdir -p "./$directory"
    mount --bind "$directory" "./$directory"
fi
mount -t proc proc proc
pivot_root . old
cd /
umount -l /old
rmdir /old
mount -o remount,bind,ro /
exec setpriv --bounding-set=-all,+dac_override --inh-caps=-all --no-new-privs "$@"
"#;

/// Landlock rules that always apply: programs can be read and executed, devices written.
const ACCESS: [&str; 2] = ["path-beneath:read-file,read-dir,execute:/", "path-beneath:write-file:/dev"];

/// Landlock rights for a directory that can be changed. Source: setpriv(1) of util-linux 2.41.
const ALL_CHANGES: &str =
    "write-file,truncate,make-reg,make-dir,make-sym,make-sock,make-fifo,remove-file,remove-dir,refer";

/// Returns the sandboxed invocation, or the invocation itself with the reason why it cannot be sandboxed: namespaces
/// are not allowed, or the program is in a directory that is not visible in the sandbox. Either way, the program is
/// killed when ister ends.
pub fn jailed(invocation: &Invocation, jail: Jail<'_>) -> (Invocation, Option<String>) {
    match visible_program(&invocation.program).and_then(|program| namespaces().map(|()| program)) {
        Ok(program) => (jail_invocation(invocation, &program, jail, is_root()), None),
        Err(why) => (invocation.clone().kill_on_exit(), Some(why)),
    }
}

/// Whether the host allows the namespaces. This is not decided by the result of a sandboxed program, which hostile
/// input may control.
fn namespaces() -> Result<(), String> {
    static ALLOWED: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || {
        // The first line contains the cause; mount(8) prints only a hint after it.
        let why = |error: RunError| error.last_lines().first().cloned().unwrap_or_else(|| error.to_string());
        let program = visible_program("true")?;
        run(&jail_invocation(&Invocation::new("true"), &program, Jail::Nothing, is_root()))
            .map(drop)
            .map_err(why)
    };
    ALLOWED.get_or_init(probe).clone()
}

/// Whether the kernel has Landlock and setpriv can use it, which it can since util-linux 2.41.
fn has_landlock() -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    let probe = || {
        let rules = landlock_options(&ACCESS.map(OsString::from));
        run(&Invocation::new("setpriv").arg("--no-new-privs").args(rules).args(["--", "true"])).is_ok()
    };
    *USABLE.get_or_init(probe)
}

/// Landlock keeps a program from opening an inherited file with more rights than it was passed with, which
/// /proc/self/fd allows otherwise, and from writing elsewhere. Source: landlock(7).
fn landlock_rules(files: &[Inherited], directory: &Path) -> Vec<OsString> {
    let mut rules: Vec<OsString> = ACCESS.map(OsString::from).to_vec();
    for Inherited { number, file } in files {
        // Other kinds, such as sockets, have no name that could be opened.
        let is_file = fstat(file).is_ok_and(|stat| {
            matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::BlockDevice)
        });
        if is_file {
            let is_writable = fcntl_getfl(file).is_ok_and(|flags| !(flags & OFlags::RWMODE).is_empty());
            let rights = if is_writable { "read-file,write-file,truncate" } else { "read-file" };
            rules.push(format!("path-beneath:{rights}:/proc/self/fd/{number}").into());
        }
    }
    if directory != Path::new("") {
        let mut rule = OsString::from(format!("path-beneath:{ALL_CHANGES}:"));
        rule.push(directory);
        rules.push(rule);
    }
    rules
}

fn landlock_options(rules: &[OsString]) -> Vec<OsString> {
    let rules = rules.iter().flat_map(|rule| [OsString::from("--landlock-rule"), rule.clone()]);
    ["--landlock-access", "fs"].map(OsString::from).into_iter().chain(rules).collect()
}

/// Why programs that read images run without a sandbox, if they do.
pub fn why_no_sandbox() -> Option<String> {
    namespaces().err()
}

/// Returns the path of a program, without symbolic links, because those of /etc and /run are not visible.
fn visible_program(name: &str) -> Result<PathBuf, String> {
    let found = find_program(name).ok_or_else(|| format!("`{name}` is not installed"))?;
    let path = found.canonicalize().unwrap_or(found);
    if VISIBLE.iter().any(|directory| path.starts_with(directory)) {
        return Ok(path);
    }
    Err(format!("`{}` is not visible in the sandbox", path.display()))
}

/// Like [`run`], in the sandbox if the host allows it. Errors name the program, not those that create the sandbox.
pub fn run_jailed(invocation: &Invocation, jail: Jail<'_>) -> Result<Finished, RunError> {
    run(&jailed(invocation, jail).0).map_err(|error| error.of_program(invocation))
}

/// Like [`run_jailed`], with a time limit.
pub fn run_jailed_within(
    invocation: &Invocation,
    jail: Jail<'_>,
    limit: Duration,
) -> Result<Finished, RunError> {
    run_bounded(&jailed(invocation, jail).0, Some(limit), &mut |_| {})
        .map_err(|error| error.of_program(invocation))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn jail_invocation(invocation: &Invocation, program: &Path, jail: Jail<'_>, is_root: bool) -> Invocation {
    let (settings, directory) = match jail {
        Jail::Nothing | Jail::Loopback => ("ld.so.cache", Path::new("")),
        Jail::Resolver => ("ld.so.cache resolv.conf hosts nsswitch.conf", Path::new("")),
        Jail::Directory(directory) => ("ld.so.cache", directory),
    };
    // The new root hides what is below its mount point.
    let usable = |place: &&str| Path::new(place).is_dir() && !directory.starts_with(place);
    let place = PLACES.into_iter().find(usable).unwrap_or("/tmp");
    let mut jailed = Invocation::new("setpriv").args(["--pdeathsig", "KILL", "unshare"]);
    if !is_root {
        jailed = jailed.arg("--map-root-user");
    }
    if matches!(jail, Jail::Nothing | Jail::Directory(_)) {
        jailed = jailed.arg("--net");
    }
    jailed = jailed
        .args(["--mount", "--propagation", "private", "--ipc", "--pid", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", SCRIPT, "jail", place, &VISIBLE.join(" "), settings])
        .arg(directory);
    if has_landlock() {
        jailed = jailed.args(landlock_options(&landlock_rules(&invocation.files, directory)));
    }
    jailed = jailed.arg("--").arg(program).args(&invocation.args);
    jailed.env = invocation.env.clone();
    jailed.files = invocation.files.clone();
    jailed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::inherited_name;

    /// Runs a script in the sandbox; `None` where the host allows no namespaces.
    fn printed(script: &str, jail: Jail<'_>) -> Option<String> {
        let (invocation, denied) = jailed(&Invocation::new("bash").args(["-ec", script]), jail);
        if let Some(why) = denied {
            // A host without namespaces: the program runs as it is.
            assert!(std::env::var_os("CI").is_none() && !why.is_empty(), "{why}");
            assert_eq!(invocation.program, "bash");
            return None;
        }
        let output = run(&invocation).unwrap_or_else(|failure| panic!("{failure}"));
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn only_programs_of_the_host_are_visible() {
        let script = "ls /; ls /dev; ls /etc; test ! -e /root -a ! -e /home -a ! -e /var; ! touch /usr/x 2>/dev/null; echo $$";
        let Some(output) = printed(script, Jail::Nothing) else { return };
        let lines: Vec<&str> = output.lines().collect();
        assert!(!lines.contains(&"shadow") && !lines.contains(&"old"), "{output}");
        assert!(lines.contains(&"null") && lines.contains(&"ld.so.cache"), "{output}");
        // It is process 1 of its namespace.
        assert_eq!(lines.last(), Some(&"1"), "{output}");
    }

    /// Root's IDs exist in every user namespace, those of other users do not.
    #[test]
    fn ordinary_user_has_a_sandbox() {
        if !is_root() || std::env::var_os("CI").is_none() && namespaces().is_err() {
            return;
        }
        let jailed = jail_invocation(&Invocation::new("id"), Path::new("/usr/bin/id"), Jail::Nothing, false);
        let ordinary = Invocation::new("setpriv")
            .args(["--reuid", "12345", "--regid", "12345", "--clear-groups", "--", &jailed.program])
            .args(&jailed.args);
        let output = run(&ordinary).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("uid=0"));
    }

    /// A hostile image may control the program that reads it.
    #[test]
    fn capabilities_and_the_network_of_the_host_are_dropped() {
        let script = "grep CapEff /proc/self/status; cat /proc/net/dev | tail -n +3 | cut -d: -f1; \
                      mount -t tmpfs x /mnt 2>&1 || echo refused";
        let Some(output) = printed(script, Jail::Nothing) else { return };
        let capabilities = output.lines().next().unwrap_or_default().trim_start_matches("CapEff:").trim();
        let only = u64::from_str_radix(capabilities, 16).unwrap();
        // CAP_DAC_OVERRIDE is bit 1. Source: capabilities(7), linux/capability.h.
        assert_eq!(only & !2, 0, "{output}");
        assert!(output.ends_with("refused\n"), "{output}");
        let interfaces: Vec<&str> =
            output.lines().skip(1).map(str::trim).filter(|line| !line.contains(' ')).collect();
        assert_eq!(interfaces, ["lo", "refused"], "{output}");
    }

    #[test]
    fn a_visible_directory_is_writable_and_its_siblings_are_hidden() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a directory");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(parent.path().join("secret"), "").unwrap();
        let quoted = directory.display();
        let script = format!("touch '{quoted}/written'; ls '{quoted}/..'");
        let Some(output) = printed(&script, Jail::Directory(&directory)) else { return };
        assert_eq!(output, "a directory\n");
        assert!(directory.join("written").exists());
    }

    /// Only where Landlock can be used, which setpriv of Debian 12 cannot. Without it, /proc/self/fd gives write access to a file that was opened for reading.
    #[test]
    fn inherited_files_keep_their_access_mode() {
        let directory = tempfile::tempdir().unwrap();
        let [read_only, writable] = ["read-only", "writable"].map(|name| directory.path().join(name));
        std::fs::write(&read_only, "kept").unwrap();
        std::fs::write(&writable, "old").unwrap();
        let [first, second] = [
            std::fs::File::open(&read_only).unwrap(),
            std::fs::File::options().read(true).write(true).open(&writable).unwrap(),
        ];
        let script = format!(
            "(echo new >{1}) && cat {0} && ! (echo new >{0}) 2>/dev/null && ls / >/dev/null",
            inherited_name(&first),
            inherited_name(&second)
        );
        let invocation = Invocation::new("bash").args(["-ec", &script]);
        let invocation = invocation.inheriting(&first).unwrap().inheriting(&second).unwrap();
        let (jailed, denied) = jailed(&invocation, Jail::Nothing);
        if denied.is_some() || !has_landlock() {
            return;
        }
        let output = run(&jailed).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(output.stdout, b"kept");
        assert_eq!(std::fs::read_to_string(&writable).unwrap(), "new\n");
        assert_eq!(std::fs::read_to_string(&read_only).unwrap(), "kept");
    }

    #[test]
    fn every_program_that_reads_images_runs_in_the_sandbox() {
        for program in ["qemu-img", "e2fsck", "fsck.fat", "xfs_repair", "btrfs", "xorriso", "rpm"] {
            if find_program(program).is_none() {
                continue;
            }
            let (invocation, denied) = jailed(&Invocation::new(program), Jail::Nothing);
            if std::env::var_os("CI").is_some() {
                assert_eq!(denied, None, "{program}");
            }
            assert_eq!(invocation.program == "setpriv", denied.is_none(), "{program}");
        }
    }
}
