//! `ister publish`

use super::console::print;
use super::input::{count, require};
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
use crate::report::{Attester, Receipt};
use crate::template::Secret;
use clap::Args;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Copy tested images to a directory, with SHA512SUMS and its signature
///
/// For each image in the directories, the files of `Formats` are published, or the raw image if there are none. Each
/// file needs a receipt with its checksum (from `ister boot --receipt` or `ister test`). Files that are not booted by
/// firmware are verified instead.
///
/// With --prefix, files are named PREFIX-VERSION-NAME. An existing SHA512SUMS is extended; with --sign, it must be signed by the
/// same key.
///
/// Exit code 1: verification found errors; 3: a receipt is missing, or the signing key is missing or unusable. In
/// both cases nothing is published.
///
/// Example: ister publish out/test/kvm -o public --prefix clear --sign releases@example.org
#[derive(Args, Debug)]
pub(super) struct PublishArgs {
    /// Directories with images from `ister build` or `ister test`
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,

    /// Output directory
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// Rename published files to PREFIX-VERSION-NAME [default: NAME]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// OpenPGP key to sign SHA512SUMS with, as a gpg user id
    #[arg(long, value_name = "KEY")]
    sign: Option<String>,

    /// Ed25519 private key (PEM): write each receipt as a signed in-toto
    /// attestation to NAME.intoto.json
    #[arg(long, value_name = "FILE")]
    attest: Option<PathBuf>,

    #[command(flatten)]
    verbosity: VerbosityArgs,
}

/// A file to publish.
struct Candidate {
    from: PathBuf,
    /// Its published name.
    name: String,
    /// It is not booted by firmware, so it is verified instead.
    is_never_booted: bool,
}

/// The result of checking a candidate.
struct Checked {
    sha256: String,
    /// `None` if it was verified instead of booted.
    receipt: Option<Receipt>,
}

pub(super) fn run(args: &PublishArgs) -> anyhow::Result<Outcome> {
    for directory in &args.directories {
        require(directory)?;
    }
    let console = args.verbosity.console();
    let progress: &dyn Progress = &console;
    let (candidates, left_out) = candidates(args)?;
    let test_signature = match &args.sign {
        // Test the key before anything is copied.
        Some(key) => {
            progress.begin(format!("testing the key {key}"));
            Some((key.as_str(), sums::sign("", key)?))
        }
        None => None,
    };
    let attester = args.attest.as_deref().map(attester).transpose()?;
    // Check all candidates before copying the first.
    let mut checked = Vec::new();
    for candidate in &candidates {
        checked.extend(check(candidate, progress)?);
    }
    if checked.len() < candidates.len() {
        console.finish();
        console.say("ister: nothing was published");
        return Ok(Outcome::Findings);
    }
    std::fs::create_dir_all(&args.output)
        .context(|| format!("could not create the directory `{}`", args.output.display()))?;
    let _lock = lock_directory(&args.output, progress)?;
    let (list, signed) = (args.output.join(SUMS), args.output.join(SIGNATURE));
    let mut sums = listed_sums(
        &list,
        &signed,
        &candidates,
        test_signature.as_ref().map(|(key, test_signature)| (*key, &test_signature[..])),
    )?;
    for (candidate, checked) in candidates.iter().zip(checked) {
        progress.begin(format!("publishing {}", candidate.name));
        let to = args.output.join(&candidate.name);
        sums.insert(candidate.name.clone(), copy(&candidate.from, &to, &checked.sha256)?);
        if let Some(receipt) = checked.receipt {
            let receipt = receipt.public(&candidate.name);
            if let Some(attester) = &attester {
                let path = args.output.join(format!("{}.intoto.json", candidate.name));
                write_whole(&path, attester.attest(&receipt).as_bytes())?;
            }
            receipt::write(&to, &receipt)?;
        }
    }
    let text = sums::render(&sums);
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
        // An existing signature no longer matches the list.
        None => {
            if std::fs::remove_file(&signed).is_ok() {
                progress.warn(format!(
                    "removed the outdated signature `{}`; use --sign to sign the list",
                    signed.display()
                ));
            }
        }
    }
    console.finish();
    for candidate in &candidates {
        let note =
            if candidate.is_never_booted { "  (not bootable by itself: verified, not booted)" } else { "" };
        print(&format!("{}{note}\n", args.output.join(&candidate.name).display()));
    }
    for name in &left_out {
        console.say(&format!(
            "ister: `{name}` is not published: the root tree of a bootable image cannot be booted by itself"
        ));
    }
    console.say(&format!("ister: {} published", count(candidates.len(), "file")));
    Ok(Outcome::Fine)
}

/// Reads the private key for attestations.
fn attester(path: &Path) -> anyhow::Result<Attester> {
    require(path)?;
    let text =
        std::fs::read_to_string(path).context(|| format!("could not read the key `{}`", path.display()))?;
    Attester::of_pem(&Secret::new(text)).map_err(|error| {
        anyhow::anyhow!(
            "cannot attest with `{}`: {error}; create a key with `openssl genpkey -algorithm ed25519`",
            path.display()
        )
    })
}

