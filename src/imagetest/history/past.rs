//! The results of earlier runs, as plain data.

use crate::imagetest::StepOutcome;
use std::collections::BTreeMap;

/// Earlier results, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// By type and step.
    pub steps: BTreeMap<(String, String), Vec<PastStep>>,
    /// By type and published file.
    pub sizes: BTreeMap<(String, String), Vec<PastSize>>,
    /// By type: the newest earlier run in which all steps passed.
    pub green: BTreeMap<String, Green>,
}

/// The values of earlier runs in which a type passed, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Baseline {
    /// Sizes in bytes, by published file.
    pub files: BTreeMap<String, Vec<f64>>,
    /// Numbers of packages.
    pub packages: Vec<f64>,
    /// By step and accelerator.
    pub boots: BTreeMap<(String, String), PastBoots>,
}

/// The times of earlier boots, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PastBoots {
    /// From power-on to the login prompt.
    pub login: Vec<f64>,
    /// How long each stage took.
    pub stages: BTreeMap<String, Vec<f64>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PastStep {
    pub run: String,
    /// RFC 3339.
    pub started: String,
    pub outcome: StepOutcome,
    /// The reason of a failure, or the class of a boot.
    pub what: String,
    /// The seconds to the login prompt for a boot, the total for other steps.
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastSize {
    pub started: String,
    pub bytes: u64,
}

/// A run in which a type passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Green {
    pub run: String,
    pub started: String,
    pub revision: Option<String>,
    pub ister: String,
    pub packages: BTreeMap<String, String>,
}

/// How often a step passed only after an attempt that failed because of the host, and the number of runs.
pub(crate) fn flaky(steps: &[PastStep]) -> (usize, usize) {
    (steps.iter().filter(|step| step.outcome == StepOutcome::Flaky).count(), steps.len())
}
