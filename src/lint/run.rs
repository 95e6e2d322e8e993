//! Running all rules over one template.

use super::files::Files;
use super::finding::{Check, Finding, Findings, Level};
use super::rules::{DUPLICATE_KEY, MISSPELT_KEY, RULES, SYNTAX, UNKNOWN_KEY, WRONG_TYPE};
use super::schema;
use crate::template::{Fault, FaultKind, Node, SourceText, Template, parse};

/// A template and everything that was found in it, in the order of the text.
pub struct Linted {
    pub template: Template,
    pub node: Node,
    pub findings: Vec<Finding>,
}

impl Linted {
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.level == Level::Error)
    }
}

/// Reads and judges a template. `files` tells about the host's files, see [`wanted_files`](super::wanted_files).
pub fn lint(source: &SourceText, files: impl FnOnce(&Template) -> Files) -> Linted {
    let (template, node, faults) = parse(source);
    let files = files(&template);
    let mut found = Findings::new(&SYNTAX);
    for fault in &faults {
        report(fault, &mut found);
    }
    for rule in RULES {
        found.set_rule(rule);
        match rule.check {
            Check::Reading => {}
            Check::Template(check) => check(&template, &mut found),
            Check::Files(check) => check(&template, &files, &mut found),
        }
    }
    // What JSON Schema says comes last: where a rule has spoken already, it knows better words.
    schema::check(&node, &mut found);
    let mut findings = found.into_list();
    findings.sort_by_key(|f| (f.span.start, f.span.end, f.level));
    Linted { template, node, findings }
}

fn report(fault: &Fault, found: &mut Findings) {
    found.set_rule(match fault.kind {
        FaultKind::Syntax => &SYNTAX,
        FaultKind::DuplicateKey => &DUPLICATE_KEY,
        FaultKind::MisspeltKey => &MISSPELT_KEY,
        FaultKind::UnknownKey => &UNKNOWN_KEY,
        FaultKind::WrongType => &WRONG_TYPE,
    });
    let mut added = found.report(fault.span, fault.message.as_str());
    for (span, text) in &fault.related {
        added = added.label(*span, text.as_str());
    }
    if let Some(help) = &fault.help {
        added.help(help.as_str());
    }
}
