//! Merges the parts of a run, so that nothing is lost or counted twice.

use super::record::{Record, Results, StepOutcome};
use super::shard::Shard;
use std::collections::{BTreeMap, BTreeSet};

/// A merged run, and what is missing from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    pub results: Results,
    /// The part that contains a type's reports, as an index into the merged parts.
    pub from: BTreeMap<String, usize>,
    /// Planned types without results.
    pub missing: Vec<String>,
    /// Shards without results.
    pub absent: Vec<usize>,
    /// Types with more than one result.
    pub repeated: Vec<String>,
    /// Parts of another commit, another version of ister or another number of shards than the newest part. They are
    /// ignored. Indices into the merged parts.
    pub foreign: Vec<usize>,
}

impl Merged {
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.absent.is_empty() && self.foreign.is_empty()
    }
}

/// Merges the results of any number of runs into one per run, oldest first. If two parts of a run contain the same type
/// (for example because a shard was abandoned and repeated elsewhere), one of them counts, see [`newer_counts`].
pub(crate) fn merge(parts: &[Results]) -> Vec<Merged> {
    let mut runs: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        runs.entry(&part.run.id).or_default().push(index);
    }
    let mut merged: Vec<Merged> = runs.into_values().map(|indices| merge_run(parts, indices)).collect();
    merged.sort_by(|a, b| a.results.run.started.cmp(&b.results.run.started));
    merged
}

fn merge_run(parts: &[Results], mut indices: Vec<usize>) -> Merged {
    indices.sort_by(|a, b| parts[*a].run.started.cmp(&parts[*b].run.started));
    let mut records: BTreeMap<&str, (usize, Record)> = BTreeMap::new();
    let mut repeated = BTreeSet::new();
    let mut planned = BTreeSet::new();
    let mut shards = BTreeSet::new();
    let mut count = 0;
    let mut foreign = Vec::new();
    // The part that was started last determines the expected commit.
    let wanted = &parts[indices[indices.len() - 1]].run;
    let of_same = |part: &Results| {
        let run = &part.run;
        let count = |shard: &Option<Shard>| shard.map(|shard| shard.count);
        (&run.revision, &run.ister) == (&wanted.revision, &wanted.ister)
            && count(&run.shard) == count(&wanted.shard)
    };
    for index in &indices {
        let part = &parts[*index];
        if !of_same(part) {
            foreign.push(*index);
            continue;
        }
        planned.extend(part.run.planned.iter().chain(&part.run.whole).cloned());
        if let Some(shard) = part.run.shard {
            count = count.max(shard.count);
            shards.insert(shard.index);
        }
        for record in &part.types {
            planned.insert(record.kind.clone());
            let one = match records.remove(record.kind.as_str()) {
                None => (*index, record.clone()),
                Some((earlier, older)) => {
                    repeated.insert(record.kind.clone());
                    match newer_counts(&older, record) {
                        true => (*index, record.clone().after(&older)),
                        false => (earlier, older),
                    }
                }
            };
            records.insert(&record.kind, one);
        }
    }
    indices.retain(|index| !foreign.contains(index));
    let mut run = parts[indices[0]].run.clone();
    // The duration of the run is that of its longest part.
    run.seconds = indices.iter().map(|index| parts[*index].run.seconds).fold(0.0, f64::max);
    run.shard = None;
    run.planned = planned.iter().cloned().collect();
    let results = Results {
        version: parts[indices[0]].version,
        run,
        types: records.values().map(|(_, record)| record.clone()).collect(),
    };
    Merged {
        missing: results.missing().into_iter().map(str::to_owned).collect(),
        from: records.iter().map(|(name, (index, _))| ((*name).to_owned(), *index)).collect(),
        absent: (1..=count).filter(|index| !shards.contains(index)).collect(),
        repeated: repeated.into_iter().collect(),
        foreign,
        results,
    }
}

