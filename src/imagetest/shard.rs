//! Distributes the image types of a run over several machines.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// More machines than there are types.
const MOST: usize = 10_000;

/// `--shard 2/4`: the second of four shards, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Shard {
    pub index: usize,
    pub count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers =
            text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers.map(|(index, count)| Shard { index, count }) {
            Some(shard) if shard.is_possible() => Ok(shard),
            _ => Err(format!("expected I/N, for example 2/4, with I from 1 to N and N at most {MOST}")),
        }
    }
}

impl Shard {
    pub fn is_possible(self) -> bool {
        self.count <= MOST && (1..=self.count).contains(&self.index)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The expected duration of each type: as before, or the median of the others if it was never measured.
pub(crate) fn expected<'n>(
    names: impl IntoIterator<Item = &'n str>,
    measured: &BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    let mut known: Vec<f64> = measured.values().copied().collect();
    known.sort_by(f64::total_cmp);
    let middle = known.get(known.len() / 2).copied().unwrap_or(1.0);
    names.into_iter().map(|name| (name.to_owned(), measured.get(name).copied().unwrap_or(middle))).collect()
}

/// The types by duration, longest first, so that the longest does not start last. Equal durations are sorted by name.
pub(crate) fn longest_first(expected: &BTreeMap<String, f64>) -> Vec<&str> {
    let mut names: Vec<(&str, f64)> =
        expected.iter().map(|(name, seconds)| (name.as_str(), *seconds)).collect();
    names.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    names.into_iter().map(|(name, _)| name).collect()
}

/// The types of one shard. Each shard computes this by itself from the same names and durations, and together the
/// shards contain every type exactly once.
pub(crate) fn part(expected: &BTreeMap<String, f64>, shard: Shard) -> Vec<String> {
    let mut loads = vec![0.0; shard.count];
    let mut mine = Vec::new();
    for name in longest_first(expected) {
        let least = (0..loads.len()).min_by(|a, b| f64::total_cmp(&loads[*a], &loads[*b])).unwrap_or(0);
        loads[least] += expected[name];
        if least + 1 == shard.index {
            mine.push(name.to_owned());
        }
    }
    mine.sort();
    mine
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shard_is_parsed() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
        for text in ["0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/1000000000000"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn unmeasured_type_takes_the_median() {
        let measured =
            BTreeMap::from([("a".to_owned(), 10.0), ("b".to_owned(), 30.0), ("c".to_owned(), 20.0)]);
        assert_eq!(
            expected(["b", "new"], &measured),
            BTreeMap::from([("b".to_owned(), 30.0), ("new".to_owned(), 20.0)])
        );
    }

    proptest! {
        /// Every type is in exactly one shard, and the load of no shard exceeds that of the least loaded one by more
        /// than the longest type.
        #[test]
        fn shards_are_a_partition_and_balanced(times in proptest::collection::vec(0.1f64..100.0, 0..40), count in 1usize..8) {
            let expected: BTreeMap<String, f64> =
                times.iter().enumerate().map(|(index, seconds)| (format!("type-{index}"), *seconds)).collect();
            let parts: Vec<Vec<String>> =
                (1..=count).map(|index| part(&expected, Shard { index, count })).collect();
            let mut all: Vec<String> = parts.iter().flatten().cloned().collect();
            all.sort();
            let names: Vec<String> = expected.keys().cloned().collect();
            prop_assert_eq!(all, names);
            let load = |part: &Vec<String>| part.iter().map(|name| expected[name]).sum::<f64>();
            let most = parts.iter().map(load).fold(0.0, f64::max);
            let least = parts.iter().map(load).fold(f64::INFINITY, f64::min);
            let longest = times.iter().copied().fold(0.0, f64::max);
            prop_assert!(most <= least + longest + 1e-9);
        }
    }
}
