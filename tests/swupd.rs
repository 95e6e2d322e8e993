//! swupd's content: trees as upstream's client makes them, hostile content, mirrors that break, kill -9.
//!
//! What always runs is content that is written here by a program that shares nothing with ister. Where upstream's own
//! content lies beside the project, its expected trees and hostile cases run too.

#![allow(clippy::print_stderr, reason = "a skip has to be visible")]

mod common;

use common::tls::TlsServer;
use common::{ister, text, tools_missing};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const UPSTREAM: &str = "../shared/swupd";

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

fn lacks_tools() -> bool {
    tools_missing(&["python3", "openssl", "unshare"])
}

#[test]
fn the_tree_is_what_was_published() {
    if lacks_tools() {
        return;
    }
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
    assert!(!said.contains("goes on with it"), "it does not: {said}");
}

#[test]
fn what_there_is_can_be_listed() {
    if lacks_tools() {
        return;
    }
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
#[test]
fn what_was_tampered_with_is_refused_and_named() {
    if lacks_tools() {
        return;
    }
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

/// What a mirror does to the requests of a test.
#[derive(Default)]
struct Manners {
    /// Cut the first answer for a path with this ending after so many bytes.
    cut: BTreeMap<&'static str, usize>,
    /// Answer the first requests for a path with this ending so.
    broken: BTreeMap<&'static str, (&'static str, usize)>,
    /// Wait so long for each 16 KiB.
    slow: Duration,
    /// Redirect what is asked here to the same path below this.
    moved: Option<String>,
}

/// A mirror on loopback.
struct Mirror {
    url: String,
    /// Paths, with the first byte that was asked for.
    asked: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Mirror {
    fn start(directory: PathBuf, manners: Manners) -> Mirror {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, manners) = (Arc::clone(&asked), Arc::new(Mutex::new(manners)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (directory, log, manners) = (directory.clone(), Arc::clone(&log), Arc::clone(&manners));
                std::thread::spawn(move || while serve(&stream, &directory, &log, &manners) {});
            }
        });
        Mirror { url, asked }
    }

    fn asked(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// One request; whether the connection stays.
fn serve(
    stream: &TcpStream,
    directory: &Path,
    log: &Mutex<Vec<(String, u64)>>,
    manners: &Mutex<Manners>,
) -> bool {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    loop {
        match reader.read_line(&mut request) {
            Ok(0) | Err(_) => return false,
            Ok(1 | 2) => break,
            Ok(_) => (),
        }
    }
    let target = request.split_whitespace().nth(1).unwrap_or_default();
    // A proxy is asked for whole URLs.
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => target.trim_start_matches('/'),
    };
    let from = request
        .lines()
        .find_map(|line| {
            line.to_lowercase().strip_prefix("range: bytes=")?.trim_end_matches('-').parse().ok()
        })
        .unwrap_or(0u64);
    log.lock().unwrap().push((path.to_owned(), from));
    let mut out = stream;
    let mut answer = |status: &str, more: &str| {
        out.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{more}\r\n").as_bytes()).is_ok()
    };
    let (cut, slow) = {
        let mut manners = manners.lock().unwrap();
        if let Some(place) = manners.moved.as_ref().filter(|_| !path.starts_with("new/")) {
            return answer("302 Found", &format!("Location: {place}/{path}\r\n"));
        }
        if let Some((status, times)) =
            manners.broken.iter_mut().find(|(end, _)| path.ends_with(**end)).map(|(_, b)| b)
            && *times > 0
        {
            *times -= 1;
            return answer(status, "");
        }
        let cut = manners.cut.keys().find(|end| path.ends_with(**end)).copied();
        (cut.and_then(|end| manners.cut.remove(end)), manners.slow)
    };
    let Ok(mut file) = std::fs::File::open(directory.join(path.trim_start_matches("new/"))) else {
        return answer("404 Not Found", "");
    };
    let length = file.metadata().unwrap().len();
    if from >= length && from > 0 {
        return answer("416 Range Not Satisfiable", "");
    }
    file.seek(SeekFrom::Start(from)).unwrap();
    let status = match from {
        0 => "200 OK".to_owned(),
        _ => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}", length - 1),
    };
    let _ = write!(out, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", length - from);
    let mut left = cut.unwrap_or(usize::MAX);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = file.read(&mut buffer).unwrap().min(left);
        if count == 0 || out.write_all(&buffer[..count]).is_err() {
            break;
        }
        left -= count;
        std::thread::sleep(slow);
    }
    if cut.is_some() {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return false;
    }
    true
}

