//! From what was typed to a template, a plan, or findings: what several subcommands share.

use super::console::{Console, print, wants_colour};
use crate::content::swupd;
use crate::host::{About, Failure, Part, forget_file, remove_on_interrupt, visible};
use crate::image::device;
use crate::lint::{FileFact, Files, Level, Linted, Program, Wanted, lint, wanted_files};
use crate::plan::bundle::{self, Definition, Definitions};
use crate::plan::layout::SectorSize;
use crate::plan::{self, Content, Device, Footprint, Inputs, Origin, Plan, Refusal, Secrets, SwupdContent};
use crate::report;
use crate::template::{Bytes, Override, Place, Size, SoftwareManager, SourceText, Span, Template, parse};
use anyhow::{Context, bail};
use clap::Args;
use rustix::fs::{Gid, Uid};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A template, by position or by ister.py's option.
#[derive(Args, Debug)]
pub struct TemplateArgs {
    /// The template, a JSON file; `-` reads standard input
    #[arg(value_name = "TEMPLATE")]
    template: Option<PathBuf>,

    /// The template, as ister.py took it
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
    pub fn read(&self) -> anyhow::Result<Input> {
        self.changes.read(self.path()?)
    }

    /// What was named.
    pub fn named(&self) -> Option<&Path> {
        self.template.as_deref().or(self.template_option.as_deref())
    }

    pub fn path(&self) -> anyhow::Result<&Path> {
        self.named().context("name a template, a JSON file; `ister new` has examples")
    }

    pub fn is_stdin(&self) -> bool {
        self.template.as_deref() == Some(Path::new("-"))
            || self.template_option.as_deref() == Some(Path::new("-"))
    }

    pub fn changes(&self) -> &ChangeArgs {
        &self.changes
    }
}

/// What changes a template, and what its content comes from.
#[derive(Args, Clone, Debug)]
pub struct ChangeArgs {
    /// Override one top-level key, for example Version='"bookworm"'
    #[arg(long, value_name = "KEY=JSON")]
    set: Vec<Override>,

    /// Who installs the content: swupd, apt or dnf
    #[arg(long, value_name = "MANAGER")]
    software_manager: Option<String>,

    /// The size of a virtual disk whose last partition takes the "rest"; for a
    /// physical one that is not in this machine, to plan for it
    #[arg(long, value_name = "SIZE")]
    disk_size: Option<String>,

    /// The archive or mirror to install from, instead of the host's own sources:
    /// http, https or file
    #[arg(short = 'C', long = "contenturl", value_name = "URL", value_parser = archive_url)]
    archive: Option<String>,

    /// Components of the archive's suite, for apt [default: main]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = component)]
    components: Vec<String>,

    /// One more source of packages, a line as in sources.list, for apt:
    /// 'deb [trusted=yes] file:/srv/repo stable main'
    #[arg(long, value_name = "LINE", value_parser = source_line)]
    source: Vec<String>,

    /// What the content's signatures are checked with: a keyring for apt, a
    /// certificate for swupd [default: what the host trusts]
    #[arg(short = 's', long = "cert-file", visible_alias = "keyring", value_name = "FILE")]
    keyring: Option<String>,

    /// Where swupd looks for the newest version [default: where the content is];
    /// of no effect with apt and dnf
    #[arg(short = 'V', long, value_name = "URL", value_parser = archive_url)]
    versionurl: Option<String>,

    /// The format of swupd's content, a number or `staging`; of no effect with
    /// apt and dnf
    #[arg(short = 'f', long, value_name = "NUMBER", value_parser = swupd_format)]
    swupd_format: Option<String>,

    /// Leave out what swupd's bundles would like to have but do not need
    #[arg(long)]
    skip_optional: bool,

    /// Install swupd's content whoever signed it, or nobody: whoever controls
    /// the mirror and the way from there decides what is in the image
    #[arg(long, visible_alias = "nosigcheck", conflicts_with = "keyring")]
    no_sigcheck: bool,

    /// The configuration of dnf
    #[arg(short = 'd', long, value_name = "FILE")]
    dnf_config: Option<String>,

    /// A directory of bundle definitions, looked at before the built-in ones
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,

    /// Bytes in a sector of an image's disk: 512 or 4096 (devices have their own)
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = sector_size)]
    sector_size: SectorSize,

    /// Derive identifiers, and all that would be random, from this text: for
    /// tests; whoever knows it can open encrypted volumes
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,

    #[arg(skip)]
    image_size: Option<Bytes>,
}

