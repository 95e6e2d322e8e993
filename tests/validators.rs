//! Three independent validators and the linter give the same verdicts on a corpus of templates: the `jsonschema` crate, ajv
//! (npm, in strict mode) and check-jsonschema (PyPI).

use crate::common::tools;
use ister::lint::{Files, Level, RULES, lint};
use ister::plan::bundle::builtin;
use ister::template::SCHEMA_TEXT;
use ister::template::SourceText;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

struct Case {
    name: String,
    valid: bool,
    template: Value,
}

/// `tests/corpus.txt`: small templates. Each invalid one has a single error that the schema rejects.
fn corpus() -> Vec<Case> {
    let corpus: Value = serde_json::from_str(include_str!("corpus.txt")).unwrap();
    let cases: Vec<Case> = corpus["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let mut template = match case.get("template") {
                Some(template) => template.clone(),
                None => corpus["bases"][case["base"].as_str().unwrap()].clone(),
            };
            for (key, value) in case["set"].as_object().into_iter().flatten() {
                template[key] = value.clone();
            }
            for key in case["remove"].as_array().into_iter().flatten() {
                template.as_object_mut().unwrap().shift_remove(key.as_str().unwrap());
            }
            let name = case["name"].as_str().unwrap().to_owned();
            Case { name, valid: case["valid"].as_bool().unwrap(), template }
        })
        .collect();
    assert!(
        cases.iter().filter(|c| c.valid).count() >= 60 && cases.iter().filter(|c| !c.valid).count() >= 230
    );
    cases
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA_TEXT).unwrap()
}

#[track_caller]
fn check_verdicts(cases: &[Case], verdicts: &[bool], validator: &str) {
    assert_eq!(cases.len(), verdicts.len());
    let wrong: Vec<&str> =
        cases.iter().zip(verdicts).filter(|(c, v)| c.valid != **v).map(|(c, _)| c.name.as_str()).collect();
    assert!(wrong.is_empty(), "{validator} has other verdicts for {wrong:?}");
}

fn jsonschema_crate_matches_the_corpus() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let cases = corpus();
    let verdicts: Vec<bool> = cases.iter().map(|case| validator.is_valid(&case.template)).collect();
    check_verdicts(&cases, &verdicts, "the jsonschema crate");
}

/// The linter reports an error or an unknown key for every invalid template, and no structural errors for valid ones.
fn linter_matches_the_corpus() {
    let definitions = builtin();
    // Rules for errors that JSON Schema can detect too.
    let form = [
        "schema",
        "missing-key",
        "wrong-type",
        "unknown-value",
        "unknown-key",
        "misspelt-key",
        "partition-size",
    ];
    for case in corpus() {
        let text = serde_json::to_string_pretty(&case.template).unwrap();
        let linted = lint(&SourceText::new(case.name.clone(), text), &definitions, |_| Files::new());
        let found: Vec<String> =
            linted.findings.iter().map(|f| format!("{}: {}", f.rule, f.message)).collect();
        if case.valid {
            assert!(!linted.findings.iter().any(|f| form.contains(&f.rule)), "{}: {found:?}", case.name);
        } else {
            let is_rejected = |f: &ister::lint::Finding| f.level == Level::Error || f.rule == "unknown-key";
            assert!(linted.findings.iter().any(is_rejected), "{}: {found:?}", case.name);
        }
    }
}

fn ajv_matches_the_corpus() {
    let modules = tools::tool("node/node_modules/ajv");
    let node = tools::host_program("node");
    let cases = corpus();
    let templates: Vec<&Value> = cases.iter().map(|case| &case.template).collect();
    let mut child = Command::new(node)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/ajv.cjs"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/ister-template.schema.json"))
        .arg(modules.parent().unwrap().parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&templates).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let verdicts: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    check_verdicts(&cases, &verdicts, "ajv");
}

