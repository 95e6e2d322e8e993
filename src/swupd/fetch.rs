//! Objects into the state folder: a pack for each bundle that lacks much, the rest one by one.
//!
//! Nothing is kept that is not what its hash says. A pack is a convenience: what it lacks, and what is wrong in it, comes as
//! a file of its own.

use super::client::{Client, not_as_expected, parallel};
use super::closure::Loaded;
use super::compression::decompressed;
use super::hash::ObjectHash;
use super::manifest::shown;
use super::merge::Node;
use super::object::{Member, ObjectError, each_member, only_member};
use super::source::inner;
use super::state::{Part, State};
use crate::fetch::Download;
use crate::template::{Bytes, shown_url};
use crate::tool::Failure;
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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
pub struct Fetched {
    pub packs: usize,
    pub files: usize,
    pub bytes: u64,
}

/// Objects that nobody has brought yet, each with a node that wants it.
type Missing<'m> = Mutex<HashMap<ObjectHash, Node<'m>>>;

impl Client<'_> {
    /// Brings every object of the tree into the state folder.
    pub fn fetch(&self, state: &State, bundles: &[Loaded], nodes: &[Node]) -> Result<Fetched, Failure> {
        let started = Instant::now();
        let mut missing = HashMap::new();
        let mut lacking = vec![0usize; bundles.len()];
        for node in nodes {
            if missing.contains_key(&node.hash) || state.has(&node.hash) {
                continue;
            }
            lacking[node.bundle] += 1;
            missing.insert(node.hash, *node);
        }
        if missing.is_empty() {
            return Ok(Fetched::default());
        }
        let before = self.source.fetched();
        let worth = |bundle: &usize| {
            let listed = bundles[*bundle].manifest.files.len();
            lacking[*bundle] > 0 && lacking[*bundle] * WORTH_A_PACK >= listed
        };
        let mut packs: Vec<usize> = (0..bundles.len()).filter(worth).collect();
        // The largest first: it decides how long all take.
        packs.sort_by_key(|bundle| std::cmp::Reverse(bundles[*bundle].manifest.header.content_size));
        let missing = Mutex::new(missing);
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let told = Told { client: self, began: started, before, last: Mutex::new(started) };
        let used = parallel(packs.len(), cores.clamp(2, MOST_PACKS), |index| {
            let bundle = &bundles[packs[index]];
            self.pack(state, bundle, &missing, &told)
        })?;
        let missing = missing.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut left: Vec<Node> = missing.into_values().collect();
        left.sort_by_key(|node| node.path);
        parallel(left.len(), PARALLEL_FILES, |index| {
            told.now_and_then();
            self.file(state, bundles, &left[index])
        })?;
        Ok(Fetched {
            packs: used.into_iter().filter(|used| *used).count(),
            files: left.len(),
            bytes: self.source.fetched() - before,
        })
    }

    /// Takes what is missing out of a bundle's pack. `false`: there is no good one. An error is this host's.
    fn pack(&self, state: &State, bundle: &Loaded, missing: &Missing, told: &Told) -> Result<bool, Failure> {
        let url = self.source.pack(&bundle.line.name, bundle.line.version);
        let mut outcome = Taken::default();
        let read = if self.source.is_local() {
            match self.source.open(&url, 0) {
                Ok(pack) => self.unpack(state, pack, missing, told, &mut outcome),
                Err(error) => Err(Failure::from(error)),
            }
        } else {
            self.pack_over_network(state, &url, missing, told, &mut outcome)
        };
        if let Some(failure) = outcome.host {
            return Err(failure);
        }
        let name = &bundle.line.name;
        if let Err(failure) = &read {
            log::debug!("{failure}");
            let why = failure.details.last().unwrap_or(&failure.message);
            self.progress.note(format!(
                "the pack of bundle `{name}` is not usable ({why}): what it should have comes one by one"
            ));
        } else if outcome.wrong > 0 {
            self.progress.warn(format!(
                "the pack of bundle `{name}` has {} objects that are not what they are called; they are left out",
                outcome.wrong
            ));
        }
        Ok(read.is_ok())
    }

    /// Through a file, so that what has come stays when this build ends early.
    fn pack_over_network(
        &self,
        state: &State,
        url: &str,
        missing: &Missing,
        told: &Told,
        outcome: &mut Taken,
    ) -> Result<(), Failure> {
        let part = state.part(url)?;
        let context = |error: io::Error| {
            Failure::new(format!("could not read what came of `{}`", shown_url(url)))
                .detail(error.to_string())
        };
        let there = part.file.metadata().map_err(context)?.len();
        if there > 0 {
            if let Ok(download) = self.source.download(url, there) {
                let before = part.reader().map_err(context)?;
                return self.pack_through(state, part, before, download, missing, told, outcome);
            }
            // It may have come whole; else it is good for nothing.
            if self.unpack(state, part.reader().map_err(context)?, missing, told, outcome).is_ok() {
                part.forget();
                return Ok(());
            }
            part.file.set_len(0).map_err(context)?;
        }
        match self.source.download(url, 0) {
            Ok(download) => self.pack_through(state, part, io::empty(), download, missing, told, outcome),
            Err(error) => {
                part.forget();
                Err(error.into())
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what has come, what comes, and where it goes")]
    fn pack_through(
        &self,
        state: &State,
        part: Part,
        before: impl Read + Send,
        mut download: Download,
        missing: &Missing,
        told: &Told,
        outcome: &mut Taken,
    ) -> Result<(), Failure> {
        let mut file = part
            .file
            .try_clone()
            .map_err(|error| Failure::new("could not use the state folder").detail(error.to_string()))?;
        let (sender, receiver) = sync_channel(AHEAD);
        // It may outlive us while it waits for a server that says nothing.
        std::thread::spawn(move || send_all(&mut download, &mut file, &sender));
        let mut arriving = Arriving { receiver, chunk: Vec::new(), at: 0, client: self, broken: false };
        let read = self.unpack(state, before.chain(&mut arriving), missing, told, outcome);
        let broken = arriving.broken;
        drop(arriving);
        if broken {
            // What has come is good for the next time.
            return read;
        }
        part.forget();
        read
    }

    fn unpack(
        &self,
        state: &State,
        pack: impl Read + Send,
        missing: &Missing,
        told: &Told,
        outcome: &mut Taken,
    ) -> Result<(), Failure> {
        let read = decompressed(BufReader::with_capacity(CHUNK, pack), &self.budget).and_then(|tar| {
            each_member(tar, |name, member, data| {
                told.now_and_then();
                let Some(hash) = staged(name) else { return Ok(()) };
                let Member::Object(object) = member else { return Ok(()) };
                // Whoever takes it out of the list brings it.
                let claimed = lock(missing).remove(&hash);
                let Some(node) = claimed else { return Ok(()) };
                match state.put(&hash, &object, data) {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => {
                        lock(missing).insert(hash, node);
                        match error {
                            ObjectError::Hash(_) => {
                                outcome.wrong += 1;
                                Ok(())
                            }
                            ObjectError::Read(error) | ObjectError::Write(error) => Err(error),
                        }
                    }
                    Err(failure) => {
                        outcome.host = Some(failure);
                        Err(io::Error::other("the state folder"))
                    }
                }
            })
        });
        read.map_err(|error| inner(error, || "it is no readable pack".to_owned()))
    }

    /// An object by itself.
    pub fn file(&self, state: &State, bundles: &[Loaded], node: &Node) -> Result<(), Failure> {
        let hash = &node.hash;
        let url = self.source.file(hash, node.version);
        let context =
            || format!("`{}` of bundle `{}` cannot be had", shown(node.path), bundles[node.bundle].line.name);
        let from = || format!("from: {}", shown_url(&url));
        let packed = self.source.open(&url, 0).map_err(|error| Failure::from(error).context(context()))?;
        let tar = decompressed(BufReader::with_capacity(CHUNK, packed), &self.budget);
        let mut host = None;
        let read = tar.map_err(ObjectError::Read).and_then(|tar| {
            only_member(tar, hash, |object, data| match state.put(hash, &object, data) {
                Ok(put) => put,
                Err(failure) => {
                    host = Some(failure);
                    Err(ObjectError::Write(io::Error::other("the state folder")))
                }
            })
        });
        if let Some(failure) = host {
            return Err(failure);
        }
        read.map_err(|error| match error {
            ObjectError::Hash(found) => not_as_expected(context(), hash, &found).detail(from()),
            ObjectError::Read(error) | ObjectError::Write(error) => {
                inner(error, || "it is no tar of one object".to_owned()).context(context()).detail(from())
            }
        })
    }
}

/// What came of unpacking.
#[derive(Default)]
struct Taken {
    /// Objects that were others.
    wrong: usize,
    /// What went wrong on this side.
    host: Option<Failure>,
}

fn lock<'l, 'm>(missing: &'l Missing<'m>) -> std::sync::MutexGuard<'l, HashMap<ObjectHash, Node<'m>>> {
    missing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hash of a pack's member `staged/<hash>`; nothing else in a pack is looked at.
fn staged(name: &[u8]) -> Option<ObjectHash> {
    let name = name.strip_prefix(b"staged/")?;
    ObjectHash::parse(name.strip_suffix(b"/").unwrap_or(name))
}

type Chunk = io::Result<Vec<u8>>;

/// From the network to the file and to whoever unpacks.
fn send_all(download: &mut impl Read, file: &mut std::fs::File, sender: &SyncSender<Chunk>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = download.read(&mut chunk).and_then(|count| {
            chunk.truncate(count);
            file.write_all(&chunk).map(|()| count)
        });
        let (last, message) = match read {
            Ok(0) => return,
            Ok(_) => (false, Ok(chunk)),
            Err(error) => (true, Err(error)),
        };
        if sender.send(message).is_err() || last {
            return;
        }
    }
}

/// The other end.
struct Arriving<'c, 'p> {
    receiver: Receiver<Chunk>,
    chunk: Vec<u8>,
    at: usize,
    client: &'c Client<'p>,
    broken: bool,
}

impl Read for Arriving<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.receiver.recv() {
                Ok(Ok(chunk)) => {
                    self.client.source.count(chunk.len() as u64);
                    (self.chunk, self.at) = (chunk, 0);
                }
                Ok(Err(error)) => {
                    self.broken = true;
                    return Err(error);
                }
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Says how much has come, a few times a second.
struct Told<'c, 'p> {
    client: &'c Client<'p>,
    began: Instant,
    before: u64,
    last: Mutex<Instant>,
}

impl Told<'_, '_> {
    fn now_and_then(&self) {
        const PAUSE: Duration = Duration::from_millis(200);
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() < PAUSE {
            return;
        }
        *last = Instant::now();
        self.client.progress.status(amount(self.client.source.fetched() - self.before, self.began.elapsed()));
    }
}

/// Bytes and rate.
pub fn amount(bytes: u64, time: Duration) -> String {
    let rate = bytes as f64 / time.as_secs_f64().max(0.001);
    format!("{}, {}/s", Bytes(bytes), Bytes(rate as u64))
}
