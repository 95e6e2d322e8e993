//! What it takes from a template's text to its plan, and to read, lint and plan it.

use divan::{Bencher, black_box};
use ister::lint::{Files, lint};
use ister::plan::bundle;
use ister::plan::{Inputs, decide};
use ister::template::{SourceText, parse};

fn main() {
    divan::main();
}

/// Three partitions, and eight.
const TYPES: [&str; 2] = ["kvm", "filesystems"];

fn text_of(name: &str) -> &'static str {
    match name {
        "kvm" => include_str!("../vm-tests/kvm/template.json"),
        _ => include_str!("../vm-tests/filesystems/template.json"),
    }
}

/// The typed template is there already.
#[divan::bench(args = TYPES)]
fn decide_only(bencher: Bencher, name: &str) {
    let text = text_of(name);
    let definitions = bundle::builtin();
    let (template, node, _) = parse(&SourceText::new("t.json", text));
    bencher
        .bench_local(|| decide(black_box(&template), &node, &Inputs::new(&definitions)).expect("it is good"));
}

/// What `ister plan` does between reading and printing.
#[divan::bench(args = TYPES)]
fn read_lint_and_decide(bencher: Bencher, name: &str) {
    let text = text_of(name);
    let definitions = bundle::builtin();
    bencher.bench_local(|| {
        let source = SourceText::new("t.json", black_box(text));
        let linted = lint(&source, &definitions, |_| Files::new());
        decide(&linted.template, &linted.node, &Inputs::new(&definitions)).expect("it is good")
    });
}
