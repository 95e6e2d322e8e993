//! Searches the least memory with which an image reaches its login prompt.

use super::definition::{BootCase, ImageType, LEAST_MEMORY};
use super::run::{plan_of, run_step};
use super::steps::{TypePaths, build_step, small_step};
use crate::boot::{Class, Stage};
use crate::host::{Context, Failure, Progress};
use serde::Serialize;

/// The precision of the result in MiB.
const PRECISION: u32 = 16;

/// The result for a type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LeastMemory {
    #[serde(rename = "type")]
    pub kind: String,
    pub file: String,
    /// In MiB, a multiple of 16. Nothing if the boot fails even with the memory of type.json.
    pub memory: Option<u32>,
    /// The boots, in their order.
    pub boots: Vec<SmallBoot>,
}

/// A boot with little memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SmallBoot {
    /// In MiB.
    pub memory: u32,
    pub class: Class,
    /// The last stage that was reached.
    pub stage: Option<Stage>,
    pub seconds: f64,
}

/// Builds a type, and boots its first file until the least memory is found.
pub(crate) fn least_memory(
    kind: &ImageType,
    place: &TypePaths,
    more: &[String],
    progress: &dyn Progress,
) -> Result<LeastMemory, Failure> {
    let case =
        kind.definition.boots.iter().find(|case| !case.direct).ok_or_else(|| {
            Failure::new(format!("type.json of `{}` has no boot through firmware", kind.name))
        })?;
    let made = std::fs::create_dir_all(place.directory)
        .context(|| format!("could not create the directory `{}`", place.directory.display()));
    let (built, answer) = run_step(&kind.name, &build_step(kind, place, more), made, progress);
    if !built.outcome.is_good() {
        return Err(Failure::new(format!("`{}` was not built", kind.name)).detail(built.lines.join("\n")));
    }
    let plan = plan_of(kind, &answer)?;
    // The raw image does not have to be unpacked for each boot.
    let is_raw = |image: &&str| case.file.starts_with(&format!("{image}."));
    let file = plan.image().filter(is_raw).unwrap_or(&case.file);
    let mut boots = Vec::new();
    let memory = search(case.hardware.memory, |memory| {
        let small = BootCase { file: file.to_owned(), ..case.with_memory(memory) };
        let step = small_step(&small, kind, &plan, place);
        let (record, _) = run_step(&kind.name, &step, Ok(()), progress);
        let boot = record.boot.ok_or_else(|| {
            Failure::new(format!("`{file}` was not booted with {memory} MiB")).detail(record.lines.join("\n"))
        })?;
        boots.push(SmallBoot {
            memory,
            class: boot.class,
            stage: boot.stages.last().map(|time| time.stage),
            seconds: boot.seconds,
        });
        Ok(record.outcome.is_good())
    })?;
    Ok(LeastMemory { kind: kind.name.clone(), file: file.to_owned(), memory, boots })
}

/// The least multiple of [`PRECISION`] up to `most` that is enough, if more memory is never worse. `most` is tried first.
fn search(
    most: u32,
    mut is_enough: impl FnMut(u32) -> Result<bool, Failure>,
) -> Result<Option<u32>, Failure> {
    if !is_enough(most)? {
        return Ok(None);
    }
    // In units of the precision: `few` is not enough, `enough` is.
    let (mut few, mut enough) = (LEAST_MEMORY / PRECISION - 1, most.div_ceil(PRECISION));
    while few + 1 < enough {
        let middle = few.midpoint(enough);
        if is_enough(middle * PRECISION)? { enough = middle } else { few = middle }
    }
    Ok(Some((enough * PRECISION).min(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_memory_is_found() {
        for (most, needed, found) in [
            (1024, 100, Some(112)),
            (1024, 1, Some(16)),
            (100, 99, Some(100)),
            (16, 16, Some(16)),
            (64, 65, None),
        ] {
            let mut tried = Vec::new();
            let answer = search(most, |memory| {
                tried.push(memory);
                Ok(memory >= needed)
            });
            assert_eq!(answer.unwrap(), found);
            assert!(tried.len() <= 8 && tried.iter().all(|memory| *memory <= most), "{tried:?}");
        }
    }
}
