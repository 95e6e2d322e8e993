//! swupd's content: trees as upstream's client makes them, hostile content, mirrors that break, kill -9.
//!
//! What always runs is content that is written here by a program that shares nothing with ister. Where upstream's own
//! content lies beside the project, its expected trees and hostile cases run too.

mod upstream;

use upstream::{
    UPSTREAM, hostile_content_of_upstream_has_the_outcome_that_it_should, trees_of_upstream_are_made_exactly,
    upstreams,
};
mod mirrors;

use crate::common::{ister, need_tools, text};
use crate::harness::skip;
use mirrors::{
    a_mirror_over_the_network_is_asked_for_each_thing_once,
    a_part_that_is_whole_or_of_something_else_is_no_obstacle, bombs_and_orders_of_a_mirror,
    https_mirrors_are_judged_by_the_hosts_own_certificates, kill_9_loses_nothing_that_came,
    redirects_and_proxies, what_is_in_the_way_is_named_and_kept,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program in a namespace where an ordinary user has all ids of the sub-id range, as ister's own builds have.
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

/// A directory that goes with everything in it, whoever owns that.
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

    /// Versions 10 and 20 of a small system.
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

/// A tree's list without what the client leaves for itself.
fn of_content(list: &str) -> Vec<&str> {
    let own = |line: &&str| line.starts_with("/var\t") || line.starts_with("/var/lib");
    list.lines().filter(|line| !own(line)).collect()
}

const TOOLS: &[&str] = &["python3", "openssl", "unshare"];

fn the_tree_is_what_was_published() {
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
    assert!(!installed.contains("/var/lib/swupd/bundles/large"), "what was only included is not tracked");
    // Equal objects are names of one file; times are those of the content.
    let facts = place.sh("stat -c '%i %h' t/usr/bin/tool t/usr/bin/same; stat -c %Y t/usr/share/many/9");
    let facts: Vec<&str> = facts.lines().collect();
    assert!(facts[0] == facts[1] && facts[0].ends_with(" 2") && facts[2] == "1000000000", "{facts:?}");

    // What is installed is found as it should be, and what was changed is found out.
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
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in [
        "/usr/share/many/1 (bundle many): missing",
        "/usr/share/many/2 (bundle many): changed",
        "/usr/bin/tool (bundle os-core): changed",
        "/usr/bin/same (bundle os-core): changed",
        "/usr/extra: in no bundle",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(said.matches("changed").count() + said.matches("missing").count(), 4, "{said}");

    // A tree's links and pipes lead nowhere: what it is cannot be told then.
    place.sh("rm t/usr/lib/os-release; mkfifo t/usr/lib/os-release");
    let output = verify(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("does not say which version it is"), "{}", text(&output.stderr));
    place.sh("rm t/usr/lib/os-release");

    // Into a tree that has something else there: nothing is replaced in silence.
    let output = place.install(&place.local(), "t", &["--version", "20", "-B", "many"]).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("something else is there already"), "{said}");
    assert!(said.contains("of bundle `") && said.contains("expected hash: "), "{said}");
    assert!(!said.contains("to continue"), "it does not: {said}");
}

fn what_there_is_can_be_listed() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let info = |more: &[&str]| {
        let mut command = ister(&["swupd", "info", &place.local(), "-q", "-f", "30"]);
        command.arg("-S").arg(place.path("state")).arg("-s").arg(place.path("keys/cert.pem"));
        ok(&command.args(more).output().unwrap())
    };
    let said = info(&[]);
    assert!(said.starts_with("version 20 of format 30; older ones: 10\n"), "{said}");
    assert!(said.contains("2.9 MiB"), "{said}");
    let listed: serde_json::Value = serde_json::from_str(&info(&["--format", "json"])).unwrap();
    assert_eq!(listed["bundles"][1]["name"], "many");
    assert_eq!(listed["bundles"][1]["includes"], serde_json::json!(["os-core", "large"]));
    let output =
        place.install(&place.local(), "t", &["--version", "20", "-B", "mani,os-core"]).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("has no bundle `mani`"), "{said}");
    assert!(said.contains("similar names there: many"), "{said}");
    assert!(!place.path("t/usr").exists());
}

