//! Tests the SARIF output of `ister lint` and `ister verify`: against the published schema, against GitHub's
//! requirements, and for paths relative to the repository root.

use crate::common::{ister, text, with_stdin};
use ister::lint::RULES;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A template with a size without a unit, and with a duplicate bundle.
const TEMPLATE: &str = r#"{
    "DestinationType": "virtual",
    "PartitionLayout": [
        { "disk": "a.img", "partition": 1, "size": "8", "type": "linux" }
    ],
    "Bundles": ["os-core", "kernel-kvm", "os-core"]
}
"#;

/// The schema published by OASIS, from the source of a crate. `cargo metadata` returns its path.
fn published_schema() -> jsonschema::Validator {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package =
        packages.iter().find(|p| p["name"] == "serde-sarif").expect("serde-sarif is a dev-dependency");
    let directory = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
    let schema = std::fs::read_to_string(directory.join("src/schema.json")).unwrap();
    // A pattern in the published schema has an extra bracket and is not a valid regular expression.
    let schema = schema.replace("^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$", "^[a-zA-Z]{2}");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["title"].as_str().unwrap().contains("Version 2.1.0"));
    jsonschema::draft7::new(&schema).unwrap()
}

/// Checks GitHub's additional requirements and limits. Source: GitHub Docs, "SARIF support for code scanning".
fn assert_accepted_by_github(report: &Value) {
    let is_text = |value: &Value, limit: usize| {
        let length = value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).chars().count();
        assert!((1..=limit).contains(&length), "{length} characters: {value}");
    };
    assert!(report["$schema"].is_string());
    assert_eq!(report["version"], "2.1.0");
    let run = &report["runs"][0];
    is_text(&run["tool"]["driver"]["name"], 255);
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for rule in rules {
        is_text(&rule["id"], 255);
        is_text(&rule["shortDescription"]["text"], 1024);
        is_text(&rule["fullDescription"]["text"], 1024);
        is_text(&rule["help"]["text"], usize::MAX);
    }
    let results = run["results"].as_array().unwrap();
    assert!((1..=25_000).contains(&results.len()));
    let mut fingerprints = Vec::new();
    for result in results {
        is_text(&result["message"]["text"], usize::MAX);
        let rule = usize::try_from(result["ruleIndex"].as_i64().unwrap()).unwrap();
        assert_eq!(rules[rule]["id"], result["ruleId"]);
        fingerprints.push(result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap());
        let related = result["relatedLocations"].as_array().map_or(&[][..], Vec::as_slice);
        for location in result["locations"].as_array().unwrap().iter().chain(related) {
            let place = &location["physicalLocation"];
            is_text(&place["artifactLocation"]["uri"], usize::MAX);
            for key in ["startLine", "startColumn", "endLine", "endColumn"] {
                assert!(place["region"][key].as_u64().is_some_and(|number| number > 0), "{key}: {place}");
            }
        }
    }
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), results.len(), "fingerprints must be unique");
}

fn assert_valid(schema: &jsonschema::Validator, report: &Value) {
    let errors: Vec<String> =
        schema.iter_errors(report).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_accepted_by_github(report);
}

