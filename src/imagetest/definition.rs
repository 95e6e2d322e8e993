//! `type.json`.

use super::record::is_plain;
use crate::boot::{AllowedNote, Hardware, NoteKind};
use crate::host::{Context, Failure};
use crate::plan::Firmware;
use crate::template::{Bytes, Size};
use serde::{Deserialize, Deserializer, de::Error};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How a type is proven.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// What is published, as in a template's `Formats`; that of the template where nothing is said.
    pub formats: Option<Vec<String>>,
    /// Every boot that has to reach its prompt; none for what no firmware starts.
    pub boots: Vec<BootCase>,
}

/// One boot of one published file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BootCase {
    /// The file's name, as the plan has it: the raw image or one of `Formats`.
    pub file: String,
    /// That of the plan where nothing is said.
    pub firmware: Option<Firmware>,
    #[serde(default)]
    pub hardware: Hardware,
    /// The host name that a NoCloud seed gives the instance; the prompt must have it.
    pub seed: Option<String>,
    /// An empty disk of this size besides, for an installer.
    #[serde(default, deserialize_with = "size")]
    pub target: Option<Bytes>,
    /// root logs in with a key of the test, which reaches the guest as a credential of systemd's; nothing may have failed.
    #[serde(default)]
    pub ssh: bool,
    /// The same on the serial console, for what has no ssh server: by a user without a password whom another credential of
    /// systemd's adds to the running system.
    #[serde(default)]
    pub console: bool,
    /// The power button, and a second boot.
    #[serde(default)]
    pub again: bool,
    /// Newer packages are installed, a kernel among them; that is booted, the old one removed, and booted once more. In place of
    /// `again`.
    #[serde(default)]
    pub update: bool,
    /// Before that, the kernel's own package is installed again.
    #[serde(default = "yes")]
    pub reinstall: bool,
    /// How much larger than the image the disk is, as "+4G": the root filesystem has to fill it.
    #[serde(default, deserialize_with = "size")]
    pub grow: Option<Bytes>,
    /// The kernel of its loader entry is started without firmware and loader.
    #[serde(default)]
    pub direct: bool,
    /// Health notes that are no failure.
    #[serde(default)]
    pub allow: Vec<Allowance>,
}

/// A known health note: why it is there, and until when that may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allowance {
    pub kind: NoteKind,
    /// A part of the line.
    pub text: String,
    pub reason: String,
    /// The last day, as 2027-06-30.
    pub until: String,
}

impl Allowance {
    /// As `ister boot --allow` takes it.
    pub(crate) fn argument(&self) -> String {
        format!("{}:{}:{}", self.kind, self.until, self.text)
    }
}

/// The default where nothing is said.
fn yes() -> bool {
    true
}

/// As in a template: "8G"; or "+4G".
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    let text = String::deserialize(from)?;
    match Size::parse(text.strip_prefix('+').unwrap_or(&text)) {
        Ok(Size::Exact(size)) => Ok(Some(size)),
        Ok(Size::Rest) => Err(D::Error::custom("`rest` is no size of a disk")),
        Err(fault) => Err(D::Error::custom(fault)),
    }
}

/// A type with its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageType {
    pub name: String,
    pub template: PathBuf,
    pub definition: Definition,
}

impl ImageType {
    /// MiB that its guests need, one at a time.
    pub(crate) fn memory(&self) -> u32 {
        self.definition.boots.iter().map(|case| case.hardware.memory).max().unwrap_or(0)
    }
}

/// What its form does not say.
fn check(definition: &Definition) -> Result<(), String> {
    for case in &definition.boots {
        if (case.update || case.grow.is_some()) && !case.ssh && !case.console {
            return Err(format!("`update` and `grow` of `{}` need `ssh` or `console`", case.file));
        }
    }
    for allowance in definition.boots.iter().flat_map(|case| &case.allow) {
        allowance.argument().parse::<AllowedNote>()?;
        if allowance.reason.trim().is_empty() {
            return Err(format!("`allow` of {} has no `reason`", allowance.kind));
        }
    }
    Ok(())
}

/// The types of a directory: its directories that have a `type.json`, by name.
pub(crate) fn read_types(directory: &Path) -> Result<Vec<ImageType>, Failure> {
    let context = || format!("could not read the image types in `{}`", directory.display());
    let mut types = Vec::new();
    for entry in std::fs::read_dir(directory).context(context)? {
        let place = entry.context(context)?.path();
        let path = place.join("type.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // Another directory, or a file.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(error).context(|| format!("could not read `{}`", path.display())),
        };
        let definition = serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!("`{}` does not define an image type", path.display()))
                .detail(error.to_string())
                .help("vm-tests/kvm/type.json is an example")
        })?;
        check(&definition).map_err(|why| {
            Failure::new(format!("`{}` does not define an image type", path.display())).detail(why)
        })?;
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_plain(&name) {
            return Err(Failure::new(format!("`{}` is no name for an image type", place.display())).help(
                "letters, digits, `-`, `_`, `.` and `+`, a letter or digit first, and not `.html` last",
            ));
        }
        types.push(ImageType { name, template: place.join("template.json"), definition });
    }
    types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(types)
}
