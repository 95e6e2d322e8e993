//! Words that must not occur in what people read: the left column is not English that engineers write, or a private word for
//! something that has a name.

use std::path::{Path, PathBuf};

const WORDS: &[(&str, &str)] = &[
    ("anew", "again"),
    ("anybody", "a noun"),
    ("cannot be had", "is not available"),
    ("encipher", "encrypt"),
    ("everybody", "a noun"),
    ("folder", "directory"),
    ("held against", "compared with"),
    ("in the night", "nightly"),
    ("it is not said", "missing"),
    ("it said", "output"),
    ("knows", "has, supports, contains"),
    ("lies in", "is in"),
    ("mendable", "fixable"),
    ("of one's own", "custom"),
    ("of their own making", "custom"),
    ("says so", "reports it"),
    ("somebody", "a noun"),
    ("speaks", "a verb that programs do"),
    ("stands twice", "duplicate"),
    ("the night", "nightly run"),
    ("to be had", "available"),
    ("whoever", "a noun"),
    ("witness", "boot monitor"),
];

/// A word of the list in a line: whole words, whatever their case.
fn found(line: &str) -> Option<&'static (&'static str, &'static str)> {
    let line = line.to_lowercase();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    WORDS.iter().find(|(word, _)| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    })
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.is_dir() {
            files_below(&path, files);
        } else if ["rs", "toml", "md", "json", "snap", "sh", "yml"].contains(&ending) {
            files.push(path);
        }
    }
}

fn texts_use_standard_terms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "docs", "schema", "snapshots", "bundles", "benches"] {
        files_below(&root.join(directory), &mut files);
    }
    files.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root.join(name)));
    assert!(files.len() > 500, "found only {} files", files.len());
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            if let Some((word, instead)) = found(line) {
                let name = file.strip_prefix(root).unwrap().display();
                faults.push(format!("{name}:{}: `{word}`: write `{instead}`", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn words_are_found_whole() {
    assert!(found("Held against a plan.").is_some() && found("A Folder").is_some());
    assert!(found("there is nothing").is_none() && found("folders").is_none());
}

crate::tests! {
    texts_use_standard_terms,
    words_are_found_whole,
}
