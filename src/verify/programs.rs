//! Checks the programs that every boot to a login prompt runs, and their libraries: whether each exists, can be
//! executed, and matches the checksum of its package.

use super::package_files::PackageFiles;
use super::pam;
use super::system::System;
use crate::disk::{Body, NodeId, ReadError, Window, read_file};
use elf::ElfBytes;
use elf::endian::AnyEndian;
use std::collections::{BTreeMap, BTreeSet};

/// The purpose of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Process 1.
    Init,
    /// The login prompt and the password check.
    Login,
    Shell,
}

/// Why a program cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramError {
    pub role: Role,
    pub path: String,
    /// Starts in lower case, without a full stop.
    pub message: String,
    /// The file exists, but its content differs from the package.
    pub is_checksum: bool,
}

/// Paths where the kernel looks for init, in this order; its last resort, a shell, is not listed. Source: Linux,
/// init/main.c, kernel_init.
const INITS: &[&str] = &["/sbin/init", "/etc/init", "/bin/init"];
/// Default library directories, without ld.so.conf. Source: ld.so(8); Debian's multiarch.
const LIBRARIES: &[&str] =
    &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// Units that start a getty.
const GETTYS: &[&str] =
    &["/usr/lib/systemd/system/serial-getty@.service", "/usr/lib/systemd/system/getty@.service"];
/// Larger programs and libraries are not checked, in bytes.
const MOST: u64 = 64 << 20;
/// The maximum number of libraries that are checked.
const MOST_LIBRARIES: usize = 200;

/// Checks all of these programs. `init` is the path on the kernel command line, `packages` contains the checksums of
/// packages.
///
/// # Errors
/// If the host cannot read the image.
pub(super) fn faults<'w>(
    system: &System,
    init: Option<&str>,
    packages: &PackageFiles,
    window: impl Fn(u32) -> Option<Window<'w>>,
) -> Result<Vec<ProgramError>, ReadError> {
    let paths =
        system.tree.paths().into_iter().map(|(path, id)| (id, String::from_utf8_lossy(&path).into_owned()));
    let mut look = Look {
        system,
        window,
        packages,
        paths: paths.collect(),
        seen: BTreeSet::new(),
        loaded: BTreeSet::new(),
        faults: Vec::new(),
    };
    let named = init.filter(|path| path.starts_with('/'));
    let there = INITS.iter().copied().find(|path| system.tree.find_nofollow(path).is_some());
    look.program(Role::Init, named.or(there).unwrap_or(INITS[0]), 0)?;
    let runs = |program: &str| {
        GETTYS.iter().any(|unit| system.text(unit).is_some_and(|text| text.contains(program)))
    };
    if runs("agetty") {
        for path in ["/sbin/agetty", "/bin/login"] {
            look.program(Role::Login, path, 0)?;
        }
        look.pam()?;
    }
    if system.tree.find_nofollow("/bin/sh").is_some() {
        look.program(Role::Shell, "/bin/sh", 0)?;
    }
    Ok(look.faults)
}

struct Look<'s, F> {
    system: &'s System,
    window: F,
    packages: &'s PackageFiles,
    /// The path of each node, without symbolic links.
    paths: BTreeMap<NodeId, String>,
    seen: BTreeSet<NodeId>,
    /// Names of libraries that are already loaded.
    loaded: BTreeSet<String>,
    faults: Vec<ProgramError>,
}

