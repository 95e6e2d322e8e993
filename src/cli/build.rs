//! `ister build`

use super::boot;
use super::console::{Console, print};
use super::disks::{self, Consent};
use super::input::{TemplateArgs, print_json, source_date_epoch};
use super::run::{Outcome, TalkArgs};
use super::twice;
use crate::build::{Destination, Order, build, prepare};
use crate::content::Cache;
use crate::image::sha256;
use crate::plan::{Footprint, unsupported};
use crate::report::{Receipt, receipt_human, verdict_human};
use crate::template::{self, Bytes};
use crate::tool::{Context, Failure};
use crate::vm::{self, Verdict};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Build the image that a template describes, without privileges
///
/// The image and its plan (<image>.plan.json) appear in the output folder when they are complete. Content is kept
/// in a cache: another image with the same packages is built without fetching them again.
///
/// Example: ister build vm-tests/kvm/template.json -o out
#[derive(Args, Debug)]
pub struct BuildArgs {
    #[command(flatten)]
    template: TemplateArgs,

    /// The folder for the image; created if need be
    #[arg(short, long, value_name = "DIR", default_value = ".", overrides_with = "output")]
    output: PathBuf,

    /// The folder of the content cache [default: ~/.cache/ister]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Fetch the content anew, though the cache has it
    #[arg(long)]
    refresh: bool,

    /// Boot the image and write <image>.receipt.json if it reaches its login prompt
    #[arg(long)]
    boot_test: bool,

    /// With --boot-test: keep serial log, screenshot and verdict in this folder
    #[arg(long, value_name = "DIR", requires = "boot_test")]
    report: Option<PathBuf>,

    /// How the result is printed on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Build again, differently on purpose (folders, time zone, locale, umask,
    /// one CPU), and say where bytes differ; exit code 1 if they do
    #[arg(long)]
    twice: bool,

    /// What the second of two builds is told
    #[arg(long, hide = true, overrides_with_all = ["twice", "boot_test", "refresh"])]
    once: bool,

    /// Write to the disks of a physical target without asking: all that is on
    /// them is lost
    #[arg(long)]
    erase: bool,

    #[arg(long, hide = true)]
    as_ister_py: bool,

    #[command(flatten)]
    talk: TalkArgs,

    // Last, since its heading holds for all that follows.
    #[command(flatten)]
    machine: boot::MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Human,
    Json,
}

