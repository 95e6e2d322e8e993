//! `textDocument/codeAction`: fixes for the findings at the cursor, and all safe fixes together.

use super::diagnostics::diagnostic;
use super::document::Document;
use super::server::Knowledge;
use crate::lint::{Finding, Level, fix, rule};
use crate::template::{Edit, Override, Safety, Span, format_json, resolve};
use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, TextEdit, Uri, WorkspaceEdit,
};
use std::collections::HashMap;

/// All safe fixes. Editors request this kind of action when a file is saved.
pub(super) const FIX_ALL: CodeActionKind = CodeActionKind::new("source.fixAll.ister");

pub(super) fn actions(
    document: &Document,
    params: &CodeActionParams,
    known: &Knowledge,
) -> Vec<CodeActionOrCommand> {
    if !document.is_template() {
        return Vec::new();
    }
    let wanted = |kind: &CodeActionKind| match &params.context.only {
        None => true,
        Some(only) => only.iter().any(|only| {
            only.as_str().is_empty()
                || kind.as_str() == only.as_str()
                || kind.as_str().starts_with(&format!("{}.", only.as_str()))
        }),
    };
    let mut actions = Vec::new();
    if wanted(&CodeActionKind::QUICKFIX) {
        let at = document.span(params.range);
        actions.extend(quick_fixes(document, at));
        // One for each rule, after the fixes.
        let mut rules = Vec::new();
        for finding in findings_at(document, at).filter(|_| document.linted().syntax_errors == 0) {
            if !rules.contains(&finding.rule) {
                rules.push(finding.rule);
                actions.extend(allow(document, finding));
            }
        }
    }
    // Only on explicit request, so that it does not appear in the list of quick fixes.
    if params.context.only.is_some() && wanted(&FIX_ALL) {
        actions.extend(fix_all(document, known));
    }
    actions.into_iter().map(CodeActionOrCommand::CodeAction).collect()
}

fn findings_at(document: &Document, at: Span) -> impl Iterator<Item = &Finding> {
    let touches = move |span: Span| span.start <= at.end && at.start <= span.end;
    document.linted().findings.iter().filter(move |finding| touches(finding.place))
}

fn quick_fixes(document: &Document, at: Span) -> Vec<CodeAction> {
    let linted = document.linted();
    findings_at(document, at)
        .filter_map(|finding| {
            let fix = finding.fix.as_ref()?;
            let edits = resolve(&fix.changes, document.text(), &linted.node)?;
            Some(CodeAction {
                title: format!("{} ({})", fix.title, finding.rule),
                kind: Some(CodeActionKind::QUICKFIX),
                diagnostics: Some(vec![diagnostic(document, finding)]),
                edit: Some(workspace_edit(&document.uri, text_edits(document, &edits))),
                is_preferred: (fix.safety == Safety::Safe).then_some(true),
                ..CodeAction::default()
            })
        })
        .collect()
}

/// Adds an entry to `$lint`, with an empty reason, which the linter then asks for.
fn allow(document: &Document, finding: &Finding) -> Option<CodeAction> {
    // Errors cannot be allowed in a template.
    if rule(finding.rule).is_none_or(|rule| rule.level == Level::Error) {
        return None;
    }
    let mut settings = document.linted().node.to_plain()["$lint"].take();
    if !settings.is_object() {
        settings = serde_json::json!({});
    }
    if !settings["allow"].is_object() {
        settings["allow"] = serde_json::json!({});
    }
    settings["allow"][finding.rule] = "".into();
    let changed = Override::json("$lint", &settings).apply(document.source());
    let formatted = |text: &str| format_json(text).ok();
    let was_formatted = formatted(document.text()).as_deref() == Some(document.text());
    let text = if was_formatted { formatted(changed.text())? } else { changed.text().to_owned() };
    Some(CodeAction {
        title: format!("allow `{}` in this template, with a reason", finding.rule),
        kind: Some(CodeActionKind::QUICKFIX),
        diagnostics: Some(vec![diagnostic(document, finding)]),
        edit: Some(workspace_edit(&document.uri, vec![whole_text(document, &text)])),
        ..CodeAction::default()
    })
}

fn fix_all(document: &Document, known: &Knowledge) -> Option<CodeAction> {
    let safe = |finding: &Finding| finding.fix.as_ref().is_some_and(|fix| fix.safety == Safety::Safe);
    let fixed = fix(document.source(), &|text| document.judge_text(text, known), &safe);
    (fixed.source.text() != document.text()).then(|| CodeAction {
        title: "apply all safe fixes".to_owned(),
        kind: Some(FIX_ALL),
        edit: Some(workspace_edit(&document.uri, vec![whole_text(document, fixed.source.text())])),
        ..CodeAction::default()
    })
}

pub(super) fn text_edits(document: &Document, edits: &[Edit]) -> Vec<TextEdit> {
    edits
        .iter()
        .map(|edit| TextEdit { range: document.range(edit.span), new_text: edit.text.clone() })
        .collect()
}

/// Replaces the whole text, except for common parts at the start and end, so that cursors there do not move.
pub(super) fn whole_text(document: &Document, text: &str) -> TextEdit {
    let old = document.text();
    let start = old
        .char_indices()
        .zip(text.chars())
        .find(|((_, a), b)| a != b)
        .map_or_else(|| old.len().min(text.len()), |((at, _), _)| at);
    let same = old[start..].chars().rev().zip(text[start..].chars().rev()).take_while(|(a, b)| a == b);
    let end: usize = same.map(|(c, _)| c.len_utf8()).sum();
    let span = Span::new(start, old.len() - end);
    TextEdit { range: document.range(span), new_text: text[start..text.len() - end].to_owned() }
}

pub(super) fn workspace_edit(uri: &Uri, edits: Vec<TextEdit>) -> WorkspaceEdit {
    WorkspaceEdit { changes: Some(HashMap::from([(uri.clone(), edits)])), ..WorkspaceEdit::default() }
}
