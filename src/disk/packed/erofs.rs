//! erofs, compressed and uncompressed, using the erofs-rs crate.

use super::{Attributes, PATH_MAX, Packed, PathTreeBuilder, damaged};
use crate::disk::source::{ReadError, Source};
use crate::disk::tree::{Body, NodeId, Time};
use erofs_rs::r#async::{EroFS, File};
use erofs_rs::backend::AsyncImage;
use erofs_rs::types::Inode;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use uuid::Uuid;

const KIND: Packed = Packed::Erofs;

/// UUID and label, if set.
type Names = (Option<String>, Option<String>);

pub(super) fn read(source: &dyn Source, builder: &mut PathTreeBuilder) -> Result<Names, ReadError> {
    // The crate's synchronous interface needs the image as one slice, which would require a mapped file and thus unsafe
    // code.
    now(read_all(source, builder))
}

async fn read_all(source: &dyn Source, builder: &mut PathTreeBuilder) -> Result<Names, ReadError> {
    let filesystem = EroFS::new(Image { source }).await.map_err(of)?;
    let root = filesystem.get_inode(filesystem.super_block().root_inode_id()).await.map_err(of)?;
    let attributes = attributes_of(&filesystem, &root).await?;
    builder.add(b"/", attributes, 0, Body::Directory(BTreeMap::new())).map_err(problem)?;
    let mut known: BTreeMap<u64, NodeId> = BTreeMap::new();
    // Upper bound for the number of components in a path.
    let mut walk = filesystem.walk_dir("/").await.map_err(of)?.max_depth(PATH_MAX / 2);
    while let Some(entry) = walk.next_entry().await {
        let entry = entry.map_err(of)?;
        if [&b"."[..], b".."].contains(&entry.dir_entry.file_name()) {
            continue;
        }
        let (path, inode) = (entry.dir_entry.path().into_vec(), entry.inode);
        if let Some(id) = known.get(&inode.id()).filter(|_| !inode.is_dir()) {
            builder.name(&path, *id).map_err(problem)?;
            builder.tree.nodes[*id].links += 1;
            continue;
        }
        let attributes = attributes_of(&filesystem, &inode).await?;
        let (size, body) = if inode.is_dir() {
            (0, Body::Directory(BTreeMap::new()))
        } else if inode.is_file() {
            let file = filesystem.open_inode_file(inode).map_err(of)?;
            (inode.data_size(), Body::File(builder.store(Bytes(file), inode.data_size(), KIND)?))
        } else if inode.is_symlink() {
            let target = filesystem.read_link_inode(inode).await.map_err(of)?.into_vec();
            (target.len() as u64, Body::Link(target))
        } else {
            (0, inode.device().map_or(Body::Other, |(major, minor)| Body::Device { major, minor }))
        };
        let id = builder.add(&path, attributes, size, body).map_err(problem)?;
        known.insert(inode.id(), id);
    }
    let label = filesystem.super_block().volume_name;
    let label =
        String::from_utf8_lossy(label.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    let uuid = Uuid::from_bytes(filesystem.super_block().uuid);
    Ok((Some(uuid.to_string()).filter(|_| !uuid.is_nil()), Some(label).filter(|label| !label.is_empty())))
}

async fn attributes_of(filesystem: &EroFS<Image<'_>>, inode: &Inode) -> Result<Attributes, ReadError> {
    let (seconds, nanoseconds) = inode.modified_unix();
    Ok(Attributes {
        number: inode.id(),
        mode: inode.permissions().mode(),
        uid: inode.uid(),
        gid: inode.gid(),
        modified: Time { seconds, nanoseconds },
        extended: filesystem.xattrs_inode(*inode).await.map_err(of)?,
    })
}

fn of(error: erofs_rs::Error) -> ReadError {
    match error {
        erofs_rs::Error::NotSupported(what) => {
            ReadError::Unsupported(format!("unsupported filesystem feature: {what}"))
        }
        error => damaged(KIND, error),
    }
}

fn problem(problem: String) -> ReadError {
    damaged(KIND, problem)
}

struct Image<'s> {
    source: &'s dyn Source,
}

impl AsyncImage for Image<'_> {
    async fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> erofs_rs::Result<()> {
        Ok(self.source.read_at(buffer, offset)?)
    }
}

/// A file's bytes in order.
struct Bytes<'f, 's>(File<'f, Image<'s>>);

impl Read for Bytes<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        now(self.0.read(buffer)).map_err(io::Error::other)
    }
}

/// Polls a future to completion. It is always ready, because [`Image`] never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}