impl<'w, F: Fn(u32) -> Option<Window<'w>>> Look<'_, F> {
    fn fault(&mut self, role: Role, path: &str, message: String) {
        self.faults.push(ProgramError { role, path: path.to_owned(), message, is_checksum: false });
    }

    /// Checks the modules that `login` needs to accept a user.
    fn pam(&mut self) -> Result<(), ReadError> {
        let needed = |line: &pam::Line| !line.is_optional && matches!(line.kind.as_str(), "auth" | "account");
        for line in pam::stack(self.system, "login").into_iter().filter(needed) {
            let Some(path) = pam::module(self.system, &line.module) else {
                self.fault(Role::Login, &line.module, format!("the PAM module {} is missing", line.module));
                continue;
            };
            if let Some(id) = self.system.tree.find(&path).filter(|id| !self.seen.contains(id)) {
                self.seen.insert(id);
                self.content(Role::Login, &path, id, 0)?;
            }
        }
        Ok(())
    }

    /// Checks a program. `depth` is the number of scripts whose interpreters led to it.
    fn program(&mut self, role: Role, path: &str, depth: usize) -> Result<(), ReadError> {
        let Some(id) = self.system.tree.find(path) else {
            let message =
                match self.system.tree.find_nofollow(path).map(|id| &self.system.tree.nodes[id].body) {
                    Some(Body::Link(target)) => {
                        format!("{path} is a dangling symbolic link to {}", String::from_utf8_lossy(target))
                    }
                    _ => format!("{path} is missing"),
                };
            self.fault(role, path, message);
            return Ok(());
        };
        let node = &self.system.tree.nodes[id];
        let has_modes = !self.system.without_modes.contains(&self.system.partition_of(id));
        if !matches!(node.body, Body::File(_)) {
            self.fault(role, path, format!("{path} is not a file"));
        } else if has_modes && node.mode & 0o111 == 0 {
            self.fault(role, path, format!("{path} is not executable (mode {:04o})", node.mode & 0o7777));
        } else if self.seen.insert(id) {
            self.content(role, path, id, depth)?;
        }
        Ok(())
    }

    fn content(&mut self, role: Role, path: &str, id: NodeId, depth: usize) -> Result<(), ReadError> {
        let node = &self.system.tree.nodes[id];
        let Some(window) = (self.window)(self.system.partition_of(id)) else { return Ok(()) };
        if node.size > MOST {
            return Ok(());
        }
        let bytes = match read_file(&window, node, MOST) {
            Ok(bytes) => bytes,
            // Reported by other rules.
            Err(ReadError::Damaged { .. } | ReadError::Unsupported(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            self.fault(role, path, format!("{path} is empty"));
            return Ok(());
        }
        if let Some(script) = bytes.strip_prefix(b"#!") {
            let line = script.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).trim().to_owned();
            let interpreter = line.split_whitespace().next().unwrap_or_default();
            // The kernel limits chains of interpreters. Source: Linux, fs/exec.c.
            if depth < 4 && interpreter.starts_with('/') {
                return self.program(role, interpreter, depth + 1);
            }
            self.fault(role, path, format!("{path} has no valid interpreter: `#!{line}`"));
            return Ok(());
        }
        match Needs::of(&bytes) {
            Err(why) => self.fault(role, path, format!("{path} {why}")),
            Ok(needs) => {
                let real = self.paths.get(&id).map_or(path, String::as_str);
                if let Some((false, digest)) = self.packages.check(real, node, &bytes) {
                    let message = format!("{path} differs from its package: {digest} checksum mismatch");
                    self.faults.push(ProgramError {
                        role,
                        path: path.to_owned(),
                        message,
                        is_checksum: true,
                    });
                }
                if let Some(interpreter) = &needs.interpreter {
                    self.program(role, interpreter, depth)?;
                }
                self.libraries(role, path, &needs)?;
            }
        }
        Ok(())
    }

    /// Checks the libraries of a file, then their libraries. Libraries that are already loaded are not searched again.
    /// Source: ld.so(8).
    fn libraries(&mut self, role: Role, by: &str, needs: &Needs) -> Result<(), ReadError> {
        let mut found = Vec::new();
        for name in &needs.libraries {
            let directories = needs.search.iter().map(String::as_str).chain(LIBRARIES.iter().copied());
            let mut places = directories.map(|directory| format!("{directory}/{name}"));
            let place = places.find_map(|path| self.system.tree.find(&path).map(|id| (path, id)));
            match place {
                Some(place) => {
                    self.loaded.insert(name.clone());
                    found.push(place);
                }
                None if self.loaded.contains(name) || self.has_more_directories() => {}
                None => self.fault(role, by, format!("missing library {name}, needed by {by}")),
            }
        }
        for (path, id) in found {
            if self.seen.len() < MOST_LIBRARIES && self.seen.insert(id) {
                self.content(role, &path, id, 0)?;
            }
        }
        Ok(())
    }

    /// Whether ld.so.conf.d adds directories that are not in `LIBRARIES`.
    fn has_more_directories(&self) -> bool {
        let names = self.system.list("/etc/ld.so.conf.d");
        names.iter().any(|name| !name.contains("linux-gnu") && name != "libc.conf")
    }
}

