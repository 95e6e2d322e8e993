//! `textDocument/codeAction`: fixes for the findings at the cursor, and all safe fixes together.

use super::diagnostics::diagnostic;
use super::document::Document;
use super::server::Knowledge;
use crate::lint::fix;
use crate::template::{Edit, Safety, Span, resolve};
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
        actions.extend(quick_fixes(document, document.span(params.range)));
    }
    // Only on explicit request, so that it does not appear in the list of quick fixes.
    if params.context.only.is_some() && wanted(&FIX_ALL) {
        actions.extend(fix_all(document, known));
    }
    actions.into_iter().map(CodeActionOrCommand::CodeAction).collect()
}

fn quick_fixes(document: &Document, at: Span) -> Vec<CodeAction> {
    let linted = document.linted();
    let touches = |span: Span| span.start <= at.end && at.start <= span.end;
    linted
        .findings
        .iter()
        .filter(|finding| touches(finding.place))
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

fn fix_all(document: &Document, known: &Knowledge) -> Option<CodeAction> {
    let safe =
        |finding: &crate::lint::Finding| finding.fix.as_ref().is_some_and(|fix| fix.safety == Safety::Safe);
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
