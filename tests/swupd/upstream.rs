//! Tests with content made by swupd's own tools.

use super::{Place, TOOLS, ok};
use crate::common::{need_tools, text};
use crate::harness::skip_optional;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Environment variable with a directory of content made by swupd's own tools, and the trees that they installed from
/// it: `content/`, `hostile/`, `expected-VERSION-BUNDLES.tsv`, `Swupd_Root.pem`.
pub(super) const UPSTREAM: &str = "ISTER_TEST_SWUPD";

pub(super) fn upstream_directory() -> PathBuf {
    match std::env::var_os(UPSTREAM) {
        Some(directory) => std::fs::canonicalize(directory).unwrap(),
        None => skip_optional(&format!("requires upstream content ({UPSTREAM}=DIRECTORY)")),
    }
}

pub(super) fn trees_match_upstream() {
    need_tools(TOOLS);
    let upstream_directory = upstream_directory();
    let entries = std::fs::read_dir(&upstream_directory).unwrap();
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
        // The subordinate IDs of an unprivileged user are not that high.
        if bundles.contains("special") && !rustix::process::geteuid().is_root() {
            continue;
        }
        let bundles = bundles.replace('+', ",");
        let mut args = vec!["--version", version, "-q"];
        if bundles != "os-core" {
            args.extend(["-B", &bundles]);
        }
        args.extend(skip);
        let (content, root) = (upstream_directory.join("content"), upstream_directory.join("Swupd_Root.pem"));
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
    // Replaces the certificate of our own content.
    let mut with = Command::new(command.get_program());
    with.args(command.get_args().take_while(|arg| *arg != "-s")).arg("-s").arg(certificate);
    with.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command = with;
    command
}

pub(super) fn hostile_content_of_upstream_has_the_expected_outcome() {
    need_tools(TOOLS);
    let upstream_directory = upstream_directory();
    let cases = std::fs::read_to_string(upstream_directory.join("hostile/CASES.tsv")).unwrap();
    let place = Place::new();
    let mut seen = 0;
    for line in cases.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, bundles, _, _, expected] = fields[..] else { panic!("{line}") };
        let case = upstream_directory.join("hostile").join(name);
        place.sh(&format!(
            "rm -rf t state www outside; cp -a {}/content www; cd {}; find . -type f ! -name REMOVED ! -name cert.pem \
             -exec cp --parents -f {{}} {} \\;",
            upstream_directory.display(),
            case.display(),
            place.path("www").display()
        ));
        for removed in std::fs::read_to_string(case.join("REMOVED")).unwrap_or_default().lines() {
            place.sh(&format!("rm -rf 'www/{removed}'"));
        }
        let own = case.join("cert.pem");
        let certificate = if own.exists() { own } else { upstream_directory.join("Swupd_Root.pem") };
        let args = ["--version", version, "-f", "30", "-B", bundles, "-q"];
        let www = place.path("www");
        let output = upstream(&place, &www, &certificate, &args).output().unwrap();
        let stderr = text(&output.stderr);
        match expected {
            "succeed" => assert!(output.status.success(), "{name}: {stderr}"),
            "fail" => assert_eq!(output.status.code(), Some(3), "{name}: {stderr}"),
            _ => assert!(matches!(output.status.code(), Some(0 | 3)), "{name}: {stderr}"),
        }
        if output.status.code() == Some(3) {
            assert!(stderr.starts_with("error: ") || stderr.starts_with("warning: "), "{name}: {stderr}");
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
