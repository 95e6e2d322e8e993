//! Parses manifests of releases and bundles. Pure.
//!
//! Manifests are lines of TAB-separated fields; names are bytes. This parser is stricter than upstream's: unknown
//! types, invalid hashes and unterminated lines are errors.

use super::flags::{self, Level};
use super::hash::{ObjectHash, ObjectKind};
use std::fmt;
use std::ops::Range;

/// The longest line that upstream's client reads.
const LONGEST_LINE: usize = 8191;
/// The maximum number of files that clients accept. Source: swupd-client, manifest_parser.c.
const MOST_FILES: u64 = 4_000_000;
/// The maximum content size in bytes that clients accept. Source: as above.
const MOST_CONTENT: u64 = 2_000_000_000_000;
/// Limited because the name of a bundle is part of file names and URLs.
const LONGEST_NAME: usize = 200;

/// A bundle name that is safe as part of a path and a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleName(String);

impl BundleName {
    /// Parses a name of letters, digits, `-`, `_`, `+` and `.`, which must not be the first character.
    pub fn parse(text: &str) -> Option<BundleName> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
        let fits = !text.is_empty() && text.len() <= LONGEST_NAME && !text.starts_with('.');
        (fits && text.chars().all(good)).then(|| BundleName(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A syntax error in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// The fields before the first empty line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestHeader {
    pub format: u32,
    pub version: u32,
    /// The previous version; 0 for the first one.
    pub previous: u32,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Size of all files in bytes. Only an estimate for progress output.
    pub content_size: u64,
    pub includes: Vec<String>,
    /// Optional dependencies.
    pub also_add: Vec<String>,
}

/// The list of a release's bundles, `Manifest.MoM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub header: ManifestHeader,
    /// Sorted by name.
    pub bundles: Vec<BundleLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleLine {
    pub name: BundleName,
    /// Hash of the file `Manifest.<name>`.
    pub hash: ObjectHash,
    /// Version whose directory contains the manifest.
    pub version: u32,
    pub experimental: bool,
}

/// The files of a bundle that a new system gets: without deleted files and files for other CPUs.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub header: ManifestHeader,
    pub files: Vec<FileLine>,
    /// Number of skipped lines with an unknown CPU level.
    pub unknown_levels: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    pub kind: ObjectKind,
    pub hash: ObjectHash,
    /// Version whose directory contains the tar of the file.
    pub version: u32,
    path: Range<usize>,
}

impl Release {
    pub fn parse(bytes: &[u8]) -> Result<Release, ManifestError> {
        let (header, body) = header(bytes)?;
        let mut bundles = Vec::new();
        for line in body {
            let (number, line) = line?;
            let fields = fields(number, &line)?;
            match fields.flags[0] {
                b'M' => (),
                b'I' => continue,
                other => {
                    return Err(fault(number, format!("invalid bundle type `{}`", shown(&[other]))));
                }
            }
            let experimental = match fields.flags[1] {
                b'.' => false,
                b'e' => true,
                b'd' | b'g' => continue,
                other => return Err(fault(number, format!("invalid bundle state `{}`", shown(&[other])))),
            };
            let name = std::str::from_utf8(&bytes[fields.name.clone()]).ok().and_then(BundleName::parse);
            let name = name.ok_or_else(|| {
                fault(number, format!("invalid bundle name `{}`", shown(&bytes[fields.name])))
            })?;
            if fields.hash == ObjectHash::NONE {
                return Err(fault(number, format!("missing hash of bundle `{name}`")));
            }
            bundles.push(BundleLine { name, hash: fields.hash, version: fields.version, experimental });
        }
        bundles.sort_by(|a: &BundleLine, b| a.name.cmp(&b.name));
        if let Some(pair) = bundles.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(fault(1, format!("duplicate bundle `{}`", pair[0].name)));
        }
        if bundles.is_empty() {
            return Err(fault(1, "no bundles are listed".into()));
        }
        Ok(Release { header, bundles })
    }