/// Gives a disk whose last partition takes the "rest" of an unknown size that of the image.
fn with_disk_size(source: SourceText, size: Bytes) -> SourceText {
    let (template, ..) = parse(&source);
    let rest =
        template.layout().iter().filter_map(|e| e.size.as_ref()).any(|size| size.value == Ok(Size::Rest));
    if !rest || template.disk_size.is_some() {
        return source;
    }
    Override::string("DiskSize", &format!("{}M", size.0 / Bytes::MIB)).apply(&source)
}

fn sector_size(text: &str) -> Result<SectorSize, String> {
    let bytes: u64 = text.parse().map_err(|_| "expected 512 or 4096".to_owned())?;
    SectorSize::try_from(bytes)
}

fn archive_url(text: &str) -> Result<String, String> {
    if text.contains(char::is_whitespace) {
        return Err("a URL has no blanks".to_owned());
    }
    let url = url::Url::parse(text).map_err(|error| format!("{error}; expected http://HOST/PATH"))?;
    if !matches!(url.scheme(), "http" | "https" | "file") {
        return Err(format!("`{}` archives are not supported; use http, https or file", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a user name or password here would end up in the image; put it into apt's auth.conf.d".into()
        );
    }
    Ok(text.to_owned())
}

fn swupd_format(text: &str) -> Result<String, String> {
    swupd::Format::parse(text).map(|_| text.to_owned())
}

fn component(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+/".contains(c);
    if text.is_empty() || !text.chars().all(plain) {
        return Err("expected a name such as main or non-free-firmware".to_owned());
    }
    Ok(text.to_owned())
}

/// A one-line source. Source: sources.list(5), "One-line-style format".
fn source_line(text: &str) -> Result<String, String> {
    let rest =
        text.strip_prefix("deb ").ok_or("expected `deb [OPTIONS] URL SUITE COMPONENTS…`")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']').ok_or("the options' `]` is missing")?.1.trim_start(),
        None => rest,
    };
    let mut words = rest.split_whitespace();
    archive_url(words.next().ok_or("the URL is missing")?)?;
    let suite = words.next().ok_or("the suite is missing")?;
    if !suite.ends_with('/') && words.next().is_none() {
        return Err("the components are missing".to_owned());
    }
    if text.contains(['\n', '\r']) {
        return Err("it is more than one line".to_owned());
    }
    Ok(text.to_owned())
}

/// A template that was read and judged.
pub struct Input {
    pub source: SourceText,
    pub linted: Linted,
    files: Files,
    definitions: Definitions,
    origin: Origin,
    sector_size: SectorSize,
    /// Of a physical disk that is not in this machine.
    device_size: Option<Bytes>,
    /// File names of templates whose content the image carries.
    pub carried: Vec<String>,
    pub seed: Option<String>,
}

impl ChangeArgs {
    /// Whether anything is changed.
    pub fn is_any(&self) -> bool {
        !self.set.is_empty()
            || self.software_manager.is_some()
            || self.disk_size.is_some()
            || self.origin() != Origin::default()
            || self.bundles.is_some()
            || self.seed.is_some()
    }

    /// What of this holds for a template that an installer carries: where content comes from.
    pub fn for_carried(&self) -> ChangeArgs {
        ChangeArgs { set: Vec::new(), disk_size: None, image_size: None, ..self.clone() }
    }

    fn origin(&self) -> Origin {
        Origin {
            archive: self.archive.clone(),
            components: self.components.clone(),
            sources: self.source.clone(),
            keyring: self.keyring.clone(),
            configuration: self.dnf_config.clone(),
            swupd: SwupdContent {
                version_url: self.versionurl.clone(),
                format: self.swupd_format.clone(),
                skip_optional: self.skip_optional,
                unsigned: self.no_sigcheck,
            },
        }
    }

    /// For an image that is there already: its sectors, and the "rest" as far as it goes.
    pub fn fit_image(&mut self, size: u64, sector_size: SectorSize) {
        self.sector_size = sector_size;
        if self.disk_size.is_none() {
            self.image_size = Some(Bytes(size));
        }
    }

    /// Reads the template and applies the overrides. Unreadable files are usage errors.
    pub fn read(&self, path: &Path) -> anyhow::Result<Input> {
        self.apply(read_source(path, None)?)
    }

