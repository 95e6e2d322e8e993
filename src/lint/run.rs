//! Runs all rules on one template.

use super::content::BundleContent;
use super::files::Files;
use super::finding::{Check, Finding, Findings, Level};
use super::partitions::Partitions;
use super::rules::{
    DUPLICATE_KEY, LINT_ALLOWANCE, MISSPELT_KEY, RULES, SYNTAX, UNKNOWN_KEY, WRONG_TYPE, names, rule,
};
use super::schema;
use super::test_type::{self, is_type_definition};
use crate::plan::bundle::Definitions;
use crate::template::{
    Allowance, Change, DecodeError, DecodeErrorKind, Fix, Node, SourceText, Template, nearest, parse,
};
use std::collections::BTreeSet;

/// A template and its findings, ordered by position.
pub struct LintResult {
    pub template: Template,
    pub node: Node,
    pub findings: Vec<Finding>,
    /// The number of JSON syntax errors, including those that are not shown.
    pub syntax_errors: usize,
    /// Whether the file is the definition of an image type, and not a template.
    pub is_image_type: bool,
    /// The number of findings beyond [`MAX_FINDINGS`](crate::finding::MAX_FINDINGS).
    pub dropped: usize,
}

impl LintResult {
    /// Drops the syntax trees if no finding refers to them, so that linting many valid templates needs little memory.
    pub fn light(self) -> LintResult {
        if self.findings.is_empty() {
            LintResult { template: Template::default(), node: Node::empty(), ..self }
        } else {
            self
        }
    }

    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.level == Level::Error)
    }
}

/// Parses and checks a template. `files` returns the facts about host files, see [`referenced_files`](super::referenced_files).
pub fn lint(
    source: &SourceText,
    definitions: &Definitions,
    files: impl FnOnce(&Template) -> Files,
) -> LintResult {
    let (template, node, faults) = parse(source);
    if is_type_definition(&node) {
        return lint_type(node, faults);
    }
    let files = files(&template);
    let partitions = Partitions::of(&template);
    let content = BundleContent::of(&template, definitions);
    let mut found = Findings::new(usize::MAX);
    let syntax_errors = faults.iter().filter(|fault| fault.kind == DecodeErrorKind::Syntax).count();
    for fault in faults {
        report(fault, &mut found);
    }
    for rule in RULES {
        found.set_rule(rule);
        match rule.check {
            Check::Reading => {}
            Check::Template(check) => check(&template, &mut found),
            Check::Partitions(check) => check(&template, &partitions, &mut found),
            Check::BundleContent(check) => check(&template, &content, &mut found),
            Check::Files(check) => check(&template, &files, &mut found),
        }
    }
    allow(&template.allowances, &mut found);
    // JSON Schema comes last and is silent where a rule has reported a problem, because the rule's message is clearer.
    if found.dropped() == 0 {
        schema::check(&node, &mut found);
    }
    result(template, node, found, syntax_errors)
}

/// Checks the definition of an image type, which is not a template.
fn lint_type(node: Node, faults: Vec<DecodeError>) -> LintResult {
    let mut found = Findings::new(usize::MAX);
    let syntax_errors = faults.iter().filter(|fault| fault.kind == DecodeErrorKind::Syntax).count();
    for fault in faults {
        if matches!(fault.kind, DecodeErrorKind::Syntax | DecodeErrorKind::DuplicateKey) {
            report(fault, &mut found);
        }
    }
    test_type::check(&node, &mut found);
    LintResult { is_image_type: true, ..result(Template::default(), node, found, syntax_errors) }
}

/// The findings, ordered by position.
fn result(template: Template, node: Node, found: Findings, syntax_errors: usize) -> LintResult {
    let dropped = found.dropped();
    let (mut findings, _) = found.into_parts();
    findings.sort_by(|a, b| {
        (a.place.start, a.place.end, a.level, a.rule).cmp(&(b.place.start, b.place.end, b.level, b.rule))
    });
    LintResult { template, node, findings, syntax_errors, is_image_type: false, dropped }
}

fn report(fault: DecodeError, found: &mut Findings) {
    found.set_rule(match fault.kind {
        DecodeErrorKind::Syntax => &SYNTAX,
        DecodeErrorKind::DuplicateKey => &DUPLICATE_KEY,
        DecodeErrorKind::MisspeltKey => &MISSPELT_KEY,
        DecodeErrorKind::UnknownKey => &UNKNOWN_KEY,
        DecodeErrorKind::WrongType => &WRONG_TYPE,
    });
    let mut added = found.report(fault.span, fault.message);
    for (span, text) in fault.related {
        added = added.label(span, text);
    }
    if let Some(help) = fault.help {
        added = added.help(help);
    }
    if let Some(fix) = fault.fix {
        added.fix(fix);
    }
}

/// Removes findings that the template allows in `$lint`, and reports invalid or unused entries there.
///
/// Only warnings and notes can be allowed in a template. Errors always make `build` fail.
fn allow(allowances: &[Allowance], found: &mut Findings) {
    let mut silenced = BTreeSet::new();
    let complete = found.dropped() == 0;
    let fired: BTreeSet<&str> = found.list().iter().map(|finding| finding.rule).collect();
    found.set_rule(&LINT_ALLOWANCE);
    for Allowance { rule: name, reason } in allowances {
        if found.is_full() {
            break;
        }
        let remove = || Fix::safe("remove it", Change::Remove(name.span));
        let Some(rule) = rule(&name.value) else {
            let meant = nearest(&name.value, &names());
            let mut added =
                found.report(name.span, format!("unknown lint rule `{}`", name.value.escape_debug()));
            added = added.help(match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`ister rules` lists all rules".to_owned(),
            });
            if let Some(meant) = meant {
                added.fix(Fix::unsafe_(format!("replace with `{meant}`"), Change::string(name.span, meant)));
            }
            continue;
        };
        if rule.level == Level::Error {
            found
                .report(name.span, format!("`{}` is an error and cannot be allowed in a template", rule.name))
                .help("fix the error, or suppress it for one run with `ister lint --allow`")
                .fix(remove());
            continue;
        }
        if reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            let span = reason.as_ref().map_or(name.span, |reason| reason.span);
            found
                .report(span, format!("missing reason for allowing `{}`", rule.name))
                .help("write why the finding is acceptable in this template");
        }
        silenced.insert(rule.name);
        if complete && !fired.contains(rule.name) {
            found
                .report(
                    name.span,
                    format!("unused allowance: `{}` has no findings in this template", rule.name),
                )
                .help("remove it; it would hide a future finding")
                .fix(remove());
        }
    }
    found.retain(|finding| !silenced.contains(finding.rule));
}
