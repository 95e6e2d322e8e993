//! Compares the findings of `verify` with the result of a boot. Good images are broken at random in parts that a boot
//! needs. Each mutant is verified, and some are booted. Prints the confusion matrix of docs/verify.md.
//!
//! ISTER_TEST_MUTANTS: number of mutants to verify (1000). ISTER_TEST_MUTANT_BOOTS: how many of them to boot (200).
//! ISTER_TEST_MUTANT_SEED: seed of the random generator. ISTER_TEST_MUTANT_IMAGES: a directory with additional good
//! images. ISTER_TEST_MUTANT_RESULTS: a file for results of boots, which are not repeated.

use super::updates::VISITOR;
use super::{Outcome, World, expect, run};
use libtest_mimic::Failed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

/// xorshift64*. The same seed produces the same mutants on every host.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit.max(1)
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A good image and the offsets of its filesystems in bytes.
struct Base {
    name: String,
    path: PathBuf,
    esp: Option<u64>,
    root: Option<u64>,
}

impl Base {
    fn of(path: &Path) -> Result<Base, Failed> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let table = Command::new("sfdisk").arg("--json").arg(path).output().map_err(|e| e.to_string())?;
        let table: Value = serde_json::from_slice(&table.stdout).unwrap_or_default();
        let table = &table["partitiontable"];
        let sector = table["sectorsize"].as_u64().unwrap_or(512);
        let starts = table["partitions"].as_array().into_iter().flatten().filter_map(|p| p["start"].as_u64());
        let mut base = Base { name: name_of(path), path: path.to_owned(), esp: None, root: None };
        for start in starts.map(|start| start * sector).chain([0]) {
            let has = |at: u64, magic: &[u8]| {
                let mut bytes = vec![0; magic.len()];
                file.read_exact_at(&mut bytes, start + at).is_ok() && bytes == magic
            };
            if has(54, b"FAT") || has(82, b"FAT") {
                base.esp.get_or_insert(start);
            } else if has(1080, &[0x53, 0xef]) {
                base.root.get_or_insert(start);
            }
        }
        Ok(base)
    }
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Files of a root filesystem that are needed to boot a healthy system.
const FILES: &[&str] = &[
    "/usr/lib/systemd/systemd",
    "/usr/sbin/init",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/libpam.so.0.85.1",
    "/usr/lib/x86_64-linux-gnu/security/pam_unix.so",
    "/usr/sbin/agetty",
    "/usr/bin/login",
    "/usr/bin/dash",
    "/etc/passwd",
    "/etc/pam.d/login",
    "/etc/pam.d/common-auth",
    "/usr/lib/systemd/system/multi-user.target",
    "/usr/lib/systemd/system/basic.target",
    "/usr/lib/systemd/system/serial-getty@.service",
    "/usr/lib/systemd/system/getty.target",
    "/var/lib/dpkg/status",
];

/// Configuration files on either filesystem whose lines are modified.
const CONFIGURATIONS: &[&str] = &[
    "/boot/grub/grub.cfg",
    "/boot/extlinux/extlinux.conf",
    "/extlinux/extlinux.conf",
    "/etc/fstab",
    "/etc/pam.d/login",
    "/etc/passwd",
];

/// Replacements in the kernel's command line.
const OPTIONS: &[(&str, &str)] = &[
    ("root=PARTUUID=", "root=PARTUUID=0"),
    ("root=UUID=", "root=UUID=0"),
    ("root=LABEL=", "root=LABEL=x"),
    ("root=/dev/vda", "root=/dev/vda9"),
    (" rw", " rw init=/usr/sbin/missing"),
    (" rw", " rw rd.break break=premount"),
    (" rw", " rw single"),
    (" rw", " rw rootfstype=xfs"),
    (" ro", " ro init=/usr/sbin/missing"),
    (" ro", " ro break=top"),
    ("console=ttyS0", "console=ttyS0 systemd.unit=missing.target"),
    ("quiet", "quiet"),
];

/// Creates a copy with a random defect, and returns its description. Returns nothing if the defect does not apply to
/// this image.
fn mutate(random: &mut Random, base: &Base, image: &Path, scratch: &Path) -> Result<Option<String>, Failed> {
    run("cp", &["--sparse=always", "--reflink=auto", text(&base.path)?, text(image)?])?;
    match random.below(10) {
        0 => table(random, image),
        1 => boot_code(random, base, image),
        2 | 3 => fat_file(random, base, image, scratch),
        4 => configuration_of_esp(random, base, image, scratch),
        5 => configuration_of_root(random, base, image, scratch),
        6 => structures(random, base, image),
        _ => root_file(random, base, image, scratch),
    }
}

