//! Limits for the results of a type: a fixed budget, and a regression against earlier runs. Pure.

use super::definition::{Definition, Seconds};
use super::history::Baseline;
use super::record::{BootRecord, Record};
use crate::boot::{Accelerator, Stage};
use crate::template::Bytes;
use std::fmt;

/// Fewer earlier values than this are no basis for a comparison.
const LEAST_VALUES: usize = 3;
/// The standard deviation of a normal distribution with a median absolute deviation of one.
const DEVIATION: f64 = 1.4826;
/// A value within this many standard deviations of the median of earlier runs is not a regression.
const MOST_DEVIATIONS: f64 = 3.0;

/// A measured value and its limits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub key: &'static str,
    /// The published file or the step.
    pub of: String,
    pub value: Value,
    pub budget: Option<Value>,
    pub history: Option<Comparison>,
    /// The stages of a boot that took longer than earlier.
    pub slower: Vec<String>,
}

/// A value with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Bytes(u64),
    Count(u64),
    Seconds(f64),
}

/// The comparison with earlier runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    /// The number of earlier values, which is too small.
    TooFew(usize),
    Compared {
        median: Value,
        count: usize,
        is_regression: bool,
    },
}

impl Value {
    fn number(self) -> f64 {
        match self {
            Value::Bytes(number) | Value::Count(number) => number as f64,
            Value::Seconds(number) => number,
        }
    }

    fn of_same_unit(self, number: f64) -> Value {
        match self {
            Value::Bytes(_) => Value::Bytes(number as u64),
            Value::Count(_) => Value::Count(number as u64),
            Value::Seconds(_) => Value::Seconds(number),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bytes(number) if *number < Bytes::KIB => write!(f, "{}", Bytes(*number)),
            Value::Bytes(number) => write!(f, "{} ({number} bytes)", Bytes(*number)),
            Value::Count(number) => write!(f, "{number}"),
            Value::Seconds(number) => write!(f, "{number:.1} s"),
        }
    }
}

impl Measured {
    pub(super) fn is_over_budget(&self) -> bool {
        self.budget.is_some_and(|budget| self.value.number() > budget.number())
    }

    pub(super) fn is_regression(&self) -> bool {
        matches!(self.history, Some(Comparison::Compared { is_regression: true, .. }))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if !self.of.is_empty() {
            write!(f, " of {}", self.of)?;
        }
        write!(f, ": {}", self.value)?;
        if let Some(budget) = self.budget {
            let word = if self.is_over_budget() { "over the budget of" } else { "budget" };
            write!(f, ", {word} {budget}")?;
        }
        match &self.history {
            None => {}
            Some(Comparison::TooFew(count)) => {
                write!(f, ", not compared: {count} of {LEAST_VALUES} earlier runs")?;
            }
            Some(Comparison::Compared { median, count, is_regression }) => {
                let word = if *is_regression { "regression, " } else { "" };
                write!(f, ", {word}median of {count} earlier runs {median}")?;
            }
        }
        if !self.slower.is_empty() {
            write!(f, " (slower: {})", self.slower.join(", "))?;
        }
        Ok(())
    }
}

