//! Reads objects from tars: files, directories and links with their attributes.
//!
//! Owners are numeric, and only the three types of a manifest are objects. All sizes are bounded, so that a hostile tar
//! cannot exhaust memory.

use super::hash::{Attributes, ObjectHash, ObjectHasher, ObjectKind, object_hash};
use std::io::{self, Read};
use tar::{Archive, EntryType, Header};

/// Maximum size of an extended header or a long name. A path has at most 4096 bytes.
const LONGEST_EXTENSION: u64 = 64 << 10;
/// Maximum length of a link target. Source: `PATH_MAX` of Linux.
const LONGEST_TARGET: usize = 4096;
/// Maximum size of files that are read as a whole and verified before anything is written.
const SMALL: u64 = 1 << 20;

/// An object without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub attributes: Attributes,
    /// Seconds since 1970; not part of the hash.
    pub mtime: u64,
    /// Target of a link.
    pub target: Vec<u8>,
}

/// A tar member.
pub enum Member {
    Object(Object),
    /// Any other type, such as a hard link or a device, which does not occur in manifests.
    Other,
}

/// Verified content, or content to be verified while it is read.
pub enum ObjectContent<R> {
    /// The complete, verified content.
    Whole(Vec<u8>),
    /// Content that was not read yet; the reader must verify it with a hasher.
    Stream(R),
}

/// Why an object is invalid.
#[derive(Debug)]
pub enum ObjectError {
    /// The hash does not match. Contains the actual hash.
    Hash(ObjectHash),
    /// Reading failed.
    Read(io::Error),
    /// Processing the content failed; this is not an error of the object.
    Write(io::Error),
}

impl From<io::Error> for ObjectError {
    fn from(error: io::Error) -> Self {
        ObjectError::Read(error)
    }
}

/// Iterates over a tar. `visit` receives the name, type and content of each member; unread content is skipped.
pub fn each_member<R: Read>(
    tar: R,
    mut visit: impl FnMut(&[u8], Member, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = Archive::new(tar);
    let mut extension = Extension::default();
    // Raw entries: extended headers are parsed here with bounded sizes.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let header = entry.header().clone();
        match header.entry_type() {
            EntryType::XHeader => extension.take_pax(&bounded(&mut entry)?)?,
            EntryType::GNULongName => extension.path = Some(until_nul(bounded(&mut entry)?)),
            EntryType::GNULongLink => extension.target = Some(until_nul(bounded(&mut entry)?)),
            EntryType::XGlobalHeader => (),
            kind => {
                let extension = std::mem::take(&mut extension);
                let name = extension.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
                let member = member(kind, &header, extension)?;
                visit(&name, member, &mut entry)?;
            }
        }
    }
    Ok(())
}

/// Reads a tar with a single object named by its hash. Further members are an error.
pub fn only_member<R: Read>(
    tar: R,
    hash: &ObjectHash,
    mut visit: impl FnMut(Object, &mut dyn Read) -> Result<(), ObjectError>,
) -> Result<(), ObjectError> {
    let expected = hash.to_string();
    let mut found = false;
    let mut outcome = Ok(());
    let bad = |text: String| Err(io::Error::other(text));
    each_member(tar, |name, member, data| {
        if found {
            return bad("the tar contains more than one member".to_owned());
        }
        // The name of a directory may end with a slash.
        let bare = name.strip_suffix(b"/").unwrap_or(name);
        if bare != expected.as_bytes() {
            return bad(format!("the member `{}` is not named by its hash", super::manifest::shown(name)));
        }
        let Member::Object(object) = member else {
            return bad("the member is not a file, directory or link".to_owned());
        };
        found = true;
        outcome = visit(object, data);
        match outcome {
            Ok(()) => Ok(()),
            Err(_) => Err(io::Error::other("rejected")),
        }
    })
    .or_else(|error| match &outcome {
        Err(_) => Ok(()),
        Ok(()) => Err(error),
    })?;
    outcome?;
    if !found {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the tar is empty").into());
    }
    Ok(())
}

impl Object {
    /// Reads the content. Small content is verified immediately.
    pub fn take<R: Read>(&self, hash: &ObjectHash, mut data: R) -> Result<ObjectContent<R>, ObjectError> {
        let content = match self.attributes.kind {
            ObjectKind::Directory => Vec::new(),
            ObjectKind::Link => self.target.clone(),
            ObjectKind::File if self.attributes.size > SMALL => return Ok(ObjectContent::Stream(data)),
            ObjectKind::File => {
                let mut content = Vec::with_capacity(self.attributes.size as usize);
                data.read_to_end(&mut content)?;
                content
            }
        };
        check(object_hash(&self.attributes, &content), hash)?;
        Ok(ObjectContent::Whole(content))
    }