fn text(path: &Path) -> Result<&str, Failed> {
    path.to_str().ok_or_else(|| "the path is not text".into())
}

fn open(image: &Path) -> Result<File, Failed> {
    File::options().read(true).write(true).open(image).map_err(|e| e.to_string().into())
}

/// Inverts a byte of the MBR's partition table, or of the header or entries of a GPT; sometimes in both copies of a
/// GPT.
fn table(random: &mut Random, image: &Path) -> Result<Option<String>, Failed> {
    let file = open(image)?;
    let size = file.metadata().map_err(|e| e.to_string())?.len();
    let mut signature = [0; 8];
    file.read_exact_at(&mut signature, 512).map_err(|e| e.to_string())?;
    let mut places = vec![446 + random.below(64)];
    if signature == *b"EFI PART" {
        let entry = random.below(56);
        let both = [512 + 1024 / 2 + entry, size - 33 * 512 + entry];
        places = match random.below(4) {
            0 => vec![512 + random.below(92)],
            1 => vec![size - 512 + random.below(92)],
            2 => both.to_vec(),
            _ => vec![both[0]],
        };
    }
    for at in &places {
        flip(&file, *at, 0xff)?;
    }
    Ok(Some(format!("table: bytes {places:?}")))
}

fn flip(file: &File, at: u64, mask: u8) -> Outcome {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).map_err(|e| e.to_string())?;
    file.write_all_at(&[byte[0] ^ mask], at).map_err(|e| e.to_string().into())
}

/// Zeroes part of the boot code of BIOS, or of the sectors after it.
fn boot_code(random: &mut Random, base: &Base, image: &Path) -> Result<Option<String>, Failed> {
    if base.esp.is_some() {
        return Ok(None);
    }
    let file = open(image)?;
    let (at, length) =
        *random.pick(&[(0, 440), (0x5c, 8), (34 * 512, 512), (34 * 512, 20_000), (512, 15_000)]);
    file.write_all_at(&vec![0; length], at).map_err(|e| e.to_string())?;
    Ok(Some(format!("boot code: {length} zeros at byte {at}")))
}

/// The modified bytes of a file, or nothing if it is to be removed.
fn changed(random: &mut Random, mut bytes: Vec<u8>) -> (&'static str, Option<Vec<u8>>) {
    let half = bytes.len() / 2;
    match random.below(4) {
        0 => ("removed", None),
        1 => ("truncated", Some(bytes[..half].to_vec())),
        2 => ("emptied", Some(Vec::new())),
        _ => {
            let end = bytes.len().min(4096);
            bytes[..end].fill(0);
            ("begins with zeros", Some(bytes))
        }
    }
}

/// A file of the ESP: the ESP and the file as mtools arguments, and a copy on the host.
fn file_of_esp(
    random: &mut Random,
    base: &Base,
    image: &Path,
    scratch: &Path,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Option<(String, String, PathBuf)>, Failed> {
    let Some(offset) = base.esp else { return Ok(None) };
    let esp = format!("{}@@{offset}", text(image)?);
    let listed = run("mdir", &["-/", "-b", "-i", &esp, "::"])?;
    let names = listed.lines().map(str::trim).filter(|name| !name.is_empty() && !name.ends_with('/'));
    let files: Vec<&str> = names.filter(|name| is_meant(name)).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let name = (*random.pick(&files)).to_owned();
    let host = scratch.join("file");
    run("mcopy", &["-n", "-o", "-i", &esp, &name, text(&host)?])?;
    Ok(Some((esp, name, host)))
}

fn fat_file(
    random: &mut Random,
    base: &Base,
    image: &Path,
    scratch: &Path,
) -> Result<Option<String>, Failed> {
    let Some((esp, name, host)) = file_of_esp(random, base, image, scratch, |_| true)? else {
        return Ok(None);
    };
    let bytes = std::fs::read(&host).map_err(|e| e.to_string())?;
    let (how, bytes) = changed(random, bytes);
    run("mdel", &["-i", &esp, &name])?;
    if let Some(bytes) = bytes {
        std::fs::write(&host, bytes).map_err(|e| e.to_string())?;
        run("mcopy", &["-o", "-i", &esp, text(&host)?, &name])?;
    }
    Ok(Some(format!("{name} {how}")))
}

/// Removes a line or a brace, or replaces an option.
fn edited(random: &mut Random, old: &str) -> Option<(String, String)> {
    let lines: Vec<&str> = old.lines().collect();
    let options: Vec<&(&str, &str)> = OPTIONS.iter().filter(|(word, _)| old.contains(word)).collect();
    if random.below(2) == 0 && !options.is_empty() {
        let (word, other) = random.pick(&options);
        let new = old.replace(word, other);
        return (new != old).then(|| (format!("`{word}` became `{other}`"), new));
    }
    let meant: Vec<usize> =
        (0..lines.len()).filter(|at| !lines[*at].trim().is_empty() && !lines[*at].starts_with('#')).collect();
    if meant.is_empty() {
        return None;
    }
    let at = *random.pick(&meant);
    let kept =
        lines.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, line)| format!("{line}\n"));
    Some((format!("line `{}` removed", lines[at].trim()), kept.collect()))
}