    pub fn bundle(&self, name: &str) -> Option<&BundleLine> {
        let at = self.bundles.binary_search_by(|line| line.name.as_str().cmp(name)).ok()?;
        Some(&self.bundles[at])
    }
}

impl Bundle {
    pub fn parse(bytes: Vec<u8>) -> Result<Bundle, ManifestError> {
        let (header, body) = header(&bytes)?;
        let mut files = Vec::new();
        let mut unknown_levels = 0;
        for line in body {
            let (number, line) = line?;
            let fields = fields(number, &line)?;
            let kind = match fields.flags[0] {
                b'F' => Some(ObjectKind::File),
                b'D' => Some(ObjectKind::Directory),
                b'L' => Some(ObjectKind::Link),
                b'.' => None,
                b'I' => continue,
                other => return Err(fault(number, format!("invalid file type `{}`", shown(&[other])))),
            };
            match fields.flags[1] {
                b'.' => (),
                // Deleted, or a ghost file that updates leave alone.
                b'd' | b'g' => continue,
                other => return Err(fault(number, format!("invalid file state `{}`", shown(&[other])))),
            }
            let path = &bytes[fields.name.clone()];
            let Some(kind) = kind else {
                return Err(fault(number, format!("missing type of `{}`", shown(path))));
            };
            if fields.hash == ObjectHash::NONE {
                return Err(fault(number, format!("missing hash of `{}`", shown(path))));
            }
            match flags::level(fields.flags[2]) {
                Level::Baseline => (),
                Level::Newer => continue,
                Level::Unknown => {
                    unknown_levels += 1;
                    continue;
                }
            }
            if let Err(why) = check_path(path) {
                return Err(fault(number, format!("the path `{}` {why}", shown(path))));
            }
            files.push(FileLine { kind, hash: fields.hash, version: fields.version, path: fields.name });
        }
        Ok(Bundle { header, files, unknown_levels, bytes })
    }

    /// A file's absolute path.
    pub fn path(&self, line: &FileLine) -> &[u8] {
        &self.bytes[line.path.clone()]
    }
}

/// Checks that a path is absolute, normalized and not the root.
fn check_path(path: &[u8]) -> Result<(), &'static str> {
    let Some(below) = path.strip_prefix(b"/") else { return Err("does not start with `/`") };
    if below.is_empty() {
        return Err("is the root directory");
    }
    if path.contains(&0) {
        return Err("contains a NUL byte");
    }
    for part in below.split(|byte| *byte == b'/') {
        match part {
            b"" => return Err("has an empty component"),
            b"." | b".." => return Err("has a component `.` or `..`"),
            part if part.len() > 255 => return Err("has a component of more than 255 bytes"),
            _ => (),
        }
    }
    Ok(())
}

/// Escapes untrusted bytes for messages.
pub fn shown(bytes: &[u8]) -> String {
    let text: String = bytes.escape_ascii().map(char::from).collect();
    text.chars().take(300).collect()
}

fn fault(line: usize, message: String) -> ManifestError {
    ManifestError { line, message }
}

struct Fields {
    flags: [u8; 4],
    hash: ObjectHash,
    version: u32,
    name: Range<usize>,
}

/// A line without its line feed, and its offset in the manifest.
struct ManifestLine<'m> {
    text: &'m [u8],
    start: usize,
}

fn fields(number: usize, line: &ManifestLine) -> Result<Fields, ManifestError> {
    let mut parts = line.text.splitn(4, |byte| *byte == b'\t');
    let (Some(flags), Some(hash), Some(version), Some(name)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(fault(number, "expected four fields: flags, hash, version, name".into()));
    };
    let flags = <[u8; 4]>::try_from(flags)
        .map_err(|_| fault(number, format!("expected four flags, found `{}`", shown(flags))))?;
    let hash = ObjectHash::parse(hash).ok_or_else(|| {
        fault(number, format!("expected a hash of 64 lowercase digits, found `{}`", shown(hash)))
    })?;
    let version = decimal(version)
        .and_then(|version| u32::try_from(version).ok())
        .filter(|version| *version > 0)
        .ok_or_else(|| fault(number, format!("invalid version `{}`", shown(version))))?;
    let end = line.start + line.text.len();
    Ok(Fields { flags, hash, version, name: end - name.len()..end })
}

