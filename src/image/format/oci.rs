//! A root tree as an OCI image: an image layout in a tar, for `podman load` and `skopeo copy oci-archive:`. Source:
//! OCI Image Format Specification 1.0: image-layout.md, manifest.md, config.md, layer.md.

use super::gzip;
use super::source::{Raw, Source};
use super::tree::Tree;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use tar::{Builder, EntryType, Header};

/// Writes the image. `root` is the packed tree, `scratch` an empty file, `name` the name of the image, `time` in
/// seconds since 1970.
pub(super) fn write(
    root: &Raw,
    scratch: &File,
    name: &str,
    time: u64,
    out: &mut impl Write,
) -> io::Result<()> {
    // The hashes of the uncompressed and of the compressed layer are needed before the layer is written.
    let unpacked = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| digest(root));
        gzip::write(root, &mut io::BufWriter::new(scratch))?;
        hashing.join().unwrap_or_else(|_| Err(io::Error::other("the hashing thread panicked")))
    })?;
    let layer_file = Raw::new(scratch)?;
    let layer = digest(&layer_file)?;
    let created = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time)).to_string();
    let config = json!({
        "created": created,
        "architecture": "amd64",
        "os": "linux",
        "config": { "Cmd": ["/bin/sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{unpacked}")] },
        "history": [{ "created": created, "created_by": concat!("ister ", env!("CARGO_PKG_VERSION")) }],
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": part("config.v1+json", &config),
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{layer}"),
            "size": layer_file.size(),
        }],
    })
    .to_string();
    let mut of_manifest = part("manifest.v1+json", &manifest);
    of_manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    of_manifest["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    let index = json!({ "schemaVersion": 2, "manifests": [of_manifest] }).to_string();
    let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();

    let mut builder = Builder::new(out);
    let mut add = |path: &str, size: u64, data: &mut dyn Read| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(time);
        header.set_size(size);
        builder.append_data(&mut header, path, data)
    };
    let mut text = |path: &str, text: &str| add(path, text.len() as u64, &mut text.as_bytes());
    text("oci-layout", &layout)?;
    text("index.json", &index)?;
    for blob in [&config, &manifest] {
        text(&format!("blobs/sha256/{}", hex(Sha256::digest(blob.as_bytes()).as_slice())), blob)?;
    }
    let mut packed = scratch;
    packed.rewind()?;
    add(&format!("blobs/sha256/{layer}"), layer_file.size(), &mut packed)?;
    builder.into_inner()?.flush()
}

/// Returns a reader of the uncompressed data of the only layer of an image.
pub(super) fn layer(archive: impl Read) -> io::Result<impl Read> {
    // The layer is the last member and the only one that is compressed.
    let mut archive = archive;
    loop {
        let mut header = Header::new_old();
        archive.read_exact(header.as_mut_bytes())?;
        let size = header.entry_size()?;
        let mut data = archive.take(size);
        let mut start = [0; 2];
        if size >= 2 {
            data.read_exact(&mut start)?;
        }
        if start == [0x1f, 0x8b] {
            return Ok(flate2::read::GzDecoder::new(io::Cursor::new(start).chain(data)));
        }
        io::copy(&mut data, &mut io::sink())?;
        archive = data.into_inner();
        io::copy(&mut archive.by_ref().take(size.next_multiple_of(512) - size), &mut io::sink())?;
    }
}

