//! Tests of complete boot paths, on trees in memory.

use super::efi::tests::pe;
use super::kernel::tests::{cpio, kernel};
use super::*;
use crate::disk::{Body, Content, Node, ROOT, Time, Tree};
use std::collections::BTreeMap;

fn node(body: Body, size: usize) -> Node {
    let time = Time::default();
    Node {
        number: 0,
        mode: 0o644,
        uid: 0,
        gid: 0,
        links: 1,
        size: size as u64,
        accessed: time,
        modified: time,
        changed: time,
        created: None,
        attributes: BTreeMap::new(),
        body,
    }
}

fn tree(files: &[(&str, Vec<u8>)]) -> Tree {
    let mut tree = Tree { nodes: vec![node(Body::Directory(BTreeMap::new()), 0)] };
    for (path, bytes) in files {
        let mut at = ROOT;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for (index, part) in parts.iter().enumerate() {
            let next = tree.nodes.len();
            let Body::Directory(entries) = &mut tree.nodes[at].body else { panic!("{path}") };
            let known = entries.get(part.as_bytes()).copied();
            at = known.unwrap_or(next);
            if known.is_none() {
                entries.insert(part.as_bytes().to_vec(), next);
                tree.nodes.push(match index + 1 == parts.len() {
                    true => node(Body::File(Content::Inline(bytes.clone())), bytes.len()),
                    false => node(Body::Directory(BTreeMap::new()), 0),
                });
            }
        }
    }
    tree
}

fn volume<'a>(number: u32, is_esp: bool, tree: &'a Tree, source: &'a &'a [u8]) -> Volume<'a> {
    Volume {
        number,
        is_fat: is_esp,
        is_esp,
        is_xbootldr: false,
        is_active: !is_esp,
        uuid: Some(format!("UUID-{number}")),
        label: None,
        tree,
        source,
    }
}

/// Boot paths of a disk with an ESP as partition 1 and a root filesystem as partition 2.
fn paths(esp: &[(&str, Vec<u8>)], root: &[(&str, Vec<u8>)], boot_code: &[u8]) -> BootPaths {
    let (esp, root) = (tree(esp), tree(root));
    let none = &[0; 512][..];
    let mut volumes = vec![volume(2, false, &root, &none)];
    if esp.nodes.len() > 1 {
        volumes.insert(0, volume(1, true, &esp, &none));
    }
    follow(&Disk {
        volumes,
        not_read: Vec::new(),
        boot_code,
        sectors: &|lba, length| Some(vec![u8::from(lba > 0); length]),
    })
}