    /// Applies the overrides.
    pub fn apply(&self, mut source: SourceText) -> anyhow::Result<Input> {
        if let Some(Err(fault)) = self.disk_size.as_deref().map(Size::parse) {
            bail!("--disk-size: {fault}");
        }
        // A device has its own size.
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
        // Those that come with ister name Debian's packages.
        if parse(&source).0.manager() == Some(SoftwareManager::Dnf) {
            definitions = definitions_in(self.bundles.as_deref(), Definitions::default())?;
        }
        let mut files = Files::new();
        let linted = lint(&source, &definitions, |template| {
            files = file_facts(template);
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
            carried: Vec::new(),
            seed: self.seed.clone(),
        })
    }
}

impl Input {
    /// Shows the findings on stderr; `false` if there are errors.
    pub fn show_findings(&self, console: &Console) -> bool {
        // Notes are for `lint`.
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

    /// The plan, or its refusals on stderr. The footprint is what the content holds, if that is known.
    pub fn plan(
        &self,
        footprint: Option<&Footprint>,
        console: &Console,
    ) -> anyhow::Result<Option<(Plan, Secrets)>> {
        let mut inputs = self.inputs();
        inputs.footprint = footprint;
        if self.linted.template.is_physical() {
            inputs.devices = self.devices()?;
        }
        Ok(self.or_show(plan::decide(&self.linted.template, &self.linted.node, &inputs), console))
    }

    /// What has to be installed, or why that cannot be told on stderr.
    pub fn content(&self, console: &Console) -> Option<Content> {
        self.or_show(plan::decide_content(&self.linted.template, &self.inputs()), console)
    }

    fn or_show<T>(&self, decided: Result<T, Vec<Refusal>>, console: &Console) -> Option<T> {
        decided.map_err(|refusals| self.show_refusals(&refusals, console)).ok()
    }

    fn inputs(&self) -> Inputs<'_> {
        let key_files = self.files.iter().filter_map(|(path, fact)| match fact {
            FileFact::Text(text) => Some((path.clone(), text.clone())),
            _ => None,
        });
        Inputs {
            origin: self.origin.clone(),
            carried: self.carried.clone(),
            key_files: key_files.collect(),
            sector_size: self.sector_size,
            seed: self.seed.as_deref(),
            ..Inputs::new(&self.definitions)
        }
    }

