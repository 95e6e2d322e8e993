//! Tests with mirrors that fail, redirect, or send unexpected data.

use super::{Place, TOOLS, of_content, ok, with_ids};
use crate::common::tls::TlsServer;
use crate::common::{ister, need_tools, text};
use std::collections::BTreeMap;

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Behavior of a test mirror.
#[derive(Default)]
pub(super) struct Behavior {
    /// Truncates the first response for paths with this suffix after this many bytes.
    pub(super) cut: BTreeMap<&'static str, usize>,
    /// Answers the first requests for paths with this suffix with this status.
    pub(super) broken: BTreeMap<&'static str, (&'static str, usize)>,
    /// Pause after each 16 KiB.
    pub(super) slow: Duration,
    /// Redirects all requests to the same path below this URL.
    pub(super) moved: Option<String>,
}

/// A test mirror on loopback.
pub(super) struct Mirror {
    pub(super) url: String,
    /// Requested paths with their start offsets.
    pub(super) requests: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Mirror {
    pub(super) fn start(directory: PathBuf, behavior: Behavior) -> Mirror {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, behavior) = (Arc::clone(&requests), Arc::new(Mutex::new(behavior)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (directory, log, behavior) = (directory.clone(), Arc::clone(&log), Arc::clone(&behavior));
                std::thread::spawn(move || while serve(&stream, &directory, &log, &behavior) {});
            }
        });
        Mirror { url, requests }
    }

    pub(super) fn requests(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

/// Serves one request and returns whether the connection stays open.
pub(super) fn serve(
    stream: &TcpStream,
    directory: &Path,
    log: &Mutex<Vec<(String, u64)>>,
    behavior: &Mutex<Behavior>,
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
    // A proxy receives absolute URLs.
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
        let mut behavior = behavior.lock().unwrap();
        if let Some(place) = behavior.moved.as_ref().filter(|_| !path.starts_with("new/")) {
            return answer("302 Found", &format!("Location: {place}/{path}\r\n"));
        }
        if let Some((status, times)) =
            behavior.broken.iter_mut().find(|(end, _)| path.ends_with(**end)).map(|(_, b)| b)
            && *times > 0
        {
            *times -= 1;
            return answer(status, "");
        }
        let cut = behavior.cut.keys().find(|end| path.ends_with(**end)).copied();
        (cut.and_then(|end| behavior.cut.remove(end)), behavior.slow)
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

pub(super) fn files_are_fetched_once_over_the_network() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let behavior = Behavior {
        // The connection breaks during a pack; a manifest is served at the third attempt.
        cut: BTreeMap::from([("pack-large-from-0.tar", 1_000_000)]),
        broken: BTreeMap::from([
            ("Manifest.many.tar", ("503 Busy", 2)),
            ("pack-many-from-0.tar", ("404 Not Found", 9)),
        ]),
        ..Behavior::default()
    };
    let mirror = Mirror::start(place.path("www"), behavior);
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
    let first = mirror.requests();
    let pack: Vec<u64> =
        first.iter().filter(|(path, _)| path.ends_with("pack-large-from-0.tar")).map(|a| a.1).collect();
    assert!(pack.len() == 2 && pack[1] >= 900_000, "the download must be resumed: {pack:?}");
    let mut files: Vec<&String> =
        first.iter().map(|a| &a.0).filter(|path| path.contains("/files/")).collect();
    let count = files.len();
    files.sort();
    files.dedup();
    assert!(count == files.len() && count >= 60, "each file must be fetched once: {count}");

    // Objects in the state directory are not fetched again: the older version shares nearly all of them.
    ok(&place.install(&mirror.url, "u", &["--version", "10", "-B", "many"]).output().unwrap());
    let requests = mirror.requests();
    let objects: Vec<_> =
        requests.iter().filter(|a| a.0.contains("/files/") || a.0.contains("pack-")).collect();
    assert_eq!(objects.len(), 1, "{objects:?}");
    // Objects are verified whenever they are used; damaged ones are fetched again.
    for path in &files[..5] {
        let hash = path.rsplit('/').next().and_then(|name| name.strip_suffix(".tar")).unwrap();
        std::fs::write(place.path("state/objects").join(&hash[..2]).join(&hash[2..]), "x").unwrap();
    }
    ok(&place.install(&mirror.url, "v", &args).output().unwrap());
    assert_eq!(of_content(&place.list("tree")), of_content(&place.list("v")));
    let again = mirror.requests().iter().filter(|a| a.0.contains("/files/")).count();
    assert_eq!(again, 5);
}

pub(super) fn redirects_and_proxies() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let there = Mirror::start(place.path("www"), Behavior::default());
    let moved = Behavior { moved: Some(format!("{}/new", there.url)), ..Behavior::default() };
    let mirror = Mirror::start(place.path("www"), moved);
    let args = ["--version", "20", "-B", "many"];
    ok(&place.install(&mirror.url, "t", &args).output().unwrap());
    assert_eq!(of_content(&place.list("tree")), of_content(&place.list("t")));
    // Redirects to local files are rejected.
    place.sh("rm -rf state");
    let moved = Behavior { moved: Some(place.local()), ..Behavior::default() };
    let mirror = Mirror::start(place.path("www"), moved);
    let output = place.install(&mirror.url, "u", &args).output().unwrap();
    let output_text = text(&output.stderr);
    assert!(
        output.status.code() == Some(3) && output_text.contains("redirects from http to `file:"),
        "{output_text}"
    );
    // This name cannot be resolved, so only the proxy can have responded.
    let proxy = Mirror::start(place.path("www"), Behavior::default());
    let mut command = place.install("http://mirror.invalid", "v", &args);
    ok(&command.env("http_proxy", &proxy.url).output().unwrap());
    assert!(proxy.requests().len() > 4);
}

