//! rpm content, installed with the real dnf from a repository that is built here. Its packages contain a Debian system
//! because no rpm distribution is available. What counts is that dnf installs them and that the result boots.

use super::updates::VISITOR;
use super::{Outcome, World, expect, ister, run};
use serde_json::Value;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Packages from parts of a tree, without scripts that inspect their content.
const SPEC: &str = r#"
Name: os-core
Version: 40.1
Release: 3
Summary: a system
License: GPLv3+ and others
AutoReqProv: no
Provides: /bin/sh
%global __os_install_post %{nil}
%global debug_package %{nil}
%global _build_id_links none
%define _unpackaged_files_terminate_build 0
%define _binary_payload w0.gzdio
%description
A system.
%package -n kernel-kvm
Summary: its kernel
AutoReqProv: no
Provides: installonlypkg(kernel)
%description -n kernel-kvm
A kernel.
%preun -n kernel-kvm
for kernel in $(rpm -ql kernel-kvm-40.1-3 | sed -n 's,^/usr/lib/modules/\([^/]*\)/vmlinuz$,\1,p'); do
    kernel-install remove "$kernel"
    rm -f "/boot/initrd.img-$kernel"
done
%package -n bootloader
Summary: its loader
AutoReqProv: no
%description -n bootloader
A loader.
%package -n hello-tool
Summary: a tool
AutoReqProv: no
%description -n hello-tool
A tool.
%install
mkdir -p %{buildroot}
cp -a %{tree}/. %{buildroot}/
mkdir -p %{buildroot}/usr/share/hello
echo hello from rpm >%{buildroot}/usr/share/hello/file
%files -f %{lists}/os-core
%files -n kernel-kvm -f %{lists}/kernel-kvm
%files -n bootloader -f %{lists}/bootloader
%files -n hello-tool
/usr/share/hello
"#;

