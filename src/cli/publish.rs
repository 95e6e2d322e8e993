//! `ister publish`

use super::console::print;
use super::input::count;
use super::plan::plan_in;
use super::receipt;
use super::run::{Outcome, VerbosityArgs};
use super::verify;
use crate::host::{
    AtomicFile, Context, Durability, Failure, Lock, Progress, try_lock, wait_for_lock, write_whole,
};
use crate::image::format::sums::{self, SIGNATURE, SUMS};
use crate::image::{copy_range, sha256, sha256_and_sha512};
use crate::lint::Level;
use crate::plan::Plan;
use crate::report::Receipt;
use clap::Args;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Copy what has been proven to boot, with SHA512SUMS and its signature
///
/// Of each image in the directories the files of `Formats` are published, or the raw image where there are none. Each must have a
/// receipt about exactly its bytes (`ister boot --receipt`, `ister test`); what no firmware starts is verified instead. A file
/// is called PREFIX-VERSION-NAME. What SHA512SUMS lists already stays listed; with --sign it has to be signed by the same key.
///
/// Exit code 1: verification finds errors; 3: something has no receipt, or the key is not there or signs no more. Then nothing is
/// published.
///
/// Example: ister publish out/test/kvm -o public --prefix clear --sign releases@example.org
#[derive(Args, Debug)]
pub(super) struct PublishArgs {
    /// Directories with images, as `ister build` and `ister test` leave them
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,

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
    verbosity: VerbosityArgs,
}

/// A file, and what it will be called.
struct Candidate {
    from: PathBuf,
    name: String,
    /// Nothing starts it.
    is_never_booted: bool,
}

/// The bytes of a candidate that something is known about.
struct Proven {
    sha256: String,
    /// Nothing where it was verified instead.
    receipt: Option<Receipt>,
}

pub(super) fn run(args: &PublishArgs) -> anyhow::Result<Outcome> {
    let console = args.verbosity.console();
    let progress: &dyn Progress = &console;
    let (candidates, left_out) = candidates(args)?;
    let trial = match &args.sign {
        // Before anything is there that it is to sign.
        Some(key) => {
            progress.begin(format!("trying the key {key}"));
            Some((key.as_str(), sums::sign("", key)?))
        }
        None => None,
    };
    // All of them are looked at before the first is copied.
    let mut proven = Vec::new();
    for candidate in &candidates {
        proven.extend(prove(candidate, progress)?);
    }
    if proven.len() < candidates.len() {
        console.finish();
        console.say("ister: nothing is published");
        return Ok(Outcome::Findings);
    }
    std::fs::create_dir_all(&args.output)
        .context(|| format!("could not create the directory `{}`", args.output.display()))?;
    let _alone = alone_in(&args.output, progress)?;
    let (list, signed) = (args.output.join(SUMS), args.output.join(SIGNATURE));
    let mut known =
        known(&list, &signed, &candidates, trial.as_ref().map(|(key, trial)| (*key, &trial[..])))?;
    for (candidate, proven) in candidates.iter().zip(proven) {
        progress.begin(format!("publishing {}", candidate.name));
        let to = args.output.join(&candidate.name);
        known.insert(candidate.name.clone(), copy(&candidate.from, &to, &proven.sha256)?);
        if let Some(receipt) = proven.receipt {
            receipt::write(&to, &receipt.public(&candidate.name))?;
        }
    }
    let text = sums::render(&known);
    let signature = match &args.sign {
        Some(key) => {
            progress.begin("signing");
            Some(sums::sign(&text, key)?)
        }
        None => None,
    };
    write_whole(&list, text.as_bytes())?;
    match signature {
        Some(signature) => write_whole(&signed, &signature)?,
        // One that is there is of the old list.
        None => {
            if std::fs::remove_file(&signed).is_ok() {
                progress.warn(format!(
                    "`{}` was of the list before, and is gone: sign with --sign",
                    signed.display()
                ));
            }
        }
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

/// What is to be published, and what is left out.
fn candidates(args: &PublishArgs) -> anyhow::Result<(Vec<Candidate>, Vec<String>)> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut left_out = Vec::new();
    for directory in &args.directories {
        let plans = plans_in(directory)?;
        if plans.is_empty() {
            anyhow::bail!(
                "`{}` has no image with a plan: name a directory that `ister build` wrote to",
                directory.display()
            );
        }
        for plan in plans {
            for candidate in of_plan(directory, &plan, args.prefix.as_deref())? {
                if let Some(other) = candidates.iter().find(|other| other.name == candidate.name) {
                    anyhow::bail!(
                        "`{}` and `{}` would both be called `{}`: publish them apart, or with another --prefix",
                        other.from.display(),
                        candidate.from.display(),
                        candidate.name
                    );
                }
                candidates.push(candidate);
            }
            left_out.extend(unproven(&plan).map(str::to_owned));
        }
    }
    Ok((candidates, left_out))
}

/// One process at a time changes a list: others wait.
fn alone_in(directory: &Path, progress: &dyn Progress) -> Result<File, Failure> {
    let context = || format!("could not lock the directory `{}`", directory.display());
    let file = File::open(directory).context(context)?;
    if try_lock(&file).context(context)? == Lock::Theirs {
        progress.begin(format!("waiting for another `ister publish` in {}", directory.display()));
        wait_for_lock(&file).context(context)?;
    }
    Ok(file)
}

/// What is listed already, and may be signed again by `by`: a key's name, with a signature of nothing by it.
fn known(
    list: &Path,
    signature: &Path,
    candidates: &[Candidate],
    by: Option<(&str, &[u8])>,
) -> Result<BTreeMap<String, String>, Failure> {
    let Some(text) = listed(list)? else { return Ok(BTreeMap::new()) };
    let known = sums::parse(&text)
        .map_err(|why| Failure::new(format!("`{}` is damaged", list.display())).detail(why))?;
    let stays = known.keys().any(|name| !candidates.iter().any(|candidate| candidate.name == *name));
    if let Some((key, trial)) = by.filter(|_| stays)
        && let sums::Signed::Not(why) = sums::is_signed_like(trial, &text, signature)?
    {
        // Others may write to the directory, and what stays listed is signed again.
        let words = |path: &Path| path.display().to_string();
        let mut command = ["gpg", "--armor", "--local-user", key, "--output"].map(str::to_owned).to_vec();
        command.extend([words(signature), "--detach-sign".to_owned(), words(list)]);
        return Err(Failure::new(format!("`{}` is not signed by `{key}`: {why}", list.display())).help(
            format!(
                "publish into another directory; or look at what it lists, and sign it yourself: {}",
                shlex::try_join(command.iter().map(String::as_str)).unwrap_or_default()
            ),
        ));
    }
    Ok(known)
}

/// The list that is there already.
fn listed(list: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(list) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("could not read `{}`", list.display())),
    }
}

