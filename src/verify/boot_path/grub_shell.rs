//! Interpreter for GRUB's commands: variables, devices, conditions and menu entries. Source: GRUB manual, "Commands".

mod condition;

use super::cd::WHOLE;
use super::script::{Piece, Statement, Word, parse};
use super::volume::absolute;
use super::{FileAt, Issue, IssueKind, PathStep, Tracer, efi, systemd_boot};
use crate::plan::Firmware;
use condition::Truth;
use std::collections::BTreeMap;

/// File name of the configuration.
pub(super) const NAME: &str = "grub.cfg";

/// GRUB's name for a partition of the boot disk. The type of the partition table is omitted.
pub(super) fn device(partition: u32) -> String {
    if partition == 0 { "hd0".to_owned() } else { format!("hd0,{partition}") }
}

/// The state in which commands run.
#[derive(Clone)]
pub(super) struct Shell {
    pub(super) variables: BTreeMap<String, String>,
    /// Configurations that are being read, to detect recursion.
    open: Vec<FileAt>,
}

impl Shell {
    pub(super) fn new(firmware: Firmware, root: Option<u32>) -> Shell {
        let mut shell = Shell { variables: BTreeMap::new(), open: Vec::new() };
        let (platform, cpu) = match firmware {
            Firmware::Uefi => ("efi", "x86_64"),
            Firmware::Bios => ("pc", "i386"),
        };
        shell.set("grub_platform", platform);
        shell.set("grub_cpu", cpu);
        // Source: GRUB 2.06, grub-core/normal/main.c, features.
        for feature in [
            "chainloader_bpb",
            "ntldr",
            "platform_search_hint",
            "default_font_path",
            "all_video_module",
            "menuentry_id",
            "menuentry_options",
            "200_final",
            "nativedisk_cmd",
            "timeout_style",
        ] {
            shell.set(&format!("feature_{feature}"), "y");
        }
        if let Some(root) = root {
            shell.set("root", &device(root));
        }
        shell
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Expands the variables in a word. Unset variables are empty.
    fn fill(&self, word: &Word) -> String {
        let mut text = String::new();
        for piece in word {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Variable(name) => text.push_str(self.variables.get(name).map_or("", String::as_str)),
            }
            // Limits the expansion of malicious scripts.
            if text.len() > 1 << 16 {
                break;
            }
        }
        text
    }

    /// Whether a path is on a device that GRUB assembles from others: a logical volume, an array, an encrypted volume.
    pub(super) fn is_opened_by_grub(&self, path: &str) -> bool {
        let root = self.variables.get("root").map_or("", String::as_str);
        let device =
            path.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(root, |(device, _)| device);
        ["lvm", "md", "crypto", "cryptouuid"].iter().any(|kind| device.starts_with(kind))
    }

