//! `textDocument/publishDiagnostics`: the findings of the linter.

use super::document::Document;
use crate::lint::{Finding, Level, is_type_definition};
use lsp_types::{
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString,
    PublishDiagnosticsParams,
};

pub(super) fn diagnostics(document: &Document) -> PublishDiagnosticsParams {
    let findings = if document.is_template() || is_type_definition(&document.linted().node) {
        document.linted().findings.as_slice()
    } else {
        &[]
    };
    PublishDiagnosticsParams {
        uri: document.uri.clone(),
        diagnostics: findings.iter().map(|finding| diagnostic(document, finding)).collect(),
        version: Some(document.version),
    }
}

pub(super) fn diagnostic(document: &Document, finding: &Finding) -> Diagnostic {
    let related = finding.labels.iter().map(|(span, text)| DiagnosticRelatedInformation {
        location: Location { uri: document.uri.clone(), range: document.range(*span) },
        message: text.clone(),
    });
    let help = finding.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    Diagnostic {
        range: document.range(finding.place),
        severity: Some(match finding.level {
            Level::Error => DiagnosticSeverity::ERROR,
            Level::Warning => DiagnosticSeverity::WARNING,
            Level::Note => DiagnosticSeverity::INFORMATION,
        }),
        code: Some(NumberOrString::String(finding.rule.to_owned())),
        source: Some("ister".to_owned()),
        message: format!("{}{help}", finding.message),
        related_information: Some(related.collect()).filter(|list: &Vec<_>| !list.is_empty()),
        ..Diagnostic::default()
    }
}