/// Nothing where verification finds errors, which are told.
fn prove(candidate: &Candidate, progress: &dyn Progress) -> Result<Option<Proven>, Failure> {
    progress.begin(format!("checking {}", candidate.from.display()));
    if !candidate.is_never_booted {
        let receipt = receipt::valid(&candidate.from)?;
        return Ok(Some(Proven { sha256: receipt.sha256.clone(), receipt: Some(receipt) }));
    }
    let sha256 = sha256(&candidate.from)?;
    let findings = verify::findings(&candidate.from, progress)?;
    let mut errors = findings.iter().filter(|found| found.level == Level::Error).peekable();
    let proven = errors.peek().is_none().then_some(Proven { sha256, receipt: None });
    for found in errors {
        progress.warn(format!("{}: {}: {}", candidate.from.display(), found.rule, found.message));
    }
    Ok(proven)
}

fn plans_in(directory: &Path) -> anyhow::Result<Vec<Plan>> {
    let context = || format!("could not read the directory `{}`", directory.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).context(context)? {
        let path = entry.context(context)?.path();
        if path.to_string_lossy().ends_with(".plan.json") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| plan_in(path)).collect()
}

fn of_plan(directory: &Path, plan: &Plan, prefix: Option<&str>) -> anyhow::Result<Vec<Candidate>> {
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
    let mut candidates = Vec::new();
    for name in names {
        let called = called(name);
        // The plan may be anybody's.
        if let Some(odd) = [name, &called].into_iter().find(|name| !sums::is_name(name)) {
            anyhow::bail!(
                "nothing can be published as `{}`: a name has no `/`, no control characters and no dot in front{}",
                odd.escape_debug(),
                if odd == name { "" } else { "; say another --prefix, or none" }
            );
        }
        candidates.push(Candidate { from: directory.join(name), name: called, is_never_booted: never });
    }
    Ok(candidates)
}

/// Files that no boot and no receipt can be about: root trees of what boots.
fn unproven(plan: &Plan) -> impl Iterator<Item = &str> {
    let boots = plan.boot.is_some();
    plan.published.iter().filter(move |file| boots && !file.is_bootable()).map(|file| file.name.as_str())
}

/// Copies a file, holes as holes, and gives the SHA-512 of what was written. It gets its name only if it is what was proven.
fn copy(from: &Path, to: &Path, proven: &str) -> Result<String, Failure> {
    let source = File::open(from).context(|| format!("could not read `{}`", from.display()))?;
    let size = source.metadata().context(|| format!("could not read `{}`", from.display()))?.len();
    let draft = AtomicFile::begin(to)?;
    copy_range(&source, 0..size, &draft.file).context(|| format!("could not write `{}`", to.display()))?;
    let (sha256, sha512) = sha256_and_sha512(&draft.file, to)?;
    if sha256 != proven {
        return Err(Failure::new(format!("`{}` has changed since it was checked", from.display()))
            .detail(format!("proven was {proven}, there is {sha256}"))
            .help("let nothing write to it, and publish again"));
    }
    draft.publish(Durability::Synced)?;
    Ok(sha512)
}
