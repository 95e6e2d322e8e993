//! Fetches objects into the state directory: as a pack for each bundle that lacks many objects, the rest individually.
//!
//! Only objects with a matching hash are stored. Packs are an optimization: objects that are missing or invalid in a
//! pack are fetched individually.

mod pack_stream;

use super::client::{Client, not_as_expected};
use super::closure::Loaded;
use super::compression::decompressed;
use super::hash::ObjectHash;
use super::manifest::{Bundle, shown};
use super::merge::MergedNode;
use super::object::{Member, ObjectError, each_member, only_member};
use super::parallel::parallel;
use super::source::inner;
use super::state::{PartialDownload, State};
use crate::content::fetch::Download;
use crate::host::Failure;
use crate::template::display_url;
pub(super) use pack_stream::amount;
use pack_stream::{End, PackReader, Told, send_all};
use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader, Read};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A pack is fetched only if at least one in this many objects of the bundle is missing; otherwise it would mostly
/// contain existing objects.
const WORTH_A_PACK: usize = 4;
/// Number of files fetched in parallel, as in upstream's client.
const PARALLEL_FILES: usize = 15;
/// Maximum number of packs fetched and decoded in parallel.
const MOST_PACKS: usize = 6;
const CHUNK: usize = 64 << 10;
/// Number of chunks buffered between a download and its reader.
const AHEAD: usize = 16;

/// Statistics of a fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub packs: usize,
    pub files: usize,
    pub bytes: u64,
}

/// Objects that are still missing, each with a node that needs it.
type Missing<'m> = Mutex<HashMap<ObjectHash, &'m MergedNode<'m>>>;

/// State of the packs during one installation.
struct Packs<'f, 'm> {
    state: &'f State,
    bundles: &'f [Loaded],
    missing: Missing<'m>,
    told: Told<'f, 'f>,
    /// Result per bundle after its pack was tried: why it is unusable, or `None`.
    tried: Vec<Mutex<Option<Option<String>>>>,
}