    /// The disks of a physical target, with their tables where those are to be kept.
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
            let facts = match device::facts(&name.value)? {
                Some(mut facts) => {
                    if keeps {
                        facts.table = device::table(&name.value, &facts)?;
                    }
                    Some(facts)
                }
                None => imagined,
            };
            if let Some(facts) = facts {
                devices.insert(name.value.clone(), facts);
            }
        }
        Ok(devices)
    }

    /// A failure that is about a part of the template, shown at the place that has to change.
    pub fn show_failure(&self, failure: &Failure, console: &Console) -> bool {
        let Some(about) = failure.about.as_deref() else { return false };
        let Some(span) = self.span_of(about) else { return false };
        let help = failure.help.clone().unwrap_or_default();
        let (message, details) = match (about, &failure.details[..]) {
            (About::Partition { .. }, [detail]) => (format!("{}: {detail}", failure.message), &[][..]),
            (_, details) => (failure.message.clone(), details),
        };
        self.show_at("build", &[Refusal::new(span, message, help)], console);
        for detail in details {
            console.say(&format!("  {}", visible(detail)));
        }
        true
    }

    fn span_of(&self, about: &About) -> Option<Span> {
        let template = &self.linted.template;
        match about {
            About::Partition { disk, partition, what } => {
                let is_it = |place: &Place| {
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
            // The name itself, else a bundle that includes it.
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

    pub fn show_refusals(&self, refusals: &[Refusal], console: &Console) {
        self.show_at("plan", refusals, console);
    }

    fn show_at(&self, stage: &str, refusals: &[Refusal], console: &Console) {
        let text = report::refusals_human(&self.source, &self.linted.node, stage, refusals, console.colour());
        console.say(text.trim_end());
    }
}

pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A template's text. `name` is what standard input is called.
pub fn read_source(path: &Path, name: Option<&str>) -> anyhow::Result<SourceText> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("could not read standard input")?;
        (name.unwrap_or("<stdin>").to_owned(), bytes)
    } else {
        let bytes = std::fs::read(path)
            .with_context(|| format!("could not read the template `{}`", path.display()))?;
        (path.display().to_string(), bytes)
    };
    Ok(SourceText::from_bytes(name, bytes))
}

/// Puts a text in a file's place in one step, with the same permissions. A link stays a link.
pub fn replace_file(path: &Path, text: &str) -> anyhow::Result<()> {
    let replace = || -> std::io::Result<()> {
        let path = std::fs::canonicalize(path)?;
        // A directory one may write to is not enough: the file itself may be meant to stay.
        rustix::fs::access(&path, rustix::fs::Access::WRITE_OK)?;
        let old = std::fs::metadata(&path)?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        let draft = file.path().to_owned();
        remove_on_interrupt(&draft);
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(old.permissions())?;
        // Only root may give a file away; for others it is theirs already, or becomes theirs.
        let (owner, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
        let _ = rustix::fs::fchown(file.as_file(), Some(owner), Some(group));
        file.as_file().sync_all()?;
        let placed = file.persist(&path);
        forget_file(&draft);
        placed?;
        Ok(())
    };
    replace().with_context(|| format!("could not write `{}`", path.display()))
}

/// A public key is smaller than this; what is larger, or no plain file, is not read.
const LARGEST_KEY: u64 = 64 << 10;

/// What the rules want to know of the host's files.
pub fn file_facts(template: &Template) -> Files {
    file_facts_in(template, None)
}

/// The same, with relative paths looked for in a directory.
pub fn file_facts_in(template: &Template, directory: Option<&Path>) -> Files {
    wanted_files(template)
        .into_iter()
        .map(|(path, wanted)| {
            let place = directory.map_or_else(|| PathBuf::from(&path), |directory| directory.join(&path));
            let fact = file_fact(&place, wanted);
            (path, fact)
        })
        .collect()
}

fn file_fact(path: &Path, wanted: Wanted) -> FileFact {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return FileFact::Missing,
        Err(error) => return FileFact::Unreadable(error.to_string()),
    };
    if !metadata.is_file() {
        return FileFact::Unreadable("it is no plain file".to_owned());
    }
    match wanted {
        Wanted::Program => FileFact::Program(program_facts(path, &metadata)),
        Wanted::PublicKey if metadata.len() > LARGEST_KEY => {
            FileFact::Unreadable("it is too large for a public key".to_owned())
        }
        Wanted::PublicKey => match std::fs::read_to_string(path) {
            Ok(text) => FileFact::Text(text),
            Err(error) => FileFact::Unreadable(error.to_string()),
        },
    }
}

fn program_facts(path: &Path, metadata: &std::fs::Metadata) -> Program {
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    // What cannot be read, but run, is a program for all that is known.
    let startable = read == 0 && metadata.len() > 0 || start.starts_with(b"#!") || start == *b"\x7fELF";
    let open = |metadata: &std::fs::Metadata| metadata.mode() & 0o002 != 0;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // In a directory with the sticky bit, such as /tmp, only the owner may replace a file.
    let replaceable = std::fs::metadata(directory)
        .is_ok_and(|directory| open(&directory) && directory.mode() & 0o1000 == 0);
    Program {
        executable: rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok(),
        startable,
        writable_by_all: open(metadata) || replaceable,
    }
}

/// The definitions that come with ister, and those of a directory.
pub fn definitions(directory: Option<&Path>) -> anyhow::Result<Definitions> {
    definitions_in(directory, bundle::builtin())
}

fn definitions_in(directory: Option<&Path>, mut definitions: Definitions) -> anyhow::Result<Definitions> {
    let Some(directory) = directory else { return Ok(definitions) };
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("could not read the bundle definitions in `{}`", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') || !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read the bundle definition `{}`", path.display()))?;
        match Definition::parse(name, &text) {
            Ok(definition) => definitions.insert(name, definition),
            Err(fault) => bail!("{}: {fault}", path.display()),
        }
    }
    Ok(definitions)
}

/// `SOURCE_DATE_EPOCH`, seconds since 1970. Source: reproducible-builds.org.
pub fn source_date_epoch() -> anyhow::Result<Option<u64>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(None),
        Ok(text) => text
            .parse()
            .map(Some)
            .with_context(|| format!("SOURCE_DATE_EPOCH is `{text}`, expected seconds since 1970")),
    }
}

/// JSON for a program, with a line end.
pub fn print_json(value: &serde_json::Value) {
    print(&(serde_json::to_string_pretty(value).expect("a value is plain data") + "\n"));
}

/// Whether the result on stdout takes colours.
pub fn stdout_colour() -> bool {
    wants_colour(std::io::stdout().is_terminal())
}