fn check_jsonschema_matches_the_corpus() {
    let program = tools::tool("python/bin/check-jsonschema");
    let cases = corpus();
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<_> = cases
        .iter()
        .map(|case| {
            let path = directory.path().join(format!("{}.json", case.name));
            std::fs::write(&path, case.template.to_string()).unwrap();
            path
        })
        .collect();
    let output = Command::new(program)
        .args(["--output-format", "json", "--schemafile"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/ister-template.schema.json"))
        .args(&paths)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["parse_errors"].as_array().unwrap().len(), 0, "{report}");
    let rejected: Vec<&str> =
        report["errors"].as_array().unwrap().iter().map(|e| e["filename"].as_str().unwrap()).collect();
    let verdicts: Vec<bool> = paths.iter().map(|path| !rejected.contains(&path.to_str().unwrap())).collect();
    check_verdicts(&cases, &verdicts, "check-jsonschema");
}

/// The examples of all rules are valid JSON, except for the rule about invalid JSON.
fn examples_are_json() {
    for rule in RULES {
        let json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
        assert_eq!(json(rule.example), rule.name != "syntax", "{}", rule.name);
        assert!(json(rule.instead), "{}", rule.name);
    }
}

/// All fields that a package can have, for two kinds of packages.
fn inventories() -> [ister::report::Contents<'static>; 2] {
    use ister::report::{Contents, PackageLine};
    let package = |name, version, license| PackageLine {
        name,
        version,
        architecture: "amd64",
        source: ("gcc-12", "12.2.0-14"),
        maintainer: Some("Debian GCC Maintainers <debian-gcc@lists.example.org>"),
        homepage: Some("http://gcc.gnu.org/"),
        license,
    };
    ["deb", "rpm"].map(|kind| Contents {
        image: "kvm.img",
        disk: uuid::Uuid::nil(),
        distribution: "debian",
        version: "12",
        kind,
        packages: vec![
            package("g++", "4:12.2.0-3", None),
            package("libstdc++6", "12.2.0-14+deb12u1", Some("GPLv3+ and \"others\"")),
            PackageLine { maintainer: Some("nobody"), homepage: Some("no url"), ..package("x", "0~1", None) },
            PackageLine { maintainer: None, homepage: None, ..package("a_b", "1", None) },
        ],
        epoch: 1_747_473_342,
    })
}

/// An SBOM with all fields of a package is valid according to the SPDX tools.
fn an_sbom_is_valid_spdx() {
    use ister::report::spdx;
    let validator = tools::tool("python/bin/pyspdxtools");
    for contents in inventories() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kvm.img.spdx.json");
        std::fs::write(&file, serde_json::to_string_pretty(&spdx(&contents)).unwrap()).unwrap();
        let output = Command::new(&validator).arg("-i").arg(&file).output().unwrap();
        let output_text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{output_text}");
        // The validator rejects a relationship to a missing element.
        let mut invalid = spdx(&contents);
        invalid["relationships"][1]["relatedSpdxElement"] = "SPDXRef-nothing".into();
        std::fs::write(&file, invalid.to_string()).unwrap();
        assert!(!Command::new(&validator).arg("-i").arg(&file).output().unwrap().status.success());
    }
}

/// The other SBOM is valid according to CycloneDX's own validator, and the library of a scanner finds the packages and
/// the distribution.
fn an_sbom_is_valid_cyclonedx() {
    use ister::report::cyclonedx;
    let python = tools::tool("python/bin/python3");
    for contents in inventories() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kvm.img.cdx.json");
        std::fs::write(&file, serde_json::to_string_pretty(&cyclonedx(&contents)).unwrap()).unwrap();
        let read = |file: &std::path::Path| {
            Command::new(&python).args(["-c", READ_CYCLONEDX]).arg(file).output().unwrap()
        };
        let output = read(&file);
        let output_text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{output_text}");
        let expected = format!("debian 12\ng++ 4:12.2.0-3 pkg:{0}/debian/g%2B%2B@", contents.kind);
        assert!(output_text.starts_with(&expected), "{output_text}");
        assert_eq!(output_text.lines().count(), 1 + contents.packages.len(), "{output_text}");
        // The validator rejects an unknown type of component.
        let mut invalid = cyclonedx(&contents);
        invalid["components"][1]["type"] = "package".into();
        std::fs::write(&file, invalid.to_string()).unwrap();
        assert!(!read(&file).status.success());
    }
}

/// Validates, and prints what lib4sbom finds.
const READ_CYCLONEDX: &str = r#"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from lib4sbom.parser import SBOMParser
text = open(sys.argv[1]).read()
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if error:
    sys.exit(f"invalid: {error}")
parser = SBOMParser()
parser.parse_file(sys.argv[1])
for package in parser.get_packages():
    urls = [reference[2] for reference in package.get("externalreference", []) if reference[1] == "purl"]
    print(package["name"], package["version"], *urls)
"#;

crate::tests! {
    jsonschema_crate_matches_the_corpus,
    linter_matches_the_corpus,
    ajv_matches_the_corpus,
    check_jsonschema_matches_the_corpus,
    examples_are_json,
    an_sbom_is_valid_spdx,
    an_sbom_is_valid_cyclonedx,
}
