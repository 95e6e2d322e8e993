//! Fetches and verifies manifests: the signature of the release, and the hash of each bundle's manifest.

use super::closure::{Closure, ClosureError, closure};
use super::compression::{Budget, decompressed};
use super::hash::{ObjectHash, ObjectKind};
use super::manifest::{Bundle, BundleLine, Release, decimal, shown};
use super::object::{Member, ObjectError, each_member};
use super::parallel::parallel;
use super::signature::{Expiry, SignatureError, Trust};
use super::source::{Source, inner};
use super::state::State;
use crate::content::fetch::FetchError;
use crate::host::{Context, Failure, Progress};
use crate::plan::SwupdFormat;
use crate::template::display_url;
use serde::{Deserialize, Serialize};
use std::io::{self, BufReader, Read};

/// A number of ten digits and a line feed, with some margin.
const LARGEST_NUMBER: u64 = 64;
const LARGEST_SIGNATURE: u64 = 1 << 20;
/// Maximum size of a release's list of bundles, which is read before its signature is verified.
const LARGEST_RELEASE: u64 = 8 << 20;
/// Maximum size of a bundle's manifest. A line has about 120 bytes, and bundles have less than a million files.
const LARGEST_MANIFEST: u64 = 128 << 20;
/// Number of manifests fetched in parallel.
const PARALLEL_MANIFESTS: usize = 8;

/// The version to install (`-V`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    Latest,
    Number(u32),
}

impl Version {
    /// Parses a positive decimal number.
    pub fn number(text: &str) -> Option<Version> {
        let number = decimal(text.as_bytes()).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| *number > 0).map(Version::Number)
    }
}

/// Whose signatures are accepted.
pub(super) enum Signers {
    /// Any of these certificates may verify a signature.
    Trusted(Vec<Trust>),
    /// Signatures are not verified (`--no-sigcheck`).
    Unverified,
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
    /// Returns the newest version of a format, after verifying its signature.
    pub(super) fn newest(&self, format: SwupdFormat) -> Result<u32, Failure> {
        let SwupdFormat::Number(_) = format else {
            return Err(Failure::new("format `staging` does not have a newest version")
                .help("specify a version number"));
        };
        let url = self.source.newest(&format, "");
        let latest = self.source.small(&url, LARGEST_NUMBER).map_err(|error| {
            Failure::from(error)
                .context(format!("could not determine the newest version of format {format}"))
                .help("check the version URL (-V) and the format (-f), or specify a version number")
        })?;
        let no_trust = |why: String| {
            Failure::new("could not verify the signature of the newest version number")
                .detail(why)
                .detail(format!("from: {}", display_url(&url)))
                .help(TRUST_HELP)
        };
        if let Signers::Trusted(_) = self.signers {
            let signature = self.source.small(&self.source.newest(&format, ".sig"), LARGEST_SIGNATURE);
            let signature = signature.map_err(|error| {
                let failure = Failure::from(error);
                no_trust(format!("missing signature: {}", failure.details.join(": ")))
            })?;
            self.check(&latest, &signature, Expiry::Tolerated).map_err(|why| no_trust(why.to_string()))?;
        }
        let number = latest.strip_suffix(b"\n").unwrap_or(&latest);
        decimal(number)
            .and_then(|version| u32::try_from(version).ok())
            .filter(|version| *version > 0)
            .ok_or_else(|| {
                Failure::new(format!("invalid newest version `{}`", shown(&latest)))
                    .detail(format!("from: {}", display_url(&url)))
            })
    }

