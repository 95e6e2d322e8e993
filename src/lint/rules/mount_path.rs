//! `mount-path`: a mount point is no absolute path inside the image.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub static RULE: Rule = Rule {
    name: "mount-path",
    summary: "a mount point is no absolute path inside the image",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for mount in template.mounts().iter().filter_map(|entry| entry.mount.as_ref()) {
        let parts = || mount.split('/').skip(1);
        let fault = if mount.is_empty() {
            "it is empty"
        } else if !mount.starts_with('/') {
            "it does not start with `/`"
        } else if parts().any(|part| matches!(part, "." | "..")) {
            "`.` and `..` lead elsewhere"
        } else if mount.value != "/" && parts().any(str::is_empty) {
            "a `/` too many"
        } else if mount.contains(char::is_control) {
            "it has a control character"
        } else {
            continue;
        };
        out.report(mount.span, format!("`{}` is no mount point: {fault}", mount.value.escape_debug()));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"PartitionMountPoints": [{"mount": "home"}, {"mount": "/a/../b"}, {"mount": "/a/"}]}"##,
            &[
                r##"1:37 `home` is no mount point: it does not start with `/`"##,
                r##"1:56 `/a/../b` is no mount point: `.` and `..` lead elsewhere"##,
                r##"1:78 `/a/` is no mount point: a `/` too many"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionMountPoints": [{"mount": "/"}, {"mount": "/var/lib"}]}"##,
            &[],
        );
    }
}