/// All values of a record for which the definition has a limit.
pub(super) fn measure(definition: &Definition, record: &Record, earlier: &Baseline) -> Vec<Measured> {
    let budget = definition.budget.unwrap_or_default();
    let share = definition.regression.map(|percent| percent.0 / 100.0);
    let compared = |value: Value, past: &[f64]| share.map(|share| compare(value, past, share));
    let mut all = Vec::new();
    for file in &record.files {
        let value = Value::Bytes(file.bytes);
        let past = earlier.files.get(&file.name).map(Vec::as_slice).unwrap_or_default();
        all.push(Measured {
            key: "image-bytes",
            of: file.name.clone(),
            value,
            budget: budget.image_bytes.map(|most| Value::Bytes(most.0)),
            history: compared(value, past),
            slower: Vec::new(),
        });
    }
    if !record.packages.is_empty() {
        let value = Value::Count(record.packages.len() as u64);
        all.push(Measured {
            key: "packages",
            of: String::new(),
            value,
            budget: budget.packages.map(Value::Count),
            history: compared(value, &earlier.packages),
            slower: Vec::new(),
        });
    }
    for step in &record.steps {
        let Some(boot) = &step.boot else { continue };
        let Some(at) = login(boot) else { continue };
        let value = Value::Seconds(at);
        let past = earlier.boots.get(&(step.name.clone(), boot.accelerator.to_string()));
        let times = past.map(|past| past.login.as_slice()).unwrap_or_default();
        let mut measured = Measured {
            key: "boot-seconds",
            of: step.name.clone(),
            value,
            budget: budget.boot_seconds.and_then(|most| most.of(boot.accelerator)).map(Value::Seconds),
            history: compared(value, times),
            slower: Vec::new(),
        };
        if measured.is_regression() {
            let slower = boot.stages.iter().filter(|time| {
                let past = past.and_then(|past| past.stages.get(&time.stage.to_string()));
                let past = past.map(Vec::as_slice).unwrap_or_default();
                let result = compare(Value::Seconds(time.took), past, share.unwrap_or_default());
                matches!(result, Comparison::Compared { is_regression: true, .. })
            });
            measured.slower = slower.map(|time| format!("{} {:.1} s", time.stage, time.took)).collect();
        }
        all.push(measured);
    }
    all.retain(|measured| measured.budget.is_some() || measured.history.is_some());
    all
}

/// Seconds to the login prompt.
fn login(boot: &BootRecord) -> Option<f64> {
    boot.stages.iter().find(|time| time.stage == Stage::Login).map(|time| time.at)
}

/// A value is a regression if it exceeds the median of earlier values by more than `share`, and by more than their
/// usual spread.
fn compare(value: Value, past: &[f64], share: f64) -> Comparison {
    if past.len() < LEAST_VALUES {
        return Comparison::TooFew(past.len());
    }
    let median = median(past);
    let distances: Vec<f64> = past.iter().map(|one| (one - median).abs()).collect();
    let spread = MOST_DEVIATIONS * DEVIATION * self::median(&distances);
    let is_regression = value.number() > median + (median * share).max(spread);
    Comparison::Compared { median: value.of_same_unit(median), count: past.len(), is_regression }
}

/// The median of at least one value.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

