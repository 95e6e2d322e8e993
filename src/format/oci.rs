//! A root tree as an OCI image: a layout in a tar, as `podman load` and `skopeo copy oci-archive:` take it. Source: OCI Image
//! Format Specification 1.0: image-layout.md, manifest.md, config.md, layer.md.

use super::gzip;
use super::source::{Raw, Source};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::{Duration, UNIX_EPOCH};
use tar::{Builder, EntryType, Header};

/// `root` is the packed tree, `scratch` an empty file, `name` what the image is called, `time` in seconds since 1970.
pub fn write(root: &Raw, scratch: &File, name: &str, time: u64, out: &mut impl Write) -> io::Result<()> {
    // The hash of the layer as it is unpacked, and of what it is packed to, which is needed before it is written.
    let unpacked = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| digest(root));
        gzip::write(root, &mut io::BufWriter::new(scratch))?;
        hashing.join().unwrap_or_else(|_| Err(io::Error::other("hashing ended unexpectedly")))
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

/// The one layer of an image, unpacked as it is read.
pub fn layer(archive: impl Read) -> io::Result<impl Read> {
    // Blobs begin on their own: the layer is the only one that is packed, and the last.
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

/// What refers to a document.
fn part(kind: &str, text: &str) -> Value {
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": format!("sha256:{}", hex(Sha256::digest(text.as_bytes()).as_slice())),
        "size": text.len(),
    })
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
