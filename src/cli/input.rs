//! Reads templates and turns them into findings and plans. Shared by several subcommands.

use super::changes::ChangeArgs;
use super::console::{Console, print, use_colour};
use super::files::{definitions, definitions_in, directory_of, file_facts_in, read_source};
use crate::host::{About, Failure, Part, visible};
use crate::lint::{FileFact, Files, Level, LintResult, lint};
use crate::plan::bundle::Definitions;
use crate::plan::layout::SectorSize;
use crate::plan::{self, Content, Device, Footprint, Inputs, Origin, Plan, PlanError, Secrets};
use crate::report;
use crate::template::{Bytes, Override, PartitionRef, Size, SoftwareManager, SourceText, Span, parse};
use anyhow::Context;
use anyhow::bail;
use clap::Args;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The template, as a positional argument or as an option.
#[derive(Args, Debug)]
pub(super) struct TemplateArgs {
    /// Template, a JSON file; `-` reads standard input
    #[arg(value_name = "TEMPLATE")]
    template: Option<PathBuf>,

    /// Template, as an option for compatibility with ister.py
    #[arg(
        short = 't',
        long = "template-file",
        visible_alias = "template",
        value_name = "TEMPLATE",
        conflicts_with = "template"
    )]
    template_option: Option<PathBuf>,

    #[command(flatten)]
    changes: ChangeArgs,
}

impl TemplateArgs {
    pub(super) fn read(&self) -> anyhow::Result<Input> {
        self.changes.read(self.path()?)
    }

    /// The path from the command line.
    pub(super) fn named(&self) -> Option<&Path> {
        self.template.as_deref().or(self.template_option.as_deref())
    }

    pub(super) fn path(&self) -> anyhow::Result<&Path> {
        self.named().context("missing template; create one with `ister new`")
    }

    pub(super) fn is_stdin(&self) -> bool {
        self.template.as_deref() == Some(Path::new("-"))
            || self.template_option.as_deref() == Some(Path::new("-"))
    }

    pub(super) fn changes(&self) -> &ChangeArgs {
        &self.changes
    }
}

/// A template with its findings.
pub(super) struct Input {
    pub source: SourceText,
    pub linted: LintResult,
    files: Files,
    definitions: Definitions,
    origin: Origin,
    sector_size: SectorSize,
    /// Size of a physical disk that is not in this machine.
    device_size: Option<Bytes>,
    /// File names of the templates whose content is embedded in the image.
    pub embedded: Vec<String>,
    pub seed: Option<String>,
    /// Where relative paths in the template start; `None` for the working directory.
    pub directory: Option<PathBuf>,
}

impl ChangeArgs {
    /// Reads the template and applies the overrides. Unreadable files are usage errors.
    pub(super) fn read(&self, path: &Path) -> anyhow::Result<Input> {
        let source = read_source(path, None)?;
        let directory = directory_of(&source).map(Path::to_owned);
        self.apply(source, directory)
    }

    /// Applies the overrides. Relative paths in the template start at `directory`, else at the working directory.
    pub(super) fn apply(&self, mut source: SourceText, directory: Option<PathBuf>) -> anyhow::Result<Input> {
        if let Some(Err(fault)) = self.disk_size.as_deref().map(Size::parse) {
            bail!("--disk-size: {fault}");
        }
        // Physical disks have their own size.
        let virtual_size = self.disk_size.as_ref().filter(|_| !parse(&source).0.is_physical()).cloned();
        let named = [("SoftwareManager", &self.software_manager), ("DiskSize", &virtual_size)];
        for (key, value) in named {
            if let Some(value) = value {
                source = Override::string(key, value).apply(&source);
            }
        }
        for change in &self.set {
            source = change.apply(&source);
        }
        if let Some(size) = self.image_size {
            source = with_disk_size(source, size);
        }
        let mut definitions = definitions(self.bundles.as_deref())?;
        // The built-in definitions use Debian package names.
        if parse(&source).0.manager() == Some(SoftwareManager::Dnf) {
            definitions = definitions_in(self.bundles.as_deref(), Definitions::default())?;
        }
        let mut files = Files::new();
        let linted = lint(&source, &definitions, |template| {
            files = file_facts_in(template, directory.as_deref());
            files.clone()
        });
        Ok(Input {
            source,
            linted,
            files,
            definitions,
            origin: self.origin(),
            sector_size: self.sector_size,
            device_size: match self.disk_size.as_deref().map(Size::parse) {
                Some(Ok(Size::Exact(size))) => Some(size),
                _ => None,
            },
            embedded: Vec::new(),
            seed: self.seed.clone(),
            directory,
        })
    }
}