/// Parses a number of decimal digits only.
pub fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

type Numbered<'m> = Result<(usize, ManifestLine<'m>), ManifestError>;

/// Parses the header and returns it with the numbered lines of the body.
fn header(bytes: &[u8]) -> Result<(ManifestHeader, impl Iterator<Item = Numbered<'_>>), ManifestError> {
    let mut lines = lines(bytes).enumerate().map(|(index, line)| match line {
        Ok(line) => Ok((index + 1, line)),
        Err(message) => Err(fault(index + 1, message.to_owned())),
    });
    let mut header = ManifestHeader::default();
    let first = lines.next().ok_or_else(|| fault(1, "empty manifest".into()))??.1;
    let format = first.text.strip_prefix(b"MANIFEST\t").and_then(decimal);
    header.format = format
        .and_then(|format| u32::try_from(format).ok())
        .filter(|format| *format > 0)
        .ok_or_else(|| fault(1, "expected `MANIFEST`, a TAB and a format number".into()))?;
    let mut ended = false;
    for line in lines.by_ref() {
        let (number, line) = line?;
        if line.text.is_empty() {
            ended = true;
            break;
        }
        let at = line.text.iter().position(|byte| *byte == b'\t');
        let at = at.ok_or_else(|| fault(number, format!("missing TAB in `{}`", shown(line.text))))?;
        let (key, value) = (&line.text[..at], &line.text[at + 1..]);
        let count = |most: u64| {
            decimal(value)
                .filter(|count| *count <= most)
                .ok_or_else(|| fault(number, format!("`{}` `{}` is out of range", shown(key), shown(value))))
        };
        match key {
            b"version:" => header.version = count(u32::MAX.into())? as u32,
            b"previous:" => header.previous = count(u32::MAX.into())? as u32,
            b"timestamp:" => header.timestamp = count(u64::MAX)?,
            b"filecount:" => drop(count(MOST_FILES)?),
            b"contentsize:" => header.content_size = count(MOST_CONTENT)?,
            b"includes:" => header.includes.push(shown(value)),
            b"also-add:" => header.also_add.push(shown(value)),
            _ => (),
        }
    }
    if !ended {
        return Err(fault(1, "missing empty line after the header".into()));
    }
    Ok((header, lines))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = Result<ManifestLine<'_>, &'static str>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let Some(length) = rest.iter().take(LONGEST_LINE + 1).position(|byte| *byte == b'\n') else {
            start = bytes.len();
            return Some(Err(if rest.len() > LONGEST_LINE {
                "longer than 8191 bytes"
            } else {
                "missing line feed"
            }));
        };
        let line = ManifestLine { text: &rest[..length], start };
        start += length + 1;
        Some(Ok(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "f716c6cb18be9041e1748d52be544645cfc98d2c99dd7e72bdd6f702aa1ee744";
    const HEAD: &str =
        "MANIFEST\t30\nversion:\t20\nfilecount:\t9\ntimestamp:\t7\nincludes:\tos-core\nnew:\tx\n\n";

    fn bundle(body: &str) -> Result<Bundle, ManifestError> {
        Bundle::parse(format!("{HEAD}{body}").into_bytes())
    }

    #[test]
    fn bundle_lists_files_of_a_new_system() {
        let zero = "0".repeat(64);
        let bundle = bundle(&format!(
            "D...\t{HASH}\t10\t/a\nF.b.\t{HASH}\t20\t/a/x\ty\n.d..\t{zero}\t20\t/gone\n.g..\t{zero}\t20\t/boot/k\n\
             F.e.\t{HASH}\t20\t/v3\nF.v.\t{HASH}\t20\t/odd\nL..r\t{HASH}\t20\t/l\nI...\t{HASH}\t20\t/i\n"
        ))
        .unwrap();
        let listed: Vec<_> =
            bundle.files.iter().map(|line| (line.kind, line.version, shown(bundle.path(line)))).collect();
        assert_eq!(
            listed,
            [
                (ObjectKind::Directory, 10, "/a".to_owned()),
                (ObjectKind::File, 20, "/a/x\\ty".to_owned()),
                (ObjectKind::Link, 20, "/l".to_owned())
            ]
        );
        assert_eq!(bundle.header.includes, ["os-core"]);
        assert_eq!((bundle.header.version, bundle.header.timestamp, bundle.unknown_levels), (20, 7, 1));
    }

    #[test]
    fn syntax_errors_are_reported_with_line_numbers() {
        let line = |flags: &str, version: &str, path: &str| format!("{flags}\t{HASH}\t{version}\t{path}\n");
        for (body, number, words) in [
            (line("Z...", "10", "/x"), 8, "file type"),
            (line("F.z", "10", "/x"), 8, "four flags"),
            (line("....", "10", "/x"), 8, "missing type"),
            (line("F...", "0", "/x"), 8, "invalid version"),
            (line("F...", "-1", "/x"), 8, "invalid version"),
            (line("F...", "10", "x"), 8, "start with"),
            (line("F...", "10", ""), 8, "start with"),
            (line("F...", "10", "/"), 8, "root directory"),
            (line("F...", "10", "/a/../b"), 8, "`..`"),
            (line("F...", "10", "/a//b"), 8, "empty component"),
            (line("F...", "10", "/a/"), 8, "empty component"),
            (line("F...", "10", "/a\0b"), 8, "NUL"),
            ("\n".to_owned(), 8, "four fields"),
            (format!("F...\t{}\t10\t/x\n", &HASH[1..]), 8, "64 lowercase digits"),
            (format!("F...\t{HASH}\t10\t/x"), 8, "line feed"),
            (format!("F...\t{HASH}\t10\t/{}\n", "x".repeat(9000)), 8, "8191"),
        ] {
            let fault = bundle(&body).unwrap_err();
            assert_eq!(fault.line, number, "{body}");
            assert!(fault.message.contains(words), "{fault} / {words}");
        }
        for (text, words) in [
            ("", "empty"),
            ("MANIFEST 30\n", "TAB"),
            ("MANIFEST\t30\nversion:\t1\n", "empty line"),
            ("MANIFEST\t30\nversion 1\n\n", "missing TAB"),
            ("MANIFEST\t30\nfilecount:\t4000001\n\n", "range"),
        ] {
            let fault = Bundle::parse(text.as_bytes().to_vec()).unwrap_err();
            assert!(fault.message.contains(words), "{fault} / {words}");
        }
    }

    #[test]
    fn bundle_names_are_validated() {
        let text = format!("{HEAD}M...\t{HASH}\t10\tz\nMe..\t{HASH}\t20\ta+b\nMd..\t{HASH}\t10\tgone\n");
        let release = Release::parse(text.as_bytes()).unwrap();
        assert_eq!(release.bundle("a+b").unwrap().version, 20);
        assert!(release.bundle("a+b").unwrap().experimental);
        assert!(release.bundle("gone").is_none());
        for name in ["../../x", ".x", "a/b", "", "a b", "ü"] {
            let text = format!("{HEAD}M...\t{HASH}\t10\t{name}\n");
            assert!(Release::parse(text.as_bytes()).is_err(), "{name}");
        }
        let duplicate = format!("{HEAD}M...\t{HASH}\t10\ta\nM...\t{HASH}\t20\ta\n");
        assert!(Release::parse(duplicate.as_bytes()).unwrap_err().message.contains("duplicate"));
        let file = format!("{HEAD}F...\t{HASH}\t10\ta\n");
        assert!(Release::parse(file.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Release::parse(&bytes);
            let _ = Bundle::parse([HEAD.as_bytes(), &bytes].concat());
        }

        #[test]
        fn paths_are_preserved(name in "[^\n\0/]{1,60}") {
            prop_assume!(name != "." && name != "..");
            let bundle = bundle(&format!("F...\t{HASH}\t10\t/{name}\n")).unwrap();
            let path = format!("/{name}");
            prop_assert_eq!(bundle.path(&bundle.files[0]), path.as_bytes());
        }
    }
}