impl Seconds {
    fn of(self, accelerator: Accelerator) -> Option<f64> {
        match self {
            Seconds::Any(most) => Some(most),
            Seconds::Each { kvm, tcg } => match accelerator {
                Accelerator::Kvm => kvm,
                Accelerator::Tcg => tcg,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::PastBoots;
    use super::super::record::{FileRecord, StepOutcome, StepRecord};
    use super::super::steps::StepKind;
    use super::*;
    use crate::boot::{Class, StageTime, Start};
    use std::collections::BTreeMap;

    fn record(bytes: u64, packages: usize, kernel: f64) -> Record {
        let time = |stage, at, took| StageTime { stage, at, took };
        let boot = BootRecord {
            file: "a.img".to_owned(),
            firmware: crate::plan::Firmware::Uefi,
            accelerator: Accelerator::Tcg,
            hardware: crate::boot::Hardware::default(),
            start: Start::default(),
            class: Class::LoginPrompt,
            seconds: 99.0,
            stages: vec![
                time(Stage::Firmware, 0.0, 5.0),
                time(Stage::Kernel, 5.0, kernel),
                time(Stage::Login, 5.0 + kernel, 0.5),
            ],
            advice: None,
            look_at: Vec::new(),
            cloud_requests: Vec::new(),
            checks: Vec::new(),
            report: "a/r".to_owned(),
        };
        let step = StepRecord {
            kind: StepKind::Boot,
            name: "boot a.img".to_owned(),
            command: String::new(),
            outcome: StepOutcome::Passed,
            seconds: 100.0,
            what: String::new(),
            lines: Vec::new(),
            earlier: Vec::new(),
            boot: Some(boot),
        };
        Record {
            kind: "a".to_owned(),
            steps: vec![step],
            files: vec![FileRecord { name: "a.img".to_owned(), format: "raw".to_owned(), bytes }],
            packages: (0..packages).map(|number| (number.to_string(), "1".to_owned())).collect(),
        }
    }

    fn lines(definition: &str, record: &Record, earlier: &Baseline) -> Vec<String> {
        let definition = serde_json::from_str(definition).unwrap();
        measure(&definition, record, earlier).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn budget_is_compared() {
        let definition = r#"{"boots": [], "budget": {
            "boot-seconds": {"tcg": 30, "kvm": 1}, "image-bytes": "1M", "packages": 2}}"#;
        assert_eq!(
            lines(definition, &record(1 << 20, 2, 25.0), &Baseline::default()),
            [
                "image-bytes of a.img: 1 MiB (1048576 bytes), budget 1 MiB (1048576 bytes)",
                "packages: 2, budget 2",
                "boot-seconds of boot a.img: 30.0 s, budget 30.0 s",
            ]
        );
        let over = lines(definition, &record((1 << 20) + 1, 3, 25.2), &Baseline::default());
        assert_eq!(over.iter().filter(|line| line.contains("over the budget of")).count(), 3, "{over:?}");
        assert!(lines(r#"{"boots": []}"#, &record(1, 1, 1.0), &Baseline::default()).is_empty());
    }

    fn baseline(files: &[f64], login: &[f64], kernel: &[f64]) -> Baseline {
        let boots = PastBoots {
            login: login.to_vec(),
            stages: BTreeMap::from([("kernel".to_owned(), kernel.to_vec())]),
        };
        Baseline {
            files: BTreeMap::from([("a.img".to_owned(), files.to_vec())]),
            packages: Vec::new(),
            boots: BTreeMap::from([(("boot a.img".to_owned(), "TCG".to_owned()), boots)]),
        }
    }

    #[test]
    fn regression_exceeds_share_and_spread() {
        let definition = r#"{"boots": [], "regression": "10%"}"#;
        let earlier = baseline(&[100.0, 100.0, 101.0], &[30.0, 31.0, 29.0], &[25.0, 26.0, 24.0]);
        let found = lines(definition, &record(110, 1, 29.0), &earlier);
        assert_eq!(
            found,
            [
                "image-bytes of a.img: 110 bytes, median of 3 earlier runs 100 bytes",
                "packages: 1, not compared: 0 of 3 earlier runs",
                "boot-seconds of boot a.img: 34.0 s, median of 3 earlier runs 30.0 s",
            ]
        );
        let found = lines(definition, &record(111, 1, 30.0), &earlier);
        assert!(found[0].contains("regression, median of 3"), "{found:?}");
        // 35 s are more than 10 % above the median, and more than three standard deviations of 1.48 s.
        assert_eq!(
            found[2],
            "boot-seconds of boot a.img: 35.0 s, regression, median of 3 earlier runs 30.0 s (slower: kernel 30.0 s)"
        );
        // On a noisy host the same time is usual.
        let noisy = baseline(&[], &[30.0, 36.0, 24.0, 33.0, 27.0], &[]);
        assert!(!lines(definition, &record(1, 1, 30.0), &noisy)[2].contains("regression"));
        // Another accelerator is no basis.
        let mut other = record(1, 1, 30.0);
        other.steps[0].boot.as_mut().unwrap().accelerator = Accelerator::Kvm;
        assert!(lines(definition, &other, &earlier)[2].contains("not compared"));
    }

    #[test]
    fn invalid_limits_are_rejected() {
        for text in [
            r#"{"boots": [], "regression": "10"}"#,
            r#"{"boots": [], "regression": "-1%"}"#,
            r#"{"boots": [], "budget": {"image-bytes": "rest"}}"#,
            r#"{"boots": [], "budget": {"seconds": 1}}"#,
        ] {
            assert!(serde_json::from_str::<Definition>(text).is_err(), "{text}");
        }
    }
}