/// Whether a newer result replaces an older one. A result that failed because of the host is replaced by any later one,
/// and replaces none. Otherwise the worse result counts.
fn newer_counts(older: &Record, newer: &Record) -> bool {
    match (older.outcome(), newer.outcome()) {
        (StepOutcome::Infrastructure, _) => true,
        (_, StepOutcome::Infrastructure) => false,
        (older, newer) => newer >= older,
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{RESULTS_VERSION, StepRecord, TestRun};
    use super::super::steps::StepKind;
    use super::*;

    fn results(
        id: &str,
        started: &str,
        shard: Option<(usize, usize)>,
        planned: &[&str],
        done: &[(&str, StepOutcome)],
    ) -> Results {
        let record = |(kind, outcome): &(&str, StepOutcome)| Record {
            kind: (*kind).to_owned(),
            steps: vec![StepRecord {
                kind: StepKind::Build,
                name: "build".to_owned(),
                command: String::new(),
                outcome: *outcome,
                seconds: 1.0,
                what: "disk full".to_owned(),
                lines: Vec::new(),
                earlier: Vec::new(),
                boot: None,
            }],
            files: Vec::new(),
            packages: BTreeMap::new(),
        };
        Results {
            version: RESULTS_VERSION,
            run: TestRun {
                id: id.to_owned(),
                started: started.to_owned(),
                seconds: 2.0,
                revision: None,
                shard: shard.map(|(index, count)| Shard { index, count }),
                planned: planned.iter().map(|name| (*name).to_owned()).collect(),
                whole: Vec::new(),
                ister: "0".to_owned(),
            },
            types: done.iter().map(record).collect(),
        }
    }

    #[test]
    fn shards_are_merged_into_one_run() {
        let parts = [
            results("r", "2026-01-01T00:00:02Z", Some((2, 2)), &["b"], &[("b", StepOutcome::Failed)]),
            results(
                "r",
                "2026-01-01T00:00:01Z",
                Some((1, 2)),
                &["a", "c"],
                &[("a", StepOutcome::Passed), ("c", StepOutcome::Flaky)],
            ),
        ];
        let merged = merge(&parts);
        assert_eq!(merged.len(), 1);
        let run = &merged[0];
        assert!(run.is_whole());
        let names: Vec<&str> = run.results.types.iter().map(|record| record.kind.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(run.from["b"], 0);
        assert_eq!(run.results.run.started, "2026-01-01T00:00:01Z");
    }

    #[test]
    fn missing_parts_are_listed_and_repeated_types_count_once() {
        let parts = [
            results(
                "r",
                "2026-01-01T00:00:01Z",
                Some((1, 3)),
                &["a", "d"],
                &[("a", StepOutcome::Infrastructure)],
            ),
            results("r", "2026-01-01T00:00:09Z", Some((1, 3)), &["a", "d"], &[("a", StepOutcome::Passed)]),
            results("r", "2026-01-01T00:00:01Z", Some((3, 3)), &["b"], &[("b", StepOutcome::Passed)]),
            results("older", "2025-01-01T00:00:01Z", None, &["z"], &[("z", StepOutcome::Passed)]),
        ];
        let merged = merge(&parts);
        assert_eq!(merged[0].results.run.id, "older");
        let run = &merged[1];
        assert_eq!((run.missing.as_slice(), run.absent.as_slice()), (&["d".to_owned()][..], &[2][..]));
        assert_eq!(run.repeated, ["a"]);
        assert_eq!((run.results.types.len(), run.from["a"]), (2, 1));
        // It passed, but not on the first attempt.
        assert_eq!(run.results.types[0].outcome(), StepOutcome::Flaky);
        assert_eq!(run.results.types[0].steps[0].earlier, ["disk full"]);
    }

    #[test]
    fn failure_is_not_replaced_by_a_later_pass() {
        use StepOutcome::*;
        for (older, newer, counts) in [
            (Failed, Passed, Failed),
            (Failed, Infrastructure, Failed),
            (Passed, Failed, Failed),
            (Passed, Infrastructure, Passed),
            (Infrastructure, Infrastructure, Infrastructure),
            (Flaky, Passed, Flaky),
            (Passed, Flaky, Flaky),
        ] {
            let part = |time: &str, outcome| results("r", time, None, &["a"], &[("a", outcome)]);
            let merged = merge(&[part("2026-01-01", older), part("2026-01-02", newer)]);
            assert_eq!(merged[0].results.types[0].outcome(), counts, "{older:?}, {newer:?}");
        }
    }

    #[test]
    fn parts_of_another_commit_are_ignored() {
        let part = |time: &str, index: usize, name: &str, revision: &str| {
            let mut part = results("r", time, Some((index, 2)), &[name], &[(name, StepOutcome::Passed)]);
            part.run.revision = Some(revision.to_owned());
            part.run.whole = vec!["a".to_owned(), "b".to_owned()];
            part
        };
        let merged = merge(&[part("2026-01-02", 2, "b", "new"), part("2026-01-01", 1, "a", "old")]);
        assert_eq!((merged[0].foreign.as_slice(), merged[0].absent.as_slice()), (&[1][..], &[1][..]));
        assert_eq!(merged[0].missing, ["a"]);
        assert!(!merged[0].is_whole());
    }
}
