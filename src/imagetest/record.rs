//! The results of the steps, and the file that contains them: `results.json`.

use super::shard::Shard;
use super::steps::StepKind;
use crate::boot::{Accelerator, CheckResult, Class, CloudRequest, Hardware, StageTime, Start};
use crate::plan::Firmware;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a name is valid for types and reports, which are directory names and parts of URLs. Names ending in `.html`
/// are reserved for pages.
pub(super) fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    name.chars().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with(".html")
}

/// The version of `results.json`. Other versions are rejected.
pub(crate) const RESULTS_VERSION: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    Passed,
    /// The step passed after an attempt that failed because of the host.
    Flaky,
    /// The host could not run the step. This proves nothing about the image.
    Infrastructure,
    Failed,
}

impl StepOutcome {
    /// Whether the step found no problem in the image.
    pub fn is_good(self) -> bool {
        matches!(self, StepOutcome::Passed | StepOutcome::Flaky)
    }

    pub fn named(name: &str) -> Option<StepOutcome> {
        use StepOutcome::*;
        [Passed, Flaky, Infrastructure, Failed].into_iter().find(|outcome| outcome.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            StepOutcome::Passed => "passed",
            StepOutcome::Flaky => "flaky",
            StepOutcome::Failed => "failed",
            StepOutcome::Infrastructure => "infrastructure",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepRecord {
    pub kind: StepKind,
    pub name: String,
    /// The command line to repeat the step.
    pub command: String,
    pub outcome: StepOutcome,
    pub seconds: f64,
    /// The class of a boot, or the reason of a failure.
    pub what: String,
    /// The lines that prove it.
    pub lines: Vec<String>,
    /// The outcomes of earlier attempts that failed because of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootRecord>,
}

/// A boot and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BootRecord {
    /// The published file.
    pub file: String,
    pub firmware: Firmware,
    pub accelerator: Accelerator,
    pub hardware: Hardware,
    #[serde(default)]
    pub start: Start,
    pub class: Class,
    /// Seconds from the start of QEMU to the end.
    pub seconds: f64,
    pub stages: Vec<StageTime>,
    /// What to check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Related lines of the template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub look_at: Vec<String>,
    /// The requests to the metadata service of a cloud.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cloud_requests: Vec<CloudRequest>,
    /// The results of checks in the guest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
    /// The directory with the serial log and the screenshot, relative to `results.json`.
    pub report: String,
}

/// The steps of a type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Record {
    #[serde(rename = "type")]
    pub kind: String,
    pub steps: Vec<StepRecord>,
    #[serde(default)]
    pub files: Vec<FileRecord>,
    /// Name and version of the installed packages.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
}

/// A published file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileRecord {
    pub name: String,
    /// "raw", or one of `Formats`.
    pub format: String,
    /// Allocated size in bytes, without holes.
    pub bytes: u64,
}

impl Record {
    /// The worst outcome of all steps. Without steps the outcome is `Infrastructure`.
    pub fn outcome(&self) -> StepOutcome {
        self.steps.iter().map(|step| step.outcome).max().unwrap_or(StepOutcome::Infrastructure)
    }

    /// The record after an attempt that failed because of the host: steps that pass now are flaky.
    pub fn after(mut self, before: &Record) -> Record {
        for faulty in &before.steps {
            let last = (faulty.outcome == StepOutcome::Infrastructure).then_some(&faulty.what);
            let ends: Vec<String> = faulty.earlier.iter().chain(last).cloned().collect();
            if ends.is_empty() {
                continue;
            }
            // If there is no such step now, the failure preceded all steps.
            let same = self.steps.iter().position(|step| step.name == faulty.name).unwrap_or(0);
            let Some(step) = self.steps.get_mut(same) else { continue };
            step.earlier.splice(0..0, ends);
            if step.outcome == StepOutcome::Passed {
                step.outcome = StepOutcome::Flaky;
            }
        }
        self
    }

    pub fn is_good(&self) -> bool {
        self.outcome().is_good()
    }

    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }
}

/// Who ran what, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TestRun {
    /// Identical for all shards of a run.
    pub id: String,
    /// RFC 3339, in UTC.
    pub started: String,
    pub seconds: f64,
    /// The commit of the templates if they are in a git repository, followed by `+` and a hash if they differ from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The types that this part should test.
    pub planned: Vec<String>,
    /// The types of all shards together.
    #[serde(default)]
    pub whole: Vec<String>,
    pub ister: String,
}

/// `results.json`. It is rewritten after each type, so that results survive an interrupted run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Results {
    #[cfg_attr(test, schemars(extend("const" = RESULTS_VERSION)))]
    pub version: u32,
    pub run: TestRun,
    /// By name.
    pub types: Vec<Record>,
}

impl Results {
    pub fn parse(text: &str) -> Result<Results, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version != RESULTS_VERSION {
            return Err(format!(
                "unsupported version {version}, this ister supports version {RESULTS_VERSION}"
            ));
        }
        let results: Results = serde_json::from_str(text).map_err(|error| error.to_string())?;
        // The file may come from an untrusted machine.
        results.check()?;
        Ok(results)
    }

    fn check(&self) -> Result<(), String> {
        /// Larger than any image and longer than any run.
        const MOST_BYTES: u64 = 1 << 60;
        const MOST_SECONDS: f64 = 1e9;
        let once = |name: &str, seen: &mut BTreeSet<String>| match seen.insert(name.to_owned()) {
            true => Ok(()),
            false => Err(format!("duplicate name `{name}`")),
        };
        if self.run.shard.is_some_and(|shard| !shard.is_possible()) {
            return Err("invalid shard".to_owned());
        }
        let (mut types, mut reports) = (BTreeSet::new(), BTreeSet::new());
        for record in &self.types {
            once(&record.kind, &mut types)?;
            let mut files = BTreeSet::new();
            record.files.iter().try_for_each(|file| once(&file.name, &mut files))?;
            if record.files.iter().any(|file| file.bytes > MOST_BYTES) {
                return Err(format!("invalid file size in `{}`", record.kind));
            }
            let mut steps = BTreeSet::new();
            for step in &record.steps {
                once(&step.name, &mut steps)?;
                let boot = step.boot.as_ref();
                let times = boot.into_iter().flat_map(|boot| {
                    let stages = boot.stages.iter().flat_map(|time| [time.at, time.took]);
                    stages.chain([boot.seconds])
                });
                if times.chain([step.seconds]).any(|seconds| !(0.0..MOST_SECONDS).contains(&seconds)) {
                    return Err(format!("invalid duration of `{}`", step.name));
                }
                if boot.is_none() && step.kind == StepKind::Boot && step.outcome.is_good() {
                    return Err(format!("`{}` passed, but the result of its boot is missing", step.name));
                }
                let Some(boot) = boot else { continue };
                if step.outcome.is_good() && boot.class != Class::LoginPrompt {
                    return Err(format!("`{}` passed, but its boot ended with {}", step.name, boot.class));
                }
                // These names become directories.
                match boot.report.split_once('/') {
                    Some((kind, name)) if kind == record.kind && is_plain(kind) && is_plain(name) => {}
                    _ => return Err(format!("invalid report directory `{}`", boot.report)),
                }
                once(&boot.report, &mut reports)?;
            }
        }
        Ok(())
    }

    /// The planned types without a record.
    pub fn missing(&self) -> Vec<&str> {
        let is_there = |name: &String| self.types.iter().any(|record| record.kind == *name);
        self.run.planned.iter().filter(|name| !is_there(name)).map(String::as_str).collect()
    }
}