impl Client<'_> {
    /// Fetches all missing objects of the tree into the state directory.
    pub(super) fn fetch(
        &self,
        state: &State,
        bundles: &[Loaded],
        nodes: &[MergedNode],
    ) -> Result<Fetched, Failure> {
        let started = Instant::now();
        let mut missing = HashMap::new();
        let mut seen = HashSet::new();
        // Number of objects in each bundle that no earlier bundle contains, and how many of them are missing.
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
        // Free the set early: it needs memory for every file of the tree.
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
        // Largest first, because the largest pack determines the total time.
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
        let mut left: Vec<&MergedNode> = lock(&packs.missing).values().copied().collect();
        left.sort_by_key(|node| node.path);
        parallel(left.len(), PARALLEL_FILES, |index| {
            packs.told.report_periodically();
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

    /// Extracts missing objects from the pack of a bundle, unless it was tried before. Returns `false` if the pack is
    /// unusable.
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

    /// Fetches a single object, or the pack of its bundle if that fails: a mirror may have packs without the individual
    /// files.
    fn file_or_pack(&self, packs: &Packs, node: &MergedNode) -> Result<(), Failure> {
        let Err(failure) = self.file(packs.state, packs.bundles, node) else { return Ok(()) };
        self.pack_once(packs, node.bundle)?;
        if packs.state.has(&node.hash) {
            return Ok(());
        }
        let tried = packs.tried[node.bundle].lock().unwrap_or_else(PoisonError::into_inner);
        match &*tried {
            Some(Some(why)) => {
                Err(failure.detail(format!("the pack of the bundle is not usable either: {why}")))
            }
            _ => Err(failure),
        }
    }

    /// Returns why the pack is unusable, or `None`. An error is a failure of this host.
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
                "the pack of bundle `{name}` contains {} objects with a wrong hash; skipped",
                taken.wrong
            ));
        }
        let Err(failure) = read else { return Ok(None) };
        log::debug!("{failure}");
        let why = failure.details.last().unwrap_or(&failure.message).clone();
        self.progress.note(format!(
            "the pack of bundle `{name}` is not usable ({why}): fetching its files individually"
        ));
        Ok(Some(why))
    }

    /// Stores the pack in a file, so that a partial download survives an interrupted build.
    fn pack_over_network(
        &self,
        packs: &Packs,
        bundle: usize,
        url: &str,
        taken: &mut Taken,
    ) -> Result<(), Failure> {
        let largest = taken.largest_pack;
        let waiting = || {
            self.progress.note("waiting for another installation to fetch the same pack".to_owned());
        };
        let mut part = packs.state.part(url, waiting)?;
        // The other installation may have fetched what is missing here.
        lock(&packs.missing).retain(|hash, _| !packs.state.has(hash));
        let context = |error: io::Error| {
            Failure::new(format!("could not use the partial download of `{}`", display_url(url)))
                .detail(error.to_string())
        };
        let there = part.file.metadata().map_err(context)?.len();
        if there > 0 {
            let before = part.reader().map_err(context)?;
            let read = match self.source.open_pack(url, there) {
                Ok(download) => self.pack_through(packs, &part, before, download, largest, taken),
                // The file may already be complete.
                Err(_) => self.unpack(packs, before, taken).map_err(Broken::Content),
            };
            match read {
                // The pack was read completely, but did not contain the missing objects.
                Ok(()) if lock(&packs.missing).values().any(|node| node.bundle == bundle) => (),
                Ok(()) => {
                    part.forget();
                    return Ok(());
                }
                // Keep the partial download for the next attempt.
                Err(Broken::Line(failure)) => return Err(failure),
                Err(Broken::Content(_)) if taken.host.is_some() => {
                    part.forget();
                    return Ok(());
                }
                // The partial download is invalid, or the server does not respond: start again.
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
            // Use a new file: a download thread may still be writing to the previous one.
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
        part: &PartialDownload,
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
        // This thread may outlive the installation while it waits for an unresponsive server.
        std::thread::spawn(move || send_all(&mut download, &mut file, largest, &sender));
        let mut stream = PackReader { receiver, chunk: Vec::new(), at: 0, client: self, end: None };
        let read = self.unpack(packs, before.chain(&mut stream), taken);
        match stream.end {
            Some(End::Line) => read.map_err(Broken::Line),
            Some(End::Host) => {
                if let Err(failure) = read {
                    let failure = failure
                        .context(format!("could not store a pack in `{}`", packs.state.directory().display()))
                        .help("free some space, or select another directory with -S");
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
                told.report_periodically();
                let Some(hash) = staged(name) else { return Ok(()) };
                let Member::Object(object) = member else { return Ok(()) };
                // The thread that removes an object from the map stores it.
                let claimed = lock(missing).remove(&hash);
                let Some(node) = claimed else { return Ok(()) };
                if object.attributes.size > taken.largest {
                    lock(missing).insert(hash, node);
                    taken.wrong += 1;
                    return Err(io::Error::other("an object is larger than its bundle"));
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
        read.map_err(|error| inner(error, || "not a readable pack".to_owned()))
    }

    /// Fetches a single object.
    pub(super) fn file(&self, state: &State, bundles: &[Loaded], node: &MergedNode) -> Result<(), Failure> {
        let hash = &node.hash;
        let url = self.source.file(hash, node.version);
        let context = || {
            format!("could not fetch `{}` of bundle `{}`", shown(node.path), bundles[node.bundle].line.name)
        };
        let from = || format!("from: {}", display_url(&url));
        let packed = self.source.open(&url, 0).map_err(|error| Failure::from(error).context(context()))?;
        let largest = largest_object(&bundles[node.bundle].manifest);
        let most = largest + LARGEST_FRAME;
        let tar = decompressed(BufReader::with_capacity(CHUNK, packed.take(most)), &self.budget);
        let mut host = None;
        let read = tar.map_err(ObjectError::Read).and_then(|tar| {
            only_member(tar.take(most), hash, |object, data| {
                if object.attributes.size > largest {
                    return Err(ObjectError::Read(io::Error::other("the object is larger than its bundle")));
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
            // The object may be stored although the tar around it is invalid.
            state.forget(hash);
        }
        read.map_err(|error| match error {
            ObjectError::Hash(found) => not_as_expected(context(), hash, &found).detail(from()),
            ObjectError::Read(error) | ObjectError::Write(error) => {
                inner(error, || "not a valid object tar".to_owned()).context(context()).detail(from())
            }
        })
    }
}

/// Upper bound for the headers of an object and the overhead of incompressible data.
const LARGEST_FRAME: u64 = 16 << 20;

/// Upper bound for the size of an object, from the content size in the signed manifest, or a fixed limit if the
/// manifest contains no size.
fn largest_object(bundle: &Bundle) -> u64 {
    const WITHOUT_SIZE: u64 = 4 << 30;
    match bundle.header.content_size {
        0 => WITHOUT_SIZE,
        size => size,
    }
}

/// Upper bound for the size of a pack, which may contain a variant of each file for every CPU level.
fn largest_pack(bundle: &Bundle) -> u64 {
    const LEVELS: u64 = 4;
    const HEADERS: u64 = 4096;
    const REST: u64 = 64 << 20;
    LEVELS * (largest_object(bundle) + HEADERS * bundle.files.len() as u64) + REST
}

/// Why a pack could not be read completely.
enum Broken {
    /// The connection was lost.
    Line(Failure),
    /// The pack is invalid.
    Content(Failure),
}

/// Result of unpacking a pack.
#[derive(Default)]
struct Taken {
    /// Maximum size of an object and of the whole pack, in bytes.
    largest: u64,
    largest_pack: u64,
    /// Number of objects with a wrong hash.
    wrong: usize,
    /// Failure of this host.
    host: Option<Failure>,
}

fn lock<'l, 'm>(
    missing: &'l Missing<'m>,
) -> std::sync::MutexGuard<'l, HashMap<ObjectHash, &'m MergedNode<'m>>> {
    missing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the hash of a pack member `staged/<hash>`. Other members are ignored.
fn staged(name: &[u8]) -> Option<ObjectHash> {
    let name = name.strip_prefix(b"staged/")?;
    ObjectHash::parse(name.strip_suffix(b"/").unwrap_or(name))
}