impl Input {
    /// Shows errors and warnings on stderr; returns `false` if there are errors.
    pub(super) fn show_findings(&self, console: &Console) -> bool {
        // Only `ister lint` shows notes.
        let shown: Vec<_> = self.linted.findings.iter().filter(|f| f.level != Level::Note).cloned().collect();
        let text = report::findings_human(&self.source, &self.linted.node, &shown, console.colour());
        if !text.is_empty() {
            console.say(text.trim_end());
        }
        let errors = self.linted.findings.iter().filter(|f| f.level == Level::Error).count();
        if errors > 0 {
            console.say(&format!("\n`{}` cannot be used: {}", self.source.name(), count(errors, "error")));
        }
        errors == 0
    }

    /// The plan; `None`, with the reasons on stderr, if the template cannot be planned. The footprint describes the
    /// installed content, if it is known.
    pub(super) fn plan(
        &self,
        footprint: Option<&Footprint>,
        console: &Console,
    ) -> anyhow::Result<Option<(Plan, Secrets)>> {
        let mut inputs = self.inputs();
        inputs.footprint = footprint;
        if self.linted.template.is_physical() {
            inputs.devices = self.devices()?;
        }
        let decided = plan::decide(&self.linted.template, &self.linted.node, &inputs);
        let Some((plan, mut secrets)) = self.or_show(decided, console) else { return Ok(None) };
        if let Some(directory) = &self.directory {
            secrets.start_at(directory);
        }
        Ok(Some((plan, secrets)))
    }

    /// The content to install; `None`, with the reasons on stderr, if it cannot be decided.
    pub(super) fn content(&self, console: &Console) -> Option<Content> {
        self.or_show(plan::decide_content(&self.linted.template, &self.inputs()), console)
    }

    fn or_show<T>(&self, decided: Result<T, Vec<PlanError>>, console: &Console) -> Option<T> {
        decided.map_err(|refusals| self.show_plan_errors(&refusals, console)).ok()
    }

