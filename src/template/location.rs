//! The location of an installer's template, from the kernel command line and ister.conf.

/// Installer options on the kernel command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelRequests {
    /// `isterconf=URL`: the location of the configuration. Only a template on ister's command line takes precedence.
    pub configuration: Option<String>,
    /// `ister.exit`: exit immediately.
    pub exit: bool,
    /// `ister.root_ssh`: allow root logins over ssh without a password while the installer runs.
    pub root_ssh: bool,
}

impl KernelRequests {
    /// Parses the contents of /proc/cmdline. The last `isterconf=` counts, as for the kernel's own parameters.
    pub fn parse(text: &str) -> KernelRequests {
        let mut requests = KernelRequests::default();
        for word in words(text) {
            match word.split_once('=') {
                Some(("isterconf", url)) if !url.is_empty() => requests.configuration = Some(url.to_owned()),
                Some(_) => {}
                None => match word.as_str() {
                    "ister.exit" => requests.exit = true,
                    "ister.root_ssh" => requests.root_ssh = true,
                    _ => {}
                },
            }
        }
        requests
    }
}

/// Splits at white space outside of double quotes. Source: Linux, kernel/params.c, `next_arg`.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The contents of a configuration file (ister.conf).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// The first line is `template=` with the location of the template.
    Template(String),
    /// The file is the template itself.
    Itself,
}

impl Configuration {
    pub fn parse(text: &str) -> Configuration {
        let first = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
        match first.split_once('=') {
            Some((key, place)) if key.trim() == "template" => {
                Configuration::Template(place.trim().to_owned())
            }
            _ => Configuration::Itself,
        }
    }
}

/// A URL for display, without user name, password and query, which may be secret.
pub fn display_url(url: &str) -> String {
    let text = url.split_once('?').map_or(url, |(before, _)| before);
    // Not a URL, or it only looks like one: `user:password@host` parses as a scheme and a path.
    let Some(mut url) = url::Url::parse(url).ok().filter(|url| !url.cannot_be_a_base()) else {
        return match (text.split_once("://"), text.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            (None, Some((_, host))) => format!("…@{host}"),
            _ => text.to_owned(),
        };
    };
    // These only fail for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.query().is_some() {
        url.set_query(Some("…"));
    }
    url.set_fragment(None);
    url.to_string().replace("?%E2%80%A6", "?…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_command_lines_are_parsed() {
        let requests = KernelRequests::parse(
            "root=/dev/vda2 isterconf=http://old isterconf=http://h/get?a=b&c=d \"x=a isterconf=no\" ister.root_ssh\n",
        );
        assert_eq!(requests.configuration.as_deref(), Some("http://h/get?a=b&c=d"));
        assert_eq!((requests.exit, requests.root_ssh), (false, true));
        assert!(KernelRequests::parse("quiet ister.exit").exit);
        assert_eq!(KernelRequests::parse("isterconf= ister.exits"), KernelRequests::default());
        assert_eq!(
            KernelRequests::parse("isterconf=\"file:///a b\"").configuration.as_deref(),
            Some("file:///a b")
        );
    }

    #[test]
    fn configurations_refer_to_a_template_or_are_one() {
        let template = |place: &str| Configuration::Template(place.to_owned());
        assert_eq!(Configuration::parse("template=http://h/t.json?a=b\nx"), template("http://h/t.json?a=b"));
        assert_eq!(Configuration::parse("template = file:///t.json\r\n"), template("file:///t.json"));
        assert_eq!(Configuration::parse("{ \"Version\": 1 }"), Configuration::Itself);
        assert_eq!(Configuration::parse(""), Configuration::Itself);
    }

    #[test]
    fn secrets_in_urls_are_not_shown() {
        assert_eq!(display_url("http://u:secret@h/p?token=secret#secret"), "http://h/p?…");
        assert_eq!(display_url("no url?secret"), "no url");
    }
}