/// Existing directories, links and FIFOs are not replaced, followed or waited for, and killed installations are
/// continued.
pub(super) fn existing_entries_are_reported_and_preserved() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let args = ["--version", "20", "-B", "many"];
    let install = |tree: &str| {
        let output = place.install(&place.local(), tree, &args).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(install("good").0, Some(0));
    let good = place.list("good");

    // An existing private directory in place of a public directory of the content.
    place.sh("mkdir -m 700 private private/etc; echo mine >private/etc/mine");
    let (code, output_text) = install("private");
    assert!(
        code == Some(3) && output_text.contains("an entry with different content already exists"),
        "{output_text}"
    );
    assert!(!output_text.contains("rm -rf"), "{output_text}");
    assert_eq!(place.sh("stat -c %a private/etc; cat private/etc/mine"), "700\nmine\n");

    // Killed after creating its own directories and before setting their modes.
    assert_eq!(install("killed").0, Some(0));
    place.sh("chmod 1700 killed/var killed/var/lib killed/var/lib/swupd; touch killed/var/lib/swupd");
    assert_eq!(install("killed").0, Some(0));
    assert_eq!(place.list("killed"), good);

    // A FIFO in place of a tracking file.
    place.sh("cp -a good pipe; rm pipe/var/lib/swupd/bundles/many; mkfifo pipe/var/lib/swupd/bundles/many");
    let (code, output_text) = install("pipe");
    assert!(code == Some(3) && output_text.contains("bundles"), "{output_text}");

    // Links in place of objects are replaced.
    place.sh("f=$(find state/objects -type f | head -n 1); mv $f elsewhere; ln -s $PWD/elsewhere $f");
    assert_eq!(install("linked").0, Some(0));
    assert_eq!(place.list("linked"), good);
    // A state directory that is writable by other users is rejected.
    place.sh("chmod 777 state");
    let (code, output_text) = install("other");
    assert!(code == Some(3) && output_text.contains("its mode is 0777"), "{output_text}");
    place.sh("chmod 755 state");

    // A directory replaced by a link, and a search through it.
    place.sh("mkdir outside; touch outside/secret; ln -s $PWD/outside good/usr/share2; mv good/usr/share good/usr/away; ln -s away good/usr/share");
    let verify = |more: &[&str]| {
        let local = place.local();
        let mut command = ister(&["swupd", "verify", "-C", &local, "--version", "20", "-B", "many"]);
        command.arg(place.path("good")).arg("-S").arg(place.path("state"));
        command.arg("-s").arg(place.path("keys/cert.pem")).args(more);
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, output_text) = verify(&[]);
    assert!(
        code == Some(1) && output_text.contains("/usr/share/many/1 (bundle many): missing"),
        "{output_text}"
    );
    let (code, output_text) = verify(&["--extra", "/usr/share2"]);
    assert!(code == Some(3) && !output_text.contains("secret"), "{output_text}");
    let (code, output_text) = verify(&["--extra", "/usr"]);
    assert!(
        code == Some(1) && output_text.contains("/usr/away: in no bundle") && !output_text.contains("secret"),
        "{output_text}"
    );

    // Another process holds the lock.
    place.sh("mkdir busy");
    let busy = std::fs::File::open(place.path("busy")).unwrap();
    rustix::fs::flock(&busy, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (code, output_text) = install("busy");
    assert!(code == Some(3) && output_text.contains("another installation is writing to"), "{output_text}");

    // Unreachable proxies are errors for all proxy types.
    for proxy in
        ["socks5://127.0.0.1:1", "socks4a://127.0.0.1:1", "http://127.0.0.1:1", "name:secret@127.0.0.1:99999"]
    {
        let mut command = place.install("http://mirror.invalid", "proxied", &args);
        let output = command.args(["--retries", "0"]).env("http_proxy", proxy).output().unwrap();
        let output_text = text(&output.stderr);
        assert!(
            output.status.code() == Some(3) && !output_text.contains("panicked"),
            "{proxy}: {output_text}"
        );
        assert!(
            output_text.contains("127.0.0.1") && !output_text.contains("secret"),
            "{proxy}: {output_text}"
        );
    }
}

/// Data read before signature verification is bounded, and escape sequences are not printed.
pub(super) fn decompression_bombs_and_escape_sequences_are_harmless() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let bomb = "
import bz2, io, tarfile, sys
header = tarfile.TarInfo('x'); header.type = tarfile.XGLTYPE; header.size = 1 << 40
block = header.tobuf(tarfile.GNU_FORMAT)
# 12 GiB, which cannot be decompressed within the CPU limit below.
open(sys.argv[1], 'wb').write(bz2.compress(block) + bz2.compress(bytes(64 << 20)) * 192)
bad = bytearray(tarfile.TarInfo('\x1b]0;title\x07').tobuf(tarfile.GNU_FORMAT)); bad[148:156] = b'notanumb'
open(sys.argv[2], 'wb').write(bytes(bad) + bytes(1024))";
    let write = |script: &str| {
        let paths = ["www/20/bomb", "www/20/escapes"].map(|name| place.path(name));
        ok(&with_ids("python3").args(["-c", script]).args(paths).output().unwrap());
    };
    write(bomb);
    for (name, word) in [("bomb", "is not a valid release tar"), ("escapes", "\\u{1b}]0;title")] {
        place.sh(&format!("cp www/20/{name} www/20/Manifest.MoM.tar"));
        let install = place.install(&place.local(), "t", &["--version", "20"]);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -t 10; exec \"$@\"", "sh"]).arg(install.get_program());
        let output = command.args(install.get_args()).env("NO_COLOR", "1").output().unwrap();
        let output_text = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{name}: {output_text}");
        assert!(output_text.contains(word) && !output_text.contains('\x1b'), "{name}: {output_text}");
    }
}

