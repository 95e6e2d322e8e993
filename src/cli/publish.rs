//! `ister publish`

use super::console::print;
use super::input::count;
use super::plan::read_plan;
use super::receipt;
use super::run::{Outcome, TalkArgs};
use super::verify;
use crate::format::sums::{self, SIGNATURE, SUMS};
use crate::image::{copy_range, sha512};
use crate::lint::Level;
use crate::plan::Plan;
use crate::tool::{Context, Draft, Durability, Failure, Progress};
use clap::Args;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Copy what has been proven to boot, with SHA512SUMS and its signature
///
/// Of each image in the folders the files of `Formats` are published, or the raw image where there are none. Each must have a
/// receipt about exactly its bytes (`ister boot --receipt`, `ister test`); what no firmware starts is verified instead. A file
/// is called PREFIX-VERSION-NAME. What SHA512SUMS lists already stays listed.
///
/// Exit code 1: verification finds errors; 3: something has no receipt, or the key is not there. Then nothing is published.
///
/// Example: ister publish out/test/kvm -o public --prefix clear --sign releases@example.org
#[derive(Args, Debug)]
pub struct PublishArgs {
    /// Folders with images, as `ister build` and `ister test` leave them
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,

    /// Where published files go
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// What names begin with, before the version [default: the file's name alone]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// The OpenPGP key that signs SHA512SUMS, as gpg knows it
    #[arg(long, value_name = "KEY")]
    sign: Option<String>,

    #[command(flatten)]
    talk: TalkArgs,
}

/// A file, and what it will be called.
struct Candidate {
    from: PathBuf,
    name: String,
    /// Nothing starts it.
    is_never_booted: bool,
}

pub fn run(args: &PublishArgs) -> anyhow::Result<Outcome> {
    let console = args.talk.console();
    let progress: &dyn Progress = &console;
    let mut candidates = Vec::new();
    let mut left_out = Vec::new();
    for folder in &args.folders {
        let plans = plans_in(folder)?;
        if plans.is_empty() {
            anyhow::bail!(
                "`{}` has no image with a plan: name a folder that `ister build` wrote to",
                folder.display()
            );
        }
        for plan in plans {
            candidates.extend(of_plan(folder, &plan, args.prefix.as_deref()));
            left_out.extend(unproven(&plan).map(str::to_owned));
        }
    }
    if let Some(key) = &args.sign {
        sums::check_key(key)?;
    }
    // All of them are looked at before the first is copied.
    progress.begin("checking receipts");
    let mut bad = false;
    for candidate in &candidates {
        if !candidate.is_never_booted {
            receipt::valid(&candidate.from)?;
            continue;
        }
        for finding in
            verify::findings(&candidate.from, progress)?.iter().filter(|found| found.level == Level::Error)
        {
            bad = true;
            progress.warn(format!("{}: {}: {}", candidate.from.display(), finding.rule, finding.message));
        }
    }
    if bad {
        console.finish();
        console.say("ister: nothing is published");
        return Ok(Outcome::Findings);
    }
    std::fs::create_dir_all(&args.output)
        .context(|| format!("could not create the folder `{}`", args.output.display()))?;
    let list = args.output.join(SUMS);
    let mut known = match std::fs::read_to_string(&list) {
        Ok(text) => sums::parse(&text)
            .map_err(|why| Failure::new(format!("`{}` is damaged", list.display())).detail(why))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => Err(error).context(|| format!("could not read `{}`", list.display()))?,
    };
    for candidate in &candidates {
        progress.begin(format!("publishing {}", candidate.name));
        let to = args.output.join(&candidate.name);
        let hash = copy(&candidate.from, &to)?;
        known.insert(candidate.name.clone(), hash);
        let proof = receipt::path_of(&candidate.from);
        if !candidate.is_never_booted {
            copy(&proof, &receipt::path_of(&to))?;
        }
    }
    let mut draft = Draft::begin(&list)?;
    draft
        .file
        .write_all(sums::render(&known).as_bytes())
        .context(|| format!("could not write `{}`", list.display()))?;
    // The old one is of the old list.
    let _ = std::fs::remove_file(args.output.join(SIGNATURE));
    draft.publish(Durability::Synced)?;
    if let Some(key) = &args.sign {
        progress.begin("signing");
        sums::sign(&args.output, key)?;
    }
    console.finish();
    for candidate in &candidates {
        let note = if candidate.is_never_booted { "  (nothing starts it: verified, not booted)" } else { "" };
        print(&format!("{}{note}\n", args.output.join(&candidate.name).display()));
    }
    for name in &left_out {
        console.say(&format!(
            "ister: {name} is not published: a root tree of what boots has no boot of its own"
        ));
    }
    console.say(&format!("ister: {} published", count(candidates.len(), "file")));
    Ok(Outcome::Fine)
}

fn plans_in(folder: &Path) -> anyhow::Result<Vec<Plan>> {
    let context = || format!("could not read the folder `{}`", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).context(context)? {
        let path = entry.context(context)?.path();
        if path.to_string_lossy().ends_with(".plan.json") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut plans = Vec::new();
    for path in paths {
        plans.extend(read_plan(&path)?);
    }
    Ok(plans)
}

fn of_plan(folder: &Path, plan: &Plan, prefix: Option<&str>) -> Vec<Candidate> {
    let never = plan.boot.is_none();
    let is_left_out = |name: &str| unproven(plan).any(|other| other == name);
    let mut names: Vec<&str> =
        plan.published.iter().map(|file| file.name.as_str()).filter(|name| !is_left_out(name)).collect();
    if names.is_empty() {
        names.extend(plan.image());
    }
    let called = |name: &str| match prefix {
        Some(prefix) => format!("{prefix}-{}-{name}", plan.content.release),
        None => name.to_owned(),
    };
    let candidate =
        |name: &str| Candidate { from: folder.join(name), name: called(name), is_never_booted: never };
    names.into_iter().map(candidate).collect()
}

/// Files that no boot and no receipt can be about: root trees of what boots.
fn unproven(plan: &Plan) -> impl Iterator<Item = &str> {
    let boots = plan.boot.is_some();
    plan.published.iter().filter(move |file| boots && !file.is_bootable()).map(|file| file.name.as_str())
}

/// Copies a file, holes as holes, and gives the hash of what was written.
fn copy(from: &Path, to: &Path) -> Result<String, Failure> {
    let source = File::open(from).context(|| format!("could not read `{}`", from.display()))?;
    let size = source.metadata().context(|| format!("could not read `{}`", from.display()))?.len();
    let draft = Draft::begin(to)?;
    copy_range(&source, 0..size, &draft.file).context(|| format!("could not write `{}`", to.display()))?;
    draft.publish(Durability::Synced)?;
    sha512(to)
}