#[test]
fn a_mirror_over_the_network_is_asked_for_each_thing_once() {
    if lacks_tools() {
        return;
    }
    let place = Place::new();
    place.content();
    let manners = Manners {
        // In the middle of a pack the line breaks; a manifest comes at the third attempt.
        cut: BTreeMap::from([("pack-large-from-0.tar", 1_000_000)]),
        broken: BTreeMap::from([
            ("Manifest.many.tar", ("503 Busy", 2)),
            ("pack-many-from-0.tar", ("404 Not Found", 9)),
        ]),
        ..Manners::default()
    };
    let mirror = Mirror::start(place.path("www"), manners);
    let args = ["--version", "latest", "-f", "30", "-B", "many"];
    let output = place.install(&mirror.url, "t", &args).output().unwrap();
    ok(&output);
    assert!(text(&output.stderr).contains("is not encrypted"), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("the pack of bundle `many` is not usable"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(of_content(&place.list("tree")), of_content(&place.list("t")));
    let first = mirror.asked();
    let pack: Vec<u64> =
        first.iter().filter(|(path, _)| path.ends_with("pack-large-from-0.tar")).map(|a| a.1).collect();
    assert!(pack.len() == 2 && pack[1] >= 900_000, "it went on where it was: {pack:?}");
    let mut files: Vec<&String> =
        first.iter().map(|a| &a.0).filter(|path| path.contains("/files/")).collect();
    let count = files.len();
    files.sort();
    files.dedup();
    assert!(count == files.len() && count >= 60, "each file once: {count}");

    // What is in the state directory is not asked for again: an older version shares nearly all.
    ok(&place.install(&mirror.url, "u", &["--version", "10", "-B", "many"]).output().unwrap());
    let asked = mirror.asked();
    let objects: Vec<_> = asked.iter().filter(|a| a.0.contains("/files/") || a.0.contains("pack-")).collect();
    assert_eq!(objects.len(), 1, "{objects:?}");
    // It is checked again whenever it is used; what was damaged comes again.
    for path in &files[..5] {
        let hash = path.rsplit('/').next().and_then(|name| name.strip_suffix(".tar")).unwrap();
        std::fs::write(place.path("state/objects").join(&hash[..2]).join(&hash[2..]), "x").unwrap();
    }
    ok(&place.install(&mirror.url, "v", &args).output().unwrap());
    assert_eq!(of_content(&place.list("tree")), of_content(&place.list("v")));
    let again = mirror.asked().iter().filter(|a| a.0.contains("/files/")).count();
    assert_eq!(again, 5);
}

#[test]
fn redirects_and_proxies() {
    if lacks_tools() {
        return;
    }
    let place = Place::new();
    place.content();
    let there = Mirror::start(place.path("www"), Manners::default());
    let moved = Manners { moved: Some(format!("{}/new", there.url)), ..Manners::default() };
    let mirror = Mirror::start(place.path("www"), moved);
    let args = ["--version", "20", "-B", "many"];
    ok(&place.install(&mirror.url, "t", &args).output().unwrap());
    assert_eq!(of_content(&place.list("tree")), of_content(&place.list("t")));
    // Not to a file of this machine, whatever it says.
    place.sh("rm -rf state");
    let moved = Manners { moved: Some(place.local()), ..Manners::default() };
    let mirror = Mirror::start(place.path("www"), moved);
    let output = place.install(&mirror.url, "u", &args).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("redirects from http to `file:"), "{said}");
    // Nobody resolves this name: only the proxy can have answered.
    let proxy = Mirror::start(place.path("www"), Manners::default());
    let mut command = place.install("http://mirror.invalid", "v", &args);
    ok(&command.env("http_proxy", &proxy.url).output().unwrap());
    assert!(proxy.asked().len() > 4);
}

/// Directories and links that somebody has, pipes, what was killed: none of it is taken over, followed or waited for.
#[test]
fn what_is_in_the_way_is_named_and_kept() {
    if lacks_tools() {
        return;
    }
    let place = Place::new();
    place.content();
    let args = ["--version", "20", "-B", "many"];
    let install = |tree: &str| {
        let output = place.install(&place.local(), tree, &args).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(install("good").0, Some(0));
    let good = place.list("good");

    // A private directory with something in it, where the content has a public one.
    place.sh("mkdir -m 700 private private/etc; echo mine >private/etc/mine");
    let (code, said) = install("private");
    assert!(code == Some(3) && said.contains("something else is there already"), "{said}");
    assert!(!said.contains("rm -rf"), "{said}");
    assert_eq!(place.sh("stat -c %a private/etc; cat private/etc/mine"), "700\nmine\n");

    // Killed between the directories of its own and their modes.
    assert_eq!(install("killed").0, Some(0));
    place.sh("chmod 1700 killed/var killed/var/lib killed/var/lib/swupd; touch killed/var/lib/swupd");
    assert_eq!(install("killed").0, Some(0));
    assert_eq!(place.list("killed"), good);

    // A pipe where a tracking file would be.
    place.sh("cp -a good pipe; rm pipe/var/lib/swupd/bundles/many; mkfifo pipe/var/lib/swupd/bundles/many");
    let (code, said) = install("pipe");
    assert!(code == Some(3) && said.contains("bundles"), "{said}");

    // Objects that are links are fetched again.
    place.sh("f=$(find state/objects -type f | head -n 1); mv $f elsewhere; ln -s $PWD/elsewhere $f");
    assert_eq!(install("linked").0, Some(0));
    assert_eq!(place.list("linked"), good);
    // Who else may write into the state directory could lead us anywhere.
    place.sh("chmod 777 state");
    let (code, said) = install("other");
    assert!(code == Some(3) && said.contains("its mode is 0777"), "{said}");
    place.sh("chmod 755 state");

    // A directory that became a link, and a look through it.
    place.sh("mkdir outside; touch outside/secret; ln -s $PWD/outside good/usr/share2; mv good/usr/share good/usr/away; ln -s away good/usr/share");
    let verify = |more: &[&str]| {
        let local = place.local();
        let mut command = ister(&["swupd", "verify", "-C", &local, "--version", "20", "-B", "many"]);
        command.arg(place.path("good")).arg("-S").arg(place.path("state"));
        command.arg("-s").arg(place.path("keys/cert.pem")).args(more);
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = verify(&[]);
    assert!(code == Some(1) && said.contains("/usr/share/many/1 (bundle many): missing"), "{said}");
    let (code, said) = verify(&["--extra", "/usr/share2"]);
    assert!(code == Some(3) && !said.contains("secret"), "{said}");
    let (code, said) = verify(&["--extra", "/usr"]);
    assert!(
        code == Some(1) && said.contains("/usr/away: in no bundle") && !said.contains("secret"),
        "{said}"
    );

    // Somebody else is at it.
    place.sh("mkdir busy");
    let busy = std::fs::File::open(place.path("busy")).unwrap();
    rustix::fs::flock(&busy, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (code, said) = install("busy");
    assert!(code == Some(3) && said.contains("another installation writes into"), "{said}");

    // Proxies that do not answer are an error, of whatever kind they are.
    for proxy in
        ["socks5://127.0.0.1:1", "socks4a://127.0.0.1:1", "http://127.0.0.1:1", "name:secret@127.0.0.1:99999"]
    {
        let mut command = place.install("http://mirror.invalid", "proxied", &args);
        let output = command.args(["--retries", "0"]).env("http_proxy", proxy).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(3) && !said.contains("panicked"), "{proxy}: {said}");
        assert!(said.contains("127.0.0.1") && !said.contains("secret"), "{proxy}: {said}");
    }
}

/// What comes before anything is known to be signed has its bounds, and gives a terminal no orders.
#[test]
fn bombs_and_orders_of_a_mirror() {
    if lacks_tools() {
        return;
    }
    let place = Place::new();
    place.content();
    let bomb = "
import bz2, io, tarfile, sys
header = tarfile.TarInfo('x'); header.type = tarfile.XGLTYPE; header.size = 1 << 40
block = header.tobuf(tarfile.GNU_FORMAT)
# 12 GiB, which nobody decompresses within the seconds below.
open(sys.argv[1], 'wb').write(bz2.compress(block) + bz2.compress(bytes(64 << 20)) * 192)
bad = bytearray(tarfile.TarInfo('\x1b]0;title\x07').tobuf(tarfile.GNU_FORMAT)); bad[148:156] = b'notanumb'
open(sys.argv[2], 'wb').write(bytes(bad) + bytes(1024))";
    let write = |script: &str| {
        let paths = ["www/20/bomb", "www/20/orders"].map(|name| place.path(name));
        ok(&with_ids("python3").args(["-c", script]).args(paths).output().unwrap());
    };
    write(bomb);
    for (name, word) in [("bomb", "is no tar of a release"), ("orders", "\\u{1b}]0;title")] {
        place.sh(&format!("cp www/20/{name} www/20/Manifest.MoM.tar"));
        let install = place.install(&place.local(), "t", &["--version", "20"]);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -t 10; exec \"$@\"", "sh"]).arg(install.get_program());
        let output = command.args(install.get_args()).env("NO_COLOR", "1").output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{name}: {said}");
        assert!(said.contains(word) && !said.contains('\x1b'), "{name}: {said}");
    }
}

/// A mirror whose certificate the host trusts, and one that could be anybody.
#[test]
fn https_mirrors_are_judged_by_the_hosts_own_certificates() {
    if lacks_tools() {
        return;
    }
    let place = Place::new();
    place.content();
    let mirror = TlsServer::start(&place.path("www"));
    let args = ["--version", "latest", "-f", "30", "-B", "many"];
    let run = |tree: &str, authority: &Path| {
        let mut command = place.install(&mirror.url, tree, &args);
        command.env("SSL_CERT_FILE", authority).env("no_proxy", "*").output().unwrap()
    };
    let output = run("t", &mirror.authority);
    ok(&output);
    assert!(!text(&output.stderr).contains("is not encrypted"), "{}", text(&output.stderr));
    assert_eq!(of_content(&place.list("tree")), of_content(&place.list("t")));
    let output = run("u", Path::new("/etc/ssl/certs/ca-certificates.crt"));
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("could not fetch `https://localhost"), "{said}");
    assert!(said.contains("certificate") && !place.path("u").join("usr").exists(), "{said}");
}

