//! Computes the disk usage of a packed tree from its tar headers.

use crate::host::{Context, Failure};
use crate::plan::{ContentItem, Footprint, ItemKind};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use tar::EntryType;

/// Reads all headers of a packed tree and skips its data.
pub fn footprint(packed: &File) -> Result<Footprint, Failure> {
    read(packed).context(|| "could not read the packed content".to_owned())
}

fn read(mut packed: &File) -> std::io::Result<Footprint> {
    packed.seek(SeekFrom::Start(0))?;
    let mut items = Vec::new();
    for entry in tar::Archive::new(packed).entries_with_seek()? {
        let entry = entry?;
        let kind = match entry.header().entry_type() {
            EntryType::Regular => ItemKind::File,
            EntryType::Directory => ItemKind::Directory,
            EntryType::Symlink => ItemKind::Link,
            // A hard link needs no further space.
            EntryType::Link => continue,
            _ => ItemKind::Other,
        };
        let bytes = match kind {
            ItemKind::Link => entry.link_name_bytes().map_or(0, |target| target.len() as u64),
            _ => entry.size(),
        };
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        items.push(ContentItem { path: format!("/{path}"), bytes, kind });
    }
    Ok(Footprint { items })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::pack;

    #[test]
    fn hard_links_are_counted_once() {
        let from = tempfile::tempdir().unwrap();
        std::fs::create_dir(from.path().join("d")).unwrap();
        std::fs::write(from.path().join("d/a"), vec![1; 5000]).unwrap();
        std::fs::hard_link(from.path().join("d/a"), from.path().join("z")).unwrap();
        std::os::unix::fs::symlink("/absolute", from.path().join("link")).unwrap();
        let file = tempfile::tempfile().unwrap();
        pack(from.path(), 1000, &file).unwrap();
        let item = |path: &str, bytes, kind| ContentItem { path: path.into(), bytes, kind };
        assert_eq!(
            footprint(&file).unwrap().items,
            [
                item("/d", 0, ItemKind::Directory),
                item("/d/a", 5000, ItemKind::File),
                item("/link", 9, ItemKind::Link)
            ]
        );
    }
}
