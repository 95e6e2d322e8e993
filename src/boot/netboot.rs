//! The server of a network boot: it has the files of the archive, and DHCP announces their script to the firmware of
//! the network card, which is iPXE.

use super::lan::{GATEWAY, HttpService, Lan, LanOptions, Request, Response};
use crate::host::{Context, Failure};
use crate::image::format::NetworkBoot;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

struct BootFiles {
    script: String,
    kernel: (Arc<File>, u64),
    initrd: (Arc<File>, u64),
}

impl HttpService for BootFiles {
    fn respond(&mut self, _: Ipv4Addr, request: &Request) -> Response {
        let file = |(file, size): &(Arc<File>, u64)| Response::file(Arc::clone(file), *size);
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/boot.ipxe") => Response::text(&self.script),
            ("GET", "/vmlinuz") => file(&self.kernel),
            ("GET", "/initrd") => file(&self.initrd),
            ("GET", _) => Response::status(404),
            _ => Response::status(405),
        }
    }
}

/// Starts the network segment of a network boot. `ports` are pairs of ports on this host's loopback interface and of the
/// guest. Returns the segment with QEMU's end of its socket.
pub(super) fn serve(boot: &NetworkBoot, ports: &[(u16, u16)]) -> Result<(Lan, UnixStream), Failure> {
    let context = || "could not start the server for the network boot".to_owned();
    let shared = |file: &File| -> Result<(Arc<File>, u64), Failure> {
        let file = file.try_clone().context(context)?;
        let size = file.metadata().context(context)?.len();
        Ok((Arc::new(file), size))
    };
    let files = BootFiles {
        script: boot.script.clone(),
        kernel: shared(&boot.kernel)?,
        initrd: shared(&boot.initrd)?,
    };
    let options =
        LanOptions { boot_file: Some(format!("http://{GATEWAY}/boot.ipxe")), ..LanOptions::default() };
    let listen = |(host, guest): &(u16, u16)| Ok((TcpListener::bind(("127.0.0.1", *host))?, *guest));
    let listeners = ports.iter().map(listen).collect::<std::io::Result<Vec<_>>>().context(context)?;
    let (ours, theirs) = UnixStream::pair().context(context)?;
    Ok((Lan::start(ours, options, Box::new(files), listeners)?, theirs))
}