    /// Passes the content to `write` in pieces and verifies its hash at the end.
    pub fn stream(
        &self,
        hash: &ObjectHash,
        mut data: impl Read,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ObjectError> {
        let mut hasher = ObjectHasher::new(&self.attributes);
        let mut buffer = vec![0; 128 << 10];
        loop {
            match data.read(&mut buffer)? {
                0 => return check(hasher.finish(), hash),
                count => {
                    hasher.update(&buffer[..count]);
                    write(&buffer[..count]).map_err(ObjectError::Write)?;
                }
            }
        }
    }
}

fn check(found: ObjectHash, expected: &ObjectHash) -> Result<(), ObjectError> {
    if found == *expected { Ok(()) } else { Err(ObjectError::Hash(found)) }
}

#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: Option<u64>,
}

impl Extension {
    /// Source: POSIX.1-2017, pax, "pax Extended Header".
    fn take_pax(&mut self, records: &[u8]) -> io::Result<()> {
        let mut rest = records;
        while !rest.is_empty() {
            let (key, value);
            (key, value, rest) =
                pax_record(rest).ok_or_else(|| io::Error::other("damaged extended header of a member"))?;
            let number = || {
                super::manifest::decimal(value)
                    .ok_or_else(|| io::Error::other("invalid number in an extended header"))
            };
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                b"size" => self.size = Some(number()?),
                _ => (),
            }
        }
        Ok(())
    }
}

/// Parses `LENGTH KEY=VALUE` and a line feed. The length includes the whole record, and the value may contain any
/// bytes.
fn pax_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = records.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(super::manifest::decimal(&records[..blank])?).ok()?;
    let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

fn bounded(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.by_ref().take(LONGEST_EXTENSION + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_EXTENSION {
        return Err(io::Error::other("extended header of more than 64 KiB"));
    }
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn member(kind: EntryType, header: &Header, extension: Extension) -> io::Result<Member> {
    let kind = match kind {
        EntryType::Regular => ObjectKind::File,
        EntryType::Directory => ObjectKind::Directory,
        EntryType::Symlink => ObjectKind::Link,
        _ => return Ok(Member::Other),
    };
    let id = |extended: Option<u64>, header: io::Result<u64>| -> io::Result<u32> {
        let id = extended.map_or(header, Ok)?;
        // The highest ID means "unchanged". Source: chown(2).
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| io::Error::other(format!("invalid owner {id} of a member")))
    };
    let entry_size = header.entry_size()?;
    if extension.size.is_some_and(|size| size != entry_size) {
        return Err(io::Error::other("a member is larger than 8 GiB"));
    }
    let target = match kind {
        ObjectKind::Link => {
            extension.target.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned())
        }
        _ => Vec::new(),
    };
    if target.len() >= LONGEST_TARGET || target.contains(&0) {
        return Err(io::Error::other("invalid link target"));
    }
    let size = match kind {
        ObjectKind::File => entry_size,
        ObjectKind::Directory => 0,
        ObjectKind::Link => target.len() as u64,
    };
    let attributes = Attributes {
        kind,
        mode: header.mode()? & 0o7777,
        uid: id(extension.uid, header.uid())?,
        gid: id(extension.gid, header.gid())?,
        size,
    };
    Ok(Member::Object(Object { attributes, mtime: header.mtime()?, target }))
}