/// Returns the compressed only layer of an image in a tar, or the number of layers, and the errors in the layout.
pub(super) fn layers(archive: &File, scratch: &Path) -> io::Result<(Result<File, usize>, Vec<String>)> {
    /// Maximum size of a document. A manifest has one entry per layer.
    const DOCUMENT: u64 = 4 << 20;
    let tree = Tree::read_file(archive)?;
    let mut damage = Vec::new();
    let read = |path: &str| -> io::Result<Option<Vec<u8>>> {
        let Some(item) = tree.find(path) else { return Ok(None) };
        let mut bytes = Vec::new();
        tree.reader(item).take(DOCUMENT).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    // Checks digest and size of a reference in a document. Returns the path of the blob if it exists.
    let mut follow = |reference: &Value, what: &str| -> Option<String> {
        let digest = reference["digest"].as_str().unwrap_or_default();
        let path = format!("/blobs/{}", digest.replacen(':', "/", 1));
        let Some(item) = tree.find(&path) else {
            damage.push(format!("{what}: blob `{digest}` is missing"));
            return None;
        };
        let size = item.data.end - item.data.start;
        if reference["size"].as_u64() != Some(size) {
            damage.push(format!(
                "{what}: size is {} in the descriptor, but the blob has {size} bytes",
                reference["size"]
            ));
        }
        match hash(tree.reader(item)) {
            Ok(hash) if digest == format!("sha256:{hash}") => {}
            _ => damage.push(format!("{what}: blob does not match its digest `{digest}`")),
        }
        Some(path)
    };
    let json = |bytes: Option<Vec<u8>>| -> Value {
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    };
    let index = json(read("/index.json")?);
    let manifest = match follow(&index["manifests"][0], "manifest") {
        Some(path) => json(read(&path)?),
        None => Value::Null,
    };
    follow(&manifest["config"], "configuration");
    let paths: Vec<String> = manifest["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|layer| follow(layer, "layer"))
        .collect();
    let layers = match paths.as_slice() {
        [path] => {
            let mut file = tempfile::tempfile_in(scratch)?;
            if let Some(item) = tree.find(path) {
                io::copy(&mut tree.reader(item), &mut file)?;
            }
            Ok(file)
        }
        paths => Err(paths.len()),
    };
    Ok((layers, damage))
}

/// Creates a descriptor of a document.
fn part(kind: &str, text: &str) -> Value {
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": format!("sha256:{}", hex(Sha256::digest(text.as_bytes()).as_slice())),
        "size": text.len(),
    })
}

fn hash(mut from: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hex(hasher.finalize().as_slice())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn digest(source: &impl Source) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < source.size() {
        let count = (source.size() - at).min(buffer.len() as u64) as usize;
        source.read_at(&mut buffer[..count], at)?;
        hasher.update(&buffer[..count]);
        at += count as u64;
    }
    Ok(hex(hasher.finalize().as_slice()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::packed;
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn damaged_layouts_are_reported() {
        let root = packed();
        let raw = Raw::new(&root).unwrap();
        let mut image = tempfile::tempfile().unwrap();
        write(&raw, &tempfile::tempfile().unwrap(), "here", 1_700_000_000, &mut image).unwrap();
        let scratch = std::env::temp_dir();
        let (layer, damage) = layers(&image, &scratch).unwrap();
        assert!(layer.is_ok() && damage.is_empty(), "{damage:?}");
        // Damage one byte of the layer and one of the index.
        let tree = Tree::read_file(&image).unwrap();
        let layer = tree.items.iter().max_by_key(|item| item.data.end - item.data.start).unwrap();
        let index = tree.find("/index.json").unwrap();
        let (layer, index) = (layer.data.clone(), index.data.clone());
        image.write_all_at(&[0xff], layer.end - 1).unwrap();
        let (_, damage) = layers(&image, &scratch).unwrap();
        assert!(damage.len() == 1 && damage[0].starts_with("layer: blob does not match"), "{damage:?}");
        let mut text = vec![0; (index.end - index.start) as usize];
        image.read_exact_at(&mut text, index.start).unwrap();
        let at = text.windows(7).position(|word| word == b"sha256:").unwrap() as u64 + 7;
        image.write_all_at(b"zz", index.start + at).unwrap();
        let (layer, damage) = layers(&image, &scratch).unwrap();
        assert!(layer.err() == Some(0) && damage[0].ends_with("is missing"), "{damage:?}");
    }
}
