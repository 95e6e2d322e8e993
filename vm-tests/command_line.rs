//! The kernel command line arrives unchanged: the one in the guest equals the one in the plan.

use super::{Outcome, World, expect, ister};
use ister::plan::command_line::words;
use serde_json::Value;

/// Words with a special meaning for a shell, GRUB or a menu.
pub const HOSTILE: &str = r#"a.a=1;2 a.b=x&y a.c=<z> a.d=$HOME a.e={q} a.f=`w` a.g=(p)|t "a.h=some  text +p" a.i=#1 memmap=64K$0x18690000"#;
/// Options that GRUB cannot pass on.
const QUOTES: &str = r#" a.j=it's a.k="in  side" a.l=\n"#;
pub const CONSOLE: &str = "console=tty0 console=ttyS0,115200n8 ";

/// systemd-boot, QEMU itself, GRUB for BIOS, GRUB on a CD and iPXE with both firmwares.
pub fn every_loader(world: &World) -> Outcome {
    let directory = world.path("command-line");
    let build = |template: &str, line: &str, formats: &str| -> Result<Value, libtest_mimic::Failed> {
        let line = format!("cmdline={}", Value::from(format!("{CONSOLE} {line}")));
        let mut arguments = vec!["build", "-q", template, "--set", &line];
        if !formats.is_empty() {
            arguments.extend(["--set", formats]);
        }
        ister(&arguments, &[("-o", &directory)], 0)?;
        let name = if template.contains("legacy") { "kvm-legacy.img" } else { "kvm.img" };
        let text = std::fs::read_to_string(directory.join(format!("{name}.plan.json")))
            .map_err(|e| e.to_string())?;
        let plan: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        Ok(plan["boot"]["kernel_command_line"].clone())
    };
    let boot = |name: &str, options: &[&str], planned: &Value| -> Outcome {
        let mut arguments = vec!["boot", "--format", "json"];
        arguments.extend(options);
        let verdict = ister(&arguments, &[("--", &directory.join(name))], 0)?;
        let seen = verdict["kernel"]["command_line"].as_str().unwrap_or_default();
        let mut planned = planned.as_str().unwrap_or_default();
        if !name.ends_with(".img") {
            // A CD has another root, and a network boot has none.
            planned = planned.split_once(" rw ").map_or(planned, |(_, own)| own);
        }
        eprintln!("{name} {options:?}: {} s", verdict["seconds"]);
        // Options added by boot loaders (iPXE for UEFI adds the name of the kernel), and options of live-boot.
        let is_added = |word: &&str| {
            ["BOOT_IMAGE=", "initrd=", "boot=live", "vmlinuz"].iter().any(|start| word.starts_with(start))
        };
        let words = words(seen).into_iter().filter(|word| !is_added(word)).collect::<Vec<_>>();
        expect(words.join(" ") == planned, &format!("{name} {options:?}:\n{seen}\n{planned}"))
    };
    let all = format!("{HOSTILE}{QUOTES}");
    let planned = build("vm-tests/kvm/template.json", &all, "")?;
    expect(planned.as_str().is_some_and(|line| line.contains(HOSTILE)), &format!("{planned}"))?;
    boot("kvm.img", &[], &planned)?;
    boot("kvm.img", &["--direct"], &planned)?;
    let legacy = "vm-tests/kvm-legacy/template.json";
    let planned = build(legacy, HOSTILE, r#"Formats=["iso"]"#)?;
    boot("kvm-legacy.img", &[], &planned)?;
    boot("kvm-legacy.iso", &["--firmware", "bios"], &planned)?;
    boot("kvm-legacy.iso", &["--firmware", "uefi"], &planned)?;
    // iPXE splits at whitespace, also between quotes.
    let planned = build(legacy, &HOSTILE.replace("some  text", "some text"), r#"Formats=["pxe"]"#)?;
    boot("kvm-legacy.pxe.tar.xz", &["--memory", "2048", "--firmware", "bios"], &planned)?;
    boot("kvm-legacy.pxe.tar.xz", &["--memory", "2048", "--firmware", "uefi"], &planned)?;
    boot("kvm-legacy.pxe.tar.xz", &["--memory", "2048", "--direct"], &planned)?;
    std::fs::remove_dir_all(&directory).map_err(|e| e.to_string())?;
    Ok(())
}
