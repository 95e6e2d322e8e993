//! Content that swupd's own tools made.

use super::{Place, TOOLS, ok};
use crate::common::{need_tools, text};
use crate::harness::skip_optional;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory with content that swupd's own tools made, and the trees that it installed of it: `content/`, `hostile/`,
/// `expected-VERSION-BUNDLES.tsv`, `Swupd_Root.pem`.
pub(super) const UPSTREAM: &str = "ISTER_TEST_SWUPD";

pub(super) fn upstreams() -> PathBuf {
    match std::env::var_os(UPSTREAM) {
        Some(directory) => std::fs::canonicalize(directory).unwrap(),
        None => skip_optional(&format!("content that is not ours: {UPSTREAM}=DIRECTORY")),
    }
}

pub(super) fn trees_of_upstream_are_made_exactly() {
    need_tools(TOOLS);
    let upstreams = upstreams();
    let entries = std::fs::read_dir(&upstreams).unwrap();
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
        let (content, root) = (upstreams.join("content"), upstreams.join("Swupd_Root.pem"));
        ok(&upstream(&place, &content, &root, &args).output().unwrap());
        let expected = std::fs::read_to_string(entry.path()).unwrap();
        let installed = place.list("t");
        assert!(installed.lines().eq(expected.lines()), "{name}");
        seen += 1;
        place.sh("rm -rf t");
    }
    assert!(seen >= 4, "{seen} expected trees");
}

pub(super) fn upstream(place: &Place, content: &Path, certificate: &Path, args: &[&str]) -> Command {
    let url = format!("file://{}", content.display());
    let mut command = place.install(&url, "t", &[]);
    // In place of the one of our own content.
    let mut with = Command::new(command.get_program());
    with.args(command.get_args().take_while(|arg| *arg != "-s")).arg("-s").arg(certificate);
    with.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command = with;
    command
}

pub(super) fn hostile_content_of_upstream_has_the_outcome_that_it_should() {
    need_tools(TOOLS);
    let upstreams = upstreams();
    let cases = std::fs::read_to_string(upstreams.join("hostile/CASES.tsv")).unwrap();
    let place = Place::new();
    let mut seen = 0;
    for line in cases.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, bundles, _, _, wish] = fields[..] else { panic!("{line}") };
        let case = upstreams.join("hostile").join(name);
        place.sh(&format!(
            "rm -rf t state www outside; cp -a {}/content www; cd {}; find . -type f ! -name REMOVED ! -name cert.pem \
             -exec cp --parents -f {{}} {} \\;",
            upstreams.display(),
            case.display(),
            place.path("www").display()
        ));
        for removed in std::fs::read_to_string(case.join("REMOVED")).unwrap_or_default().lines() {
            place.sh(&format!("rm -rf 'www/{removed}'"));
        }
        let own = case.join("cert.pem");
        let certificate = if own.exists() { own } else { upstreams.join("Swupd_Root.pem") };
        let args = ["--version", version, "-f", "30", "-B", bundles, "-q"];
        let www = place.path("www");
        let output = upstream(&place, &www, &certificate, &args).output().unwrap();
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
