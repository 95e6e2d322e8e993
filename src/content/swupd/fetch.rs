//! Objects into the state directory: a pack for each bundle that lacks much, the rest one by one.
//!
//! Nothing is kept that is not what its hash says. A pack is a convenience: what it lacks, and what is wrong in it, comes as
//! a file of its own.

mod arriving;

use super::client::{Client, not_as_expected};
use super::closure::Loaded;
use super::compression::decompressed;
use super::hash::ObjectHash;
use super::manifest::{Bundle, shown};
use super::merge::Node;
use super::object::{Member, ObjectError, each_member, only_member};
use super::parallel::parallel;
use super::source::inner;
use super::state::{Part, State};
use crate::content::fetch::Download;
use crate::host::Failure;
use crate::template::shown_url;
pub(super) use arriving::amount;
use arriving::{Arriving, End, Told, send_all};
use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader, Read};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Where a smaller part of a bundle is missing than one in so many, its pack would mostly bring what is there.
const WORTH_A_PACK: usize = 4;
/// Files that are fetched at a time, as upstream does.
const PARALLEL_FILES: usize = 15;
/// Packs that are fetched and decoded at a time, at most.
const MOST_PACKS: usize = 6;
const CHUNK: usize = 64 << 10;
/// Chunks between a download and what reads it.
const AHEAD: usize = 16;

/// What came from where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub packs: usize,
    pub files: usize,
    pub bytes: u64,
}

/// Objects that nobody has brought yet, each with a node that wants it.
type Missing<'m> = Mutex<HashMap<ObjectHash, &'m Node<'m>>>;

/// What one installation knows of its packs.
struct Packs<'f, 'm> {
    state: &'f State,
    bundles: &'f [Loaded],
    missing: Missing<'m>,
    told: Told<'f, 'f>,
    /// By bundle, once its pack was tried: why it is not usable, or nothing.
    tried: Vec<Mutex<Option<Option<String>>>>,
}

