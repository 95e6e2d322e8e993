//! Tests of swupd content: comparison with trees of upstream's client, hostile content, failing mirrors, kill -9.
//!
//! The content for most tests is created by a separate program that shares no code with ister. Expected trees and
//! hostile cases of upstream's tools are tested too if they are available.

mod upstream;

use upstream::{
    UPSTREAM, hostile_content_of_upstream_has_the_expected_outcome, trees_match_upstream, upstream_directory,
};
mod mirrors;

use crate::common::{ister, need_tools, text};
use crate::harness::skip;
use mirrors::{
    decompression_bombs_and_escape_sequences_are_harmless, existing_entries_are_reported_and_preserved,
    files_are_fetched_once_over_the_network, https_mirrors_use_the_certificates_of_the_host,
    invalid_partial_downloads_are_replaced, partial_downloads_survive_kill_9, redirects_and_proxies,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a program in a user namespace in which an unprivileged user has all subordinate IDs, as in builds.
fn with_ids(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--map-auto", program]);
    command
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A temporary directory that is removed with its content, regardless of the owner.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(
            tempfile::Builder::new().prefix("ister-swupd-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Creates versions 10 and 20 of a small system.
    fn content(&self) {
        const TREE: &str = r#"
            mkdir -p tree/usr/bin tree/usr/lib tree/etc tree/usr/share/many tree/opt; cd tree
            ln -s usr/bin bin; echo 'VERSION_ID=10' >usr/lib/os-release
            head -c 3000000 /dev/urandom >usr/lib/large; printf x >usr/bin/tool; chmod 4755 usr/bin/tool
            cp usr/bin/tool usr/bin/same; chmod 4755 usr/bin/same; : >etc/empty; mkdir -m 1777 opt/sticky
            for i in $(seq 60); do echo "$i" >usr/share/many/$i; done
            printf '\xe9' >"$(printf 'etc/raw-\351')"; ln -s '/no where/\\' usr/lib/dangling
            chown 7:9 usr/share/many/7; chmod 000 usr/share/many/8; touch -d @1000000000 usr/share/many/9
            ln -s "$(printf 'long/%.0s' $(seq 40))" usr/lib/long"#;
        self.sh(TREE);
        self.write(10, &[]);
        self.sh("echo 'VERSION_ID=20' >tree/usr/lib/os-release; echo new >tree/usr/share/many/new");
        self.write(20, &["--previous", "10"]);
    }

    fn sh(&self, script: &str) -> String {
        ok(&with_ids("sh").args(["-euc", script]).current_dir(self.0.path()).output().unwrap())
    }

    fn write(&self, version: u32, more: &[&str]) {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/swupd_content.py");
        let version = version.to_string();
        let bundles =
            ["--bundle", "many=usr/share/many", "--bundle", "large=usr/lib/large", "--include", "many=large"];
        let mut command = with_ids("python3");
        command.arg(tool).args(["www", &version, "tree", "keys", "--full-files"]).args(bundles).args(more);
        ok(&command.current_dir(self.0.path()).output().unwrap());
    }

    fn install(&self, url: &str, tree: &str, more: &[&str]) -> Command {
        let mut command = ister(&["swupd", "install", "-C", url, "--retry-delay", "0"]);
        command.arg(self.path(tree)).arg("-S").arg(self.path("state"));
        if !more.contains(&"-s") && !more.contains(&"--no-sigcheck") {
            command.arg("-s").arg(self.path("keys/cert.pem"));
        }
        command.args(more);
        command
    }

    fn local(&self) -> String {
        format!("file://{}", self.path("www").display())
    }

    fn list(&self, tree: &str) -> String {
        list(&self.path(tree))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !rustix::process::geteuid().is_root() {
            let _ = with_ids("rm").arg("-rf").arg(self.0.path()).status();
        }
    }
}

fn list(tree: &Path) -> String {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/tree_list.py");
    ok(&with_ids("python3").arg(tool).arg(tree).output().unwrap())
}

/// Returns the list of a tree without the tracking files of the client.
fn of_content(list: &str) -> Vec<&str> {
    let own = |line: &&str| line.starts_with("/var\t") || line.starts_with("/var/lib");
    list.lines().filter(|line| !own(line)).collect()
}

const TOOLS: &[&str] = &["python3", "openssl", "unshare"];

fn installed_tree_matches_the_published_tree() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let output = place
        .install(&place.local(), "t", &["--version", "latest", "-f", "30", "-B", "many"])
        .output()
        .unwrap();
    assert!(ok(&output).contains("version 20, 3 bundles"), "{}", text(&output.stdout));
    let (expected, installed) = (place.list("tree"), place.list("t"));
    assert_eq!(of_content(&expected), of_content(&installed));
    assert!(installed.contains("/var/lib/swupd/bundles/many\tf\t0600\t0\t0\t0\t"), "{installed}");
    assert!(!installed.contains("/var/lib/swupd/bundles/large"), "included bundles are not tracked");
    // Equal files are hard links; timestamps are preserved.
    let facts = place.sh("stat -c '%i %h' t/usr/bin/tool t/usr/bin/same; stat -c %Y t/usr/share/many/9");
    let facts: Vec<&str> = facts.lines().collect();
    assert!(facts[0] == facts[1] && facts[0].ends_with(" 2") && facts[2] == "1000000000", "{facts:?}");

    // An unmodified tree passes verification, and modifications are detected.
    let verify = |more: &[&str]| {
        let mut command = ister(&["swupd", "verify", "-C", &place.local(), "-q"]);
        command
            .arg(place.path("t"))
            .arg("-S")
            .arg(place.path("state"))
            .arg("-s")
            .arg(place.path("keys/cert.pem"));
        command.args(more).output().unwrap()
    };
    ok(&verify(&["--extra"]));
    place.sh(
        "chmod 755 t/usr/bin/tool; rm t/usr/share/many/1; echo x >t/usr/extra; echo y >t/usr/share/many/2",
    );
    let output = verify(&["--extra"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    for words in [
        "/usr/share/many/1 (bundle many): missing",
        "/usr/share/many/2 (bundle many): changed",
        "/usr/bin/tool (bundle os-core): changed",
        "/usr/bin/same (bundle os-core): changed",
        "/usr/extra: in no bundle",
    ] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    assert_eq!(stdout.matches("changed").count() + stdout.matches("missing").count(), 4, "{stdout}");

    // A FIFO in place of os-release does not block: the version cannot be determined.
    place.sh("rm t/usr/lib/os-release; mkfifo t/usr/lib/os-release");
    let output = verify(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("could not determine the version of"), "{}", text(&output.stderr));
    place.sh("rm t/usr/lib/os-release");

    // Existing files with different content are not replaced.
    let output = place.install(&place.local(), "t", &["--version", "20", "-B", "many"]).output().unwrap();
    let stderr = text(&output.stderr);
    assert!(
        output.status.code() == Some(3) && stderr.contains("an entry with different content already exists"),
        "{stderr}"
    );
    assert!(stderr.contains("of bundle `") && stderr.contains("expected hash: "), "{stderr}");
    assert!(!stderr.contains("to continue"), "must not be suggested: {stderr}");
}

fn info_lists_versions_and_bundles() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let info = |more: &[&str]| {
        let mut command = ister(&["swupd", "info", &place.local(), "-q", "-f", "30"]);
        command.arg("-S").arg(place.path("state")).arg("-s").arg(place.path("keys/cert.pem"));
        ok(&command.args(more).output().unwrap())
    };
    let stdout = info(&[]);
    assert!(stdout.starts_with("version 20 of format 30; older ones: 10\n"), "{stdout}");
    assert!(stdout.contains("2.9 MiB"), "{stdout}");
    let listed: serde_json::Value = serde_json::from_str(&info(&["--format", "json"])).unwrap();
    assert_eq!(listed["bundles"][1]["name"], "many");
    assert_eq!(listed["bundles"][1]["includes"], serde_json::json!(["os-core", "large"]));
    let output =
        place.install(&place.local(), "t", &["--version", "20", "-B", "mani,os-core"]).output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.code() == Some(3) && stderr.contains("bundle `mani` does not exist"), "{stderr}");
    assert!(stderr.contains("similar names: many"), "{stderr}");
    assert!(!place.path("t/usr").exists());
}

/// Modifies a copy of valid content, and checks the error message, or success if there are no expected words.
fn modified_content_is_rejected() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    place.sh("mv keys own; mv www good; mkdir other; cp -a good other/www");
    // The same content, signed by another key.
    place.sh("mv own keys; mv keys mine");
    place.write(20, &[]);
    place.sh("mv www foreign; mv keys theirs; mv mine keys; rm -rf other");
    const FILE: &str = "f=$(awk -F'\t' '$4==\"/usr/share/many/5\" {print $2}' www/20/Manifest.many)";
    const NO_PACK: &str = "rm www/20/pack-many-from-0.tar";
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "missing latest.sig",
            "rm www/version/format30/latest.sig",
            &["signature of the newest version number", "missing signature"],
        ),
        (
            "modified latest",
            "printf 10 >www/version/format30/latest",
            &["signature of the newest version number", "different content"],
        ),
        (
            "latest signed by another key",
            "cp foreign/version/format30/* www/version/format30/",
            &["signature of the newest version number"],
        ),
        (
            "release signed by another key",
            "cp foreign/20/Manifest.MoM* www/20/",
            &["version 20 from", "is not trusted"],
        ),
        (
            "unsigned release",
            "rm www/20/*.sig; cd www/20; tar -cJf Manifest.MoM.tar Manifest.MoM",
            &["missing signature"],
        ),
        (
            "modified release",
            "cd www/20; sed -i 's/^previous:.*/previous:\t0/' Manifest.MoM; tar -cJf Manifest.MoM.tar Manifest.MoM Manifest.MoM.sig",
            &["for different content"],
        ),
        (
            "valid signature only next to the tar",
            "cd www/20; echo x >bad; tar -cJf Manifest.MoM.tar --transform s/bad/Manifest.MoM.sig/ Manifest.MoM bad",
            &[],
        ),
        ("older release under this version", "cp www/10/Manifest.MoM* www/20/", &["expected 20, found 10"]),
        (
            "missing release",
            "rm www/20/Manifest.MoM*",
            &["could not fetch version 20 from", "check the version"],
        ),
        ("invalid tar of the release", "echo x >www/20/Manifest.MoM.tar", &["could not fetch version 20"]),
        (
            "release tar with a path outside",
            "cd www/20; tar -cJPf Manifest.MoM.tar Manifest.MoM Manifest.MoM.sig ../../keys/cert.pem",
            &["unexpected member `../../keys/cert.pem`"],
        ),
        (
            "decompression bomb as release",
            "cd www/20; truncate -s 300M Manifest.MoM; tar -cJf Manifest.MoM.tar Manifest.MoM",
            &["could not fetch version 20", "more than 8388608 bytes"],
        ),
        (
            "duplicate release in the tar",
            "cd www/20; tar -cJf Manifest.MoM.tar --hard-dereference Manifest.MoM Manifest.MoM.sig Manifest.MoM",
            &["duplicate member `Manifest.MoM`"],
        ),
        (
            "modified manifest",
            "cd www/20; sed -i s,many/5,many/6, Manifest.many; tar -cJf Manifest.many.tar Manifest.many",
            &["manifest of bundle `many`", "expected hash:", "found:"],
        ),
        (
            "manifest with another mode",
            "cd www/20; chmod 600 Manifest.many; tar -cJf Manifest.many.tar Manifest.many",
            &["manifest of bundle `many`", "expected hash:"],
        ),
        ("missing pack", NO_PACK, &[]),
        ("random bytes as pack", "head -c 5000 /dev/urandom >www/20/pack-many-from-0.tar", &[]),
        (
            "decompression bomb as pack",
            "mkdir -p x/staged; truncate -s 2G x/staged/$f; tar -C x -cf - staged | gzip -1 >www/20/pack-many-from-0.tar",
            &[],
        ),
        ("truncated pack", "truncate -s 1000 www/20/pack-many-from-0.tar", &[]),
        ("empty pack", ": >www/20/pack-many-from-0.tar", &[]),
        ("pack of another bundle", "cp www/20/pack-large-from-0.tar www/20/pack-many-from-0.tar", &[]),
        (
            "missing file",
            "rm www/20/pack-many-from-0.tar; rm www/20/files/$f.tar",
            &["could not fetch `/usr/share/many/5` of bundle `many`"],
        ),
        (
            "modified file",
            "rm www/20/pack-many-from-0.tar; mkdir x; echo evil >x/$f; tar -C x -cf www/20/files/$f.tar $f",
            &["`/usr/share/many/5` of bundle `many`", "expected hash:"],
        ),
        (
            "truncated file",
            "rm www/20/pack-many-from-0.tar; truncate -s 60 www/20/files/$f.tar",
            &["`/usr/share/many/5` of bundle `many`"],
        ),
        (
            "FIFO as file",
            "rm www/20/pack-many-from-0.tar; mkdir x; mkfifo x/$f; tar -C x -cf www/20/files/$f.tar $f",
            &["not a file, directory or link"],
        ),
        (
            "hard link as file",
            "rm www/20/pack-many-from-0.tar; mkdir x; echo >x/a; ln x/a x/$f; tar -C x -cf www/20/files/$f.tar a $f",
            &["not named by its hash"],
        ),
        (
            "modified file in a pack, and missing file",
            "rm www/20/files/$f.tar; mkdir -p x/staged; echo evil >x/staged/$f; tar -C x -cJf www/20/pack-many-from-0.tar staged",
            &["`/usr/share/many/"],
        ),
    ];
    for (name, change, words) in cases {
        place.sh(&format!("rm -rf www x t state; cp -a good www; {FILE}; {change}"));
        let args = ["--version", "latest", "-f", "30", "-B", "many"];
        let output = place.install(&place.local(), "t", &args).output().unwrap();
        let stderr = text(&output.stderr);
        if words.is_empty() {
            assert!(output.status.success(), "{name}: {stderr}");
            assert_eq!(of_content(&place.list("tree")), of_content(&place.list("t")), "{name}");
            continue;
        }
        assert_eq!(output.status.code(), Some(3), "{name}: {stderr}");
        for word in *words {
            assert!(stderr.contains(word), "{name}: {word}: {stderr}");
        }
    }
    // Without signature verification, the installation succeeds with a warning.
    place.sh("rm -rf www t state; cp -a good www; rm www/20/*.sig; cd www/20; tar -cJf Manifest.MoM.tar Manifest.MoM");
    let args = ["--version", "20", "-B", "many", "--no-sigcheck"];
    let output = place.install(&place.local(), "t", &args).output().unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("warning: signatures are not verified"));
    // Formats are compared as numbers.
    let output = place.install(&place.local(), "u", &[&args[..], &["-f", "3"]].concat()).output().unwrap();
    assert!(text(&output.stderr).contains("has format 30, not 3"), "{}", text(&output.stderr));
}

