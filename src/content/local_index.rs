//! Detects changes of local repositories. Their packages change without a new URL or version, so the digests of their
//! indexes are part of the content request. Network archives are queried again only with `--refresh`.

use std::path::{Path, PathBuf};

/// Files that contain the package list of a repository or its digest. Source: DebianRepository/Format, createrepo_c(8).
const INDEXES: &[&str] =
    &["repodata/repomd.xml", "InRelease", "Release", "Packages", "Packages.gz", "Packages.xz"];

/// Returns the digests of the indexes of local repositories, in the order of `places`, which are URLs or lines of
/// sources.list(5). Remote repositories and repositories without an index are skipped.
pub fn local_indexes(places: &[String]) -> Vec<String> {
    let directories = places.iter().filter_map(|place| directory(place));
    directories.filter_map(|directory| digest(&directory)).collect()
}

/// Returns the repository URLs of a dnf configuration for a release. Source: dnf.conf(5), "baseurl", "Variables".
pub fn base_urls(configuration: &str, release: &str) -> Vec<String> {
    const ARCHITECTURE: &str = "x86_64";
    let mut urls = Vec::new();
    let mut is_url = false;
    for line in configuration.lines() {
        let is_comment = line.trim_start().starts_with(['#', ';']);
        // An indented line continues the previous value.
        let value = match line.split_once('=') {
            _ if is_comment => continue,
            _ if line.starts_with([' ', '\t']) => line,
            Some((key, value)) => {
                is_url = key.trim() == "baseurl";
                value
            }
            None => {
                is_url = false;
                continue;
            }
        };
        if is_url {
            urls.extend(value.split([' ', '\t', ',']).filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    for url in &mut urls {
        for (variable, value) in [("releasever", release), ("basearch", ARCHITECTURE), ("arch", ARCHITECTURE)]
        {
            *url = url.replace(&format!("${{{variable}}}"), value).replace(&format!("${variable}"), value);
        }
    }
    urls
}

/// Returns the directory with the index of a local repository: the path of a URL, or the suite directory of a
/// sources.list line.
fn directory(place: &str) -> Option<PathBuf> {
    let mut words = place.split_whitespace().skip_while(|word| !is_local(word));
    let root = Path::new(path_of(words.next()?)).to_owned();
    Some(match words.next() {
        None => root,
        // In a flat repository, the suite is a directory. Source: sources.list(5).
        Some(suite) if suite.ends_with('/') => root.join(suite.trim_start_matches('/')),
        Some(suite) => root.join("dists").join(suite),
    })
}

fn is_local(word: &str) -> bool {
    word.starts_with('/') || path_of(word).len() < word.len()
}

fn path_of(url: &str) -> &str {
    let path = ["file:", "copy:"].iter().find_map(|scheme| url.strip_prefix(scheme)).unwrap_or(url);
    // `file://localhost/…` and `file:///…` are equivalent. Source: RFC 8089, 2.
    path.strip_prefix("//localhost").or_else(|| path.strip_prefix("//")).unwrap_or(path)
}

fn digest(directory: &Path) -> Option<String> {
    let bytes = INDEXES.iter().find_map(|name| std::fs::read(directory.join(name)).ok())?;
    Some(blake3::hash(&bytes).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_follows_the_index_of_a_local_repository() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let at = |before: &str, after: &str| vec![format!("{before}{}{after}", root.display())];
        let places = [
            (at("file://", ""), "repodata/repomd.xml"),
            (at("", "/"), "repodata/repomd.xml"),
            (at("deb [trusted=yes] copy:", "/ ./"), "Packages"),
            (at("deb file:", " bookworm main"), "dists/bookworm/InRelease"),
            (
                base_urls(&format!("[a]\nbaseurl = file://localhost{}\n", root.display()), "40"),
                "repodata/repomd.xml",
            ),
        ];
        for (places, index) in places {
            for name in ["repodata", "Packages"] {
                let path = root.join(name);
                let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
            }
            assert_eq!(local_indexes(&places).len(), 0, "{places:?}");
            write(index, "one");
            let one = local_indexes(&places);
            assert_eq!(one.len(), 1, "{places:?}");
            write(index, "two");
            assert_ne!(local_indexes(&places), one, "{places:?}");
        }
        let configuration = "[main]\ngpgcheck=1\n[a]\nname=A\nbaseurl=http://a/$releasever,\n  file:///b/${basearch}/os\n\
                             # baseurl=file:///no\nenabled=1\n  file:///no\n";
        assert_eq!(base_urls(configuration, "40"), ["http://a/40", "file:///b/x86_64/os"]);
        assert!(local_indexes(&["http://a/b".into(), "deb http://a/b bookworm main".into()]).is_empty());
    }
}
