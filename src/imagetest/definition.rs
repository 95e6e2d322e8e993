//! `type.json`.

use super::record::is_plain;
use crate::boot::{AllowedNote, Checks, Cloud, Hardware, NoteKind};
use crate::host::{Context, Failure};
use crate::plan::Firmware;
use crate::template::{Bytes, Size};
use serde::{Deserialize, Deserializer, de::Error};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The least memory of a guest, in MiB.
pub(super) const LEAST_MEMORY: u32 = 16;

/// How a type is tested.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// The published formats, as in a template's `Formats`. By default those of the template.
    #[serde(default)]
    pub formats: Option<Vec<String>>,
    /// All boots that have to reach the login prompt. Empty for content that no firmware boots.
    pub boots: Vec<BootCase>,
    /// The most that the results may be. A type that exceeds it fails with `over-budget`.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// By how much a result may exceed the median of earlier runs, such as "10%". It must also exceed their usual
    /// spread. A type that does fails with `regression`. This needs `--history` with at least three good runs.
    #[serde(default, deserialize_with = "percent")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("pattern" = r"^[0-9]+(\.[0-9]+)?%$")))]
    pub regression: Option<Percent>,
}

/// The most that the results of a type may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Budget {
    /// Seconds from power-on to the login prompt, for each boot.
    pub boot_seconds: Option<Seconds>,
    /// The size of each published file without holes, in bytes or such as "700M".
    #[serde(default, deserialize_with = "bytes")]
    #[cfg_attr(test, schemars(with = "Option<StringOrNumber>"))]
    pub image_bytes: Option<Bytes>,
    /// The number of packages.
    pub packages: Option<u64>,
    /// The first file is booted once more with this memory, in MiB, and has to reach the login prompt.
    pub memory_mib: Option<u32>,
}

/// Seconds with any accelerator, or with each of them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Seconds {
    Any(f64),
    Each { kvm: Option<f64>, tcg: Option<f64> },
}

/// A number of percent above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent(pub f64);

#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only for the JSON Schema")]
enum StringOrNumber {
    String(String),
    Number(u64),
}

/// One boot of one published file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BootCase {
    /// The file name in the plan: the raw image or a file of `Formats`.
    pub file: String,
    /// By default the firmware of the plan.
    pub firmware: Option<Firmware>,
    #[serde(default)]
    pub hardware: Hardware,
    /// The host name in a NoCloud seed, which the login prompt must show.
    pub seed: Option<String>,
    /// The cloud that the machine looks like: its metadata service or medium. The instance has to use it: key, user data,
    /// host name, sudo, name resolution. This replaces `seed`, `ssh` and `console`.
    pub cloud: Option<Cloud>,
    /// The size of an additional empty disk, for an installer.
    #[serde(default, deserialize_with = "size")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub target: Option<Bytes>,
    /// root logs in over ssh with a key of the test, which is passed to the guest as a systemd credential. No unit may
    /// have failed.
    #[serde(default)]
    pub ssh: bool,
    /// The same on the serial console, for types without an ssh server: another systemd credential adds a user without
    /// a password to the running system.
    #[serde(default)]
    pub console: bool,
    /// Power off with the power button, and boot again.
    #[serde(default)]
    pub again: bool,
    /// Install newer packages including a kernel, boot the new kernel, remove the old one, and boot again. This
    /// replaces `again`.
    #[serde(default)]
    pub update: bool,
    /// Reinstall the kernel's own package before the update.
    #[serde(default = "yes")]
    pub reinstall: bool,
    /// By how much the disk is larger than the image, such as "+4G". The root filesystem has to fill it.
    #[serde(default, deserialize_with = "size")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub grow: Option<Bytes>,
    /// Checks in the guest, in the format of goss: a file in the directory of the type, or the checks themselves. They
    /// need `ssh` or `console`.
    pub checks: Option<GuestChecks>,
    /// Scripts in the directory of the type that are run in the guest. They need `ssh` or `console`.
    #[serde(default)]
    pub tests: Vec<String>,
    /// Start the kernel of the boot loader entry without firmware and boot loader.
    #[serde(default)]
    pub direct: bool,
    /// Health notes that are not failures.
    #[serde(default)]
    pub allow: Vec<Allowance>,
}

/// Checks in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum GuestChecks {
    /// The name of a YAML or JSON file.
    File(String),
    Inline(serde_json::Map<String, serde_json::Value>),
}

/// A known health note: its reason, and the last day on which it is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Allowance {
    pub kind: NoteKind,
    /// A substring of the line.
    pub text: String,
    pub reason: String,
    /// The last day, such as 2027-06-30.
    pub until: String,
}

impl Allowance {
    /// The argument of `ister boot --allow`.
    pub(crate) fn argument(&self) -> String {
        format!("{}:{}:{}", self.kind, self.until, self.text)
    }
}

/// The default of `reinstall`.
fn yes() -> bool {
    true
}

/// A size as in a template, such as "8G", or "+4G".
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    let text = String::deserialize(from)?;
    match Size::parse(text.strip_prefix('+').unwrap_or(&text)) {
        Ok(Size::Exact(size)) => Ok(Some(size)),
        Ok(Size::Rest) => Err(D::Error::custom("`rest` is not a valid disk size")),
        Err(fault) => Err(D::Error::custom(fault)),
    }
}

/// A number of percent, such as "10%".
fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Percent>, D::Error> {
    let text = String::deserialize(from)?;
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number.filter(|number| (0.1..=1000.0).contains(number)) {
        Some(number) => Ok(Some(Percent(number))),
        None => Err(D::Error::custom(format!("`{text}` is not a number of percent between 0.1% and 1000%"))),
    }
}