/// A mirror with a certificate that the host trusts, and with an untrusted one.
pub(super) fn https_mirrors_use_the_certificates_of_the_host() {
    need_tools(TOOLS);
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
    let output_text = text(&output.stderr);
    assert!(
        output.status.code() == Some(3) && output_text.contains("could not fetch `https://localhost"),
        "{output_text}"
    );
    assert!(output_text.contains("certificate") && !place.path("u").join("usr").exists(), "{output_text}");
}

pub(super) fn partial_downloads_survive_kill_9() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    let slow = Behavior { slow: Duration::from_millis(15), ..Behavior::default() };
    let mirror = Mirror::start(place.path("www"), slow);
    let args = ["--version", "20", "-B", "large"];
    let mut child =
        place.install(&mirror.url, "t", &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Wait for a third of the pack.
    let start = Instant::now();
    let part = loop {
        let parts = std::fs::read_dir(place.path("state/parts")).into_iter().flatten().flatten();
        let length = parts.map(|part| part.metadata().map_or(0, |m| m.len())).max().unwrap_or(0);
        if length > 1_000_000 {
            break length;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "timeout while waiting for the download");
        std::thread::sleep(Duration::from_millis(5));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    mirror.requests();
    // The same command continues, also with leftover files in the tree.
    place.sh("mkdir -p t/usr; printf half >t/.ister-left; chmod 1700 t t/usr");
    ok(&place.install(&mirror.url, "t", &args).output().unwrap());
    place.sh("rm t/.ister-left");
    let requests = mirror.requests();
    let from = requests.iter().find(|a| a.0.ends_with("pack-large-from-0.tar")).map(|a| a.1).unwrap();
    assert!(from >= part, "the download must be resumed after {part}: {requests:?}");
    let many = |line: &&&str| line.starts_with("/usr/share/many");
    let (expected, installed) = (place.list("tree"), place.list("t"));
    let expected: Vec<&str> = of_content(&expected).into_iter().filter(|line| !many(&line)).collect();
    assert_eq!(expected, of_content(&installed));
    assert_eq!(std::fs::read_dir(place.path("state/incoming")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(place.path("state/parts")).unwrap().count(), 0);
}

pub(super) fn invalid_partial_downloads_are_replaced() {
    need_tools(TOOLS);
    let place = Place::new();
    place.content();
    // The mirror has only packs.
    place.sh("rm -rf www/20/files");
    let slow = Behavior { slow: Duration::from_millis(15), ..Behavior::default() };
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
            assert!(start.elapsed() < Duration::from_secs(60), "timeout while waiting for the download");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        mirror.requests();
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
    // Only a few objects are missing and full files are unavailable, so the pack is used.
    ok(&place.install(&mirror.url, "t", &["--version", "20", "-B", "many"]).output().unwrap());
    place.sh("f=$(find state/objects -type f -size -6 | sort | tail -n 1); rm $f; rm -rf t");
    ok(&place.install(&mirror.url, "t", &["--version", "20", "-B", "many"]).output().unwrap());
}
