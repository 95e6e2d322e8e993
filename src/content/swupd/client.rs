//! From URLs and names to manifests that can be trusted: the signature of the release, the hash of each bundle's manifest.

use super::closure::{Closure, ClosureError, closure};
use super::compression::{Budget, decompressed};
use super::hash::{Kind, ObjectHash};
use super::manifest::{Bundle, BundleLine, Release, decimal, shown};
use super::object::{Member, ObjectError, each_member};
use super::parallel::parallel;
use super::signature::{Distrust, Expiry, Trust};
use super::source::{Source, inner};
use super::state::State;
use crate::content::fetch::FetchError;
use crate::host::{Context, Failure, Progress};
use crate::plan::SwupdFormat;
use crate::template::shown_url;
use serde::{Deserialize, Serialize};
use std::io::{self, BufReader, Read};

/// A number of ten digits, and a line end.
const LARGEST_NUMBER: u64 = 64;
const LARGEST_SIGNATURE: u64 = 1 << 20;
/// Of a release's list of bundles: it is read before it is known to be signed.
const LARGEST_RELEASE: u64 = 8 << 20;
/// Of a bundle's manifest: a line has about 120 bytes, and nobody has bundles of a million files.
const LARGEST_MANIFEST: u64 = 128 << 20;
/// Manifests that are fetched at a time.
const PARALLEL_MANIFESTS: usize = 8;

/// `-V`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    Latest,
    Number(u32),
}

impl Version {
    /// A positive number, digits only.
    pub fn number(text: &str) -> Option<Version> {
        let number = decimal(text.as_bytes()).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| *number > 0).map(Version::Number)
    }
}

/// Whom signatures are accepted from.
pub(super) enum Signers {
    /// The first who accepts counts.
    Trusted(Vec<Trust>),
    /// `--no-sigcheck`.
    Anybody,
}

pub(super) struct Client<'a> {
    pub source: Source,
    pub signers: Signers,
    pub budget: Budget,
    /// Seconds since 1970.
    pub now: u64,
    pub progress: &'a dyn Progress,
}