fn configuration_of_esp(
    random: &mut Random,
    base: &Base,
    image: &Path,
    scratch: &Path,
) -> Result<Option<String>, Failed> {
    let is_meant = |name: &str| name.ends_with(".conf") || name.ends_with(".cfg");
    let Some((esp, name, host)) = file_of_esp(random, base, image, scratch, is_meant)? else {
        return Ok(None);
    };
    let old = std::fs::read_to_string(&host).map_err(|e| e.to_string())?;
    let Some((what, new)) = edited(random, &old) else { return Ok(None) };
    std::fs::write(&host, new).map_err(|e| e.to_string())?;
    run("mcopy", &["-o", "-i", &esp, text(&host)?, &name])?;
    Ok(Some(format!("{name}: {what}")))
}

/// Runs debugfs commands on the root filesystem.
fn debugfs(base: &Base, image: &Path, commands: &str) -> Result<String, Failed> {
    let device = format!("{}?offset={}", text(image)?, base.root.unwrap_or_default());
    let mut child = Command::new("debugfs")
        .args(["-w", "-f", "-", &device])
        .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    child.stdin.take().expect("it is piped").write_all(commands.as_bytes()).map_err(|e| e.to_string())?;
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The content of a file, or nothing if it does not exist or is a symbolic link.
fn read_root(base: &Base, image: &Path, path: &str, scratch: &Path) -> Result<Option<Vec<u8>>, Failed> {
    let said = debugfs(base, image, &format!("stat {path}\n"))?;
    if !said.contains("Type: regular") {
        return Ok(None);
    }
    let host = scratch.join("file");
    debugfs(base, image, &format!("dump {path} {}\n", text(&host)?))?;
    std::fs::read(&host).map(Some).map_err(|e| e.to_string().into())
}

fn write_root(base: &Base, image: &Path, path: &str, bytes: Option<&[u8]>, scratch: &Path) -> Outcome {
    let host = scratch.join("file");
    let mut commands = format!("rm {path}\n");
    if let Some(bytes) = bytes {
        std::fs::write(&host, bytes).map_err(|e| e.to_string())?;
        let mode = if path.contains("/etc/") || path.contains("/boot/") { "0100644" } else { "0100755" };
        commands += &format!("write {} {path}\nsif {path} mode {mode}\n", text(&host)?);
    }
    debugfs(base, image, &commands).map(|_| ())
}

fn root_file(
    random: &mut Random,
    base: &Base,
    image: &Path,
    scratch: &Path,
) -> Result<Option<String>, Failed> {
    if base.root.is_none() {
        return Ok(None);
    }
    let listed = debugfs(base, image, "ls -p /boot\n")?;
    let boot = listed
        .lines()
        .filter_map(|line| line.split('/').nth(5))
        .filter(|name| name.starts_with("vmlinuz") || name.starts_with("initrd"));
    let mut files: Vec<String> = boot.map(|name| format!("/boot/{name}")).collect();
    files.extend(FILES.iter().map(|path| (*path).to_owned()));
    let path = random.pick(&files).clone();
    match read_root(base, image, &path, scratch)? {
        Some(bytes) => {
            if random.below(6) == 0 {
                debugfs(base, image, &format!("sif {path} mode 0100644\n"))?;
                return Ok(Some(format!("{path} has mode 644")));
            }
            let (how, bytes) = changed(random, bytes);
            write_root(base, image, &path, bytes.as_deref(), scratch)?;
            Ok(Some(format!("{path} {how}")))
        }
        None if debugfs(base, image, &format!("stat {path}\n"))?.contains("Type: symlink") => {
            debugfs(base, image, &format!("rm {path}\n"))?;
            Ok(Some(format!("{path} removed")))
        }
        None => Ok(None),
    }
}

fn configuration_of_root(
    random: &mut Random,
    base: &Base,
    image: &Path,
    scratch: &Path,
) -> Result<Option<String>, Failed> {
    if base.root.is_none() {
        return Ok(None);
    }
    let path = *random.pick(CONFIGURATIONS);
    let Some(bytes) = read_root(base, image, path, scratch)? else { return Ok(None) };
    let Some((what, new)) = edited(random, &String::from_utf8_lossy(&bytes)) else { return Ok(None) };
    write_root(base, image, path, Some(new.as_bytes()), scratch)?;
    Ok(Some(format!("{path}: {what}")))
}

/// Inverts a byte in the first structures of a filesystem.
fn structures(random: &mut Random, base: &Base, image: &Path) -> Result<Option<String>, Failed> {
    let file = open(image)?;
    let places: Vec<u64> = base.esp.into_iter().chain(base.root).collect();
    if places.is_empty() {
        return Ok(None);
    }
    let start = *random.pick(&places);
    let inside = if Some(start) == base.root { 1024 + random.below(4096) } else { random.below(1024) };
    flip(&file, start + inside, 0xff)?;
    Ok(Some(format!("byte {inside} of the filesystem at {start} inverted")))
}

#[derive(Default)]
struct Matrix {
    verified: [u32; 2],
    /// By [verify finds an error][the boot was healthy].
    booted: [[u32; 2]; 2],
    wrong: Vec<String>,
}

impl Matrix {
    fn add_boot(&mut self, mutant: &str, errors: &[String], (class, healthy): &(String, bool)) {
        self.booted[usize::from(!errors.is_empty())][usize::from(*healthy)] += 1;
        let line = format!("{mutant}: verify {errors:?}, boot {class}");
        eprintln!("{line}");
        if errors.is_empty() != *healthy {
            self.wrong.push(line);
        }
    }

    fn print(&self) {
        let [[missed, good], [bad, false_alarms]] = self.booted;
        eprintln!("verified: {} good, {} with errors", self.verified[0], self.verified[1]);
        eprintln!("| | healthy boot | no healthy boot |\n| --- | ---: | ---: |");
        eprintln!("| verify: good | {good} | {missed} |\n| verify: error | {false_alarms} | {bad} |");
        self.wrong.iter().for_each(|line| eprintln!("wrong: {line}"));
    }
}

/// Results of boots by mutant, one line of JSON each: a run that was interrupted, or one after a change of the rules,
/// does not boot the same mutants again.
struct Boots {
    known: BTreeMap<String, (String, bool)>,
    file: Option<Mutex<File>>,
}

impl Boots {
    fn of_environment() -> Result<Boots, Failed> {
        let Some(path) = std::env::var_os("ISTER_TEST_MUTANT_RESULTS") else {
            return Ok(Boots { known: BTreeMap::new(), file: None });
        };
        let file = File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let known = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let known = known.lines().map(serde_json::from_str::<(String, (String, bool))>);
        let known = known.collect::<Result<_, _>>().map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Boots { known, file: Some(Mutex::new(file)) })
    }

    fn save(&self, mutant: &str, result: &(String, bool)) -> Outcome {
        let Some(file) = &self.file else { return Ok(()) };
        let line = serde_json::to_string(&(mutant, result)).map_err(|e| e.to_string())?;
        writeln!(file.lock().expect("no holder panics"), "{line}").map_err(|e| e.to_string().into())
    }
}

