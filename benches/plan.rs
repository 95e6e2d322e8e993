//! Time to plan a parsed template, and to read, lint and plan its text.

use divan::{Bencher, black_box};
use ister::lint::{Files, lint};
use ister::plan::bundle;
use ister::plan::{Inputs, decide};
use ister::template::{SourceText, parse};

fn main() {
    divan::main();
}

/// Image types with three and with eight partitions.
const TYPES: [&str; 2] = ["kvm", "filesystems"];

fn text_of(name: &str) -> &'static str {
    match name {
        "kvm" => include_str!("../vm-tests/kvm/template.json"),
        _ => include_str!("../vm-tests/filesystems/template.json"),
    }
}

/// Plans a template that is already parsed.
#[divan::bench(args = TYPES)]
fn decide_only(bencher: Bencher, name: &str) {
    let text = text_of(name);
    let definitions = bundle::builtin();
    let (template, node, _) = parse(&SourceText::new("t.json", text));
    bencher.bench_local(|| {
        decide(black_box(&template), &node, &Inputs::new(&definitions)).expect("valid template")
    });
}

/// The work of `ister plan` between reading the file and printing.
#[divan::bench(args = TYPES)]
fn read_lint_and_decide(bencher: Bencher, name: &str) {
    let text = text_of(name);
    let definitions = bundle::builtin();
    bencher.bench_local(|| {
        let source = SourceText::new("t.json", black_box(text));
        let linted = lint(&source, &definitions, |_| Files::new());
        decide(&linted.template, &linted.node, &Inputs::new(&definitions)).expect("valid template")
    });
}
