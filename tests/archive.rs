//! Builds from custom archives: a signed archive in the layout of Ubuntu, created here from packages of the host's
//! archive, and the error messages for unusable archives.

use crate::common::{ister, need_tools, text};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// Contains no kernel, because this image is never booted.
const TEMPLATE: &str = r#"{
    "DestinationType": "virtual",
    "PartitionLayout": [{ "disk": "own.img", "partition": 1, "size": "1G", "type": "linux" }],
    "FilesystemTypes": [{ "disk": "own.img", "partition": 1, "type": "ext4" }],
    "PartitionMountPoints": [{ "disk": "own.img", "partition": 1, "mount": "/" }],
    "SoftwareManager": "apt",
    "Version": "noble",
    "Bundles": ["os-core", "own"]
}
"#;

fn sh(directory: &Path, script: &str) -> Output {
    let output = Command::new("sh").args(["-euc", script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", text(&output.stderr));
    output
}

/// Creates a key and an archive signed with it, with the components `main` and `universe` and two suites, as in Ubuntu.
/// `main` contains the packages in `debs`, `universe` contains packages created here. The release has expired long ago,
/// like that of a snapshot.
fn archive(directory: &Path) -> PathBuf {
    sh(
        directory,
        r#"
        export GNUPGHOME="$PWD/gnupg"; mkdir -m 700 gnupg; mkdir -p debs own/DEBIAN own/usr/share/own
        gpg --batch --quiet --passphrase '' --quick-gen-key 'Own <own@example.org>' ed25519 sign never 2>/dev/null
        gpg --batch --quiet --passphrase '' --quick-gen-key 'Other <other@example.org>' ed25519 sign never 2>/dev/null
        gpg --batch --quiet --export own@example.org >own.gpg
        gpg --batch --quiet --export --armor own@example.org >own.asc
        gpg --batch --quiet --export other@example.org >other.gpg
        printf 'Package: own-tool\nVersion: 2.0\nArchitecture: all\nMaintainer: Own <own@example.org>\nDescription: own\n' \
            >own/DEBIAN/control
        echo own >own/usr/share/own/file
        root=archive/20250520T000000Z; mkdir -p $root/pool/main $root/pool/universe
        dpkg-deb --root-owner-group -b own $root/pool/universe/own-tool_2.0_all.deb >/dev/null
        for name in one two; do
            mkdir -p own-$name/DEBIAN
            printf 'Package: own-%s\nVersion: 1\nArchitecture: all\nMaintainer: Own <own@example.org>\nProvides: own-virtual\nDescription: own\n' \
                $name >own-$name/DEBIAN/control
            dpkg-deb --root-owner-group -b own-$name $root/pool/universe/own-${name}_1_all.deb >/dev/null
        done
        # The same archive at a path without a timestamp.
        ln -s 20250520T000000Z archive/live
        cp debs/*.deb $root/pool/main/ 2>/dev/null || :
        cd $root
        for suite in noble noble-updates; do
            for component in main universe; do
                lists=dists/$suite/$component/binary-amd64; mkdir -p $lists
                if [ $suite = noble ]; then dpkg-scanpackages -m pool/$component >$lists/Packages 2>/dev/null; else : >$lists/Packages; fi
            done
            (cd dists/$suite
            {
                printf 'Origin: Ubuntu\nLabel: Ubuntu\nSuite: %s\nCodename: noble\nArchitectures: amd64\n' $suite
                printf 'Components: main universe\nDate: Tue, 20 May 2025 00:00:00 UTC\nValid-Until: Tue, 27 May 2025 00:00:00 UTC\nSHA256:\n'
                for list in */binary-amd64/Packages; do
                    printf ' %s %s %s\n' "$(sha256sum <$list | cut -d' ' -f1)" "$(stat -c %s $list)" $list
                done
            } >Release
            gpg --batch --quiet --local-user own@example.org --clearsign -o InRelease Release)
        done
        "#,
    );
    directory.join("archive/20250520T000000Z")
}