/// Runs `command` in `directory` and returns its SARIF report.
fn report(directory: &Path, command: &[&str]) -> Value {
    let output = ister(command)
        .args(["--format", "sarif"])
        .current_dir(directory)
        .env_remove("GITHUB_WORKSPACE")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn artifact(report: &Value) -> Value {
    report["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"].clone()
}

fn reports_are_valid_against_the_published_schema() {
    let schema = published_schema();
    let mut templates = vec![TEMPLATE.to_owned(), "{\"Hostname\": 'x', // c\n".to_owned(), String::new()];
    templates.extend(RULES.iter().map(|rule| rule.example.to_owned()));
    for template in templates {
        let output = with_stdin(&["lint", "-", "--format", "sarif"], &template);
        assert_valid(&schema, &serde_json::from_slice(&output.stdout).unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("zeros.img"), vec![0; 4 << 20]).unwrap();
    assert_valid(&schema, &report(directory.path(), &["verify", "-q", "zeros.img"]));
}

fn paths_are_relative_to_repository_root() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().canonicalize().unwrap();
    let repository = base.join("r ä");
    let deep = repository.join("sub/deep");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir(repository.join(".git")).unwrap();
    std::os::unix::fs::symlink(&repository, base.join("link")).unwrap();
    for file in ["outside.json", "r ä/sub/a b.json", "r ä/sub/deep/t.json"] {
        std::fs::write(base.join(file), TEMPLATE).unwrap();
    }
    std::fs::write(repository.join("zeros.img"), vec![0; 4 << 20]).unwrap();
    let below = |uri: &str| serde_json::json!({ "uri": uri, "uriBaseId": "%SRCROOT%" });
    let absolute = repository.join("sub/deep/t.json");
    let linked = base.join("link/sub/deep/t.json");
    for (command, expected) in [
        (["lint", "t.json"], below("sub/deep/t.json")),
        (["lint", "./t.json"], below("sub/deep/t.json")),
        (["lint", "."], below("sub/deep/t.json")),
        (["lint", "../a b.json"], below("sub/a%20b.json")),
        (["lint", absolute.to_str().unwrap()], below("sub/deep/t.json")),
        (["lint", linked.to_str().unwrap()], below("sub/deep/t.json")),
        (["verify", "../../zeros.img"], below("zeros.img")),
    ] {
        let report = report(&deep, &command);
        assert_eq!(artifact(&report), expected, "{command:?}");
        let root = url::Url::from_directory_path(&repository).unwrap();
        assert_eq!(report["runs"][0]["originalUriBaseIds"]["%SRCROOT%"]["uri"], root.as_str());
    }
    let outside = url::Url::from_file_path(base.join("outside.json")).unwrap();
    let found = report(&deep, &["lint", "../../../outside.json"]);
    assert_eq!(artifact(&found), serde_json::json!({ "uri": outside.as_str() }));
    // Without a repository, paths are relative to the current directory.
    let found = report(&base, &["lint", "outside.json"]);
    assert_eq!(artifact(&found), below("outside.json"));
    // Annotations use the same paths.
    let output = ister(&["lint", "../a b.json", "--format", "github"]).current_dir(&deep).output().unwrap();
    assert!(text(&output.stdout).starts_with("::error file=sub/a b.json,"), "{}", text(&output.stdout));
    // The checkout of a workflow may have no `.git`.
    let workspace = |path: &Path| {
        let output = ister(&["lint", "outside.json", "--format", "github"])
            .current_dir(&base)
            .env("GITHUB_WORKSPACE", path)
            .output()
            .unwrap();
        text(&output.stdout)
    };
    let name = base.file_name().unwrap().to_str().unwrap();
    assert!(workspace(base.parent().unwrap()).starts_with(&format!("::error file={name}/outside.json,")));
    assert!(workspace(&deep).starts_with("::error file=outside.json,"));
}

/// Edits above a finding do not change its fingerprint.
fn fingerprint_does_not_depend_on_line_number() {
    let fingerprint = |template: &str| {
        let output = with_stdin(&["lint", "-", "--format", "sarif"], template);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let results = report["runs"][0]["results"].as_array().unwrap();
        let size = results.iter().find(|result| result["ruleId"] == "partition-size").unwrap();
        size["partialFingerprints"].clone()
    };
    let moved = TEMPLATE.replacen('{', "{\n    \"Hostname\": \"a\",", 1);
    assert_eq!(fingerprint(TEMPLATE), fingerprint(&moved));
    assert_ne!(fingerprint(TEMPLATE), fingerprint(&TEMPLATE.replace("\"8\"", "\"9\"")));
}

crate::tests! {
    reports_are_valid_against_the_published_schema,
    paths_are_relative_to_repository_root,
    fingerprint_does_not_depend_on_line_number,
}
