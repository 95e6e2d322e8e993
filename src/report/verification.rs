//! Renderers for the findings of `ister verify`, in the same formats as `ister lint`.

use super::findings::junit::{case, failed, render, visible};
use super::findings::{FindingJson, Report, Reported};
use super::{Table, boot_paths_text, document};
use crate::finding::{Level, RuleText};
use crate::template::visible_name;
use crate::verify::boot_path::BootPaths;
use crate::verify::{Finding, Location, RULES};
use quick_junit::TestSuite;
use serde::Serialize;

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
fn place(place: &Location) -> String {
    let partition = place.partition.map(|number| format!("partition {number}"));
    partition.into_iter().chain(place.path.clone()).collect::<Vec<_>>().join(", ")
}

/// Renders each finding with its place and help, then the verdict.
fn verification_human(verified: &Verified, colour: bool) -> String {
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
        out.push_str(&format!("{title}: {}\n", visible_name(&finding.message)));
        let at = place(&finding.place);
        if !at.is_empty() {
            out.push_str(&format!("  --> {}: {}\n", visible_name(&verified.image), visible_name(&at)));
        }
        if let Some(help) = &finding.help {
            out.push_str(&format!("  help: {}\n", visible_name(help)));
        }
        out.push('\n');
    }
    let (errors, warnings, notes) =
        (verified.count(Level::Error), verified.count(Level::Warning), verified.count(Level::Note));
    let verdict = if errors > 0 { paint("1;31", "FAILED") } else { paint("1;32", "good") };
    let mut table = Table::new(&["image", "verdict", "errors", "warnings", "notes", "rules"], &[2, 3, 4, 5]);
    table.row([
        visible_name(&verified.image),
        verdict,
        errors.to_string(),
        warnings.to_string(),
        notes.to_string(),
        RULES.len().to_string(),
    ]);
    out + &verified.summary + "\n" + &table.render()
}

/// `ister verify --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct VerifyOutput<'r> {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    version: u32,
    image: &'r str,
    /// Format, size and number of partitions, and the plan that the image was compared with.
    summary: &'r str,
    /// Whether there are no errors.
    good: bool,
    findings: Vec<FindingJson<'r, &'r Location>>,
    /// With `--explain-boot`.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_paths: Option<&'r BootPaths>,
}

impl Report for Verified {
    fn rules(&self) -> Vec<RuleText> {
        RULES.iter().map(|rule| rule.text()).collect()
    }

    fn findings(&self) -> Vec<Reported<'_>> {
        let reported = self.findings.iter().map(|finding| Reported {
            file: &self.image,
            region: None,
            object: place(&finding.place),
            rule: finding.rule,
            level: finding.level,
            message: &finding.message,
            help: finding.help.as_deref(),
            labels: Vec::new(),
            fix: None,
            identity: place(&finding.place).into(),
        });
        reported.collect()
    }

    fn human(&self, colour: bool) -> String {
        verification_human(self, colour)
    }

    fn json(&self) -> String {
        document(&VerifyOutput {
            version: 1,
            image: &self.image,
            summary: &self.summary,
            good: !self.has_errors(),
            findings: self.findings.iter().map(|f| FindingJson::new(f, &f.place)).collect(),
            boot_paths: self.boot_paths.as_ref(),
        })
    }

    fn junit(&self) -> String {
        verification_junit(self)
    }
}

/// One test case per rule. It fails if the rule reports errors.
fn verification_junit(verified: &Verified) -> String {
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
    use super::super::{SourceRoot, github, sarif};
    use super::*;

    fn verified() -> Verified {
        Verified {
            image: "out/kvm.img".into(),
            summary: "raw, 8.5 GiB, 3 partitions".into(),
            findings: vec![Finding {
                rule: "fstab-device",
                level: Level::Error,
                message: "UUID=1 for /srv is not a partition of this image".into(),
                place: Location { partition: None, path: Some("/etc/fstab".into()) },
                labels: Vec::new(),
                help: None,
                fix: None,
            }],
            boot_paths: None,
        }
    }

    #[test]
    fn people_read_place_and_verdict() {
        insta::assert_snapshot!(verification_human(&verified(), false), @r"
        error[fstab-device]: UUID=1 for /srv is not a partition of this image
          --> out/kvm.img: /etc/fstab

        raw, 8.5 GiB, 3 partitions
        image        verdict  errors  warnings  notes  rules
        out/kvm.img  FAILED        1         0      0     77
        ");
    }

    #[test]
    fn machine_readable_formats_have_the_finding() {
        let root = SourceRoot::new("/r".into(), "/r".into(), |_| None);
        assert!(verified().json().contains("\"good\": false"));
        assert_eq!(sarif(&verified(), &root)["runs"][0]["results"][0]["ruleId"], "fstab-device");
        assert!(
            github(&verified(), &root)
                .starts_with("::error file=out/kvm.img,title=fstab-device::/etc/fstab: ")
        );
        assert!(verification_junit(&verified()).contains("failures=\"1\""));
    }
}
