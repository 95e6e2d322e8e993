//! `login-impossible`: no user can log in.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{SecretSource, SoftwareManager, Template, User, boot_method, entries};

pub(super) static RULE: Rule = Rule {
    name: "login-impossible",
    summary: "no user can log in",
    level: Level::Warning,
    why: "No user has a usable password, or an ssh key together with an ssh server. Without `Users` there is only root, which is locked.",
    example: r#"{ "Users": [{ "username": "ada", "uid": 1000 }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    let users = template.users();
    // The cloud bundles of Clear Linux contain an ssh server.
    let with_ssh = if content.is_apt() { "openssh-server" } else { "os-cloudguest" };
    let ssh = template
        .bundles()
        .iter()
        .any(|b| b.value.starts_with("openssh-server") || b.value.starts_with(with_ssh))
        || content.has_package("openssh-server")
        || content.has_package("dropbear");
    let cloud = template.cloud_init_service.is_some()
        || content.has_package("cloud-init")
        || template.bundles().iter().any(|b| b.value.starts_with("os-cloudguest"));
    let can_log_in = |user: &User| {
        let password = match user.password.as_ref().map(|p| &p.value) {
            Some(SecretSource::Inline(text)) => !text.starts_with(['!', '*']),
            Some(_) => true,
            None => false,
        };
        // An invalid password is reported by other rules and is not treated as missing here.
        password
            || user.key.is_some() && ssh
            || user.present.iter().any(|p| p.value == "password") && user.password.is_none()
    };
    // An administrator without a key or password is reported by `user-sudo`.
    let without = |user: &User| match user.password.as_ref().map(|p| &p.value) {
        None => true,
        Some(SecretSource::Inline(text)) => text.is_empty(),
        Some(_) => false,
    };
    let sudo = users
        .iter()
        .any(|user| user.sudo.as_ref().is_some_and(|sudo| sudo.value) && user.key.is_none() && without(user));
    if sudo || users.iter().any(can_log_in) {
        return;
    }
    if cloud {
        // Other managers' bundles are not resolved, so what is installed is not known.
        if content.is_apt() && !ssh && !has_hooks(template) {
            out.report(
                opening(template.span),
                "no user can log in: the user of cloud-init has only an ssh key, and no ssh server is installed",
            )
            .help("add the bundle `openssh-server`");
        }
        return;
    }
    let Some(section) = template.users.as_ref().filter(|_| !users.is_empty()) else {
        return without_users(template, out);
    };
    let keys = users.iter().any(|user| user.key.is_some());
    out.report(
        opening(section.span),
        if keys {
            "no user can log in: the users have only ssh keys, and no ssh server is installed"
        } else {
            "no user can log in: none has a password or a key"
        },
    )
    .help(if keys {
        "add the bundle `openssh-server`, or give a user a `password`"
    } else {
        "give one of them a `key` or a `password`"
    });
}

/// root is locked in Debian. Clear Linux asks for a new root password at the first login. Hooks can add users.
fn without_users(template: &Template, out: &mut Findings) {
    let is_debian = template.manager() == Some(SoftwareManager::Apt);
    if !is_debian || has_hooks(template) || boot_method(template).is_none() {
        return;
    }
    out.report(opening(template.span), "no user can log in: there are no `Users`, and root has no password")
        .help("add `Users` with a `key` or a `password`; `ister new TYPE --user NAME --key FILE` writes a template with a user");
}

/// Whether hooks run in the image, which may add users or an ssh server.
fn has_hooks(template: &Template) -> bool {
    let hooks = [
        &template.post_non_chroot,
        &template.post_non_chroot_shell,
        &template.post_chroot,
        &template.post_chroot_shell,
    ];
    hooks.into_iter().any(|section| !entries(section).is_empty())
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"username": "a", "key": "k"}], "Bundles": ["os-core"]}"#,
            &["1:11 no user can log in: the users have only ssh keys, and no ssh server is installed"],
        );
        check_rule(
            &super::RULE,
            r#"{"Users": [{"username": "a", "key": "k"}], "Bundles": ["openssh-server"]}"#,
            &[],
        );
        check_rule(&super::RULE, r#"{"Users": [{"username": "a"}], "Bundles": ["os-cloudguest"]}"#, &[]);
        let apt =
            |bundles: &str| format!(r#"{{"SoftwareManager": "apt", "Bundles": ["os-cloudguest"{bundles}]}}"#);
        check_rule(
            &super::RULE,
            &apt(""),
            &[
                "1:1 no user can log in: the user of cloud-init has only an ssh key, and no ssh server is installed",
            ],
        );
        check_rule(&super::RULE, &apt(r#", "openssh-server""#), &[]);
    }
}