/// A number of bytes, or a size such as "700M".
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Text(String),
    }
    match Form::deserialize(from)? {
        Form::Number(number) => Ok(Some(Bytes(number))),
        Form::Text(text) => match Size::parse(&text) {
            Ok(Size::Exact(size)) => Ok(Some(size)),
            Ok(Size::Rest) => Err(D::Error::custom("`rest` is not a number of bytes")),
            Err(fault) => Err(D::Error::custom(fault)),
        },
    }
}

/// An image type with its directory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImageType {
    pub name: String,
    pub template: PathBuf,
    pub definition: Definition,
}

impl ImageType {
    /// The memory in MiB that its guests need. They run one at a time.
    pub(crate) fn memory(&self) -> u32 {
        self.definition.boots.iter().map(|case| case.hardware.memory).max().unwrap_or(0)
    }
}

impl Definition {
    pub(super) fn has_limits(&self) -> bool {
        self.budget.is_some() || self.regression.is_some()
    }

    /// A boot of the first file with the memory of the budget.
    pub(super) fn small_boot(&self) -> Option<BootCase> {
        let memory = self.budget?.memory_mib?;
        self.boots.iter().find(|case| !case.direct).map(|case| case.with_memory(memory))
    }
}

impl BootCase {
    /// The same file on the same machine with this memory. Nothing but the login prompt is asked of it.
    pub(crate) fn with_memory(&self, memory: u32) -> BootCase {
        BootCase {
            file: self.file.clone(),
            firmware: self.firmware,
            hardware: Hardware { memory, ..self.hardware },
            seed: None,
            cloud: None,
            target: None,
            ssh: false,
            console: false,
            again: false,
            update: false,
            reinstall: true,
            grow: None,
            checks: None,
            tests: Vec::new(),
            direct: self.direct,
            allow: Vec::new(),
        }
    }
}

/// Checks that serde cannot express.
fn check(definition: &Definition) -> Result<(), String> {
    for case in &definition.boots {
        let others =
            case.seed.is_some() || case.ssh || case.console || case.update || case.again || case.direct;
        if case.cloud.is_some() && others {
            return Err(format!(
                "`cloud` of `{}` cannot be combined with `seed`, `ssh`, `console`, `update`, `again` or `direct`",
                case.file
            ));
        }
        let logs_in = case.ssh || case.console;
        if case.update && !logs_in || case.grow.is_some() && !logs_in && case.cloud.is_none() {
            return Err(format!(
                "`update` and `grow` of `{}` need `ssh` or `console`, or `cloud` for `grow`",
                case.file
            ));
        }
    }
    for case in &definition.boots {
        if (case.checks.is_some() || !case.tests.is_empty()) && !case.ssh && !case.console {
            return Err(format!("`checks` and `tests` of `{}` need `ssh` or `console`", case.file));
        }
        if let Some(GuestChecks::Inline(checks)) = &case.checks {
            let text = serde_json::Value::Object(checks.clone()).to_string();
            Checks::default().add(&text).map_err(|why| format!("`checks` of `{}`: {why}", case.file))?;
        }
    }
    check_limits(definition)?;
    for allowance in definition.boots.iter().flat_map(|case| &case.allow) {
        allowance.argument().parse::<AllowedNote>()?;
        if allowance.reason.trim().is_empty() {
            return Err(format!("`allow` for {} has no `reason`", allowance.kind));
        }
    }
    Ok(())
}

fn check_limits(definition: &Definition) -> Result<(), String> {
    let Some(budget) = &definition.budget else { return Ok(()) };
    let seconds = match budget.boot_seconds {
        None => vec![],
        Some(Seconds::Any(seconds)) => vec![seconds],
        Some(Seconds::Each { kvm, tcg }) => kvm.into_iter().chain(tcg).collect(),
    };
    if seconds.iter().any(|seconds| *seconds <= 0.0) {
        return Err("`boot-seconds` has to be greater than 0".to_owned());
    }
    if budget.memory_mib.is_some_and(|memory| memory < LEAST_MEMORY) {
        return Err(format!("`memory-mib` has to be at least {LEAST_MEMORY}"));
    }
    if (budget.memory_mib.is_some() || !seconds.is_empty()) && definition.boots.is_empty() {
        return Err("`memory-mib` and `boot-seconds` need at least one boot".to_owned());
    }
    Ok(())
}

/// Reads the image types in a directory: all subdirectories with a `type.json`, sorted by name.
pub(crate) fn read_types(directory: &Path) -> Result<Vec<ImageType>, Failure> {
    let context = || format!("could not read the image types in `{}`", directory.display());
    let mut types = Vec::new();
    for entry in std::fs::read_dir(directory).context(context)? {
        let place = entry.context(context)?.path();
        let path = place.join("type.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // A file, or a directory that is not an image type.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(error).context(|| format!("could not read `{}`", path.display())),
        };
        let definition = serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!("invalid image type `{}`", path.display()))
                .detail(error.to_string())
                .help("see vm-tests/kvm/type.json for an example")
        })?;
        check(&definition)
            .map_err(|why| Failure::new(format!("invalid image type `{}`", path.display())).detail(why))?;
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_plain(&name) {
            return Err(Failure::new(format!("invalid image type name `{}`", place.display())).help(
                "use letters, digits, `-`, `_`, `.` and `+`, begin with a letter or digit, and do not end with `.html`",
            ));
        }
        types.push(ImageType { name, template: place.join("template.json"), definition });
    }
    types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(types)
}