#[test]
fn kill_9_loses_nothing_that_came() {
    if lacks_tools() {
        return;
    }
    let place = Place::new();
    place.content();
    let slow = Manners { slow: Duration::from_millis(15), ..Manners::default() };
    let mirror = Mirror::start(place.path("www"), slow);
    let args = ["--version", "20", "-B", "large"];
    let mut child =
        place.install(&mirror.url, "t", &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Until a third of the pack is there.
    let start = Instant::now();
    let part = loop {
        let parts = std::fs::read_dir(place.path("state/parts")).into_iter().flatten().flatten();
        let length = parts.map(|part| part.metadata().map_or(0, |m| m.len())).max().unwrap_or(0);
        if length > 1_000_000 {
            break length;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    mirror.asked();
    // The same command goes on, also with what is in the tree.
    place.sh("mkdir -p t/usr; printf half >t/.ister-left; chmod 1700 t t/usr");
    ok(&place.install(&mirror.url, "t", &args).output().unwrap());
    place.sh("rm t/.ister-left");
    let asked = mirror.asked();
    let from = asked.iter().find(|a| a.0.ends_with("pack-large-from-0.tar")).map(|a| a.1).unwrap();
    assert!(from >= part, "it went on behind {part}: {asked:?}");
    let many = |line: &&&str| line.starts_with("/usr/share/many");
    let (expected, installed) = (place.list("tree"), place.list("t"));
    let expected: Vec<&str> = of_content(&expected).into_iter().filter(|line| !many(&line)).collect();
    assert_eq!(expected, of_content(&installed));
    assert_eq!(std::fs::read_dir(place.path("state/incoming")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(place.path("state/parts")).unwrap().count(), 0);
}

#[test]
fn a_part_that_is_whole_or_of_something_else_is_no_obstacle() {
    if lacks_tools() {
        return;
    }
    let place = Place::new();
    place.content();
    // Packs are all there is.
    place.sh("rm -rf www/20/files");
    let slow = Manners { slow: Duration::from_millis(15), ..Manners::default() };
    let mirror = Mirror::start(place.path("www"), slow);
    let args = ["--version", "20", "-B", "large"];
    let begin = || {
        let mut child = place
            .install(&mirror.url, "t", &args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while !std::fs::read_dir(place.path("state/parts")).is_ok_and(|mut parts| parts.next().is_some()) {
            assert!(start.elapsed() < Duration::from_secs(60), "it does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        mirror.asked();
        let part = std::fs::read_dir(place.path("state/parts")).unwrap().flatten().next().unwrap();
        part.path().display().to_string()
    };
    let pack = "www/20/pack-large-from-0.tar";
    for change in [
        format!("cp {pack}"),
        "head -c 100000 /dev/zero | tee".to_owned(),
        "head -c 5 /dev/zero | tee".to_owned(),
    ] {
        let part = begin();
        place.sh(&format!("{change} {part} >/dev/null"));
        ok(&place.install(&mirror.url, "t", &args).output().unwrap());
        assert!(place.list("t").contains("/usr/lib/large\tf\t"), "{change}");
        place.sh("rm -rf t state");
    }
    // A small change to a tree whose rest is there: no file comes singly from here, so the pack is taken.
    ok(&place.install(&mirror.url, "t", &["--version", "20", "-B", "many"]).output().unwrap());
    place.sh("f=$(find state/objects -type f -size -6 | sort | tail -n 1); rm $f; rm -rf t");
    ok(&place.install(&mirror.url, "t", &["--version", "20", "-B", "many"]).output().unwrap());
}

/// What openssl refuses of certificates between a signer and the trusted file.
#[test]
fn certificates_that_may_not_issue_others_do_not() {
    if lacks_tools() {
        return;
    }
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

#[test]
fn trees_of_upstream_are_made_exactly() {
    if lacks_tools() {
        return;
    }
    let Ok(entries) = std::fs::read_dir(UPSTREAM) else {
        eprintln!("skipped: upstream's content is not beside the project");
        return;
    };
    let place = Place::new();
    let mut seen = 0;
    for entry in entries.flatten() {
        let name = entry.file_name().into_string().unwrap();
        let Some(case) = name.strip_prefix("expected-").and_then(|name| name.strip_suffix(".tsv")) else {
            continue;
        };
        let (version, bundles) = case.split_once('-').unwrap();
        let (bundles, skip) = match bundles.strip_suffix("-skip-optional") {
            Some(bundles) => (bundles, &["--skip-optional"][..]),
            None => (bundles, &[][..]),
        };
        // An ordinary user has not ids as high as that.
        if bundles.contains("special") && !rustix::process::geteuid().is_root() {
            continue;
        }
        let bundles = bundles.replace('+', ",");
        let mut args = vec!["--version", version, "-q"];
        if bundles != "os-core" {
            args.extend(["-B", &bundles]);
        }
        args.extend(skip);
        ok(&upstream(&place, "../shared/swupd/content", "../shared/swupd/Swupd_Root.pem", &args)
            .output()
            .unwrap());
        let expected = std::fs::read_to_string(entry.path()).unwrap();
        let installed = place.list("t");
        assert!(installed.lines().eq(expected.lines()), "{name}");
        seen += 1;
        place.sh("rm -rf t");
    }
    assert!(seen >= 4, "{seen} expected trees");
}

/// As a user that exists only for this test, in files that only this test sees. With ids as high as upstream's content has.
#[test]
fn an_ordinary_user_gets_the_same_tree() {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "skipped: becoming another user needs root; as an ordinary user every other test shows the same"
        );
        return;
    }
    if lacks_tools() || tools_missing(&["setpriv", "newuidmap", "/usr/bin/python3"]) {
        return;
    }
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
    let Ok(content) = std::fs::canonicalize(UPSTREAM) else {
        eprintln!("skipped: upstream's content is not beside the project");
        return;
    };
    let url = format!("file://{}/content", content.display());
    let installed = install(&url, &content.join("Swupd_Root.pem"), "30", "editors,fallback,special");
    let expected = std::fs::read_to_string(content.join("expected-30-editors+fallback+special.tsv")).unwrap();
    assert!(installed.lines().eq(expected.lines()), "{installed}");
}

fn upstream(place: &Place, content: &str, certificate: &str, args: &[&str]) -> Command {
    let content = std::fs::canonicalize(content).unwrap();
    let url = format!("file://{}", content.display());
    let mut command = place.install(&url, "t", &[]);
    // In place of the one of our own content.
    let mut with = Command::new(command.get_program());
    with.args(command.get_args().take_while(|arg| *arg != "-s"))
        .arg("-s")
        .arg(std::fs::canonicalize(certificate).unwrap());
    with.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command = with;
    command
}

#[test]
fn hostile_content_of_upstream_has_the_outcome_that_it_should() {
    if lacks_tools() {
        return;
    }
    let Ok(cases) = std::fs::read_to_string(format!("{UPSTREAM}/hostile/CASES.tsv")) else {
        eprintln!("skipped: upstream's content is not beside the project");
        return;
    };
    let place = Place::new();
    let mut seen = 0;
    for line in cases.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, bundles, _, _, wish] = fields[..] else { panic!("{line}") };
        let case = std::fs::canonicalize(format!("{UPSTREAM}/hostile/{name}")).unwrap();
        place.sh(&format!(
            "rm -rf t state www outside; cp -a {}/content www; cd {}; find . -type f ! -name REMOVED ! -name cert.pem \
             -exec cp --parents -f {{}} {} \\;",
            std::fs::canonicalize(UPSTREAM).unwrap().display(),
            case.display(),
            place.path("www").display()
        ));
        for removed in std::fs::read_to_string(case.join("REMOVED")).unwrap_or_default().lines() {
            place.sh(&format!("rm -rf 'www/{removed}'"));
        }
        let own = case.join("cert.pem");
        let certificate = if own.exists() { own } else { Path::new(UPSTREAM).join("Swupd_Root.pem") };
        let args = ["--version", version, "-f", "30", "-B", bundles, "-q"];
        let www = place.path("www");
        let output =
            upstream(&place, www.to_str().unwrap(), certificate.to_str().unwrap(), &args).output().unwrap();
        let said = text(&output.stderr);
        match wish {
            "succeed" => assert!(output.status.success(), "{name}: {said}"),
            "fail" => assert_eq!(output.status.code(), Some(3), "{name}: {said}"),
            _ => assert!(matches!(output.status.code(), Some(0 | 3)), "{name}: {said}"),
        }
        if output.status.code() == Some(3) {
            assert!(said.starts_with("error: ") || said.starts_with("warning: "), "{name}: {said}");
        }
        let written: Vec<_> =
            std::fs::read_dir(place.0.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        let ours = |name: &std::ffi::OsString| ["t", "state", "www"].iter().any(|known| name == known);
        assert!(written.iter().all(ours), "{name}: {written:?}");
        for path in ["/var/tmp/EVIL_SYM", "/var/tmp/EVIL_ABS", "/var/tmp/EVIL_THRU"] {
            assert!(!Path::new(path).exists(), "{name}: {path}");
        }
        seen += 1;
    }
    assert!(seen >= 54, "{seen} cases");
}