fn build(directory: &Path, more: &[&str]) -> Output {
    std::fs::write(directory.join("own.json"), TEMPLATE).unwrap();
    std::fs::create_dir_all(directory.join("bundles")).unwrap();
    std::fs::write(directory.join("bundles/own"), "# [TITLE]: own\nown-tool\napt\n").unwrap();
    let mut command = ister(&["build", "-q"]);
    command.arg(directory.join("own.json")).arg("-o").arg(directory.join("out"));
    command.arg("--cache-dir").arg(directory.join("cache")).arg("--bundles").arg(directory.join("bundles"));
    command.args(more).output().unwrap()
}

fn unusable_archives_are_reported_with_help() {
    need_tools(&["gpg", "dpkg-scanpackages"]);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let archive = archive(directory.path());
    let url = format!("file://{}", archive.display());
    let check = |args: &[&str], code: i32, wanted: &[&str]| {
        let output = build(directory.path(), args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        for wanted in wanted {
            assert!(stderr.contains(wanted), "{args:?}: expected `{wanted}` in\n{stderr}");
        }
    };
    check(&["-C", &url], 3, &["could not verify the signature", "keyring"]);
    check(&["-C", &url, "-s", &path("other.gpg")], 3, &["could not verify the signature", "keyring"]);
    check(&["-C", &url, "-s", &path("own.json")], 3, &["is not an OpenPGP keyring"]);
    check(&["-C", &url, "-s", &path("nosuch.gpg")], 3, &["could not read the keyring"]);
    let own = ["-C", &url, "-s", &path("own.gpg")];
    let jammy = ["--set", "Version=\"jammy\""];
    check(&[&own[..], &jammy].concat(), 1, &["the archive has no suite `jammy`", "correct `Version`"]);
    check(&["-C", "http://127.0.0.1:1/ubuntu"], 3, &["could not connect to the archive", "network"]);
    check(&["-C", "ftp://h/ubuntu"], 2, &["use http, https or file"]);
    check(
        &["--source", "http://h/debian noble main"],
        2,
        &["expected `deb [OPTIONS] URL SUITE COMPONENTS…`"],
    );
    check(&["--source", "deb http://u:p@h/debian noble main"], 2, &["would end up in the image"]);
}

/// apt uses the proxy of the template with its password, which appears in no message or log.
fn proxy_of_the_template_is_used_and_its_password_not_logged() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
            log.lock().unwrap().push_str(&head);
            let _ = reader
                .get_mut()
                .write_all(b"HTTP/1.1 404 None\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxy = format!(r#"HTTPProxy="http://me:s3cret@127.0.0.1:{port}""#);
    let log = directory.path().join("log");
    let options =
        ["-C", "http://repo.invalid/debian", "--set", &proxy, "-L", "debug", "-l", log.to_str().unwrap()];
    let output = build(directory.path(), &options);
    let messages = text(&output.stderr) + &std::fs::read_to_string(&log).unwrap();
    assert_eq!(output.status.code(), Some(1), "{messages}");
    assert!(messages.contains("debug: running: mmdebstrap "), "{messages}");
    assert!(!messages.contains("s3cret"), "{messages}");
    let requests = requests.lock().unwrap().clone();
    assert!(requests.contains("GET http://repo.invalid/debian/dists/noble/InRelease "), "{requests}");
    // "me:s3cret"
    assert!(requests.contains("Proxy-Authorization: Basic bWU6czNjcmV0"), "{requests}");
}

/// Builds a complete system from the archive created here: two components, a custom key, expired lists, no network.
fn builds_a_system_from_a_custom_archive() {
    need_tools(&["gpg", "dpkg-scanpackages"]);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    // Download the packages of a Debian 12 system from the host's archive.
    std::fs::create_dir(directory.path().join("debs")).unwrap();
    let plain = r#"Bundles=["os-core", "apt"]"#;
    let output = build(directory.path(), &["--set", plain, "--set", "Version=\"bookworm\""]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    sh(
        directory.path(),
        r#"
        PATH=$PATH:/usr/sbin:/sbin
        root=$PWD; mkdir -p state/lists/partial cache-of-apt/archives/partial
        debugfs -R 'cat /etc/apt/sources.list' "out/own.img?offset=1048576" >sources.list 2>/dev/null
        apt="-o Dir::State::Lists=$root/state/lists -o Dir::Cache=$root/cache-of-apt -o APT::Sandbox::User="
        apt="$apt -o Dir::Etc::SourceList=$root/sources.list -o Dir::Etc::SourceParts=-"
        apt-get -qq $apt update; cd debs
        grep -v '^#' ../out/own.img.packages | while IFS="$(printf '\t')" read -r name version architecture rest; do
            echo "$name:$architecture=$version"
        done | sed 's/:all=/=/' | xargs apt-get -qq $apt download
        "#,
    );
    let archive = archive(directory.path());
    let url = format!("file://{}", archive.display());
    let mirror = r#"MirrorURL="https://mirror.example.org/ubuntu""#;
    let more = ["-C", &url, "-s", &path("own.asc"), "--components", "main,universe", "--set", mirror];
    let updates = format!("deb {url} noble-updates main universe");
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let tree_name = tree.display().to_string();
    let output =
        build(directory.path(), &[&more[..], &["--source", &updates, "-m", "-D", &tree_name]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(tree.join(name)).unwrap();
    assert_eq!(read("usr/share/own/file"), "own\n");
    assert_eq!(
        read("etc/apt/sources.list"),
        "deb [signed-by=/etc/apt/keyrings/own.asc] https://mirror.example.org/ubuntu noble main universe\n"
    );
    assert!(tree.join("etc/apt/keyrings/own.asc").is_file());
    let list = std::fs::read_to_string(directory.path().join("out/own.img.packages")).unwrap();
    assert!(list.contains("own-tool\t2.0\tall\town-tool\t2.0\n"), "{list}");
    // The image contains the archive's keys, but no path of the build host, neither in files nor in the embedded plan.
    let found = Command::new("grep")
        .args(["-rlF", &directory.path().display().to_string()])
        .arg(&tree)
        .output()
        .unwrap();
    assert_eq!(text(&found.stdout), "");
    let verified = ister(&["verify", "-q"]).arg(directory.path().join("out/own.img")).output().unwrap();
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    remove(&tree);

    // Packages missing from the archive are template errors with a location.
    let own = &more[..6];
    for (name, message, help) in [
        (
            "own-tool=9.9",
            "version `9.9` of the package `own-tool` does not exist in noble",
            "available versions: `2.0`",
        ),
        ("own-virtual", "`own-virtual` is a virtual package in noble", "`own-one`, `own-two`"),
    ] {
        let output = build(
            directory.path(),
            &[own, &["--set", &format!(r#"Bundles=["os-core", "{name}"]"#)]].concat(),
        );
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains(message) && stderr.contains("own.json:") && stderr.contains(help),
            "{stderr}"
        );
    }

    // apt on the installed system must accept the expired lists of a snapshot, but not those of a live mirror.
    let port = serve(directory.path().join("archive"));
    for (place, code) in [("20250520T000000Z", 0), ("live", 1)] {
        let mirror = format!(r#"MirrorURL="http://127.0.0.1:{port}/{place}""#);
        let hook = r#"PostChrootShell=["apt-get -o APT::Update::Error-Mode=any update"]"#;
        let output = build(directory.path(), &[own, &["--set", &mirror, "--set", hook]].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{place}: {stderr}");
        assert_eq!(code == 1, stderr.contains("Release file for"), "{place}: {stderr}");
    }
}

/// Starts a web server for the files below `root` and returns its port.
fn serve(root: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
            let path = head.split_whitespace().nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let (status, body) = match std::fs::read(root.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = reader.get_mut().write_all(&[head.as_bytes(), &body].concat());
        }
    });
    port
}

/// For unprivileged users, the files of the tree belong to IDs that exist only in a user namespace.
fn remove(tree: &Path) {
    if std::fs::remove_dir_all(tree).is_err() {
        let _ =
            Command::new("unshare").args(["--map-root-user", "--map-auto", "rm", "-rf"]).arg(tree).status();
    }
}

crate::tests! {
    unusable_archives_are_reported_with_help,
    proxy_of_the_template_is_used_and_its_password_not_logged,
    builds_a_system_from_a_custom_archive,
}
