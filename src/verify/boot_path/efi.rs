//! UEFI: the fallback boot program of each FAT partition.

use super::volume::directory;
use super::{FileAt, Issue, IssueKind, PathStep, Tracer, Volume};
use super::{grub, grub_image, systemd_boot};
use std::ops::Range;

/// The path that firmware uses without a boot entry. Source: UEFI 2.10, section 3.5.1.1, table 3.2.
const FALLBACK: &str = "/EFI/BOOT/BOOTX64.EFI";
const DIRECTORY: &str = "/EFI/BOOT";
/// The same for other architectures.
const OTHERS: &[&str] =
    &["BOOTIA32.EFI", "BOOTAA64.EFI", "BOOTARM.EFI", "BOOTRISCV64.EFI", "BOOTLOONGARCH64.EFI"];

/// The architecture of a program. Source: Microsoft, PE Format, "Machine Types".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X64,
    X86,
    Arm64,
    Other(u16),
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Machine::X64 => f.write_str("x86-64"),
            Machine::X86 => f.write_str("32-bit x86"),
            Machine::Arm64 => f.write_str("aarch64"),
            Machine::Other(machine) => write!(f, "machine type {machine:#06x}"),
        }
    }
}

/// The headers of an EFI program. Source: Microsoft, PE Format.
#[derive(Debug)]
pub(super) struct Program {
    pub machine: Machine,
    /// Name and file range of each section.
    sections: Vec<(String, Range<u64>)>,
}

/// Number of bytes at the start of a program that contain all headers.
const HEAD: u64 = 64 << 10;

impl Program {
    /// Parses the first bytes of a file of `size` bytes. `Err`: what is wrong.
    pub(super) fn parse(bytes: &[u8], size: u64) -> Result<Program, String> {
        let number = |at: usize, length: usize| -> Option<u64> {
            let bytes = bytes.get(at..at.checked_add(length)?)?;
            Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        if !bytes.starts_with(b"MZ") {
            return Err("not an EFI program: no `MZ` signature".to_owned());
        }
        let truncated = || "truncated headers".to_owned();
        let header = number(0x3c, 4).ok_or_else(truncated)? as usize;
        if bytes.get(header..header.saturating_add(4)) != Some(b"PE\0\0") {
            return Err("not an EFI program: no PE header".to_owned());
        }
        let machine = match number(header + 4, 2).ok_or_else(truncated)? {
            0x8664 => Machine::X64,
            0x14c => Machine::X86,
            0xaa64 => Machine::Arm64,
            other => Machine::Other(other as u16),
        };
        let count = number(header + 6, 2).ok_or_else(truncated)?;
        let optional = number(header + 20, 2).ok_or_else(truncated)? as usize;
        let mut sections = Vec::new();
        for index in 0..count as usize {
            let at = header + 24 + optional + index * 40;
            let name = bytes.get(at..at + 8).ok_or_else(truncated)?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let (virtual_size, length, from) = (number(at + 8, 4), number(at + 16, 4), number(at + 20, 4));
            let (Some(virtual_size), Some(length), Some(from)) = (virtual_size, length, from) else {
                return Err(truncated());
            };
            let name = String::from_utf8_lossy(name).into_owned();
            if length > 0 && from + length > size {
                return Err(format!(
                    "truncated: section `{name}` ends at byte {}, but the file has {size}",
                    from + length
                ));
            }
            let used = if virtual_size == 0 { length } else { length.min(virtual_size) };
            sections.push((name, from..from + used));
        }
        Ok(Program { machine, sections })
    }

    pub(super) fn section(&self, name: &str) -> Option<Range<u64>> {
        self.sections.iter().find(|(other, _)| other == name).map(|(_, range)| range.clone())
    }
}

/// A path for each FAT filesystem with a fallback program. If there is none, a path with an issue for each EFI system
/// partition.
pub(super) fn starts(tracer: &mut Tracer) -> Vec<PathStep> {
    let mut starts = Vec::new();
    let volumes = tracer.volumes();
    for volume in volumes.iter().filter(|volume| volume.is_fat && volume.has_file(FALLBACK)) {
        starts.push(start_of(tracer, volume));
    }
    if starts.is_empty() {
        let esps = volumes.iter().filter(|volume| volume.is_esp);
        starts.extend(esps.map(|volume| missing(volume)));
    }
    starts
}

/// The program that firmware starts from a filesystem.
pub(super) fn start_of(tracer: &mut Tracer, volume: &Volume) -> PathStep {
    match volume.has_file(FALLBACK) {
        true => {
            let at = actual(volume, FALLBACK);
            tracer.deeper(|tracer| program(tracer, &at))
        }
        false => missing(volume),
    }
}

fn missing(volume: &Volume) -> PathStep {
    let other =
        volume.list(DIRECTORY).into_iter().find(|name| OTHERS.iter().any(|o| o.eq_ignore_ascii_case(name)));
    let message = match other {
        Some(other) => format!("EFI/BOOT/BOOTX64.EFI missing; {other} is for another architecture"),
        None => "EFI/BOOT/BOOTX64.EFI missing".to_owned(),
    };
    let issue = Issue::new(IssueKind::LoaderMissing, message)
        .help("install a boot loader at this path; firmware uses no other path without a boot entry");
    PathStep::new("EFI system partition").at(volume.at("/")).issue(issue)
}

/// A path with the case of its names in the filesystem, which FAT preserves.
fn actual(volume: &Volume, path: &str) -> FileAt {
    let mut at = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let names = volume.list(if at.is_empty() { "/" } else { &at });
        let name = names.into_iter().find(|name| name.eq_ignore_ascii_case(part));
        at = format!("{at}/{}", name.as_deref().unwrap_or(part));
    }
    volume.at(&at)
}