    /// Resolves a path with an optional device. `None` if the device is not on this disk.
    pub(super) fn place(&self, tracer: &Tracer, path: &str) -> Option<FileAt> {
        let (name, path) = match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((name, path)) => (name.to_owned(), path),
            None => (self.variables.get("root")?.clone(), path),
        };
        let name = name.trim_start_matches('(').trim_end_matches(')');
        // The boot device. For a CD this is the whole CD, not the UEFI boot image.
        if name.is_empty() {
            let own = self.place(tracer, path)?;
            let whole = tracer.volumes().iter().find(|volume| volume.number == WHOLE);
            let is_there = tracer.volume(own.partition).has_file(&own.path);
            return Some(whole.filter(|_| !is_there).map_or(own.clone(), |whole| whole.at(&own.path)));
        }
        let partition = match name.split_once(',') {
            // A disk without a partition number, or a CD.
            None if name.starts_with("hd") || name.starts_with("cd") => 0,
            None => return None,
            Some((_, partition)) => {
                partition.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok()?
            }
        };
        let volume = tracer.volumes().iter().find(|volume| volume.number == partition)?;
        Some(volume.at(&absolute(path)))
    }

    /// Runs the embedded configuration. Returns its steps, and the searches that found nothing.
    pub(super) fn embedded(
        &mut self,
        tracer: &mut Tracer,
        at: &FileAt,
        text: &str,
    ) -> (Vec<PathStep>, Vec<String>) {
        match parse(text) {
            Ok(statements) => {
                let mut found = CommandResult::default();
                self.run(tracer, at, &statements, &mut found);
                (found.steps, found.searches)
            }
            Err(error) => {
                let message = format!("embedded GRUB configuration, line {}: {}", error.line, error.message);
                let step = PathStep::new("embedded configuration");
                (vec![step.issue(Issue::new(IssueKind::GrubConfiguration, message))], Vec::new())
            }
        }
    }

    /// Runs a configuration file and returns its menu.
    pub(super) fn file(&mut self, tracer: &mut Tracer, at: &FileAt) -> PathStep {
        let step = PathStep::new("GRUB configuration").at(at.clone());
        if self.open.contains(at) {
            return step
                .issue(Issue::new(IssueKind::GrubConfiguration, format!("{} includes itself", at.path)));
        }
        let text = tracer.volume(at.partition).text(&at.path);
        let statements = match parse(&text.unwrap_or_default()) {
            Ok(statements) => statements,
            Err(error) => {
                let message = format!("{}, line {}: {}", at.path, error.line, error.message);
                return step.issue(Issue::new(IssueKind::GrubConfiguration, message));
            }
        };
        self.open.push(at.clone());
        let mut found = CommandResult::default();
        let step = tracer.deeper(|tracer| {
            self.run(tracer, at, &statements, &mut found);
            step
        });
        self.open.pop();
        if found.steps.is_empty() {
            return step.issue(Issue::new(
                IssueKind::EntryMissing,
                format!("no menu entry or boot command in {}", at.path),
            ));
        }
        self.choose(&mut found);
        step.then(found.steps)
    }

    /// Marks the default entry. `default` is a number, a title or an identifier; submenus are separated by `>`. If it
    /// matches no entry, the first one is the default.
    fn choose(&self, found: &mut CommandResult) {
        if found.entries.is_empty() {
            return;
        }
        let default = self.variables.get("default").map_or("", String::as_str);
        let default = default.split('>').next().unwrap_or_default();
        let by_name = found.entries.iter().position(|(_, names)| names.iter().any(|name| name == default));
        let chosen =
            default.parse().ok().filter(|index| *index < found.entries.len()).or(by_name).unwrap_or(0);
        for (index, (step, _)) in found.entries.iter().enumerate() {
            found.steps[*step].is_alternative = index != chosen;
        }
    }

    fn run(&mut self, tracer: &mut Tracer, at: &FileAt, statements: &[Statement], found: &mut CommandResult) {
        for statement in statements {
            // `configfile` does not return.
            if found.is_over {
                return;
            }
            match statement {
                Statement::Function(_) => {}
                Statement::Loop(body) => self.run(tracer, at, body, found),
                Statement::If(branches, otherwise) => self.branch(tracer, at, branches, otherwise, found),
                Statement::Command { words, block } => {
                    self.command(tracer, at, words, block.as_deref(), found)
                }
            }
        }
    }

    fn branch(
        &mut self,
        tracer: &mut Tracer,
        at: &FileAt,
        branches: &[(Vec<Statement>, Vec<Statement>)],
        otherwise: &[Statement],
        found: &mut CommandResult,
    ) {
        for (condition, body) in branches {
            match self.condition(tracer, condition) {
                Truth::No => {}
                Truth::Yes => return self.run(tracer, at, body, found),
                // Both branches are possible.
                Truth::Either => self.run(tracer, at, body, found),
            }
        }
        self.run(tracer, at, otherwise, found);
    }

    /// Evaluates a condition, which is the result of its last command.
    fn condition(&mut self, tracer: &mut Tracer, statements: &[Statement]) -> Truth {
        let mut truth = Truth::Either;
        for statement in statements {
            let Statement::Command { words, .. } = statement else { return Truth::Either };
            let words: Vec<String> = words.iter().map(|word| self.fill(word)).collect();
            truth = match words.split_first() {
                Some((name, rest)) if name == "[" || name == "test" => {
                    let rest: Vec<&str> =
                        rest.iter().map(String::as_str).filter(|word| *word != "]").collect();
                    self.test(tracer, &rest)
                }
                Some((name, _)) if name == "true" => Truth::Yes,
                Some((name, _)) if name == "false" => Truth::No,
                Some((name, rest)) if name.starts_with("search") => match self.search(tracer, name, rest) {
                    Ok(()) => Truth::Yes,
                    Err(_) => Truth::No,
                },
                _ => Truth::Either,
            };
        }
        truth
    }

    /// Runs `search`, which sets a variable to the device found. `Err`: the value that was not found. Source: GRUB
    /// manual, "search".
    fn search(&mut self, tracer: &Tracer, name: &str, words: &[String]) -> Result<(), String> {
        let mut by = match name {
            "search.fs_uuid" => "uuid",
            "search.fs_label" => "label",
            _ => "file",
        };
        let mut variable = None;
        let mut rest: Vec<&str> = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--fs-uuid" | "-u" => by = "uuid",
                "--label" | "-l" => by = "label",
                "--file" | "-f" => by = "file",
                "--hint" | "-h" => drop(words.next()),
                word if word.starts_with("--set=") => variable = Some(&word["--set=".len()..]),
                word if word.starts_with('-') => {}
                word => rest.push(word),
            }
        }
        // `search.fs_uuid NAME [VARIABLE [HINT]]`.
        if name.contains('.') {
            variable = rest.get(1).copied();
        }
        let wanted = rest.first().copied().unwrap_or_default();
        let volume = tracer.volumes().iter().find(|volume| match by {
            "uuid" => volume.uuid.as_deref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(wanted)),
            "label" => volume.label.as_deref() == Some(wanted),
            _ => volume.has_file(wanted),
        });
        let volume = volume.ok_or_else(|| wanted.to_owned())?;
        self.set(variable.unwrap_or("root"), &device(volume.number));
        Ok(())
    }

    fn command(
        &mut self,
        tracer: &mut Tracer,
        at: &FileAt,
        words: &[Word],
        block: Option<&[Statement]>,
        found: &mut CommandResult,
    ) {
        let words: Vec<String> = words.iter().map(|word| self.fill(word)).collect();
        let Some((name, rest)) = words.split_first() else { return };
        match name.as_str() {
            "set" => {
                if let Some((name, value)) = rest.first().and_then(|word| word.split_once('=')) {
                    self.set(name, value);
                }
            }
            "search" | "search.fs_uuid" | "search.fs_label" | "search.file" | "search.fs_file" => {
                found.searches.extend(self.search(tracer, name, rest).err());
            }
            "configfile" | "source" | "." | "extract_entries_configfile" => {
                if let Some(path) = rest.first() {
                    self.hand_over(tracer, path, name == "configfile", found);
                }
            }
            "normal" => {
                let prefix = self.variables.get("prefix").cloned().unwrap_or_default();
                let path = rest.first().cloned().unwrap_or_else(|| format!("{prefix}/{NAME}"));
                self.hand_over(tracer, &path, true, found);
            }
            "menuentry" | "submenu" => self.entry(tracer, at, name, rest, block.unwrap_or_default(), found),
            "blscfg" => {
                let root = self.place(tracer, "/");
                let Some(root) = root else { return };
                let volume = tracer.volume(root.partition);
                for (directory, prefix) in [("/loader/entries", ""), ("/boot/loader/entries", "/boot")] {
                    found.steps.extend(systemd_boot::entries(tracer, volume, directory, prefix));
                }
            }
            _ if is_linux(name) || is_initrd(name) || name == "chainloader" || name == "devicetree" => {
                found.commands.push((name.clone(), rest.to_vec(), self.variables.get("root").cloned()));
            }
            "boot" => {
                if let Some(step) = self.load(tracer, at, "commands", found) {
                    found.steps.push(step);
                }
            }
            _ => {}
        }
    }

    /// Runs another configuration file. With `for_good`, the current one ends.
    fn hand_over(&mut self, tracer: &mut Tracer, path: &str, for_good: bool, found: &mut CommandResult) {
        // Scripts in the memory disk finally load the configuration next to the EFI program.
        if path.starts_with("(memdisk)") {
            return;
        }
        let place = self.place(tracer, path);
        let is_there =
            place.as_ref().is_some_and(|place| tracer.volume(place.partition).has_file(&place.path));
        match place.filter(|_| is_there) {
            Some(place) => {
                let step = self.file(tracer, &place);
                found.steps.push(step);
                found.is_over = for_good;
            }
            // GRUB ignores `source` of a missing file.
            None if for_good => {
                let mut message = format!("missing GRUB configuration {path}");
                if let Some(search) = found.searches.last() {
                    message = format!("{message}; the search for `{search}` fails");
                }
                found.steps.push(
                    PathStep::new("configuration").issue(Issue::new(IssueKind::GrubConfiguration, message)),
                );
            }
            None => {}
        }
    }

    fn entry(
        &mut self,
        tracer: &mut Tracer,
        at: &FileAt,
        kind: &str,
        words: &[String],
        block: &[Statement],
        found: &mut CommandResult,
    ) {
        let title = words.first().cloned().unwrap_or_default();
        let id =
            words.iter().position(|word| word == "--id" || word.is_empty() || word == "$menuentry_id_option");
        let id =
            id.and_then(|at| words.get(at + 1)).or_else(|| words.last().filter(|_| words.len() > 1)).cloned();
        let mut inside = self.clone();
        let mut own = CommandResult::default();
        let entry = tracer.deeper(|tracer| {
            inside.run(tracer, at, block, &mut own);
            let step = PathStep::new(format!(
                "{} `{title}`",
                if kind == "submenu" { "submenu" } else { "menu entry" }
            ));
            if kind == "submenu" {
                inside.choose(&mut own);
                return step.then(std::mem::take(&mut own.steps));
            }
            let loaded = inside.load(tracer, at, &title, &mut own);
            match loaded {
                Some(loaded) => PathStep { title: step.title, ..loaded },
                None if own.steps.is_empty() => PathStep::new(format!("{}, starts no kernel", step.title)),
                None => step.then(std::mem::take(&mut own.steps)),
            }
        });
        found.entries.push((found.steps.len(), vec![title, id.unwrap_or_default()]));
        found.steps.push(entry);
    }

    /// Creates the step for the kernel or boot loader that was loaded.
    fn load(
        &self,
        tracer: &mut Tracer,
        at: &FileAt,
        title: &str,
        found: &mut CommandResult,
    ) -> Option<PathStep> {
        let commands = std::mem::take(&mut found.commands);
        let linux = commands.iter().rfind(|(name, _, _)| is_linux(name));
        let mut step = PathStep::new(title);
        let place = |path: &str, root: &Option<String>| {
            let mut shell = self.clone();
            shell.variables.extend(root.iter().map(|root| ("root".to_owned(), root.clone())));
            shell.place(tracer, path)
        };
        let is_there = |place: &Option<FileAt>| {
            place.as_ref().is_some_and(|place| tracer.volume(place.partition).has_file(&place.path))
        };
        let Some((_, words, root)) = linux else {
            let (_, words, root) = commands.iter().rfind(|(name, _, _)| name == "chainloader")?;
            let path = words.iter().find(|word| !word.starts_with("--"))?;
            let place = place(path, root);
            if path.contains('+') {
                return Some(PathStep::new(format!("{title}: another boot sector, not followed")));
            }
            if !is_there(&place) {
                let message = format!("missing file {path} (`chainloader`)");
                return Some(step.issue(Issue::new(IssueKind::KernelMissing, message)));
            }
            let program = place?;
            return Some(step.then([tracer.deeper(|tracer| efi::program(tracer, &program))]));
        };
        let path = words.first().cloned().unwrap_or_default();
        let kernel = place(&path, root);
        if !is_there(&kernel) {
            let mut message = format!("missing file {path} (`linux`)");
            if let Some(search) = found.searches.last() {
                message = format!("{message}; the search for `{search}` fails");
            }
            step = step.issue(Issue::new(IssueKind::KernelMissing, message));
        }
        let mut initrds = Vec::new();
        let mut issues = Vec::new();
        for (name, words, root) in &commands {
            if is_initrd(name) {
                for path in words.iter().filter(|word| !word.starts_with("--")) {
                    let place = place(path, root);
                    if is_there(&place) {
                        initrds.extend(place);
                    } else {
                        let message = format!("missing file {path} (`initrd`)");
                        issues.push(Issue::new(IssueKind::InitramfsMissing, message));
                    }
                }
            } else if name == "devicetree"
                && let Some(path) = words.first().filter(|path| !is_there(&place(path, root)))
            {
                let message = format!("missing file {path} (`devicetree`)");
                issues.push(Issue::new(IssueKind::OtherFileMissing, message));
            }
        }
        let linux = kernel.filter(|_| is_there(&place(&path, root)));
        step.issues.extend(issues);
        step.kernel = tracer.kernel(at, linux, initrds, words[1.min(words.len())..].join(" "));
        Some(step.at(at.clone()))
    }
}

fn is_linux(name: &str) -> bool {
    matches!(name, "linux" | "linux16" | "linuxefi" | "linux32")
}

fn is_initrd(name: &str) -> bool {
    matches!(name, "initrd" | "initrd16" | "initrdefi")
}

/// The result of running commands.
#[derive(Default)]
struct CommandResult {
    steps: Vec<PathStep>,
    /// Indexes of the steps that are menu entries, with the names that select them.
    entries: Vec<(usize, Vec<String>)>,
    /// Commands that load files, with the value of `root` at that time.
    commands: Vec<(String, Vec<String>, Option<String>)>,
    /// Searches that found nothing.
    searches: Vec<String>,
    is_over: bool,
}