/// The interpreter and libraries that an ELF file loads.
struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
    search: Vec<String>,
}

impl Needs {
    /// `Err`: why the file cannot be executed, to be printed after its path.
    fn of(bytes: &[u8]) -> Result<Needs, String> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err("is neither an ELF program nor a script".to_owned());
        }
        let file =
            ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(|_| "has a damaged ELF header".to_owned())?;
        // Source: System V ABI, e_machine; a 64-bit kernel runs both.
        if ![elf::abi::EM_X86_64, elf::abi::EM_386].contains(&file.ehdr.e_machine) {
            return Err(format!("is for another architecture (ELF machine {})", file.ehdr.e_machine));
        }
        let damaged = || "has damaged ELF program headers".to_owned();
        let segments = file.segments().ok_or_else(damaged)?;
        let mut needs = Needs { interpreter: None, libraries: Vec::new(), search: Vec::new() };
        for segment in segments.iter() {
            let end = segment.p_offset.checked_add(segment.p_filesz);
            if end.is_none_or(|end| end > bytes.len() as u64) {
                return Err(format!("is truncated after {} bytes", bytes.len()));
            }
            if segment.p_type == elf::abi::PT_INTERP {
                let text = &bytes[segment.p_offset as usize..(segment.p_offset + segment.p_filesz) as usize];
                let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                needs.interpreter = Some(String::from_utf8_lossy(text).into_owned());
            }
        }
        let Some(dynamic) = file.dynamic().map_err(|_| damaged())? else { return Ok(needs) };
        let strings =
            dynamic.iter().find(|entry| entry.d_tag == elf::abi::DT_STRTAB).map(|entry| entry.d_ptr());
        // The address of the string table is converted to a file offset by the segment that contains it.
        let place = strings.and_then(|address| {
            let segment = segments.iter().find(|segment| {
                segment.p_type == elf::abi::PT_LOAD
                    && segment.p_vaddr <= address
                    && address - segment.p_vaddr < segment.p_filesz
            })?;
            usize::try_from(address - segment.p_vaddr + segment.p_offset).ok()
        });
        let Some(place) = place else { return Ok(needs) };
        let text = |offset: u64| {
            let bytes = bytes.get(place.checked_add(usize::try_from(offset).ok()?)?..)?;
            let text = bytes.split(|byte| *byte == 0).next()?;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        for entry in dynamic.iter() {
            match entry.d_tag {
                elf::abi::DT_NEEDED => needs.libraries.extend(text(entry.d_val())),
                elf::abi::DT_RUNPATH | elf::abi::DT_RPATH => {
                    let list = text(entry.d_val()).unwrap_or_default();
                    needs
                        .search
                        .extend(list.split(':').filter(|path| path.starts_with('/')).map(str::to_owned));
                }
                _ => {}
            }
        }
        Ok(needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn interpreter_and_libraries_are_read() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = Needs::of(&own).unwrap();
        assert!(needs.interpreter.is_some_and(|path| path.contains("ld-linux")));
        assert!(needs.libraries.iter().any(|name| name == "libc.so.6"), "{:?}", needs.libraries);
        assert!(Needs::of(&own[..65_536]).is_err());
        assert!(Needs::of(b"#no").is_err() && Needs::of(b"\x7fELF").is_err());
        let mut other = own.clone();
        other[18..20].copy_from_slice(&183_u16.to_le_bytes());
        assert!(Needs::of(&other).is_err_and(|why| why.contains("another architecture (ELF machine 183)")));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = Needs::of(&[&b"\x7fELF\x02\x01\x01"[..], &bytes].concat());
        }
    }
}
