//! The third flag of a manifest's line: which level of CPU a file was built for.
//!
//! 64 letters stand for the values 0 to 63; 0 to 19 are defined. Source: swupd-client, manifest_parser.c; mixer-tools,
//! swupd/manifest.go.

/// What a file's level means for an image, which may boot on any CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// For every CPU of the architecture.
    Baseline,
    /// A variant for newer ones (AVX2, AVX512, APX), beside the one for every CPU.
    Newer,
    /// Of a level that is not defined.
    Unknown,
}

/// In the order of their values. `b`, `s` and `C` are left out: once they marked boot, state and configuration files.
const LETTERS: &[u8; 64] = b".acdefghijklmnopqrtuvwxyzABDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#^*";
const DEFINED: usize = 20;
/// Those of the defined ones that every CPU runs.
const BASELINE: &[u8] = b".acdijkl";

/// A character that is no letter of these counts as none.
pub(super) fn level(letter: u8) -> Level {
    match LETTERS.iter().position(|known| *known == letter) {
        None => Level::Baseline,
        Some(value) if value >= DEFINED => Level::Unknown,
        Some(_) if BASELINE.contains(&letter) => Level::Baseline,
        Some(_) => Level::Newer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_its_level() {
        let of = |level_wanted: Level| -> String {
            (33..127u8).filter(|letter| level(*letter) == level_wanted).map(char::from).collect()
        };
        assert_eq!(of(Level::Newer), "efghmnopqrtu");
        for letter in ".acdijklbsC\"$%&'()+,-/:;<=>?@[\\]_`{|}~".bytes() {
            assert_eq!(level(letter), Level::Baseline, "{}", char::from(letter));
        }
        assert_eq!(of(Level::Unknown).len(), 44);
    }
}