impl Client<'_> {
    /// The newest version of a format, as signed.
    pub(super) fn newest(&self, format: SwupdFormat) -> Result<u32, Failure> {
        let SwupdFormat::Number(_) = format else {
            return Err(Failure::new("content of format `staging` has no newest version")
                .help("name a version by its number"));
        };
        let url = self.source.newest(&format, "");
        let said = self.source.small(&url, LARGEST_NUMBER).map_err(|error| {
            Failure::from(error)
                .context(format!("the newest version of format {format} is not known"))
                .help("check the version URL (-V) and the format (-f), or name a version by its number")
        })?;
        let no_trust = |why: String| {
            Failure::new("the number of the newest version cannot be trusted")
                .detail(why)
                .detail(format!("from: {}", shown_url(&url)))
                .help(TRUST_HELP)
        };
        if let Signers::Trusted(_) = self.signers {
            let signature = self.source.small(&self.source.newest(&format, ".sig"), LARGEST_SIGNATURE);
            let signature = signature.map_err(|error| {
                let failure = Failure::from(error);
                no_trust(format!("its signature is not there: {}", failure.details.join(": ")))
            })?;
            self.check(&said, &signature, Expiry::Tolerated).map_err(|why| no_trust(why.to_string()))?;
        }
        let number = said.strip_suffix(b"\n").unwrap_or(&said);
        decimal(number)
            .and_then(|version| u32::try_from(version).ok())
            .filter(|version| *version > 0)
            .ok_or_else(|| {
                Failure::new(format!("the newest version is `{}`, which is no number", shown(&said)))
                    .detail(format!("from: {}", shown_url(&url)))
            })
    }

    fn check(&self, content: &[u8], signature: &[u8], expiry: Expiry) -> Result<(), Distrust> {
        let Signers::Trusted(trusted) = &self.signers else { return Ok(()) };
        let mut first = None;
        for trust in trusted {
            match trust.check(content, signature, expiry, self.now) {
                Ok(()) => return Ok(()),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or_else(Distrust::nobody))
    }

    /// What a version consists of: signed, of this version and format.
    pub(super) fn release(&self, version: u32, format: Option<SwupdFormat>) -> Result<Release, Failure> {
        let release = self.once_more(|| self.release_once(version))?;
        if release.header.version != version {
            return Err(Failure::new(format!(
                "the content of version {version} says that it is version {}",
                release.header.version
            ))
            .detail(format!("from: {}", self.source.shown()))
            .help("the mirror serves another release in its place; use another one"));
        }
        match format {
            Some(SwupdFormat::Number(format)) if release.header.format != format => Err(Failure::new(
                format!("version {version} has content of format {}, not {format}", release.header.format),
            )
            .help("choose a version of that format, or another format with -f")),
            _ => Ok(release),
        }
    }

    /// What was damaged on the way may be whole the next time.
    fn once_more<T>(&self, attempt: impl Fn() -> Result<T, Once>) -> Result<T, Failure> {
        match attempt() {
            Ok(value) => Ok(value),
            Err(Once::Damaged(_)) if !self.source.is_local() => attempt().map_err(Once::into_failure),
            Err(error) => Err(error.into_failure()),
        }
    }

    fn release_once(&self, version: u32) -> Result<Release, Once> {
        let url = self.source.release(version, ".tar");
        let context = || format!("version {version} cannot be had from {}", self.source.shown());
        let told = |error: FetchError| {
            let missing = matches!(error, FetchError::Missing(_));
            let failure = Failure::from(error).context(context());
            if missing { failure.help("check the version and the content URL (-C)") } else { failure }
        };
        let packed = self.source.open(&url, 0).map_err(told).map_err(Once::Gone)?;
        let mut text = None;
        let mut signature = None;
        let mut members = |name: &[u8], member: Member, data: &mut dyn Read| {
            let (place, largest) = match (name, member) {
                (b"Manifest.MoM", Member::Object(_)) => (&mut text, LARGEST_RELEASE),
                (b"Manifest.MoM.sig", Member::Object(_)) => (&mut signature, LARGEST_SIGNATURE),
                _ => return Err(io::Error::other(format!("it contains `{}`", shown(name)))),
            };
            if place.is_some() {
                return Err(io::Error::other(format!("it contains `{}` twice", shown(name))));
            }
            *place = Some(bounded(data, largest)?);
            Ok(())
        };
        let read = decompressed(BufReader::new(packed.take(LARGEST_RELEASE)), &self.budget)
            .and_then(|tar| each_member(tar.take(LARGEST_RELEASE + LARGEST_SIGNATURE), &mut members));
        read.map_err(|error| {
            let what = || format!("`{}` is no tar of a release", shown_url(&url));
            Once::Damaged(inner(error, what).context(context()))
        })?;
        let text =
            text.ok_or_else(|| Once::Damaged(Failure::new(context()).detail("its tar has no Manifest.MoM")))?;
        self.check_release(version, &text, signature).map_err(Once::Damaged)?;
        Release::parse(&text)
            .map_err(|fault| Once::Gone(Failure::new(context()).detail(format!("Manifest.MoM, {fault}"))))
    }

    /// The signature in the tar, or the one beside it.
    fn check_release(&self, version: u32, text: &[u8], inside: Option<Vec<u8>>) -> Result<(), Failure> {
        if matches!(self.signers, Signers::Anybody) {
            return Ok(());
        }
        let said = inside.map(|signature| self.check(text, &signature, Expiry::Refused));
        if said == Some(Ok(())) {
            return Ok(());
        }
        let no_trust = |why: String| {
            Failure::new(format!("version {version} from {} cannot be trusted", self.source.shown()))
                .detail(why)
                .help(TRUST_HELP)
        };
        let inside = said.and_then(Result::err);
        let beside = match self.source.small(&self.source.release(version, ".sig"), LARGEST_SIGNATURE) {
            Ok(signature) => self.check(text, &signature, Expiry::Refused),
            Err(FetchError::Missing(_)) => {
                let why = inside.map_or_else(|| "it is not signed".to_owned(), |why| why.to_string());
                return Err(no_trust(why));
            }
            Err(FetchError::Failed(failure)) => return Err(failure),
        };
        beside.map_err(|why| no_trust(inside.unwrap_or(why).to_string()))
    }

    /// The bundles that are asked for with all that belongs to them.
    pub(super) fn closure(
        &self,
        release: &Release,
        state: &State,
        wanted: &[String],
        optional: bool,
    ) -> Result<Closure, Failure> {
        let found = closure(release, wanted, optional, |lines| self.manifests(state, lines));
        let found = found.map_err(|error| match error {
            ClosureError::Load(failure) => failure,
            ClosureError::Unknown { name, similar } => {
                let version = release.header.version;
                let mut failure = Failure::new(format!("version {version} has no bundle `{name}`"))
                    .detail(format!("from: {}", self.source.shown()));
                if !similar.is_empty() {
                    failure = failure.detail(format!("similar names there: {}", similar.join(", ")));
                }
                failure.help("correct the name in `Bundles` (or behind -B); `ister swupd info URL` lists what there is")
            }
        })?;
        for (name, included_by) in &found.absent {
            self.progress
                .warn(format!("bundle `{included_by}` includes `{name}`, which this version does not have"));
        }
        Ok(found)
    }

    fn manifests(&self, state: &State, lines: &[BundleLine]) -> Result<Vec<Bundle>, Failure> {
        parallel(lines.len(), PARALLEL_MANIFESTS, |index| self.manifest(state, &lines[index]))
    }

    fn manifest(&self, state: &State, line: &BundleLine) -> Result<Bundle, Failure> {
        let from_state = || -> Result<Option<Vec<u8>>, Failure> {
            let mut text = None;
            let kept = state.get(&line.hash, |object, data| {
                let mut whole = Vec::new();
                object.stream(&line.hash, data, |bytes| {
                    whole.extend_from_slice(bytes);
                    Ok(())
                })?;
                text = Some(whole);
                Ok(())
            });
            let kept = kept.context(|| {
                format!("could not read the state directory `{}`", state.directory().display())
            })?;
            Ok(text.filter(|_| kept))
        };
        let text = match from_state()? {
            Some(text) => text,
            None => {
                self.once_more(|| self.fetch_manifest(state, line))?;
                from_state()?.ok_or_else(|| {
                    Failure::new(format!(
                        "the manifest of bundle `{}` is gone from the state directory",
                        line.name
                    ))
                    .help("another process may have emptied it; try again")
                })?
            }
        };
        self.manifest_of(line, text)
    }

    fn manifest_of(&self, line: &BundleLine, text: Vec<u8>) -> Result<Bundle, Failure> {
        let BundleLine { name, version, .. } = line;
        let context =
            || format!("the manifest of bundle `{name}`, version {version}, from {}", self.source.shown());
        let bundle = Bundle::parse(text)
            .map_err(|fault| Failure::new(format!("{} is damaged", context())).detail(fault.to_string()))?;
        if bundle.header.version != *version {
            return Err(Failure::new(format!("{} says that it is of another version", context()))
                .detail(format!("expected {version}, found {}", bundle.header.version)));
        }
        if bundle.unknown_levels > 0 {
            self.progress.note(format!(
                "bundle `{name}`: {} files for unknown kinds of CPUs are left out",
                bundle.unknown_levels
            ));
        }
        Ok(bundle)
    }

    /// Into the state directory: what a mirror says is not kept in memory before its hash is known.
    fn fetch_manifest(&self, state: &State, line: &BundleLine) -> Result<(), Once> {
        let BundleLine { name, hash, version, .. } = line;
        let url = self.source.manifest(name, *version);
        let context = || {
            format!(
                "the manifest of bundle `{name}`, version {version}, cannot be had from {}",
                self.source.shown()
            )
        };
        let packed = self.source.open(&url, 0);
        let packed = packed.map_err(|error| Once::Gone(Failure::from(error).context(context())))?;
        let expected = format!("Manifest.{name}");
        let mut found = None;
        let read =
            decompressed(BufReader::new(packed.take(LARGEST_MANIFEST)), &self.budget).and_then(|tar| {
                each_member(tar.take(LARGEST_MANIFEST + LARGEST_SIGNATURE), |member_name, member, data| {
                    match member {
                        Member::Object(object) if object.attributes.size > LARGEST_MANIFEST => {
                            Err(io::Error::other(format!(
                                "it contains a file of more than {LARGEST_MANIFEST} bytes"
                            )))
                        }
                        Member::Object(object)
                            if member_name == expected.as_bytes()
                                && found.is_none()
                                && object.attributes.kind == Kind::File =>
                        {
                            found = Some(state.put(hash, &object, data));
                            Ok(())
                        }
                        _ => Err(io::Error::other(format!("it contains `{}`", shown(member_name)))),
                    }
                })
            });
        read.map_err(|error| {
            let what = || format!("`{}` is no tar of a manifest", shown_url(&url));
            Once::Damaged(inner(error, what).context(context()))
        })?;
        match found {
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(ObjectError::Hash(is)))) => Err(Once::Damaged(not_as_expected(context(), hash, &is))),
            Some(Ok(Err(ObjectError::Read(error) | ObjectError::Write(error)))) => {
                Err(Once::Damaged(Failure::new(context()).detail(error.to_string())))
            }
            Some(Err(failure)) => Err(Once::Gone(failure)),
            None => Err(Once::Damaged(Failure::new(context()).detail(format!("its tar has no {expected}")))),
        }
    }
}

/// Why an attempt failed.
enum Once {
    /// What came is not what it should be.
    Damaged(Failure),
    /// Nothing came, or nothing that another attempt would change.
    Gone(Failure),
}

impl Once {
    fn into_failure(self) -> Failure {
        match self {
            Once::Damaged(failure) | Once::Gone(failure) => failure,
        }
    }
}

const TRUST_HELP: &str =
    "name the certificate of whoever signs this content with -s; --no-sigcheck builds without trust";

/// For each object that is another one.
pub(super) fn not_as_expected(message: String, expected: &ObjectHash, found: &ObjectHash) -> Failure {
    Failure::new(message)
        .detail(format!("expected hash: {expected}"))
        .detail(format!("found:         {found}"))
}

fn bounded(data: &mut dyn Read, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    data.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other(format!("it contains a file of more than {largest} bytes")));
    }
    Ok(bytes)
}