fn issues(paths: &BootPaths) -> Vec<String> {
    let all = paths.steps().flat_map(|(step, chosen)| {
        step.issues
            .iter()
            .map(move |issue| format!("{}{}", if chosen { "chosen: " } else { "" }, issue.message))
    });
    all.collect()
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn systemd_boot() -> Vec<u8> {
    pe(0x8664, &[(".sdmagic", b"#### LoaderInfo: systemd-boot 252.38 ####")])
}

fn grub(prefix: &str, configuration: Option<&str>) -> Vec<u8> {
    let mut modules = [&b"mimg"[..], &[0; 4], &24_u64.to_le_bytes(), &[0; 8]].concat();
    for (kind, text) in [(3_u32, Some(prefix)), (2, configuration)] {
        let Some(text) = text else { continue };
        modules.extend(kind.to_le_bytes());
        modules.extend((8 + text.len() as u32 + 1).to_le_bytes());
        modules.extend(text.as_bytes());
        modules.push(0);
    }
    pe(0x8664, &[("mods", &modules)])
}

const ENTRY: &str = "title x\nversion 6.1\nsort-key debian\nlinux /debian/6.1/linux\ninitrd /debian/6.1/initrd\noptions root=PARTUUID=1 rw\n";

#[test]
fn systemd_boot_leads_to_kernels_and_the_newest_is_the_default() {
    let older = ENTRY.replace("6.1", "5.9");
    let mut esp = vec![
        ("efi/boot/bootx64.efi", systemd_boot()),
        ("LOADER/entries/a.conf", text(&older)),
        ("LOADER/entries/b.conf", text(ENTRY)),
        ("debian/6.1/linux", kernel("6.1")),
        ("debian/6.1/initrd", cpio(&["init"])),
    ];
    let found = paths(&esp, &[], &[0; 440]);
    assert_eq!(found.paths.len(), 1);
    assert_eq!(found.paths[0].start.title, "systemd-boot 252.38");
    assert_eq!(
        issues(&found),
        [
            "chosen: loader entry refers to missing kernel /debian/5.9/linux",
            "chosen: loader entry refers to missing initramfs /debian/5.9/initrd"
        ]
    );
    let (start, chosen) = found.kernels().next().unwrap();
    assert!(!chosen && start.initramfs[0].1.has_init);
    assert_eq!(start.options, "root=PARTUUID=1 rw");
    assert_eq!(start.image.as_ref().unwrap().1.version.as_deref(), Some("6.1"));
    esp.retain(|(path, _)| !path.ends_with("6.1/linux"));
    assert!(!issues(&paths(&esp, &[], &[0; 440]))[0].starts_with("chosen"));
    esp.truncate(1);
    assert!(issues(&paths(&esp, &[], &[0; 440]))[0].contains("finds no entry"));
}

#[test]
fn esp_without_matching_program_is_an_issue() {
    let empty = paths(&[("EFI/x", Vec::new())], &[], &[0; 440]);
    assert!(issues(&empty)[0].contains("EFI/BOOT/BOOTX64.EFI missing"));
    let other = paths(&[("EFI/BOOT/BOOTAA64.EFI", pe(0xaa64, &[]))], &[], &[0; 440]);
    assert!(issues(&other)[0].contains("BOOTAA64.EFI is for another architecture"));
    let wrong = paths(&[("EFI/BOOT/BOOTX64.EFI", pe(0xaa64, &[]))], &[], &[0; 440]);
    assert!(issues(&wrong)[0].contains("is for aarch64"));
    let unknown = paths(&[("EFI/BOOT/BOOTX64.EFI", pe(0x8664, &[(".text", b"x")]))], &[], &[0; 440]);
    assert!(issues(&unknown).is_empty() && unknown.paths[0].start.title.contains("unknown"));
}

#[test]
fn unified_kernel_image_is_read() {
    let image = pe(
        0x8664,
        &[(".linux", &kernel("6.6")), (".initrd", &cpio(&["init"])), (".cmdline", b"root=LABEL=x ro\n\0")],
    );
    let esp = [("EFI/BOOT/BOOTX64.EFI", systemd_boot()), ("EFI/Linux/a.efi", image.clone())];
    for esp in [&esp[..], &[("EFI/BOOT/BOOTX64.EFI", image)]] {
        let found = paths(esp, &[], &[0; 440]);
        assert_eq!(issues(&found), [""; 0]);
        let (start, _) = found.kernels().next().unwrap();
        assert_eq!(start.options, "root=LABEL=x ro");
        assert_eq!(start.image.as_ref().unwrap().1.version.as_deref(), Some("6.6"));
    }
}

const MENU: &str = r#"
if [ -s $prefix/grubenv ]; then load_env; fi
if [ "${next_entry}" ] ; then set default="${next_entry}"; else set default="0"; fi
function load_video { insmod all_video }
if [ x$feature_platform_search_hint = xy ]; then
  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 UUID-2
else
  search --no-floppy --fs-uuid --set=root UUID-2
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; fi
	linux	/boot/vmlinuz-6.1 root=UUID=x ro  quiet
	initrd	/boot/initrd.img-6.1
}
submenu 'Advanced options' $menuentry_id_option 'advanced' {
	menuentry 'Debian, with Linux 5.9' { linux /boot/vmlinuz-5.9 root=UUID=x
	}
}
"#;