/// Returns the bytes before and after the content of an object in its own tar.
pub fn tar_around(hash: &ObjectHash, object: &Object) -> io::Result<(Vec<u8>, Vec<u8>)> {
    const BLOCK: usize = 512;
    let fill = |length: usize| length.next_multiple_of(BLOCK) - length;
    let mut head = Vec::new();
    let mut header = Header::new_gnu();
    header.set_path(hash.to_string())?;
    header.set_mode(object.attributes.mode);
    header.set_uid(object.attributes.uid.into());
    header.set_gid(object.attributes.gid.into());
    header.set_mtime(object.mtime);
    header.set_size(0);
    let mut content = 0;
    match object.attributes.kind {
        ObjectKind::File => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(object.attributes.size);
            content = object.attributes.size as usize;
        }
        ObjectKind::Directory => header.set_entry_type(EntryType::Directory),
        ObjectKind::Link => {
            header.set_entry_type(EntryType::Symlink);
            if header.set_link_name_literal(&object.target).is_err() {
                let mut long = Header::new_gnu();
                long.set_path("././@LongLink")?;
                long.set_entry_type(EntryType::GNULongLink);
                long.set_size(object.target.len() as u64 + 1);
                long.set_cksum();
                head.extend_from_slice(long.as_bytes());
                head.extend_from_slice(&object.target);
                head.resize(head.len() + 1 + fill(object.target.len() + 1), 0);
            }
        }
    }
    header.set_cksum();
    head.extend_from_slice(header.as_bytes());
    Ok((head, vec![0; fill(content) + 2 * BLOCK]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(kind: ObjectKind, content: &[u8]) -> Object {
        let attributes =
            Attributes { kind, mode: 0o4755, uid: 3_000_000, gid: 5, size: content.len() as u64 };
        let target = if kind == ObjectKind::Link { content.to_vec() } else { Vec::new() };
        Object { attributes, mtime: 77, target }
    }

    fn tar_of(hash: &ObjectHash, object: &Object, content: &[u8]) -> Vec<u8> {
        let (head, tail) = tar_around(hash, object).unwrap();
        let content = if object.attributes.kind == ObjectKind::File { content } else { b"" };
        [&head, content, &tail].concat()
    }

    fn round(object: &Object, content: &[u8]) -> Result<(Object, Vec<u8>), ObjectError> {
        let hash = object_hash(&object.attributes, content);
        let tar = tar_of(&hash, object, content);
        let mut found = None;
        only_member(&tar[..], &hash, |object, data| {
            let content = match object.take(&hash, &mut *data)? {
                ObjectContent::Whole(content) => content,
                ObjectContent::Stream(data) => {
                    let mut content = Vec::new();
                    object.stream(&hash, data, |bytes| {
                        content.extend_from_slice(bytes);
                        Ok(())
                    })?;
                    content
                }
            };
            found = Some((object, content));
            Ok(())
        })?;
        Ok(found.unwrap())
    }

    #[test]
    fn objects_survive_a_round_trip() {
        for content in [&b""[..], b"hello\n", &vec![7; (SMALL + 5) as usize]] {
            let object = object(ObjectKind::File, content);
            let (back, bytes) = round(&object, content).unwrap();
            assert_eq!(back, object);
            assert!(bytes == content);
        }
        for target in [&b"usr/bin"[..], b"../x/./y//", b"\xe9\xff", &[b'l'; 183], &[b'm'; 4000]] {
            let mut object = object(ObjectKind::Link, target);
            object.attributes.mode = 0o777;
            let (back, _) = round(&object, target).unwrap();
            assert_eq!(back.target, target);
        }
        let mut directory = object(ObjectKind::Directory, b"");
        directory.attributes.mode = 0o1777;
        assert_eq!(round(&directory, b"").unwrap().0, directory);
    }

    #[test]
    fn modified_content_is_detected() {
        let object = object(ObjectKind::File, b"hello\n");
        let hash = object_hash(&object.attributes, b"hello\n");
        let tar = tar_of(&hash, &object, b"hallo\n");
        let outcome = only_member(&tar[..], &hash, |object, data| object.take(&hash, data).map(|_| ()));
        assert!(matches!(outcome, Err(ObjectError::Hash(_))));
    }

    #[test]
    fn tars_must_contain_exactly_one_object() {
        let object = object(ObjectKind::File, b"x");
        let hash = object_hash(&object.attributes, b"x");
        let one = tar_of(&hash, &object, b"x");
        let two = [&one[..1024], &one[..]].concat();
        let outcome = |tar: &[u8]| {
            let refused = only_member(tar, &hash, |object, data| object.take(&hash, data).map(|_| ()));
            match refused {
                Err(ObjectError::Read(error)) => error.to_string(),
                other => panic!("{other:?}"),
            }
        };
        assert!(outcome(&two).contains("more than one"));
        assert!(outcome(&[]).contains("empty"));
        assert!(outcome(&one[..600]).len() > 5);
        let other = tar_of(&ObjectHash::NONE, &object, b"x");
        assert!(outcome(&other).contains("not named by its hash"));
        let mut link = Header::new_gnu();
        link.set_entry_type(EntryType::Link);
        link.set_size(0);
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_link(&mut link, hash.to_string(), "/etc/passwd").unwrap();
        assert!(outcome(&builder.into_inner().unwrap()).contains("not a file"));
    }

    #[test]
    fn parses_extended_headers_by_length() {
        let mut extension = Extension::default();
        extension.take_pax(b"19 linkpath=a\nb=c\n\n12 uid=3000\n").unwrap();
        assert_eq!(extension.target.as_deref(), Some(&b"a\nb=c\n"[..]));
        assert_eq!(extension.uid, Some(3000));
        for bad in
            [&b"19 linkpath=a\n"[..], b"x path=a\n", b"4 a\n", b"0 a=b\n", b"99999999999999999999 a=b\n"]
        {
            assert!(Extension::default().take_pax(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn extended_headers_are_bounded() {
        let mut long = Header::new_gnu();
        long.set_entry_type(EntryType::XHeader);
        long.set_size(1 << 40);
        long.set_cksum();
        let endless = long.as_bytes().chain(io::repeat(b' '));
        let error = each_member(endless, |_, _, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("64 KiB"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = each_member(&bytes[..], |_, _, _| Ok(()));
        }

        /// A flipped bit in a valid tar results in the same object or in an error.
        #[test]
        fn flipped_bits_are_detected(at in 0usize..1500, bit in 0u8..8) {
            let object = object(ObjectKind::File, b"hello, world\n");
            let hash = object_hash(&object.attributes, b"hello, world\n");
            let mut tar = tar_of(&hash, &object, b"hello, world\n");
            tar[at] ^= 1 << bit;
            let mut seen = None;
            let outcome = only_member(&tar[..], &hash, |object, data| {
                if let ObjectContent::Whole(content) = object.take(&hash, data)? {
                    seen = Some((object.attributes, content));
                }
                Ok(())
            });
            if outcome.is_ok() {
                prop_assert_eq!(seen, Some((object.attributes, b"hello, world\n".to_vec())));
            }
        }
    }
}