impl Client<'_> {
    /// Brings every object of the tree into the state directory.
    pub(super) fn fetch(
        &self,
        state: &State,
        bundles: &[Loaded],
        nodes: &[Node],
    ) -> Result<Fetched, Failure> {
        let started = Instant::now();
        let mut missing = HashMap::new();
        let mut seen = HashSet::new();
        // Objects of each bundle that nobody before it has, and how many of them are not there.
        let mut listed = vec![0usize; bundles.len()];
        let mut lacking = vec![0usize; bundles.len()];
        for node in nodes {
            if !seen.insert(node.hash) {
                continue;
            }
            listed[node.bundle] += 1;
            if !state.has(&node.hash) {
                lacking[node.bundle] += 1;
                missing.insert(node.hash, node);
            }
        }
        // What is known of a tree takes memory for each of its files.
        drop(seen);
        if missing.is_empty() {
            return Ok(Fetched::default());
        }
        let before = self.source.fetched();
        let worth = |bundle: &usize| {
            let begun = || {
                let line = &bundles[*bundle].line;
                !self.source.is_local() && state.has_part(&self.source.pack(&line.name, line.version))
            };
            lacking[*bundle] > 0 && (lacking[*bundle] * WORTH_A_PACK >= listed[*bundle] || begun())
        };
        let mut wanted: Vec<usize> = (0..bundles.len()).filter(worth).collect();
        // The largest first: it decides how long all take.
        wanted.sort_by_key(|bundle| std::cmp::Reverse(bundles[*bundle].manifest.header.content_size));
        let packs = Packs {
            state,
            bundles,
            missing: Mutex::new(missing),
            told: Told { client: self, began: started, before, last: Mutex::new(started) },
            tried: bundles.iter().map(|_| Mutex::new(None)).collect(),
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let used = parallel(wanted.len(), cores.clamp(2, MOST_PACKS), |index| {
            self.pack_once(&packs, wanted[index])
        })?;
        let mut left: Vec<&Node> = lock(&packs.missing).values().copied().collect();
        left.sort_by_key(|node| node.path);
        parallel(left.len(), PARALLEL_FILES, |index| {
            packs.told.now_and_then();
            self.file_or_pack(&packs, left[index])
        })?;
        for line in bundles.iter().map(|bundle| &bundle.line) {
            state.forget_part(&self.source.pack(&line.name, line.version));
        }
        Ok(Fetched {
            packs: used.into_iter().filter(|used| *used).count(),
            files: left.len(),
            bytes: self.source.fetched() - before,
        })
    }

    /// Takes what is missing out of a bundle's pack, unless that was tried before. `false`: there is no good one.
    fn pack_once(&self, packs: &Packs, bundle: usize) -> Result<bool, Failure> {
        let mut tried = packs.tried[bundle].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = &*tried {
            return Ok(outcome.is_none());
        }
        let outcome = self.pack(packs, bundle)?;
        let usable = outcome.is_none();
        *tried = Some(outcome);
        Ok(usable)
    }

    /// A mirror may have packs and lack what is in them.
    fn file_or_pack(&self, packs: &Packs, node: &Node) -> Result<(), Failure> {
        let Err(failure) = self.file(packs.state, packs.bundles, node) else { return Ok(()) };
        self.pack_once(packs, node.bundle)?;
        if packs.state.has(&node.hash) {
            return Ok(());
        }
        let tried = packs.tried[node.bundle].lock().unwrap_or_else(PoisonError::into_inner);
        match &*tried {
            Some(Some(why)) => Err(failure.detail(format!("nor from the bundle's pack: {why}"))),
            _ => Err(failure),
        }
    }

    /// Why the pack is not usable, or nothing. An error is this host's.
    fn pack(&self, packs: &Packs, bundle: usize) -> Result<Option<String>, Failure> {
        let Loaded { line, manifest } = &packs.bundles[bundle];
        let url = self.source.pack(&line.name, line.version);
        let (largest, largest_pack) = (largest_object(manifest), largest_pack(manifest));
        let mut taken = Taken { largest, largest_pack, ..Taken::default() };
        let read = if self.source.is_local() {
            match self.source.open(&url, 0) {
                Ok(pack) => self.unpack(packs, pack, &mut taken),
                Err(error) => Err(Failure::from(error)),
            }
        } else {
            self.pack_over_network(packs, bundle, &url, &mut taken)
        };
        if let Some(failure) = taken.host {
            return Err(failure);
        }
        let name = &line.name;
        if taken.wrong > 0 {
            self.progress.warn(format!(
                "the pack of bundle `{name}` has {} objects that are not what they are called; they are left out",
                taken.wrong
            ));
        }
        let Err(failure) = read else { return Ok(None) };
        log::debug!("{failure}");
        let why = failure.details.last().unwrap_or(&failure.message).clone();
        self.progress.note(format!(
            "the pack of bundle `{name}` is not usable ({why}): what it should have comes one by one"
        ));
        Ok(Some(why))
    }

    /// Through a file, so that what has come stays when this build ends early.
    fn pack_over_network(
        &self,
        packs: &Packs,
        bundle: usize,
        url: &str,
        taken: &mut Taken,
    ) -> Result<(), Failure> {
        let largest = taken.largest_pack;
        let waiting = || {
            self.progress.note("waiting for another installation that fetches the same pack".to_owned());
        };
        let mut part = packs.state.part(url, waiting)?;
        // It may have brought what we wait for.
        lock(&packs.missing).retain(|hash, _| !packs.state.has(hash));
        let context = |error: io::Error| {
            Failure::new(format!("could not use what came of `{}`", shown_url(url))).detail(error.to_string())
        };
        let there = part.file.metadata().map_err(context)?.len();
        if there > 0 {
            let before = part.reader().map_err(context)?;
            let read = match self.source.open_pack(url, there) {
                Ok(download) => self.pack_through(packs, &part, before, download, largest, taken),
                // It may have come whole.
                Err(_) => self.unpack(packs, before, taken).map_err(Broken::Content),
            };
            match read {
                // A whole pack of something else brings nothing.
                Ok(()) if lock(&packs.missing).values().any(|node| node.bundle == bundle) => (),
                Ok(()) => {
                    part.forget();
                    return Ok(());
                }
                // What has come is good for the next time.
                Err(Broken::Line(failure)) => return Err(failure),
                Err(Broken::Content(_)) if taken.host.is_some() => {
                    part.forget();
                    return Ok(());
                }
                // It was of something else, or nobody answers.
                Err(Broken::Content(_)) => (),
            }
        }
        let download = match self.source.open_pack(url, 0) {
            Ok(download) => download,
            Err(error) => {
                if there == 0 {
                    part.forget();
                }
                return Err(error.into());
            }
        };
        if there > 0 {
            // A file of its own: whoever fetched the rest of the other may still be writing to that.
            part.forget();
            part = packs.state.part(url, waiting)?;
            part.file.set_len(0).map_err(context)?;
        }
        match self.pack_through(packs, &part, io::empty(), download, largest, taken) {
            Err(Broken::Line(failure)) => Err(failure),
            Err(Broken::Content(failure)) => {
                part.forget();
                Err(failure)
            }
            Ok(()) => {
                part.forget();
                Ok(())
            }
        }
    }

    fn pack_through(
        &self,
        packs: &Packs,
        part: &Part,
        before: impl Read + Send,
        mut download: Download,
        largest: u64,
        taken: &mut Taken,
    ) -> Result<(), Broken> {
        let no_state = |error: io::Error| {
            Broken::Content(Failure::new("could not use the state directory").detail(error.to_string()))
        };
        let mut file = part.file.try_clone().map_err(no_state)?;
        let (sender, receiver) = sync_channel(AHEAD);
        // It may outlive us while it waits for a server that says nothing.
        std::thread::spawn(move || send_all(&mut download, &mut file, largest, &sender));
        let mut arriving = Arriving { receiver, chunk: Vec::new(), at: 0, client: self, end: None };
        let read = self.unpack(packs, before.chain(&mut arriving), taken);
        match arriving.end {
            Some(End::Line) => read.map_err(Broken::Line),
            Some(End::Host) => {
                if let Err(failure) = read {
                    let failure = failure
                        .context(format!("could not keep a pack in `{}`", packs.state.directory().display()))
                        .help("free some space, or choose another directory with -S");
                    taken.host = Some(failure);
                }
                Err(Broken::Content(Failure::new("the state directory")))
            }
            None => read.map_err(Broken::Content),
        }
    }

    fn unpack(&self, packs: &Packs, pack: impl Read + Send, taken: &mut Taken) -> Result<(), Failure> {
        let Packs { state, missing, told, .. } = packs;
        let largest = taken.largest_pack;
        let read = decompressed(BufReader::with_capacity(CHUNK, pack), &self.budget).and_then(|tar| {
            each_member(tar.take(largest), |name, member, data| {
                told.now_and_then();
                let Some(hash) = staged(name) else { return Ok(()) };
                let Member::Object(object) = member else { return Ok(()) };
                // Whoever takes it out of the list brings it.
                let claimed = lock(missing).remove(&hash);
                let Some(node) = claimed else { return Ok(()) };
                if object.attributes.size > taken.largest {
                    lock(missing).insert(hash, node);
                    taken.wrong += 1;
                    return Err(io::Error::other("an object in it is larger than all of its bundle"));
                }
                match state.put(&hash, &object, data) {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => {
                        lock(missing).insert(hash, node);
                        match error {
                            ObjectError::Hash(_) => {
                                taken.wrong += 1;
                                Ok(())
                            }
                            ObjectError::Read(error) | ObjectError::Write(error) => Err(error),
                        }
                    }
                    Err(failure) => {
                        taken.host = Some(failure);
                        Err(io::Error::other("the state directory"))
                    }
                }
            })
        });
        read.map_err(|error| inner(error, || "it is no readable pack".to_owned()))
    }

    /// An object by itself.
    pub(super) fn file(&self, state: &State, bundles: &[Loaded], node: &Node) -> Result<(), Failure> {
        let hash = &node.hash;
        let url = self.source.file(hash, node.version);
        let context =
            || format!("`{}` of bundle `{}` cannot be had", shown(node.path), bundles[node.bundle].line.name);
        let from = || format!("from: {}", shown_url(&url));
        let packed = self.source.open(&url, 0).map_err(|error| Failure::from(error).context(context()))?;
        let largest = largest_object(&bundles[node.bundle].manifest);
        let most = largest + LARGEST_FRAME;
        let tar = decompressed(BufReader::with_capacity(CHUNK, packed.take(most)), &self.budget);
        let mut host = None;
        let read = tar.map_err(ObjectError::Read).and_then(|tar| {
            only_member(tar.take(most), hash, |object, data| {
                if object.attributes.size > largest {
                    return Err(ObjectError::Read(io::Error::other("it is larger than all of its bundle")));
                }
                match state.put(hash, &object, data) {
                    Ok(put) => put,
                    Err(failure) => {
                        host = Some(failure);
                        Err(ObjectError::Write(io::Error::other("the state directory")))
                    }
                }
            })
        });
        if let Some(failure) = host {
            return Err(failure);
        }
        if read.is_err() {
            // It may be what its hash says, and came in something that is not to be trusted.
            state.forget(hash);
        }
        read.map_err(|error| match error {
            ObjectError::Hash(found) => not_as_expected(context(), hash, &found).detail(from()),
            ObjectError::Read(error) | ObjectError::Write(error) => {
                inner(error, || "it is no tar of one object".to_owned()).context(context()).detail(from())
            }
        })
    }
}