/// Checks of certificates between the signer and the trusted file, as in openssl.
fn certificate_chains_are_checked() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let script = |root: &str, middle: &str| {
        format!(
            r#"rm -rf ca; mkdir ca; cd ca
            new() {{ openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout $1.key -out $1.csr 2>/dev/null; }}
            by() {{ printf '%s\n' "$4" >ext; openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -days 30 -extfile ext -out $1.pem -set_serial $3 2>/dev/null; }}
            new root; printf '%s\n' "{root}" >ext; openssl x509 -req -in root.csr -signkey root.key -days 30 -extfile ext -out root.pem 2>/dev/null
            new leaf; signer=root
            if [ -n "{middle}" ]; then new middle; by middle root 2 "{middle}"; signer=middle; fi
            by leaf $signer 3 basicConstraints=CA:FALSE
            more=; [ $signer = root ] || more="-certfile middle.pem"
            openssl smime -sign -binary -outform DER -md sha256 -signer leaf.pem -inkey leaf.key $more                 -in ../www/20/Manifest.MoM -out ../www/20/Manifest.MoM.sig
            cd ../www/20; tar -cJf Manifest.MoM.tar Manifest.MoM Manifest.MoM.sig"#
        )
    };
    const CA: &str = "basicConstraints=critical,CA:TRUE";
    for (root, middle, words) in [
        (CA, "", ""),
        (CA, CA, ""),
        ("basicConstraints=critical,CA:TRUE,pathlen:1", CA, ""),
        ("basicConstraints=critical,CA:TRUE,pathlen:0", CA, "exceeds its path length constraint"),
        (
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature",
            "",
            "may not sign certificates",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;DNS:x.test",
            "",
            "has name constraints",
        ),
        (CA, "basicConstraints=CA:FALSE", "is not trusted"),
        (CA, "basicConstraints=CA:TRUE\nkeyUsage=cRLSign", "is not trusted"),
    ] {
        place.sh(&script(root, middle));
        place.sh("rm -rf t");
        let args = ["--version", "20", "-B", "large", "-s", "ca/root.pem"].map(|arg| match arg {
            "ca/root.pem" => place.path(arg).display().to_string(),
            arg => arg.to_owned(),
        });
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = place.install(&place.local(), "t", &args).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.success(), words.is_empty(), "{root} {middle}: {stderr}");
        assert!(stderr.contains(words), "{root} {middle}: {stderr}");
    }
}

