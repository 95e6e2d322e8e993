//! What an instance of a cloud needs on this host: a key, a medium, and a network segment with its metadata service.

use super::super::cloud::{Cloud, CloudFault, CloudLog, CloudRequest, Instance, Medium, Metadata};
use super::super::lan::Lan;
use super::super::ssh::Ssh;
use crate::disk::{Window, fat, scan};
use crate::host::{Context, Failure, Invocation, run, scratch_directory};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// An instance of a cloud, with its files. They are removed when this is dropped.
pub(super) struct Provisioned {
    pub cloud: Cloud,
    pub instance: Instance,
    pub log: Arc<Mutex<CloudLog>>,
    pub medium: Option<(PathBuf, bool)>,
    directory: tempfile::TempDir,
}

/// The user of Debian's cloud-init.
const USER: &str = "debian";

impl Provisioned {
    pub(super) fn new(cloud: Cloud, fault: Option<CloudFault>) -> Result<Provisioned, Failure> {
        let context = || "could not prepare the instance".to_owned();
        let directory = tempfile::tempdir_in(scratch_directory()).context(context)?;
        crate::host::remove_on_interrupt(directory.path());
        let key = directory.path().join("key");
        let keygen =
            Invocation::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "ister", "-f"]);
        run(&keygen.arg(&key))?;
        let public = std::fs::read_to_string(key.with_extension("pub")).context(context)?;
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(std::io::Error::from)
            .context(context)?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let host = format!("node-{}", &id[..6]);
        let instance = Instance { id, host, key: public.trim().to_owned(), fault };
        let medium = match cloud.medium(&instance) {
            Some(medium) => {
                let path = directory.path().join("medium.img");
                write_medium(&path, &medium)?;
                Some((path, medium.is_cd))
            }
            None => None,
        };
        Ok(Provisioned { cloud, instance, log: Arc::default(), medium, directory })
    }

    /// Starts the network segment. Returns it with QEMU's end of its socket and the port for ssh.
    pub(super) fn network(&self) -> Result<(Lan, UnixStream, u16), Failure> {
        let context = || "could not create the network of the guest".to_owned();
        let (ours, theirs) = UnixStream::pair().context(context)?;
        let listener = TcpListener::bind("127.0.0.1:0").context(context)?;
        let port = listener.local_addr().context(context)?.port();
        let service =
            Metadata { cloud: self.cloud, instance: self.instance.clone(), log: Arc::clone(&self.log) };
        let lan = Lan::start(ours, self.cloud.lan(&self.instance), Box::new(service), vec![(listener, 22)])?;
        Ok((lan, theirs, port))
    }

    pub(super) fn requests(&self) -> Vec<CloudRequest> {
        self.log.lock().expect("no holder panics").requests.clone()
    }

    /// The login of the cloud's user. Only the host key that the instance reported is accepted.
    pub(super) fn ssh(&self, host_key: &str) -> Result<Ssh, Failure> {
        let known = self.directory.path().join("known_hosts");
        std::fs::write(&known, format!("{} {host_key}\n", Ssh::ALIAS))
            .context(|| format!("could not write `{}`", known.display()))?;
        Ok(Ssh { user: USER.to_owned(), key: self.directory.path().join("key"), known_hosts: Some(known) })
    }
}

impl Drop for Provisioned {
    fn drop(&mut self) {
        crate::host::unregister_file(self.directory.path());
    }
}

/// Writes a medium with a FAT filesystem, or a CD.
fn write_medium(path: &Path, medium: &Medium) -> Result<(), Failure> {
    if !medium.is_cd {
        return write_fat_medium(path, medium.label, &medium.files);
    }
    let directory = files_in_directory(path, &medium.files)?;
    let image = Invocation::new("xorriso").args(["-as", "mkisofs", "-quiet", "-J", "-R"]);
    run(&image.args(["-V", medium.label, "-o"]).arg(path).arg(directory.path()))?;
    Ok(())
}

/// Writes the image of a FAT filesystem with a label and files, without a partition table.
pub(crate) fn write_fat_medium(path: &Path, label: &str, files: &[(&str, String)]) -> Result<(), Failure> {
    const KIB: &str = "1024";
    let context = || could_not_write(path);
    let _ = std::fs::remove_file(path);
    run(&Invocation::new("mkfs.vfat").args(["-n", label, "-C"]).arg(path).arg(KIB))?;
    let directory = files_in_directory(path, files)?;
    let image = File::options().read(true).write(true).open(path).context(context)?;
    let size = image.metadata().context(context)?.len();
    let held = scan(directory.path(), i64::MAX).map_err(|error| Failure::new(context()).caused_by(&error))?;
    fat::fill(&Window { file: &image, offset: 0, size }, &held, true)
        .map_err(|error| Failure::new(context()).caused_by(&error))
}

/// A temporary directory with the files of a medium.
fn files_in_directory(path: &Path, files: &[(&str, String)]) -> Result<tempfile::TempDir, Failure> {
    let context = || could_not_write(path);
    let directory = tempfile::tempdir_in(scratch_directory()).context(context)?;
    for (name, text) in files {
        let file = directory.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap_or(directory.path())).context(context)?;
        std::fs::write(file, text).context(context)?;
    }
    Ok(directory)
}

fn could_not_write(path: &Path) -> String {
    format!("could not write the medium `{}`", path.display())
}