/// More than the headers of one object, and what a compression adds to what it cannot compress.
const LARGEST_FRAME: u64 = 16 << 20;

/// More than any object of a bundle can have, as its signed manifest says; where it says nothing, as many bytes as anybody
/// would put into a file on purpose.
fn largest_object(bundle: &Bundle) -> u64 {
    const UNSAID: u64 = 4 << 30;
    match bundle.header.content_size {
        0 => UNSAID,
        said => said,
    }
}

/// More than a pack of a bundle can have: it may carry a variant of each file for every level of CPU.
fn largest_pack(bundle: &Bundle) -> u64 {
    const LEVELS: u64 = 4;
    const HEADERS: u64 = 4096;
    const REST: u64 = 64 << 20;
    LEVELS * (largest_object(bundle) + HEADERS * bundle.files.len() as u64) + REST
}

/// Why a pack could not be read to its end.
enum Broken {
    /// The line broke.
    Line(Failure),
    /// It is no good pack.
    Content(Failure),
}

/// What came of unpacking.
#[derive(Default)]
struct Taken {
    /// The most bytes that an object may have, and all of the pack.
    largest: u64,
    largest_pack: u64,
    /// Objects that were others.
    wrong: usize,
    /// What went wrong on this side.
    host: Option<Failure>,
}

fn lock<'l, 'm>(missing: &'l Missing<'m>) -> std::sync::MutexGuard<'l, HashMap<ObjectHash, &'m Node<'m>>> {
    missing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hash of a pack's member `staged/<hash>`; nothing else in a pack is looked at.
fn staged(name: &[u8]) -> Option<ObjectHash> {
    let name = name.strip_prefix(b"staged/")?;
    ObjectHash::parse(name.strip_suffix(b"/").unwrap_or(name))
}
