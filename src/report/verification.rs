//! Renderers for the findings of `ister verify`, in the same formats as `ister lint`.

use super::findings::github::{data, property};
use super::findings::junit::{case, failed, render, visible};
use super::findings::sarif::{Fingerprints, location, log};
use super::source_root::SourceRoot;
use super::{Table, boot_paths_text, explain_verification};
use crate::lint::Level;
use crate::verify::boot_path::BootPaths;
use crate::verify::{Finding, Place, RULES};
use quick_junit::TestSuite;
use serde_json::{Value, json};

/// A verified image.
pub struct Verified {
    /// The name of the image on the command line.
    pub image: String,
    /// A one-line summary, such as "raw, 8.5 GiB, 3 partitions".
    pub summary: String,
    pub findings: Vec<Finding>,
    /// The boot paths, with `--explain-boot`.
    pub boot_paths: Option<BootPaths>,
}

impl Verified {
    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    pub fn has_errors(&self) -> bool {
        self.count(Level::Error) > 0
    }
}

/// "partition 3, /etc/fstab"; empty for the image as a whole.
fn place(place: &Place) -> String {
    let partition = place.partition.map(|number| format!("partition {number}"));
    partition.into_iter().chain(place.path.clone()).collect::<Vec<_>>().join(", ")
}

/// Renders each finding with its place and help, then the verdict.
pub fn verification_human(verified: &Verified, colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let mut out = verified.boot_paths.as_ref().map(|paths| boot_paths_text(paths) + "\n").unwrap_or_default();
    for finding in &verified.findings {
        let code = match finding.level {
            Level::Error => "1;31",
            Level::Warning => "1;33",
            Level::Note => "1;32",
        };
        let title = paint(code, &format!("{}[{}]", finding.level.name(), finding.rule));
        out.push_str(&format!("{title}: {}\n", finding.message));
        let at = place(&finding.place);
        if !at.is_empty() {
            out.push_str(&format!("  --> {}: {at}\n", verified.image));
        }
        if let Some(help) = &finding.help {
            out.push_str(&format!("  help: {help}\n"));
        }
        out.push('\n');
    }
    let (errors, warnings, notes) =
        (verified.count(Level::Error), verified.count(Level::Warning), verified.count(Level::Note));
    let verdict = if errors > 0 { paint("1;31", "FAILED") } else { paint("1;32", "good") };
    let mut table = Table::new(&["image", "verdict", "errors", "warnings", "notes", "rules"], &[2, 3, 4, 5]);
    table.row([
        verified.image.clone(),
        verdict,
        errors.to_string(),
        warnings.to_string(),
        notes.to_string(),
        RULES.len().to_string(),
    ]);
    out + &verified.summary + "\n" + &table.render()
}

/// One line per finding: `image: partition 3, /etc/fstab: error[fstab-device] message`.
pub fn verification_concise(verified: &Verified) -> String {
    verified
        .findings
        .iter()
        .map(|finding| {
            let at = place(&finding.place);
            let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
            format!(
                "{}: {at}{}[{}] {}\n",
                verified.image,
                finding.level.name(),
                finding.rule,
                finding.message
            )
        })
        .collect()
}

/// `{"version": 1, "image": …, "good": …, "findings": […]}`.
pub fn verification_json(verified: &Verified) -> Value {
    let mut value = json!({
        "version": 1,
        "image": verified.image,
        "summary": verified.summary,
        "good": !verified.has_errors(),
        "findings": verified.findings,
    });
    if let Some(paths) = &verified.boot_paths {
        value["boot_paths"] = json!(paths);
    }
    value
}

pub fn verification_sarif(verified: &Verified, root: &SourceRoot) -> Value {
    let mut fingerprints = Fingerprints::default();
    let rules = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.name,
                "shortDescription": { "text": rule.summary },
                "fullDescription": { "text": rule.why },
                "help": { "text": rule.why, "markdown": explain_verification(rule) },
                "defaultConfiguration": { "level": rule.level.name() },
            })
        })
        .collect();
    let results = verified
        .findings
        .iter()
        .map(|finding| {
            let index = RULES.iter().position(|rule| rule.name == finding.rule);
            let help = finding.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            let at = place(&finding.place);
            let mut location = json!({
                "physicalLocation": {
                    "artifactLocation": location(&verified.image, root),
                    // An image has no lines, but GitHub only shows results with a region.
                    "region": { "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1 },
                },
            });
            if !at.is_empty() {
                location["logicalLocations"] = json!([{ "fullyQualifiedName": at }]);
            }
            json!({
                "ruleId": finding.rule,
                "ruleIndex": index.map_or(-1, |index| index as i64),
                "level": finding.level.name(),
                "message": { "text": format!("{}{help}", finding.message) },
                "locations": [location],
                "partialFingerprints": fingerprints.of(&verified.image, finding.rule, &at),
            })
        })
        .collect();
    log(rules, results, root)
}

/// Annotations of GitHub Actions.
pub fn verification_github(verified: &Verified, root: &SourceRoot) -> String {
    verified
        .findings
        .iter()
        .map(|finding| {
            let command = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Note => "notice",
            };
            let at = place(&finding.place);
            let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
            let help = finding.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
            format!(
                "::{command} file={},title={}::{}\n",
                property(&root.annotated(&verified.image)),
                property(finding.rule),
                data(&format!("{at}{}{help}", finding.message))
            )
        })
        .collect()
}

/// One test case per rule. It fails if the rule reports errors.
pub fn verification_junit(verified: &Verified) -> String {
    let image = visible(&verified.image);
    let mut suite = TestSuite::new(format!("ister verify {image}"));
    for rule in RULES {
        let lines = |errors: bool| -> String {
            let findings = verified.findings.iter();
            let wanted = findings.filter(|f| f.rule == rule.name && (f.level == Level::Error) == errors);
            wanted
                .map(|f| format!("{} {}", place(&f.place), f.message).trim_start().to_owned() + "\n")
                .collect()
        };
        let status = failed("verify", rule.summary, &lines(true));
        suite.add_test_case(case("ister.verify", rule.name, &image, status, &lines(false)));
    }
    render("ister verify", [suite])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified() -> Verified {
        Verified {
            image: "out/kvm.img".into(),
            summary: "raw, 8.5 GiB, 3 partitions".into(),
            findings: vec![Finding {
                rule: "fstab-device",
                level: Level::Error,
                message: "UUID=1 for /srv is not a partition of this image".into(),
                place: Place { partition: None, path: Some("/etc/fstab".into()) },
                help: None,
            }],
            boot_paths: None,
        }
    }

    #[test]
    fn human_format_has_place_and_verdict() {
        insta::assert_snapshot!(verification_human(&verified(), false), @r"
        error[fstab-device]: UUID=1 for /srv is not a partition of this image
          --> out/kvm.img: /etc/fstab

        raw, 8.5 GiB, 3 partitions
        image        verdict  errors  warnings  notes  rules
        out/kvm.img  FAILED        1         0      0     75
        ");
    }

    #[test]
    fn machine_readable_formats_have_the_finding() {
        let root = SourceRoot::new("/r".into(), "/r".into(), |_| None);
        assert_eq!(verification_json(&verified())["good"], false);
        assert_eq!(verification_sarif(&verified(), &root)["runs"][0]["results"][0]["ruleId"], "fstab-device");
        assert!(
            verification_github(&verified(), &root)
                .starts_with("::error file=out/kvm.img,title=fstab-device::/etc/fstab: ")
        );
        assert!(verification_junit(&verified()).contains("failures=\"1\""));
    }
}