pub fn run(args: &BuildArgs) -> anyhow::Result<Outcome> {
    let console = args.talk.console();
    let input = args.template.read()?;
    if !input.show_findings(&console) {
        return Ok(Outcome::Findings);
    }
    let refusals = unsupported(&input.linted.template);
    if !refusals.is_empty() {
        input.show_refusals(&refusals, &console);
        return Ok(Outcome::Findings);
    }
    // What can be decided without the content; sizes that follow from it come later.
    let Some((draft, secrets)) = input.plan(Some(&Footprint::default()), &console)? else {
        return Ok(Outcome::Findings);
    };
    if args.once {
        twice::differ();
    }
    if args.twice && args.template.is_stdin() {
        anyhow::bail!("--twice reads the template a second time: name a file");
    }
    if draft.image().is_none() && (args.twice || args.boot_test) {
        anyhow::bail!("--twice and --boot-test are for images, not for disks of this machine");
    }
    let destination = match draft.destination {
        template::Destination::Virtual => Destination::Folder(&args.output),
        template::Destination::Physical => {
            let consent = match (args.erase, args.as_ister_py) {
                (false, false) => Consent::Ask,
                _ => Consent::Given,
            };
            let Some(devices) = disks::open(&draft, consent, &console)? else { return Ok(Outcome::Usage) };
            Destination::Devices { devices, folder: &args.output }
        }
    };
    let cache = Cache::open(args.cache_dir.as_deref())?;
    let order = Order {
        secrets: &secrets,
        destination,
        cache: &cache,
        refresh: args.refresh,
        epoch: source_date_epoch()?,
        seed: input.seed.as_deref(),
    };
    let prepared = prepare(&order, &draft, &console);
    console.finish();
    let prepared = prepared?;
    let Some((plan, _)) = input.plan(Some(&prepared.footprint()?), &console)? else {
        return Ok(Outcome::Findings);
    };
    let passphrases = prepared.passphrases().clone();
    let built = build(&order, &plan, prepared, &console);
    console.finish();
    let built = match built {
        Err(failure) if input.show_failure(&failure, &console) => return Ok(Outcome::Findings),
        built => built?,
    };
    if let Destination::Devices { .. } = &order.destination {
        drop(order);
        disks::announce(&plan, &console);
    }
    if args.twice {
        let [image] = built.disks.as_slice() else { anyhow::bail!("--twice compares images") };
        let differences = twice::again(image, &args.output, &console)?;
        if !differences.is_empty() {
            print(&differences);
            console.say("error: a second build gave other bytes");
            return Ok(Outcome::Findings);
        }
        console.say("the second build gave the same bytes");
    }
    let size = Bytes(plan.disks.iter().map(|disk| disk.size.0).sum());
    let receipt = match (args.boot_test, built.disks.as_slice()) {
        (true, [image]) if plan.image().is_some() => boot_test(image, size, passphrases, args, &console)?,
        _ => Tested::No,
    };
    let content = match built.content_age {
        None => "fetched now".to_owned(),
        Some(age) => format!("from the cache, {}", ago(age)),
    };
    match args.format {
        Format::Json => print_json(&json!({
            "version": 1,
            "image": built.disks.first().filter(|_| plan.image().is_some()),
            "disks": built.disks,
            "plan": built.plan,
            "size": size,
            "allocated": built.allocated,
            "content": {
                "title": built.content.title,
                "cached": built.content_age.is_some(),
                "epoch": built.content.epoch,
            },
            "receipt": match &receipt {
                Tested::Passed(receipt) => serde_json::to_value(receipt)?,
                _ => serde_json::Value::Null,
            },
            "verdict": match &receipt {
                Tested::Failed(verdict) => serde_json::to_value(verdict)?,
                _ => serde_json::Value::Null,
            },
        })),
        Format::Human => {
            let disks: Vec<String> = built.disks.iter().map(|path| path.display().to_string()).collect();
            let taken = match plan.image() {
                Some(_) => format!(", {} on disk", built.allocated),
                None => String::new(),
            };
            print(&format!(
                "{}: {size}{taken}; content: {} ({content})\n",
                disks.join(", "),
                built.content.title,
            ));
            match &receipt {
                Tested::No => {}
                Tested::Passed(receipt) => print(&receipt_human(receipt)),
                Tested::Failed(verdict) => print(&verdict_human(verdict)),
            }
        }
    }
    Ok(match &receipt {
        Tested::No | Tested::Passed(_) => Outcome::Fine,
        Tested::Failed(verdict) => boot::outcome(verdict),
    })
}

/// What `--boot-test` came to.
enum Tested {
    No,
    Passed(Box<Receipt>),
    Failed(Box<Verdict>),
}

/// Boots the image; while it does, its bytes are hashed.
fn boot_test(
    image: &Path,
    size: Bytes,
    passphrases: BTreeMap<String, String>,
    args: &BuildArgs,
    console: &Console,
) -> Result<Tested, Failure> {
    let mut path = image.as_os_str().to_owned();
    path.push(".receipt.json");
    let path = PathBuf::from(path);
    let inside = boot::Inside { passphrases, ..boot::Inside::default() };
    let (hash, verdict) = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| sha256(image));
        let verdict = boot::boot_image(image, &args.machine, inside, args.report.as_deref(), console);
        let hash = hashing.join().unwrap_or_else(|_| Err(Failure::new("hashing ended unexpectedly")));
        (hash, verdict)
    });
    console.finish();
    let (hash, verdict) = (hash?, verdict?);
    if verdict.outcome != vm::Outcome::Reached {
        return Ok(Tested::Failed(Box::new(verdict)));
    }
    let receipt = Receipt {
        version: 1,
        image: image.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        size,
        sha256: hash,
        ister: env!("CARGO_PKG_VERSION").to_owned(),
        verdict,
    };
    let text = serde_json::to_string_pretty(&receipt).expect("a receipt is plain data") + "\n";
    std::fs::write(&path, text).context(|| format!("could not write `{}`", path.display()))?;
    Ok(Tested::Passed(Box::new(receipt)))
}

/// An age in words.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => "just made".to_owned(),
        120..7200 => format!("{} minutes old", seconds / 60),
        7200..172_800 => format!("{} hours old", seconds / 3600),
        _ => format!("{} days old", seconds / 86_400),
    }
}
