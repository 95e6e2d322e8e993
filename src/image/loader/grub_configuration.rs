//! GRUB's configuration: the initial grub.cfg, converted from the loader entries, and the settings for later ones.

use super::entry::{ENTRIES, directory_of_boot, entries_of_kernels, has_kernels_of_rpm};
use crate::content::Tree;
use crate::host::Failure;
use crate::plan::bls::LoaderEntry;
use crate::plan::command_line::{altered_by_grub, equivalent_for_grub, for_grub, quote_for_grub, words};
use crate::plan::{Firmware, Loader, Plan};

/// Settings that grub-mkconfig reads after /etc/default/grub. Source: grub-mkconfig of Debian; GRUB manual, "Simple
/// configuration handling".
const DEFAULTS: &str = "/etc/default/grub.d/50-ister.cfg";

/// kernel-install plugin for rpm content, whose GRUB reads a different file. It runs after `90-loaderentry.install`.
/// Source: kernel-install(8), "Plugins".
const PLUGIN: &str = "/etc/kernel/install.d/95-ister-grub.install";

/// Seconds in which a key opens the menu to choose an older kernel. With a timeout of 0, GRUB ignores keys.
const SECONDS_FOR_MENU: u32 = 1;

/// Writes grub.cfg and the settings from the loader entry, as changed by hooks.
pub(super) fn write_configuration(plan: &Plan, tree: &Tree) -> Result<(), Failure> {
    let Some(boot) = plan.boot.as_ref().filter(|boot| boot.loader == Loader::Grub) else { return Ok(()) };
    let entries = entries_of_kernels(boot.loader, tree)?;
    let entry = entries.first().ok_or_else(|| {
        Failure::new(format!("no loader entry with a kernel in {ENTRIES}"))
            .help("change the hook that removed it: GRUB's configuration is generated from this entry")
    })?;
    let serial = serial_speed(&entry.options).filter(|_| boot.firmware == Firmware::Bios);
    tree.write("/boot/grub/grub.cfg", &configuration(&entries, serial)?, 0o644)?;
    if tree.exists("/usr/sbin/grub-mkconfig") {
        tree.write(DEFAULTS, &defaults(&options(entry)?, serial), 0o644)?;
    } else if has_kernels_of_rpm(plan, tree) {
        tree.write(PLUGIN, &plugin(&directory_of_boot(plan)), 0o755)?;
    }
    Ok(())
}

/// Returns the speed of the first serial port if it is a console, to show the menu there too. With UEFI, the firmware
/// redirects the menu.
fn serial_speed(options: &str) -> Option<u32> {
    let console = words(options).into_iter().find_map(|word| word.strip_prefix("console=ttyS0"))?;
    let speed: String = console.trim_start_matches(',').chars().take_while(char::is_ascii_digit).collect();
    // The default is 9600. Source: Linux, Documentation/admin-guide/serial-console.rst.
    Some(speed.parse().unwrap_or(9600))
}

fn configuration(entries: &[LoaderEntry], serial: Option<u32>) -> Result<String, Failure> {
    let terminal = serial.map(|speed| {
        format!(
            "if serial --unit=0 --speed={speed}; then\n  terminal_input console serial\n  \
             terminal_output console serial\nfi\n"
        )
    });
    let with_version = entries.len() > 1;
    let menu =
        entries.iter().map(|entry| menu_entry(entry, with_version)).collect::<Result<String, Failure>>()?;
    Ok(format!(
        "# Written by ister from the entries in {ENTRIES}.\n{}set default=0\nset timeout_style=hidden\n\
         set timeout={SECONDS_FOR_MENU}\n{menu}",
        terminal.unwrap_or_default(),
    ))
}

fn menu_entry(entry: &LoaderEntry, with_version: bool) -> Result<String, Failure> {
    let linux = entry.linux.as_deref().unwrap_or_default();
    let initrds = if entry.initrds.is_empty() {
        String::new()
    } else {
        let initrds: Vec<String> = entry.initrds.iter().map(|path| quote_for_grub(path)).collect();
        format!("  initrd {}\n", initrds.join(" "))
    };
    let title = entry.title.as_deref().unwrap_or("Linux");
    // As grub-mkconfig names them.
    let title =
        if with_version { format!("{title}, with Linux {}", entry.version) } else { title.to_owned() };
    Ok(format!(
        "menuentry {} {{\n  linux {} {}\n{initrds}}}\n",
        quote_for_grub(&title),
        quote_for_grub(linux),
        options(entry)?,
    ))
}

/// Quotes the options of the entry for GRUB's shell.
fn options(entry: &LoaderEntry) -> Result<String, Failure> {
    for_grub(&entry.options).ok_or_else(|| {
        let word = altered_by_grub(&entry.options).unwrap_or_default();
        let failure = Failure::new(format!("GRUB cannot pass `{word}` on the kernel command line"))
            .detail(format!(
                "option in {ENTRIES}/{}: GRUB puts a backslash before each quote and backslash",
                entry.name
            ))
            .of_template();
        match equivalent_for_grub(word) {
            Some(instead) => {
                failure.help(format!("use `{instead}`, which has the same meaning for the kernel"))
            }
            None => failure.help("remove it, or boot by UEFI with systemd-boot"),
        }
    })
}

/// Returns the kernel-install plugin. `directory` is /boot as seen by GRUB.
fn plugin(directory: &str) -> String {
    include_str!("kernel_install_grub.sh").replace("DIRECTORY", directory)
}

