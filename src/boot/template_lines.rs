//! Finds the lines of a template that are related to the class of a boot.

use super::verdict::Class;
use crate::template::{Node, SourceText, Value};

/// The top-level members of a template that are related to a class, most likely first.
fn members(class: Class) -> &'static [&'static str] {
    match class {
        Class::LoginPrompt
        | Class::WindowsConsole
        | Class::EmulatorStall
        | Class::EmulatorFailed
        | Class::PassphraseWanted => &[],
        Class::NoBootableDevice => &["LegacyBios", "PartitionLayout", "PartitionMountPoints"],
        Class::GrubShell => &["FilesystemTypes", "PostNonChroot", "PostChroot"],
        Class::LoaderFailed | Class::LoaderWaits | Class::SecureBootRefused | Class::FirmwareCrashed => {
            &["Bundles", "PostNonChroot", "PostNonChrootShell", "PostChroot", "PostChrootShell"]
        }
        Class::TooLittleMemory => &["Formats", "Bundles"],
        Class::KernelPanic | Class::ResetLoop => &["cmdline", "Bundles", "PostNonChroot", "PostChroot"],
        Class::InitramfsShell => &["cmdline", "PartitionMountPoints", "FilesystemTypes", "Bundles"],
        Class::NoInit | Class::InitCrashed | Class::ShellInsteadOfInit => {
            &["Bundles", "cmdline", "PostNonChroot", "PostChroot"]
        }
        Class::EmergencyShell | Class::MountFailed | Class::WrongMounts => {
            &["PartitionMountPoints", "FilesystemTypes", "PostNonChroot", "PostChroot"]
        }
        Class::FsckFailed => &["FilesystemTypes", "PartitionMountPoints"],
        Class::NoGetty | Class::NoProgress | Class::AutoLogin | Class::GettyCrashed | Class::LoginBroken => {
            &["cmdline", "PostNonChroot", "PostChroot", "Bundles"]
        }
        Class::RootReadOnly => &["cmdline", "PostNonChroot", "PostChroot"],
        Class::RootFull => &["PartitionLayout", "Bundles"],
        Class::PassphraseRefused => &["FilesystemTypes"],
        Class::LoginFailed => &["Users"],
        Class::SshFailed => &["Users", "Bundles", "Static_IP"],
        Class::WrongHost => &["Bundles", "Hostname"],
        Class::WrongNetwork => &["Static_IP", "Hostname", "Bundles", "PostNonChroot", "PostChroot"],
        Class::UpdateFailed => &["Bundles", "PartitionLayout", "PostNonChroot", "PostChroot"],
        Class::NotGrown => &["PartitionLayout", "Bundles"],
        Class::MetadataUnused | Class::UserDataUnused | Class::NoSshKey | Class::NoSudo | Class::NoDns => {
            &["Bundles", "PostNonChroot", "PostChroot"]
        }
        Class::CheckFailed | Class::Degraded | Class::NoPowerOff | Class::PoweredOff | Class::TooSlow => {
            &["Bundles", "PostNonChroot", "PostChroot"]
        }
    }
}

/// Positions such as "kvm.json:12:5: `Bundles`" for each related member. If the most likely member is missing, this is
/// listed too, since that may be the cause.
pub(super) fn lines_to_look_at(class: Class, source: &SourceText, node: &Node) -> Vec<String> {
    let Value::Object(there) = &node.value else { return Vec::new() };
    let names = members(class);
    let mut lines: Vec<String> = names
        .iter()
        .filter_map(|name| there.iter().find(|member| member.key == *name))
        .map(|member| {
            let at = source.position(member.key_span.start);
            format!("{}:{}:{}: `{}`", source.name(), at.line, at.column, member.key)
        })
        .collect();
    if let Some(first) = names.first().filter(|name| !there.iter().any(|member| member.key == **name)) {
        lines.push(format!("{}: `{first}` is missing", source.name()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::parse;

    #[test]
    fn related_lines_and_missing_members_are_listed() {
        let source =
            SourceText::new("t.json", "{\n  \"Bundles\": [],\n  \"PartitionLayout\": []\n}\n".to_owned());
        let (_, node, _) = parse(&source);
        assert_eq!(
            lines_to_look_at(Class::RootFull, &source, &node),
            ["t.json:3:3: `PartitionLayout`", "t.json:2:3: `Bundles`"]
        );
        assert_eq!(
            lines_to_look_at(Class::KernelPanic, &source, &node),
            ["t.json:2:3: `Bundles`", "t.json: `cmdline` is missing"]
        );
        assert!(lines_to_look_at(Class::LoginPrompt, &source, &node).is_empty());
    }
}