/// A mutant that waits to be booted.
struct Waiting {
    image: PathBuf,
    firmware: &'static str,
    mutant: String,
    errors: Vec<String>,
}

pub fn verify_predicts_the_boot(world: &World) -> Outcome {
    let (count, boots) = (number("ISTER_TEST_MUTANTS", 1000), number("ISTER_TEST_MUTANT_BOOTS", 200));
    let mut random = Random(number("ISTER_TEST_MUTANT_SEED", 20_261_129) | 1);
    let bases = bases(world)?;
    let results = Boots::of_environment()?;
    let scratch = tempfile::tempdir_in(&world.directory).map_err(|e| e.to_string())?;
    let visitor = scratch.path().join("visitor");
    std::fs::write(&visitor, VISITOR).map_err(|e| e.to_string())?;
    let matrix = Mutex::new(Matrix::default());
    let boot_all = |receiver: Arc<Mutex<Receiver<Waiting>>>| -> Outcome {
        loop {
            let next = receiver.lock().expect("no holder panics").recv();
            let Ok(waiting) = next else { return Ok(()) };
            let result = boot(&waiting.image, waiting.firmware, &visitor)?;
            results.save(&waiting.mutant, &result)?;
            let mut matrix = matrix.lock().expect("no holder panics");
            matrix.add_boot(&waiting.mutant, &waiting.errors, &result);
            std::fs::remove_file(&waiting.image).map_err(|e| e.to_string())?;
        }
    };
    let boot_all = &boot_all;
    std::thread::scope(|scope| -> Outcome {
        // Either side ends when the other one fails: the ends of the channel are owned here and by the workers.
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Waiting>(0);
        let receiver = Arc::new(Mutex::new(receiver));
        let guests = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..guests)
            .map(|_| {
                let receiver = receiver.clone();
                scope.spawn(move || boot_all(receiver))
            })
            .collect();
        drop(receiver);
        let mut made = 0;
        while made < count {
            let base = random.pick(&bases);
            let image = scratch.path().join(format!("mutant-{made}.img"));
            let Some(what) = mutate(&mut random, base, &image, scratch.path())? else { continue };
            made += 1;
            let errors = errors_of(&image)?;
            matrix.lock().expect("no holder panics").verified[usize::from(!errors.is_empty())] += 1;
            // The boots are distributed evenly over the mutants.
            if made * boots / count == (made - 1) * boots / count {
                std::fs::remove_file(&image).map_err(|e| e.to_string())?;
                continue;
            }
            let mutant = format!("{made}: {}: {what}", base.name);
            if let Some(result) = results.known.get(&mutant) {
                matrix.lock().expect("no holder panics").add_boot(&mutant, &errors, result);
                std::fs::remove_file(&image).map_err(|e| e.to_string())?;
                continue;
            }
            // If both firmwares boot the image, the other one would hide the defect.
            let firmware = if base.esp.is_some() { "uefi" } else { "bios" };
            if sender.send(Waiting { image, firmware, mutant, errors }).is_err() {
                break;
            }
        }
        drop(sender);
        workers.into_iter().try_for_each(|worker| worker.join().expect("workers do not panic"))
    })?;
    let matrix = matrix.into_inner().expect("no holder panics");
    matrix.print();
    if boots == 0 {
        return Ok(());
    }
    let [[missed, good], [bad, false_alarms]] = matrix.booted;
    let share = |part: u32, other: u32| f64::from(part) / f64::from((part + other).max(1));
    expect(share(good, missed) >= 0.99, "less than 99 % of the images without errors boot")?;
    expect(share(bad, false_alarms) >= 0.97, "more than 3 % of the images with errors boot")
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The good images: our own, and those of ISTER_TEST_MUTANT_IMAGES.
fn bases(world: &World) -> Result<Vec<Base>, Failed> {
    let mut images: Vec<PathBuf> =
        ["kvm.img", "test/kvm-legacy/kvm-legacy.img"].iter().map(|name| world.path(name)).collect();
    if let Some(directory) = std::env::var_os("ISTER_TEST_MUTANT_IMAGES") {
        let more = std::fs::read_dir(directory).map_err(|e| e.to_string())?;
        let more = more.flatten().map(|entry| entry.path());
        images.extend(more.filter(|path| path.extension().is_some_and(|e| e == "img")));
    }
    images.retain(|path| path.exists());
    images.sort();
    images.iter().map(|path| Base::of(path)).collect()
}