    fn inputs(&self) -> Inputs<'_> {
        let key_files = self.files.iter().filter_map(|(path, fact)| match fact {
            FileFact::Text(text) => Some((path.clone(), text.clone())),
            _ => None,
        });
        Inputs {
            origin: self.origin.clone(),
            embedded: self.embedded.clone(),
            key_files: key_files.collect(),
            sector_size: self.sector_size,
            seed: self.seed.as_deref(),
            ..Inputs::new(&self.definitions)
        }
    }

    /// The disks of a physical target, with their partition tables if those are preserved.
    fn devices(&self) -> anyhow::Result<BTreeMap<String, Device>> {
        let template = &self.linted.template;
        let keeps = template.disabled_new_partitions.as_ref().is_some_and(|kept| kept.value);
        let mut devices = BTreeMap::new();
        for name in template.layout().iter().filter_map(|entry| entry.place.disk.as_ref()) {
            if devices.contains_key(&name.value) {
                continue;
            }
            let imagined =
                self.device_size.map(|size| Device { size, sector_size: self.sector_size, table: None });
            let facts = device(&name.value, keeps)?.or(imagined);
            if let Some(facts) = facts {
                devices.insert(name.value.clone(), facts);
            }
        }
        Ok(devices)
    }

    /// Shows a failure at the place in the template that caused it; returns `false` if there is none.
    pub(super) fn show_failure(&self, failure: &Failure, console: &Console) -> bool {
        let Some(about) = failure.about.as_deref() else { return false };
        let Some(span) = self.span_of(about) else { return false };
        let help = failure.help.clone().unwrap_or_default();
        let (message, details) = match (about, &failure.details[..]) {
            (About::Partition { .. }, [detail]) => (format!("{}: {detail}", failure.message), &[][..]),
            (_, details) => (failure.message.clone(), details),
        };
        self.show_at("build", &[PlanError::new(span, message, help)], console);
        for detail in details {
            console.say(&format!("  {}", visible(detail)));
        }
        true
    }

    fn span_of(&self, about: &About) -> Option<Span> {
        let template = &self.linted.template;
        match about {
            About::Partition { disk, partition, what } => {
                let is_it = |place: &PartitionRef| {
                    place.partition.as_ref().is_some_and(|number| number.value == *partition)
                        && place
                            .disk
                            .as_ref()
                            .is_some_and(|name| name.value.rsplit('/').next() == disk.rsplit('/').next())
                };
                match what {
                    Part::Size => {
                        let entry = template.layout().iter().find(|entry| is_it(&entry.place))?;
                        Some(entry.size.as_ref()?.span)
                    }
                    Part::Filesystem => {
                        let entry = template.filesystems().iter().find(|entry| is_it(&entry.place))?;
                        Some(entry.kind.as_ref()?.span)
                    }
                }
            }
            // The package itself, else a bundle that includes it.
            About::Packages(packages) => {
                let bundles = template.bundles();
                let named = bundles.iter().find(|bundle| packages.contains(&bundle.value));
                let includes = |name: &str| {
                    let resolved = self.definitions.resolve([name]);
                    resolved.packages.iter().any(|package| packages.contains(package))
                };
                let found = named.or_else(|| bundles.iter().find(|bundle| includes(&bundle.value)))?;
                Some(found.span)
            }
            About::Release => Some(template.version.as_ref()?.span),
        }
    }

    pub(super) fn show_plan_errors(&self, refusals: &[PlanError], console: &Console) {
        self.show_at("plan", refusals, console);
    }

    fn show_at(&self, stage: &str, refusals: &[PlanError], console: &Console) {
        let text =
            report::plan_errors_human(&self.source, &self.linted.node, stage, refusals, console.colour());
        console.say(text.trim_end());
    }
}

/// Sets `DiskSize` to the size of the image if a partition has the size "rest" and the template has no `DiskSize`.
fn with_disk_size(source: SourceText, size: Bytes) -> SourceText {
    let (template, ..) = parse(&source);
    let rest =
        template.layout().iter().filter_map(|e| e.size.as_ref()).any(|size| size.value == Ok(Size::Rest));
    if !rest || template.disk_size.is_some() {
        return source;
    }
    Override::string("DiskSize", &format!("{}M", size.0 / Bytes::MIB)).apply(&source)
}

/// A block device of this host, with its partition table if that is preserved.
#[cfg(feature = "full")]
fn device(name: &str, keeps: bool) -> anyhow::Result<Option<Device>> {
    use crate::image::device;
    let Some(mut facts) = device::facts(name)? else { return Ok(None) };
    if keeps {
        facts.table = device::table(name, &facts)?;
    }
    Ok(Some(facts))
}

/// The lint-only build does not inspect devices; sizes come from `--disk-size`.
#[cfg(not(feature = "full"))]
fn device(_: &str, _: bool) -> anyhow::Result<Option<Device>> {
    Ok(None)
}

pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A parser for numbers in a range.
pub(super) fn number<T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("expected a number from {} to {}", range.start(), range.end())),
    }
}

/// A parser for numbers that are not too small.
pub(super) fn at_least<T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static>(
    least: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| match text.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("expected a whole number, at least {least}")),
    }
}

/// A missing input is a usage error.
pub(super) fn require(path: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("`{}` does not exist", path.display())
        }
        _ => Ok(()),
    }
}

/// `SOURCE_DATE_EPOCH`, seconds since 1970. Source: reproducible-builds.org.
pub(super) fn source_date_epoch() -> anyhow::Result<Option<u64>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(None),
        Ok(text) => text
            .parse()
            .map(Some)
            .with_context(|| format!("invalid SOURCE_DATE_EPOCH `{text}`; expected seconds since 1970")),
    }
}

/// JSON for a program, with a line end.
pub(super) fn print_json(value: &impl serde::Serialize) {
    print(&report::document(value));
}

/// Whether results on stdout are coloured.
pub(super) fn stdout_colour() -> bool {
    use_colour(std::io::stdout().is_terminal())
}