/// Identifies an EFI program and follows it.
pub(super) fn program(tracer: &mut Tracer, at: &FileAt) -> PathStep {
    let volume = tracer.volume(at.partition);
    let size = volume.size(&at.path);
    let head = volume.part(&at.path, 0..HEAD).unwrap_or_default();
    let program = match Program::parse(&head, size) {
        Ok(program) => program,
        Err(why) => {
            let issue = Issue::new(IssueKind::LoaderDamaged, format!("{}: {why}", at.path));
            return PathStep::new("EFI program").at(at.clone()).issue(issue);
        }
    };
    if program.machine != Machine::X64 {
        let message = format!("{} is for {}, but the firmware is for x86-64", at.path, program.machine);
        return PathStep::new("EFI program")
            .at(at.clone())
            .issue(Issue::new(IssueKind::WrongArchitecture, message));
    }
    let text = |name: &str| {
        let bytes = volume.part(&at.path, program.section(name)?)?;
        Some(String::from_utf8_lossy(&bytes).trim_matches(['\0', '\n', ' ']).to_owned())
    };
    // Source: systemd, src/boot/efi/boot.c and stub.c: "#### LoaderInfo: systemd-boot 252 ####".
    let magic = text(".sdmagic").unwrap_or_default();
    let named = magic.split("LoaderInfo: ").nth(1).and_then(|rest| rest.split(" ####").next());
    if program.section(".linux").is_some() {
        return unified(tracer, at, &program, named);
    }
    if let Some(name) = named.filter(|name| name.starts_with("systemd-boot")) {
        return systemd_boot::follow(tracer, at, name);
    }
    if head.get(0x202..0x206) == Some(b"HdrS") {
        let kernel = tracer.kernel(at, Some(at.clone()), Vec::new(), String::new());
        return PathStep { kernel, ..PathStep::new("Linux kernel as an EFI program").at(at.clone()) };
    }
    if let Some(range) = program.section("mods") {
        let modules = volume.part(&at.path, range).unwrap_or_default();
        return grub::of_efi(tracer, at, &grub_image::Embedded::parse(&modules));
    }
    // Source: rhboot/shim, SBAT.md: each program contains its component name.
    if text(".sbat").is_some_and(|sbat| sbat.contains("\nshim,")) {
        return shim(tracer, at);
    }
    PathStep::new("unknown EFI program, not followed").at(at.clone())
}

/// shim starts its fallback program if that is next to it in EFI/BOOT, otherwise GRUB. Sources: rhboot/shim,
/// README.fallback; shim.c, DEFAULT_LOADER.
fn shim(tracer: &mut Tracer, at: &FileAt) -> PathStep {
    let step = PathStep::new("shim").at(at.clone());
    let volume = tracer.volume(at.partition);
    let own = directory(&at.path).to_owned();
    let fallback = format!("{own}/fbx64.efi");
    if own.eq_ignore_ascii_case(DIRECTORY) && volume.has_file(&fallback) {
        return step.then([tracer.deeper(|tracer| csv(tracer, &volume.at(&fallback)))]);
    }
    let next = format!("{own}/grubx64.efi");
    if !volume.has_file(&next) {
        let message = format!("missing file {next}, which shim starts");
        return step.issue(Issue::new(IssueKind::LoaderMissing, message));
    }
    let next = actual(volume, &next);
    step.then([tracer.deeper(|tracer| program(tracer, &next))])
}

