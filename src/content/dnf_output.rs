//! Classifies error output of dnf. The samples in the tests were printed by dnf 4.14.

/// Why the installation failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DnfError {
    /// No repository contains this package.
    Unknown(String),
    NoSpace,
    /// Packages are not signed, or signed with an unknown key.
    Untrusted,
    Unreachable,
}

/// Classifies the failure by the last output `lines`.
pub(super) fn fault(lines: &[String]) -> Option<DnfError> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    let unknown = |line: &String| {
        let rest = line.split_once("Unable to find a match: ")?.1;
        rest.split_whitespace().next().map(str::to_owned)
    };
    if let Some(name) = lines.iter().find_map(unknown) {
        Some(DnfError::Unknown(name))
    } else if has("No space left on device") || has("At least ") && has(" more space needed") {
        Some(DnfError::NoSpace)
    } else if has("GPG check FAILED") || has("is not signed") || has("Public key for") {
        Some(DnfError::Untrusted)
    } else {
        let is_unreachable = has("Failed to download metadata for repo") || has("Cannot download repomd.xml");
        is_unreachable.then_some(DnfError::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_dnf_failures() {
        let of = |line: &str| fault(&[line.to_owned()]);
        assert_eq!(of("Error: Unable to find a match: nosuch"), Some(DnfError::Unknown("nosuch".into())));
        assert_eq!(of("   At least 34MB more space needed on the / filesystem."), Some(DnfError::NoSpace));
        assert_eq!(of("Package bash-5.rpm is not signed"), Some(DnfError::Untrusted));
        assert_eq!(
            of("Errors during downloading metadata for repository 'ister': Cannot download repomd.xml"),
            Some(DnfError::Unreachable)
        );
        assert_eq!(of("Error: something else"), None);
    }
}