#[test]
fn shim_is_followed_to_grub_menu_on_root() {
    let esp = [
        ("EFI/BOOT/BOOTX64.EFI", pe(0x8664, &[(".sbat", b"sbat,1,SBAT Version\nshim,4,UEFI shim\n")])),
        ("EFI/BOOT/grubx64.efi", grub("/EFI/debian", None)),
        (
            "EFI/debian/grub.cfg",
            text(
                "search.fs_uuid UUID-2 root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n",
            ),
        ),
    ];
    let root = [
        ("boot/grub/grub.cfg", text(MENU)),
        ("boot/vmlinuz-6.1", kernel("6.1")),
        ("boot/initrd.img-6.1", cpio(&["init"])),
    ];
    let found = paths(&esp, &root, &[0; 440]);
    assert_eq!(issues(&found), ["chosen: missing file /boot/vmlinuz-5.9 (`linux`)"]);
    let (start, chosen) = found.kernels().next().unwrap();
    assert!(!chosen);
    assert_eq!((start.options.as_str(), start.entry.partition), ("root=UUID=x ro quiet", 2));
    // A search for a missing UUID fails.
    let lost = [
        esp[0].clone(),
        esp[1].clone(),
        (
            "EFI/debian/grub.cfg",
            text("search.fs_uuid GONE root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"),
        ),
    ];
    let found = issues(&paths(&lost, &root, &[0; 440]));
    assert!(found[0].contains("the search for `GONE` fails"), "{found:?}");
    assert!(issues(&paths(&esp[..2], &root, &[0; 440]))[0].contains("GRUB configuration missing"));
}

#[test]
fn embedded_grub_configuration_is_followed() {
    let own = "search --file --set=root /boot/grub/grub.cfg\nset prefix=($root)/boot/grub\nconfigfile ($root)/boot/grub/grub.cfg\n";
    let esp = [("EFI/BOOT/BOOTX64.EFI", grub("", Some(own)))];
    let root = [("boot/grub/grub.cfg", text("menuentry x {\n linux /k a\n}\n")), ("k", kernel("6.1"))];
    let found = paths(&esp, &root, &[0; 440]);
    assert_eq!(issues(&found), [""; 0]);
    assert_eq!(found.kernels().next().unwrap().0.options, "a");
    let broken = [("boot/grub/grub.cfg", text("menuentry x {\n linux /k a\n"))];
    assert!(issues(&paths(&esp, &broken, &[0; 440]))[0].contains("/boot/grub/grub.cfg, line 1: missing `}`"));
}

#[test]
fn bios_is_followed_to_grub_and_syslinux() {
    let mut code = vec![0x90; 440];
    code[0x180..0x185].copy_from_slice(b"GRUB ");
    let root = [
        ("boot/grub/grub.cfg", text("menuentry x {\n linux /k a\n}\n")),
        ("k", kernel("6.1")),
        ("extlinux.conf", text("default l\nlabel l\nlinux k\nappend b\n")),
    ];
    code[0x5c..0x64].copy_from_slice(&34_u64.to_le_bytes());
    let found = paths(&[], &root, &code);
    assert_eq!((issues(&found).len(), found.kernels().count()), (0, 1));
    assert_eq!(found.paths[0].firmware, Firmware::Bios);
    code[0x5c..0x64].fill(0);
    assert!(issues(&paths(&[], &root, &code))[0].contains("no core image at LBA 0"));
    let mut chain = vec![0x90; 440];
    chain[100..124].copy_from_slice(b"Missing operating system");
    // The boot sector of the active partition is empty here.
    assert!(
        issues(&paths(&[], &root, &chain))[0]
            .contains("boot sector of the active partition 2 starts nothing")
    );
    assert_eq!(paths(&[], &root, &[0; 440]).paths, []);
}