/// A newer kernel package, with the scripts of a distribution, and a newer ordinary package.
const NEWER: &str = r#"
Name: hello-tool
Version: 40.2
Release: 1
Summary: a tool
License: GPLv3+ and others
AutoReqProv: no
%global __os_install_post %{nil}
%global debug_package %{nil}
%global _build_id_links none
%define _binary_payload w0.gzdio
%description
A tool.
%package -n kernel-kvm
Summary: a kernel
AutoReqProv: no
Provides: installonlypkg(kernel)
%description -n kernel-kvm
A kernel.
%install
mkdir -p %{buildroot}/usr/share/hello
echo hello again >%{buildroot}/usr/share/hello/file
cp -a %{kernel}/. %{buildroot}/
%files
/usr/share/hello
%files -n kernel-kvm
/boot/*
/usr/lib/modules/*
%posttrans -n kernel-kvm
depmod %{version_of_kernel}
update-initramfs -c -k %{version_of_kernel}
kernel-install add %{version_of_kernel} /lib/modules/%{version_of_kernel}/vmlinuz /boot/initrd.img-%{version_of_kernel}
%preun -n kernel-kvm
kernel-install remove %{version_of_kernel}
rm -f /boot/initrd.img-%{version_of_kernel}
"#;

/// Unpacks a newer kernel of the host's release as it is in rpm packages, and prints its version. Loaders sort it before
/// the one of the cloud.
const OTHER_KERNEL: &str = r#"
mkdir "$1"
cd "$1"
package=$(apt-cache depends linux-image-rt-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
apt-get -qq download "$package" >&2
dpkg-deb -x "$package"_*.deb .
rm "$package"_*.deb
mkdir -p usr/lib
[ ! -d lib ] || mv lib/modules usr/lib/
version=$(ls usr/lib/modules)
mv "boot/vmlinuz-$version" "usr/lib/modules/$version/vmlinuz"
rm -rf lib usr/share "boot/System.map-$version"
echo "$version"
"#;

/// Assigns each file of the tree to a package. Files that the running host creates are in none.
const LISTS: &str = r#"
cd "$1"
find . -mindepth 1 \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./var/lib/dpkg \) -prune -o -printf '%y %P\n' |
while read -r type name; do
    case $name in
        boot/vmlinuz-*|boot/initrd.img-*|boot/config-*|boot/System.map-*|usr/lib/modules/*) list=kernel-kvm ;;
        usr/lib/systemd/boot/*) list=bootloader ;;
        boot/*|efi|efi/*|vmlinuz*|initrd.img*) continue ;;
        # What is of the other image, and not of its packages.
        etc/fstab|etc/kernel/cmdline|etc/kernel/entry-token|etc/default/grub.d/*) continue ;;
        *) list=os-core ;;
    esac
    case $type in
        d) printf '%%dir "/%s"\n' "$name" ;;
        *) printf '"/%s"\n' "$name" ;;
    esac >>"$2/$list"
done
"#;

/// A server that is killed with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The steps that a kernel package of rpm distributions runs when it is installed and removed. The new entry must have
/// this image's options.
fn kernel_install(world: &World, image: &str) -> Outcome {
    let visitor = world.path("visitor");
    std::fs::write(&visitor, VISITOR).map_err(|e| e.to_string())?;
    let credential = format!("tmpfiles.extra=file:{}", visitor.display());
    let add = "mkdir -p /lib/modules/9.9.9; cp /boot/vmlinuz-* /lib/modules/9.9.9/vmlinuz; \
               kernel-install add 9.9.9 /lib/modules/9.9.9/vmlinuz; cat /boot/loader/entries/*-9.9.9.conf; cat \
               /proc/cmdline";
    let remove = "kernel-install remove 9.9.9; ls /boot/loader/entries";
    let boot = ["boot", image, "--format", "json", "--login", "visitor", "--credential", &credential];
    let verdict = ister(&[&boot[..], &["--run", add, "--run", remove]].concat(), &[], 0)?;
    let answers = verdict["answers"].as_array().ok_or("no answers")?;
    let [.., added, removed] = &answers[..] else { return Err("expected two answers".into()) };
    let lines: Vec<&str> =
        added["lines"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let options =
        lines.iter().find_map(|line| line.strip_prefix("options")).ok_or(format!("{lines:?}"))?.trim();
    let running = lines.last().ok_or("no command line")?;
    expect(running.ends_with(options) && options.contains("root="), &format!("{lines:?}"))?;
    expect(
        lines.iter().any(|line| line.starts_with("linux") && line.contains("/9.9.9/linux")),
        &format!("{lines:?}"),
    )?;
    expect(!removed["lines"].to_string().contains("9.9.9"), &removed.to_string())
}

/// dnf in the guest installs a newer kernel, which runs after a reboot, and removes the old one.
fn kernel_update(world: &World, image: &str, directory: &Path) -> Outcome {
    let path = |name: &str| directory.join(name);
    let kernel = path("kernel");
    let version = run("sh", &["-euc", OTHER_KERNEL, "sh", kernel.to_str().ok_or("the path is not UTF-8")?])?;
    std::fs::write(path("newer.spec"), NEWER).map_err(|e| e.to_string())?;
    let defines = [
        format!("kernel {}", kernel.display()),
        format!("version_of_kernel {}", version.trim()),
        format!("_rpmdir {}", path("newer").display()),
        // rpmbuild expands it for each package.
        "_rpmfilename %%{NAME}-%%{VERSION}.rpm".to_owned(),
        format!("_topdir {}", path("rpmbuild").display()),
    ];
    let spec = path("newer.spec");
    let mut build = vec!["-bb", "--quiet"];
    build.extend(defines.iter().flat_map(|define| ["--define", define]));
    build.push(spec.to_str().ok_or("the path is not UTF-8")?);
    run("rpmbuild", &build)?;

    let visitor = format!("tmpfiles.extra=file:{}", world.path("visitor").display());
    let boot = ["boot", image, "--format", "json", "--login", "visitor", "--credential", &visitor];
    let verdict = ister(&boot, &[("--update", &path("newer"))], 0)?;
    let update = &verdict["update"];
    expect(update["to"] == version.trim() && update["fallback"] == true, &format!("{update:#}"))?;
    let packages = update["packages"].to_string();
    expect(packages.contains("hello-tool-40.2") && packages.contains("kernel-kvm-40.2"), &packages)
}

pub fn dnf(world: &World) -> Outcome {
    let directory = world.path("dnf");
    let _ = std::fs::remove_dir_all(&directory);
    let path = |name: &str| directory.join(name);
    for name in ["lists", "repo", "tree", "bundles", "proxied/http:"] {
        std::fs::create_dir_all(path(name)).map_err(|e| e.to_string())?;
    }
    // The content of the packages: a system installed with apt.
    let bundles = r#"Bundles=["bootloader","kernel-kvm","os-core","dnf","rpm"]"#;
    // Debian's rpm has its database elsewhere, and kernel packages of rpm distributions have the kernel here too.
    let hook = r#"PostChrootShell=["mkdir -p /etc/rpm; echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros.dbpath","for k in /usr/lib/modules/*; do cp /boot/vmlinuz-${k##*/} $k/vmlinuz; done"]"#;
    let apt = ["--software-manager", "apt", "--set", "Version=\"bookworm\"", "--set", bundles];
    let more = ["--set", "Users=[]", "--set", "MirrorURL=\"https://unused.example.org\"", "-q", "-m"];
    let args = [&["build", "vm-tests/dnf/template.json", "--set", hook][..], &apt, &more].concat();
    ister(&args, &[("-D", &path("tree")), ("-o", &path("apt"))], 0)?;
    std::fs::write(path("system.spec"), SPEC).map_err(|e| e.to_string())?;
    run("sh", &["-euc", LISTS, "sh", path("tree").to_str().unwrap(), path("lists").to_str().unwrap()])?;
    let define = |name: &str, value: &Path| format!("{name} {}", value.display());
    let defines = [
        define("tree", &path("tree")),
        define("lists", &path("lists")),
        define("_rpmdir", &path("repo")),
        define("_topdir", &path("rpmbuild")),
    ];
    let spec = path("system.spec");
    let mut build = vec!["-bb", "--quiet"];
    build.extend(defines.iter().flat_map(|define| ["--define", define]));
    build.push(spec.to_str().unwrap());
    run("rpmbuild", &build)?;
    run("createrepo_c", &["-q", path("repo").to_str().unwrap()])?;
    std::fs::write(path("bundles/tools"), "# [TITLE]: tools\nhello-tool\n").map_err(|e| e.to_string())?;

    // The repository is reachable only through the template's proxy.
    std::os::unix::fs::symlink(path("repo"), path("proxied/http:/repo.invalid"))
        .map_err(|e| e.to_string())?;
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
    let server = Command::new("python3")
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", &port.to_string()])
        .current_dir(path("proxied"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut server = Server(server);
    let until = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        expect(Instant::now() < until, "the server does not respond")?;
        std::thread::sleep(Duration::from_millis(50));
    }
    let proxy = format!("HTTPProxy=\"http://127.0.0.1:{port}\"");
    let base = ["build", "vm-tests/dnf/template.json", "-q", "--set", &proxy];
    let from = ["-C", "http://repo.invalid/"];
    let definitions = [("--bundles", path("bundles")), ("-o", world.directory.clone())];
    let definitions: Vec<(&str, &Path)> = definitions.iter().map(|(o, p)| (*o, p.as_path())).collect();
    // Packages that do not exist are named in the error.
    let missing = ["--set", r#"Bundles=["os-core","nosuch"]"#];
    ister(&[&base[..], &from, &missing].concat(), &definitions, 1)?;
    // The URL is the same in every run of this test, but the packages may differ.
    ister(&[&base[..], &from, &["--refresh"]].concat(), &definitions, 0)?;
    // The same with a dnf configuration file, as passed with `-d`.
    let configuration = format!(
        "[main]\ngpgcheck=0\n[own]\nname=own\nbaseurl=file://{}\nenabled=1\n",
        path("repo").display()
    );
    std::fs::write(path("dnf.conf"), configuration).map_err(|e| e.to_string())?;
    let only = [
        "--set",
        r#"Bundles=["os-core","tools"]"#,
        "--set",
        // Without a kernel there is no need for an ESP.
        r#"PartitionLayout=[{"disk":"dnf.img","partition":2,"size":"2G","type":"linux"}]"#,
        "--set",
        r#"FilesystemTypes=[{"disk":"dnf.img","partition":2,"type":"ext4"}]"#,
        "--set",
        r#"PartitionMountPoints=[{"disk":"dnf.img","partition":2,"mount":"/"}]"#,
    ];
    let configured = [("-d", path("dnf.conf")), ("--bundles", path("bundles")), ("-o", path("configured"))];
    let configured: Vec<(&str, &Path)> = configured.iter().map(|(o, p)| (*o, p.as_path())).collect();
    ister(&[&["build", "vm-tests/dnf/template.json", "-q"][..], &only].concat(), &configured, 0)?;
    drop(server.0.kill());
    let mut asked = String::new();
    if let Some(mut log) = server.0.stderr.take() {
        let _ = log.read_to_string(&mut asked);
    }
    expect(asked.contains("GET http://repo.invalid/repodata/repomd.xml"), "the proxy was not used")?;

    let list = std::fs::read_to_string(world.path("dnf.img.packages")).map_err(|e| e.to_string())?;
    expect(list.contains("hello-tool\t40.1-3\t"), &format!("the rpm packages are not listed: {list}"))?;
    let image = world.path("dnf.img");
    let image = image.to_str().unwrap();
    let inside =
        ["--login", "ada=env:ISTER_TEST_PASSWORD", "--run", "cat /usr/share/hello/file /etc/yum.repos.d/*"];
    let report = world.path("dnf-report");
    let verdict =
        ister(&[&["boot", image, "--format", "json"][..], &inside].concat(), &[("--report", &report)], 0)?;
    let said =
        verdict["answers"].as_array().and_then(|all| all.last()).map(|answer| answer["lines"].to_string());
    let said = said.unwrap_or_default();
    expect(
        said.contains("hello from rpm") && said.contains("baseurl=https://mirror.example.org/40"),
        &format!("the installed files are missing: {said}"),
    )?;
    kernel_install(world, image)?;
    kernel_update(world, image, &directory)?;
    // If an ordinary user runs the test, the tree belongs to sub-ids that are only accessible in a user namespace.
    if std::fs::remove_dir_all(&directory).is_err() {
        run("unshare", &["--map-root-user", "--map-auto", "rm", "-rf", directory.to_str().unwrap()])?;
    }
    std::fs::remove_file(image).map_err(|e| e.to_string().into())
}
