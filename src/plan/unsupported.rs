//! Rejects templates that this version cannot build.

use super::inputs::PlanError;
use crate::template::{Format, Named, SoftwareManager, Span, Template, boot_method};

/// Features of a valid template that this version cannot build.
pub fn unsupported(template: &Template) -> Vec<PlanError> {
    let mut refusals = Vec::new();
    let mut refuse = |span: Span, message: &str, help: &str| {
        refusals.push(PlanError { span, message: message.to_owned(), help: help.to_owned() });
    };
    let keeps = template.disabled_new_partitions.as_ref().is_some_and(|kept| kept.value);
    for entry in template.filesystems() {
        let Some(span) = entry.disable_format else { continue };
        if !template.is_physical() {
            refuse(span, "a new image has no filesystem to preserve", "remove `disable_format`");
        } else if !keeps {
            refuse(
                span,
                "filesystems cannot be preserved when a new partition table is written",
                "add `\"DisabledNewPartitions\": true`, or remove `disable_format`",
            );
        } else if entry.encryption.is_some() {
            refuse(span, "an encrypted filesystem cannot be preserved", "remove `disable_format`");
        }
    }
    for mirror in [&template.mirror_url, &template.version_url].into_iter().flatten() {
        if url::Url::parse(mirror).is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
            refuse(
                mirror.span,
                "the user name or password in this URL would be readable by all users of the installed system",
                "remove it from the URL, and write the credentials of the package manager with a hook (apt: /etc/apt/auth.conf.d)",
            );
        }
    }
    if let Some(kept) = &template.disabled_new_partitions
        && kept.value
        && !template.is_physical()
    {
        refuse(kept.span, "a new image has no partitions to preserve", "remove `DisabledNewPartitions`");
    }
    let boots = boot_method(template).is_some();
    for format in template.formats.iter().flat_map(|formats| &formats.value) {
        let Named::Known(known) = format.value else { continue };
        let starts = matches!(known, Format::Iso | Format::Pxe);
        if starts && !boots {
            let help = "add an EFI partition at /boot or `\"LegacyBios\": true`, or remove the format";
            refuse(format.span, "this format requires an image that boots", help);
        } else if known == Format::Iso && template.manager() != Some(SoftwareManager::Apt) {
            let help = "remove `iso` from `Formats`, or use Debian content (`\"SoftwareManager\": \"apt\"`)";
            refuse(format.span, "`iso` requires Debian content, which boots from CD with live-boot", help);
        }
    }
    refusals
}