    fn check(&self, content: &[u8], signature: &[u8], expiry: Expiry) -> Result<(), SignatureError> {
        let Signers::Trusted(trusted) = &self.signers else { return Ok(()) };
        let mut first = None;
        for trust in trusted {
            match trust.check(content, signature, expiry, self.now) {
                Ok(()) => return Ok(()),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or_else(SignatureError::no_certificate))
    }

    /// Fetches the list of bundles of a version and verifies its signature, version and format.
    pub(super) fn release(&self, version: u32, format: Option<SwupdFormat>) -> Result<Release, Failure> {
        let release = self.retry_once(|| self.release_once(version))?;
        if release.header.version != version {
            return Err(Failure::new(format!(
                "version mismatch: expected {version}, found {}",
                release.header.version
            ))
            .detail(format!("from: {}", self.source.shown()))
            .help("the mirror serves another release under this version; use another mirror"));
        }
        match format {
            Some(SwupdFormat::Number(format)) if release.header.format != format => Err(Failure::new(
                format!("version {version} has format {}, not {format}", release.header.format),
            )
            .help("select a version with that format, or another format with -f")),
            _ => Ok(release),
        }
    }

    /// Retries once if the data was damaged in transit.
    fn retry_once<T>(&self, attempt: impl Fn() -> Result<T, Once>) -> Result<T, Failure> {
        match attempt() {
            Ok(value) => Ok(value),
            Err(Once::Damaged(_)) if !self.source.is_local() => attempt().map_err(Once::into_failure),
            Err(error) => Err(error.into_failure()),
        }
    }

    fn release_once(&self, version: u32) -> Result<Release, Once> {
        let url = self.source.release(version, ".tar");
        let context = || format!("could not fetch version {version} from {}", self.source.shown());
        let fetch_failed = |error: FetchError| {
            let missing = matches!(error, FetchError::Missing(_));
            let failure = Failure::from(error).context(context());
            if missing { failure.help("check the version and the content URL (-C)") } else { failure }
        };
        let packed = self.source.open(&url, 0).map_err(fetch_failed).map_err(Once::Gone)?;
        let mut text = None;
        let mut signature = None;
        let mut members = |name: &[u8], member: Member, data: &mut dyn Read| {
            let (place, largest) = match (name, member) {
                (b"Manifest.MoM", Member::Object(_)) => (&mut text, LARGEST_RELEASE),
                (b"Manifest.MoM.sig", Member::Object(_)) => (&mut signature, LARGEST_SIGNATURE),
                _ => return Err(io::Error::other(format!("unexpected member `{}`", shown(name)))),
            };
            if place.is_some() {
                return Err(io::Error::other(format!("duplicate member `{}`", shown(name))));
            }
            *place = Some(bounded(data, largest)?);
            Ok(())
        };
        let read = decompressed(BufReader::new(packed.take(LARGEST_RELEASE)), &self.budget)
            .and_then(|tar| each_member(tar.take(LARGEST_RELEASE + LARGEST_SIGNATURE), &mut members));
        read.map_err(|error| {
            let what = || format!("`{}` is not a valid release tar", display_url(&url));
            Once::Damaged(inner(error, what).context(context()))
        })?;
        let text = text.ok_or_else(|| {
            Once::Damaged(Failure::new(context()).detail("missing Manifest.MoM in the tar"))
        })?;
        self.check_release(version, &text, signature).map_err(Once::Damaged)?;
        Release::parse(&text)
            .map_err(|fault| Once::Gone(Failure::new(context()).detail(format!("Manifest.MoM, {fault}"))))
    }

    /// Verifies the signature in the tar, or else the separate one next to it.
    fn check_release(&self, version: u32, text: &[u8], embedded: Option<Vec<u8>>) -> Result<(), Failure> {
        if matches!(self.signers, Signers::Unverified) {
            return Ok(());
        }
        let checked = embedded.map(|signature| self.check(text, &signature, Expiry::Refused));
        if checked == Some(Ok(())) {
            return Ok(());
        }
        let no_trust = |why: String| {
            Failure::new(format!(
                "could not verify the signature of version {version} from {}",
                self.source.shown()
            ))
            .detail(why)
            .help(TRUST_HELP)
        };
        let embedded = checked.and_then(Result::err);
        let separate = match self.source.small(&self.source.release(version, ".sig"), LARGEST_SIGNATURE) {
            Ok(signature) => self.check(text, &signature, Expiry::Refused),
            Err(FetchError::Missing(_)) => {
                let why = embedded.map_or_else(|| "missing signature".to_owned(), |why| why.to_string());
                return Err(no_trust(why));
            }
            Err(FetchError::Failed(failure)) => return Err(failure),
        };
        separate.map_err(|why| no_trust(embedded.unwrap_or(why).to_string()))
    }

    /// Resolves the requested bundles and their dependencies.
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
                let mut failure =
                    Failure::new(format!("bundle `{name}` does not exist in version {version}"))
                        .detail(format!("from: {}", self.source.shown()));
                if !similar.is_empty() {
                    failure = failure.detail(format!("similar names: {}", similar.join(", ")));
                }
                failure
                    .help("correct the name in `Bundles` (or -B); `ister swupd info URL` lists all bundles")
            }
        })?;
        for (name, included_by) in &found.absent {
            self.progress.warn(format!(
                "bundle `{included_by}` includes `{name}`, which does not exist in this version"
            ));
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
                self.retry_once(|| self.fetch_manifest(state, line))?;
                from_state()?.ok_or_else(|| {
                    Failure::new(format!(
                        "the manifest of bundle `{}` disappeared from the state directory",
                        line.name
                    ))
                    .help("try again: another process may have emptied the directory")
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
            return Err(Failure::new(format!("{} has an unexpected version", context()))
                .detail(format!("expected {version}, found {}", bundle.header.version)));
        }
        if bundle.unknown_levels > 0 {
            self.progress.note(format!(
                "bundle `{name}`: skipped {} files for unknown CPU levels",
                bundle.unknown_levels
            ));
        }
        Ok(bundle)
    }

    /// Fetches a manifest into the state directory. Unverified data is not kept in memory.
    fn fetch_manifest(&self, state: &State, line: &BundleLine) -> Result<(), Once> {
        let BundleLine { name, hash, version, .. } = line;
        let url = self.source.manifest(name, *version);
        let context = || {
            format!(
                "could not fetch the manifest of bundle `{name}`, version {version}, from {}",
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
                            Err(io::Error::other(format!("a member has more than {LARGEST_MANIFEST} bytes")))
                        }
                        Member::Object(object)
                            if member_name == expected.as_bytes()
                                && found.is_none()
                                && object.attributes.kind == ObjectKind::File =>
                        {
                            found = Some(state.put(hash, &object, data));
                            Ok(())
                        }
                        _ => Err(io::Error::other(format!("unexpected member `{}`", shown(member_name)))),
                    }
                })
            });
        read.map_err(|error| {
            let what = || format!("`{}` is not a valid manifest tar", display_url(&url));
            Once::Damaged(inner(error, what).context(context()))
        })?;
        match found {
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(ObjectError::Hash(is)))) => Err(Once::Damaged(not_as_expected(context(), hash, &is))),
            Some(Ok(Err(ObjectError::Read(error) | ObjectError::Write(error)))) => {
                Err(Once::Damaged(Failure::new(context()).detail(error.to_string())))
            }
            Some(Err(failure)) => Err(Once::Gone(failure)),
            None => {
                Err(Once::Damaged(Failure::new(context()).detail(format!("missing {expected} in the tar"))))
            }
        }
    }
}

/// Why an attempt failed.
enum Once {
    /// The received data is invalid.
    Damaged(Failure),
    /// Nothing was received, or a retry would not help.
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
    "specify the publisher's certificate with -s, or disable signature verification with --no-sigcheck";

/// Returns a failure with the expected and actual hashes.
pub(super) fn not_as_expected(message: String, expected: &ObjectHash, found: &ObjectHash) -> Failure {
    Failure::new(message)
        .detail(format!("expected hash: {expected}"))
        .detail(format!("found:         {found}"))
}

fn bounded(data: &mut dyn Read, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    data.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other(format!("a member has more than {largest} bytes")));
    }
    Ok(bytes)
}