/// Runs as a user that exists only in the mount namespace of this test, with IDs as high as in upstream's content.
fn unprivileged_users_get_the_same_tree() {
    if !rustix::process::geteuid().is_root() {
        skip("requires root to switch to another user (all other tests cover unprivileged users)");
    }
    need_tools(TOOLS);
    need_tools(&["setpriv", "newuidmap", "/usr/bin/python3"]);
    let place = Place::new();
    place.content();
    std::fs::copy(env!("CARGO_BIN_EXE_ister"), place.path("ister")).unwrap();
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/tree_list.py"),
        place.path("list.py"),
    )
    .unwrap();
    let expected = place.list("tree");
    let script = r#"
        { cat /etc/passwd; echo "isterly:x:64123:64123::$W:/bin/sh"; } >"$W/passwd"
        { cat /etc/group; echo "isterly:x:64123:"; } >"$W/group"
        echo isterly:700000:5000000 >"$W/subid"
        mount --bind "$W/passwd" /etc/passwd; mount --bind "$W/group" /etc/group
        [ -e /etc/subuid ] && [ -e /etc/subgid ]
        mount --bind "$W/subid" /etc/subuid; mount --bind "$W/subid" /etc/subgid
        chmod 755 "$W"; mkdir -p "$W/home"; chown 64123:64123 "$W/home"; cd "$W/home"
        as="setpriv --reuid 64123 --regid 64123 --clear-groups env -u XDG_CACHE_HOME HOME=$W/home PATH=/usr/bin:/bin"
        $as ../ister swupd install t -q -C "$URL" -s "$CERTIFICATE" --version "$VERSION" -B "$BUNDLES" >&2
        $as unshare --map-root-user --map-auto python3 ../list.py t
        stat -c %u t/usr >&2"#;
    let install = |url: &str, certificate: &Path, version: &str, bundles: &str| {
        let _ = std::fs::remove_dir_all(place.path("home"));
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-euc", script])
            .envs([("W", place.0.path()), ("CERTIFICATE", certificate)])
            .envs([("URL", url), ("VERSION", version), ("BUNDLES", bundles)])
            .output()
            .unwrap();
        let listed = ok(&output);
        assert!(
            text(&output.stderr).ends_with("\n64123\n"),
            "root's files must belong to the user: {}",
            text(&output.stderr)
        );
        listed
    };
    let installed = install(&place.local(), &place.path("keys/cert.pem"), "20", "many");
    assert_eq!(of_content(&expected), of_content(&installed));
    if std::env::var_os(UPSTREAM).is_none() {
        return;
    }
    let content = upstream_directory();
    let url = format!("file://{}/content", content.display());
    let installed = install(&url, &content.join("Swupd_Root.pem"), "30", "editors,fallback,special");
    let expected = std::fs::read_to_string(content.join("expected-30-editors+fallback+special.tsv")).unwrap();
    assert!(installed.lines().eq(expected.lines()), "{installed}");
}

crate::tests! {
    installed_tree_matches_the_published_tree,
    info_lists_versions_and_bundles,
    modified_content_is_rejected,
    files_are_fetched_once_over_the_network,
    redirects_and_proxies,
    existing_entries_are_reported_and_preserved,
    decompression_bombs_and_escape_sequences_are_harmless,
    https_mirrors_use_the_certificates_of_the_host,
    partial_downloads_survive_kill_9,
    invalid_partial_downloads_are_replaced,
    certificate_chains_are_checked,
    unprivileged_users_get_the_same_tree,
    ; nightly:
    trees_match_upstream,
    hostile_content_of_upstream_has_the_expected_outcome,
}
