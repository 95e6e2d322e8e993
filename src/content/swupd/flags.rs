//! The third flag of a manifest line: the CPU level a file was built for.
//!
//! 64 letters encode the values 0 to 63, of which 0 to 19 are defined. Source: swupd-client, manifest_parser.c;
//! mixer-tools, swupd/manifest.go.

/// CPU level of a file, as far as it matters for an image, which may boot on any CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Runs on every CPU of the architecture.
    Baseline,
    /// A variant for newer CPUs (AVX2, AVX512, APX), in addition to the baseline file.
    Newer,
    /// An undefined level.
    Unknown,
}

/// Letters in the order of their values. `b`, `s` and `C` are unused: they used to mark boot, state and configuration
/// files.
const LETTERS: &[u8; 64] = b".acdefghijklmnopqrtuvwxyzABDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#^*";
const DEFINED: usize = 20;
/// Defined letters for files that run on every CPU.
const BASELINE: &[u8] = b".acdijkl";

/// Returns the level of a flag. Other characters count as the baseline.
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
    fn letters_map_to_levels() {
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