/// The embedded prefix and configuration take precedence over the usual directories of distributions.
#[test]
fn core_image_uses_its_embedded_prefix() {
    let mut code = vec![0x90; 440];
    code[0x180..0x185].copy_from_slice(b"GRUB ");
    code[0x5c..0x64].copy_from_slice(&34_u64.to_le_bytes());
    let root = tree(&[
        ("boot/grub/grub.cfg", text("menuentry wrong { linux /gone a\n }\n")),
        ("own/grub.cfg", text("menuentry right {\n linux /k a\n}\n")),
        ("k", kernel("6.1")),
    ]);
    let found = |core: &[u8], not_read: &[u32]| {
        let none = &[0; 512][..];
        let disk = |lba: u64, length: usize| {
            let start = (lba as usize).checked_sub(34)? * 512;
            core.get(start..start + length).map(<[u8]>::to_vec)
        };
        let volumes = vec![volume(2, false, &root, &none)];
        issues(&follow(&Disk { volumes, not_read: not_read.to_vec(), boot_code: &code, sectors: &disk }))
    };
    for (prefix, configuration, expected) in [
        ("(,gpt2)/own", "", ""),
        ("/own", "search.fs_uuid UUID-2 root\nset prefix=($root)/own\n", ""),
        ("/none", "set root=hd0,gpt2\nconfigfile /own/grub.cfg\n", ""),
        ("/none", "configfile (hd0,gpt2)/own/grub.cfg\n", "missing file /k (`linux`)"),
        ("(lvm/a-b)/own", "", ""),
        ("(,gpt2)/none", "", "GRUB configuration missing: (hd0,gpt2)/none/grub.cfg"),
        ("(,gpt7)/own", "", "GRUB configuration missing: (hd0,gpt7)/own/grub.cfg"),
        ("/own", "search.fs_uuid UUID-9 root\n", "the search for `UUID-9` fails"),
        ("(,gpt2)/boot/grub", "", "missing file /gone (`linux`)"),
    ] {
        let mut core = grub_image::tests::core_image(prefix, configuration);
        core.resize(core.len().next_multiple_of(512), 0);
        let sectors = (core.len() / 512 - 1) as u16;
        core[500..508].copy_from_slice(&35_u64.to_le_bytes());
        core[508..510].copy_from_slice(&sectors.to_le_bytes());
        // The file may be on an unsupported filesystem such as ZFS.
        let is_elsewhere = expected.contains("gpt7") || expected.contains("UUID-9");
        assert!(!is_elsewhere || found(&core, &[7]).is_empty(), "{prefix}, {configuration}");
        let issues = found(&core, &[]);
        let is_right = match expected {
            "" => issues.is_empty(),
            expected => issues.iter().any(|issue| issue.contains(expected)),
        };
        assert!(is_right, "{prefix}, {configuration}: {issues:?}");
        core[20_000..20_100].fill(0xff);
        let issues = found(&core, &[]);
        assert!(issues.iter().any(|issue| issue.contains("damaged GRUB core image")), "{issues:?}");
    }
}

/// Menu entries refer to filesystems by UUID, or by partition numbers that start at 0.
#[test]
fn bios_is_followed_to_grub_legacy() {
    let mut code = vec![0x90; 440];
    code[0x180..0x185].copy_from_slice(b"GRUB ");
    code[0x3e..0x40].copy_from_slice(&[3, 2]);
    code[0x44..0x48].copy_from_slice(&1_u32.to_le_bytes());
    let menu = "default 1\ntitle a\nroot (hd0,4)\nkernel /k\ntitle b\nuuid UUID-2\nkernel /k root=x\ninitrd (hd0,1)/i\n";
    let mut root = vec![("boot/grub/menu.lst", text(menu)), ("k", kernel("6.1")), ("i", cpio(&["init"]))];
    let found = paths(&[], &root, &code);
    assert_eq!(issues(&found), ["chosen: entry `a` refers to missing file /k (`kernel`) in (hd0,4)"]);
    assert_eq!(found.kernels().find(|(_, chosen)| !chosen).unwrap().0.options, "root=x");
    root.pop();
    assert!(
        issues(&paths(&[], &root, &code))
            .iter()
            .any(|issue| issue.contains("missing file (hd0,1)/i (`initrd`)"))
    );
    assert!(issues(&paths(&[], &root[1..], &code))[0].contains("GRUB Legacy menu missing"));
    code[0x44..0x48].fill(0);
    assert!(issues(&paths(&[], &root, &code))[0].contains("no next stage at LBA 0"));
}

#[test]
fn configuration_loops_end() {
    let esp = [("EFI/BOOT/BOOTX64.EFI", grub("/x", None)), ("x/grub.cfg", text("configfile /x/grub.cfg\n"))];
    assert!(issues(&paths(&esp, &[], &[0; 440]))[0].contains("includes itself"));
    let chain = "menuentry a { chainloader /EFI/BOOT/BOOTX64.EFI }\n";
    let esp = [("EFI/BOOT/BOOTX64.EFI", grub("/x", None)), ("x/grub.cfg", text(chain))];
    assert!(issues(&paths(&esp, &[], &[0; 440]))[0].contains("start each other"));
}