/// Returns the settings for grub-mkconfig.
///
/// The options apply to every later kernel: grub-mkconfig appends them to `root=UUID=… ro`, and the last word counts.
/// Recovery entries are disabled: sulogin needs a root password, which images do not have. All kernels are in one
/// menu, newest first, as in systemd-boot.
fn defaults(options_for_grub: &str, serial: Option<u32>) -> String {
    // Escape for double quotes of a POSIX shell. The result is a list of words for GRUB's shell.
    let escaped: String = options_for_grub
        .chars()
        .flat_map(|c| [Some('\\').filter(|_| matches!(c, '"' | '$' | '`' | '\\')), Some(c)])
        .flatten()
        .collect();
    let terminal = match serial {
        Some(speed) => format!(
            "GRUB_TERMINAL=\"console serial\"\nGRUB_SERIAL_COMMAND=\"serial --unit=0 --speed={speed}\"\n"
        ),
        None => "GRUB_TERMINAL=console\n".to_owned(),
    };
    format!(
        "# Written by ister: options of kernels that are installed later.\nGRUB_CMDLINE_LINUX=\"{escaped}\"\n\
         GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n{terminal}GRUB_TIMEOUT={SECONDS_FOR_MENU}\n\
         GRUB_TIMEOUT_STYLE=hidden\nGRUB_RECORDFAIL_TIMEOUT={SECONDS_FOR_MENU}\nGRUB_DISABLE_OS_PROBER=true\n\
         GRUB_DISABLE_RECOVERY=true\nGRUB_DISABLE_SUBMENU=true\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_is_converted_to_a_menu() {
        let entry = LoaderEntry::parse(
            "debian.conf",
            "title Debian GNU/Linux 12\nlinux /boot/vmlinuz-6.1\ninitrd /boot/ucode.cpio\ninitrd /boot/initrd.img-6.1\n\
             options root=PARTUUID=x rw console=ttyS0,115200n8 a=$b;c\n",
        );
        assert_eq!(
            configuration(&[entry], Some(9600)).unwrap(),
            "# Written by ister from the entries in /boot/loader/entries.\nif serial --unit=0 --speed=9600; then\n  \
             terminal_input console serial\n  terminal_output console serial\nfi\nset default=0\nset timeout_style=hidden\n\
             set timeout=1\nmenuentry 'Debian GNU/Linux 12' {\n  linux /boot/vmlinuz-6.1 root=PARTUUID=x rw \
             console=ttyS0,115200n8 'a=$b;c'\n  initrd /boot/ucode.cpio /boot/initrd.img-6.1\n}\n"
        );
    }

    #[test]
    fn several_kernels_are_told_apart_in_the_menu() {
        let entry = |version: &str| {
            let text =
                format!("title Debian\nversion {version}\nlinux /boot/vmlinuz-{version}\noptions root=x\n");
            LoaderEntry::parse("debian.conf", &text)
        };
        let text = configuration(&[entry("6.2"), entry("6.1")], None).unwrap();
        assert!(
            text.ends_with(
                "menuentry 'Debian, with Linux 6.2' {\n  linux /boot/vmlinuz-6.2 root=x\n}\n\
                 menuentry 'Debian, with Linux 6.1' {\n  linux /boot/vmlinuz-6.1 root=x\n}\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn kernel_install_regenerates_the_menu() {
        let directory = tempfile::tempdir().unwrap();
        let boot = directory.path().display().to_string();
        let write = |path: &str, text: &str| {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let loader = "title Fedora\nversion 6.9\nlinux /boot/vmlinuz-6.9\ninitrd /boot/initramfs-6.9.img\noptions root=x rw  a=$b \"c=d e\"\n";
        let entry = LoaderEntry::parse("fedora.conf", loader);
        write("grub/grub.cfg", &configuration(&[entry], Some(9600)).unwrap());
        write("loader/entries/fedora-6.9.conf", loader);
        // Entries of kernel-install have paths relative to /boot.
        let newer =
            loader.replace("6.9", "6.10").replace("/boot/vmlinuz-", "/fedora/").replace("/boot/", "/");
        write("loader/entries/fedora-6.10.conf", &newer);
        write("fedora/6.10", "");
        write("initramfs-6.10.img", "");
        let script = plugin("/boot").replace("boot=/boot", &format!("boot={boot}"));
        let run = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        let menu = std::fs::read_to_string(directory.path().join("grub/grub.cfg")).unwrap();
        let (head, entries) = menu.split_once("menuentry").unwrap();
        assert!(head.contains("--speed=9600") && head.ends_with("set timeout=1\n"), "{menu}");
        assert_eq!(
            entries,
            " 'Fedora (6.10)' {\n  linux /boot/fedora/6.10 root=x rw 'a=$b' 'c=d e'\n  initrd /boot/initramfs-6.10.img\n}\n\
             menuentry 'Fedora (6.9)' {\n  linux /boot/vmlinuz-6.9 root=x rw 'a=$b' 'c=d e'\n  initrd /boot/initramfs-6.9.img\n}\n"
        );
    }

    #[test]
    fn options_are_quoted_for_both_shells() {
        assert!(
            defaults(&for_grub("rw a=$b;c").unwrap(), None)
                .contains("GRUB_CMDLINE_LINUX=\"rw 'a=\\$b;c'\"\n")
        );
    }

    #[test]
    fn speed_of_the_serial_console() {
        assert_eq!(serial_speed("console=tty0 console=ttyS0,115200n8"), Some(115_200));
        assert_eq!(serial_speed("console=ttyS0"), Some(9600));
        assert_eq!(serial_speed("console=tty0"), None);
    }
}