/// Each is done to a copy of good content. With the words that must be said, or none where it must go well.
fn what_was_tampered_with_is_refused_and_named() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    place.sh("mv keys own; mv www good; mkdir other; cp -a good other/www");
    // The same content by somebody else.
    place.sh("mv own keys; mv keys mine");
    place.write(20, &[]);
    place.sh("mv www foreign; mv keys theirs; mv mine keys; rm -rf other");
    const FILE: &str = "f=$(awk -F'\t' '$4==\"/usr/share/many/5\" {print $2}' www/20/Manifest.many)";
    const NO_PACK: &str = "rm www/20/pack-many-from-0.tar";
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "latest.sig is gone",
            "rm www/version/format30/latest.sig",
            &["newest version cannot be trusted", "its signature is not there"],
        ),
        (
            "latest is another",
            "printf 10 >www/version/format30/latest",
            &["newest version cannot be trusted", "other content"],
        ),
        (
            "latest is by somebody else",
            "cp foreign/version/format30/* www/version/format30/",
            &["newest version cannot be trusted"],
        ),
        (
            "the release is by somebody else",
            "cp foreign/20/Manifest.MoM* www/20/",
            &["version 20 from", "is not trusted"],
        ),
        (
            "the release is not signed",
            "rm www/20/*.sig; cd www/20; tar -cJf Manifest.MoM.tar Manifest.MoM",
            &["it is not signed"],
        ),
        (
            "the release was changed",
            "cd www/20; sed -i 's/^previous:.*/previous:\t0/' Manifest.MoM; tar -cJf Manifest.MoM.tar Manifest.MoM Manifest.MoM.sig",
            &["over other content"],
        ),
        (
            "the signature is good beside the tar only",
            "cd www/20; echo x >bad; tar -cJf Manifest.MoM.tar --transform s/bad/Manifest.MoM.sig/ Manifest.MoM bad",
            &[],
        ),
        ("an older release in its place", "cp www/10/Manifest.MoM* www/20/", &["says that it is version 10"]),
        ("the release is gone", "rm www/20/Manifest.MoM*", &["cannot be had from", "check the version"]),
        ("the release's tar is none", "echo x >www/20/Manifest.MoM.tar", &["version 20 cannot be had"]),
        (
            "the release's tar leads out",
            "cd www/20; tar -cJPf Manifest.MoM.tar Manifest.MoM Manifest.MoM.sig ../../keys/cert.pem",
            &["it contains `../../keys/cert.pem`"],
        ),
        (
            "the release is a bomb",
            "cd www/20; truncate -s 300M Manifest.MoM; tar -cJf Manifest.MoM.tar Manifest.MoM",
            &["version 20 cannot be had", "more than 8388608 bytes"],
        ),
        (
            "the release is there twice",
            "cd www/20; tar -cJf Manifest.MoM.tar --hard-dereference Manifest.MoM Manifest.MoM.sig Manifest.MoM",
            &["it contains `Manifest.MoM` twice"],
        ),
        (
            "a manifest was changed",
            "cd www/20; sed -i s,many/5,many/6, Manifest.many; tar -cJf Manifest.many.tar Manifest.many",
            &["manifest of bundle `many`", "expected hash:", "found:"],
        ),
        (
            "a manifest has another mode",
            "cd www/20; chmod 600 Manifest.many; tar -cJf Manifest.many.tar Manifest.many",
            &["manifest of bundle `many`", "expected hash:"],
        ),
        ("a pack is gone", NO_PACK, &[]),
        ("a pack is no pack", "head -c 5000 /dev/urandom >www/20/pack-many-from-0.tar", &[]),
        (
            "a pack is a bomb",
            "mkdir -p x/staged; truncate -s 2G x/staged/$f; tar -C x -cf - staged | gzip -1 >www/20/pack-many-from-0.tar",
            &[],
        ),
        ("a pack is cut", "truncate -s 1000 www/20/pack-many-from-0.tar", &[]),
        ("a pack is empty", ": >www/20/pack-many-from-0.tar", &[]),
        ("a pack is another one's", "cp www/20/pack-large-from-0.tar www/20/pack-many-from-0.tar", &[]),
        (
            "a file is gone",
            "rm www/20/pack-many-from-0.tar; rm www/20/files/$f.tar",
            &["`/usr/share/many/5` of bundle `many` cannot be had"],
        ),
        (
            "a file is another",
            "rm www/20/pack-many-from-0.tar; mkdir x; echo evil >x/$f; tar -C x -cf www/20/files/$f.tar $f",
            &["`/usr/share/many/5` of bundle `many`", "expected hash:"],
        ),
        (
            "a file is cut",
            "rm www/20/pack-many-from-0.tar; truncate -s 60 www/20/files/$f.tar",
            &["`/usr/share/many/5` of bundle `many`"],
        ),
        (
            "a file is a device",
            "rm www/20/pack-many-from-0.tar; mkdir x; mkfifo x/$f; tar -C x -cf www/20/files/$f.tar $f",
            &["no file, directory or link"],
        ),
        (
            "a file is a hard link",
            "rm www/20/pack-many-from-0.tar; mkdir x; echo >x/a; ln x/a x/$f; tar -C x -cf www/20/files/$f.tar a $f",
            &["not by its hash"],
        ),
        (
            "a pack brings another file under the name, and the file is gone",
            "rm www/20/files/$f.tar; mkdir -p x/staged; echo evil >x/staged/$f; tar -C x -cJf www/20/pack-many-from-0.tar staged",
            &["`/usr/share/many/"],
        ),
    ];
    for (name, change, words) in cases {
        place.sh(&format!("rm -rf www x t state; cp -a good www; {FILE}; {change}"));
        let args = ["--version", "latest", "-f", "30", "-B", "many"];
        let output = place.install(&place.local(), "t", &args).output().unwrap();
        let said = text(&output.stderr);
        if words.is_empty() {
            assert!(output.status.success(), "{name}: {said}");
            assert_eq!(of_content(&place.list("tree")), of_content(&place.list("t")), "{name}");
            continue;
        }
        assert_eq!(output.status.code(), Some(3), "{name}: {said}");
        for word in *words {
            assert!(said.contains(word), "{name}: {word}: {said}");
        }
    }
    // Without trust it goes, and says so.
    place.sh("rm -rf www t state; cp -a good www; rm www/20/*.sig; cd www/20; tar -cJf Manifest.MoM.tar Manifest.MoM");
    let args = ["--version", "20", "-B", "many", "--no-sigcheck"];
    let output = place.install(&place.local(), "t", &args).output().unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("warning: signatures are not checked"));
    // Formats are compared as numbers.
    let output = place.install(&place.local(), "u", &[&args[..], &["-f", "3"]].concat()).output().unwrap();
    assert!(text(&output.stderr).contains("has content of format 30, not 3"), "{}", text(&output.stderr));
}