fn errors_of(image: &Path) -> Result<Vec<String>, Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_ister"))
        .args(["verify", "--no-plan", "-q", "--format", "json"])
        .arg(image)
        .output()
        .map_err(|e| e.to_string())?;
    let found: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let findings = found["findings"].as_array().into_iter().flatten();
    let errors = findings.filter(|finding| finding["level"] == "error");
    Ok(errors.filter_map(|finding| finding["rule"].as_str().map(str::to_owned)).collect())
}

/// The class of the boot, and whether a login and the package manager work.
fn boot(image: &Path, firmware: &str, visitor: &Path) -> Result<(String, bool), Failed> {
    let credential = format!("tmpfiles.extra=file:{}", visitor.display());
    let output = Command::new(env!("CARGO_BIN_EXE_ister"))
        .args(["boot", "-q", "--format", "json", "--timeout", "240", "--cpus", "1", "--login", "visitor"])
        .args([
            "--firmware",
            firmware,
            "--credential",
            &credential,
            "--run",
            "grep -q ^root: /etc/passwd && dpkg-query -W libc6 | grep -q libc6 && echo packages",
        ])
        .arg(image)
        .output()
        .map_err(|e| e.to_string())?;
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let class = verdict["class"].as_str().unwrap_or("no verdict").to_owned();
    let has_packages = verdict["answers"].to_string().contains("\"packages\"");
    let healthy = class == "login-prompt" && has_packages;
    Ok((
        if class == "login-prompt" && !has_packages { "no package manager".to_owned() } else { class },
        healthy,
    ))
}