/// The files to publish, and the names of those that are left out.
fn candidates(args: &PublishArgs) -> anyhow::Result<(Vec<Candidate>, Vec<String>)> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut left_out = Vec::new();
    for directory in &args.directories {
        let plans = plans_in(directory)?;
        if plans.is_empty() {
            anyhow::bail!(
                "no image with a plan found in `{}`; use an output directory of `ister build`",
                directory.display()
            );
        }
        for plan in plans {
            for candidate in of_plan(directory, &plan, args.prefix.as_deref())? {
                if let Some(other) = candidates.iter().find(|other| other.name == candidate.name) {
                    anyhow::bail!(
                        "`{}` and `{}` would both be published as `{}`; use separate runs with different --prefix",
                        other.from.display(),
                        candidate.from.display(),
                        candidate.name
                    );
                }
                candidates.push(candidate);
            }
            left_out.extend(unbootable_trees(&plan).map(str::to_owned));
        }
    }
    Ok((candidates, left_out))
}

/// Locks the output directory. Waits for other processes, because only one may change the list.
fn lock_directory(directory: &Path, progress: &dyn Progress) -> Result<File, Failure> {
    let context = || format!("could not lock the directory `{}`", directory.display());
    let file = File::open(directory).context(context)?;
    if try_lock(&file).context(context)? == Lock::Theirs {
        progress.begin(format!("waiting for another `ister publish` in {}", directory.display()));
        wait_for_lock(&file).context(context)?;
    }
    Ok(file)
}

/// The checksums that the existing list contains. `by` is the signing key and a test signature by it: entries that
/// stay listed are signed again, so the list must already be signed by the same key.
fn listed_sums(
    list: &Path,
    signature: &Path,
    candidates: &[Candidate],
    by: Option<(&str, &[u8])>,
) -> Result<BTreeMap<String, String>, Failure> {
    let Some(text) = listed(list)? else { return Ok(BTreeMap::new()) };
    let sums = sums::parse(&text)
        .map_err(|why| Failure::new(format!("`{}` is damaged", list.display())).detail(why))?;
    let stays = sums.keys().any(|name| !candidates.iter().any(|candidate| candidate.name == *name));
    if let Some((key, test_signature)) = by.filter(|_| stays)
        && let sums::Signed::Not(why) = sums::is_signed_like(test_signature, &text, signature)?
    {
        // Other users may be able to write to the directory, so do not sign entries that were not signed before.
        let words = |path: &Path| path.display().to_string();
        let mut command = ["gpg", "--armor", "--local-user", key, "--output"].map(str::to_owned).to_vec();
        command.extend([words(signature), "--detach-sign".to_owned(), words(list)]);
        return Err(Failure::new(format!("`{}` is not signed by `{key}`: {why}", list.display())).help(
            format!(
                "publish to another directory, or review the list and sign it: {}",
                shlex::try_join(command.iter().map(String::as_str)).unwrap_or_default()
            ),
        ));
    }
    Ok(sums)
}

/// The text of the existing list.
fn listed(list: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(list) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("could not read `{}`", list.display())),
    }
}

/// Checks a candidate. `None`, with the errors reported, if verification finds errors.
fn check(candidate: &Candidate, progress: &dyn Progress) -> Result<Option<Checked>, Failure> {
    progress.begin(format!("checking {}", candidate.from.display()));
    if !candidate.is_never_booted {
        let receipt = receipt::valid(&candidate.from)?;
        return Ok(Some(Checked { sha256: receipt.sha256.clone(), receipt: Some(receipt) }));
    }
    let sha256 = sha256(&candidate.from)?;
    let findings = verify::findings(&candidate.from, progress)?;
    let mut errors = findings.iter().filter(|found| found.level == Level::Error).peekable();
    let checked = errors.peek().is_none().then_some(Checked { sha256, receipt: None });
    for found in errors {
        progress.warn(format!("{}: {}: {}", candidate.from.display(), found.rule, found.message));
    }
    Ok(checked)
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
    let is_left_out = |name: &str| unbootable_trees(plan).any(|other| other == name);
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
        // The plan is untrusted input.
        if let Some(odd) = [name, &called].into_iter().find(|name| !sums::is_name(name)) {
            anyhow::bail!(
                "invalid file name `{}`: it must not contain `/` or control characters, or start with a dot{}",
                odd.escape_debug(),
                if odd == name { "" } else { "; use another --prefix" }
            );
        }
        candidates.push(Candidate { from: directory.join(name), name: called, is_never_booted: never });
    }
    Ok(candidates)
}

/// Files that can neither be booted nor have a receipt: root trees of bootable images.
fn unbootable_trees(plan: &Plan) -> impl Iterator<Item = &str> {
    let boots = plan.boot.is_some();
    plan.published.iter().filter(move |file| boots && !file.is_bootable()).map(|file| file.name.as_str())
}

/// Copies a file, preserving holes, and returns the SHA-512 of the copy. The copy is published only if it has the
/// checksum `expected`.
fn copy(from: &Path, to: &Path, expected: &str) -> Result<String, Failure> {
    let source = File::open(from).context(|| format!("could not read `{}`", from.display()))?;
    let size = source.metadata().context(|| format!("could not read `{}`", from.display()))?.len();
    let copy = AtomicFile::begin(to)?;
    copy_range(&source, 0..size, &copy.file).context(|| format!("could not write `{}`", to.display()))?;
    let (sha256, sha512) = sha256_and_sha512(&copy.file, to)?;
    if sha256 != expected {
        return Err(Failure::new(format!("`{}` has changed since it was checked", from.display()))
            .detail(format!("expected {expected}, found {sha256}"))
            .help("make sure that nothing writes to it, and publish again"));
    }
    copy.publish(Durability::Synced)?;
    Ok(sha512)
}