/// What openssl refuses of certificates between a signer and the trusted file.
fn certificates_that_may_not_issue_others_do_not() {
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
        ("basicConstraints=critical,CA:TRUE,pathlen:0", CA, "may not have so many CAs below it"),
        (
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature",
            "",
            "may not sign certificates",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;DNS:x.test",
            "",
            "for certain names only",
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
        let said = text(&output.stderr);
        assert_eq!(output.status.success(), words.is_empty(), "{root} {middle}: {said}");
        assert!(said.contains(words), "{root} {middle}: {said}");
    }
}

/// As a user that exists only for this test, in files that only this test sees. With ids as high as upstream's content has.
fn an_ordinary_user_gets_the_same_tree() {
    if !rustix::process::geteuid().is_root() {
        skip("becoming another user needs root; as an ordinary user every other test shows the same");
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
            "what is root's is the user's: {}",
            text(&output.stderr)
        );
        listed
    };
    let installed = install(&place.local(), &place.path("keys/cert.pem"), "20", "many");
    assert_eq!(of_content(&expected), of_content(&installed));
    if std::env::var_os(UPSTREAM).is_none() {
        return;
    }
    let content = upstreams();
    let url = format!("file://{}/content", content.display());
    let installed = install(&url, &content.join("Swupd_Root.pem"), "30", "editors,fallback,special");
    let expected = std::fs::read_to_string(content.join("expected-30-editors+fallback+special.tsv")).unwrap();
    assert!(installed.lines().eq(expected.lines()), "{installed}");
}

crate::tests! {
    the_tree_is_what_was_published,
    what_there_is_can_be_listed,
    what_was_tampered_with_is_refused_and_named,
    a_mirror_over_the_network_is_asked_for_each_thing_once,
    redirects_and_proxies,
    what_is_in_the_way_is_named_and_kept,
    bombs_and_orders_of_a_mirror,
    https_mirrors_are_judged_by_the_hosts_own_certificates,
    kill_9_loses_nothing_that_came,
    a_part_that_is_whole_or_of_something_else_is_no_obstacle,
    certificates_that_may_not_issue_others_do_not,
    an_ordinary_user_gets_the_same_tree,
    ; nightly:
    trees_of_upstream_are_made_exactly,
    hostile_content_of_upstream_has_the_outcome_that_it_should,
}