/// Each line contains a program, a title and arguments, in UTF-16. Source: rhboot/shim, README.fallback.
fn csv(tracer: &mut Tracer, at: &FileAt) -> PathStep {
    let step = PathStep::new("shim's fallback").at(at.clone());
    let volume = tracer.volume(at.partition);
    let mut next = Vec::new();
    for vendor in volume.list("/EFI").into_iter().filter(|name| !name.eq_ignore_ascii_case("BOOT")) {
        let list = format!("/EFI/{vendor}/BOOTX64.CSV");
        let Some(bytes) = volume.read(&list) else { continue };
        let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let text: String =
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        for line in text.trim_start_matches('\u{feff}').lines() {
            let fields: Vec<&str> = line.split(',').collect();
            let Some(name) = fields.first().map(|name| name.trim()).filter(|name| !name.is_empty()) else {
                continue;
            };
            // The argument of shim is the program that it starts.
            let argument = fields.get(2).map(|text| text.trim()).filter(|text| text.contains(".efi"));
            let path = format!("/EFI/{vendor}/{}", argument.unwrap_or(name));
            let path =
                argument.filter(|text| text.starts_with('\\')).map_or(path, |text| text.replace('\\', "/"));
            next.push(path);
        }
    }
    if next.is_empty() {
        let issue = Issue::new(IssueKind::LoaderMissing, "no boot loader in EFI/*/BOOTX64.CSV");
        return step.issue(issue);
    }
    let found: Vec<PathStep> = next
        .into_iter()
        .map(|path| match volume.has_file(&path) {
            true => {
                let at = actual(volume, &path);
                tracer.deeper(|tracer| program(tracer, &at))
            }
            false => PathStep::new("loader").issue(Issue::new(
                IssueKind::LoaderMissing,
                format!("missing file {path}, listed in BOOTX64.CSV"),
            )),
        })
        .collect();
    step.then(found)
}

/// A unified kernel image. Source: UAPI.5.
fn unified(tracer: &mut Tracer, at: &FileAt, program: &Program, stub: Option<&str>) -> PathStep {
    let volume = tracer.volume(at.partition);
    let part = |name: &str| program.section(name).and_then(|range| volume.part(&at.path, range));
    let options = part(".cmdline")
        .map(|bytes| String::from_utf8_lossy(&bytes).trim_matches(['\0', '\n', ' ']).to_owned());
    let kernel = tracer.unified(
        at,
        &part(".linux").unwrap_or_default(),
        part(".initrd").as_deref(),
        options.unwrap_or_default(),
    );
    PathStep {
        kernel,
        ..PathStep::new(format!("unified kernel image ({})", stub.unwrap_or("stub"))).at(at.clone())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Builds a program with these sections.
    pub(crate) fn pe(machine: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x80;
        bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
        bytes[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
        bytes[0x86] = sections.len() as u8;
        for (index, (name, content)) in sections.iter().enumerate() {
            let (at, from) = (0x80 + 24 + index * 40, bytes.len());
            bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
            for (place, number) in [(8, content.len()), (16, content.len()), (20, from)] {
                bytes[at + place..at + place + 4].copy_from_slice(&(number as u32).to_le_bytes());
            }
            bytes.extend(*content);
        }
        bytes
    }

    #[test]
    fn machine_and_sections_are_parsed() {
        let bytes = pe(0x8664, &[(".sdmagic", b"#### LoaderInfo: systemd-boot 252 ####"), (".x", b"y")]);
        let program = Program::parse(&bytes, bytes.len() as u64).unwrap();
        assert_eq!((program.machine, program.section(".x")), (Machine::X64, Some(1062..1063)));
        assert!(Program::parse(&bytes, 1050).unwrap_err().contains("`.sdmagic` ends at byte 1062"));
        assert!(Program::parse(&bytes[..0x90], 1062).unwrap_err().contains("truncated"));
        assert!(Program::parse(b"MZ and no more", 14).is_err());
        assert_eq!(Program::parse(&pe(0xaa64, &[]), 1024).unwrap().machine, Machine::Arm64);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), header in 0u8..100) {
            let mut bytes = [b"MZ", &bytes[..]].concat();
            if bytes.len() > 0x40 {
                bytes[0x3c..0x40].copy_from_slice(&[header, 0, 0, 0]);
            }
            let _ = Program::parse(&bytes, 1 << 20);
        }
    }
}
