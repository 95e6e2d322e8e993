//! JUnit XML, as CI systems read it: a test case for each template, failed where there are errors.

use super::Checked;
use crate::lint::Level;
use std::fmt::Write;

pub fn junit(files: &[Checked]) -> String {
    let failed = files.iter().filter(|file| file.linted.has_errors()).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\"", files.len());
    let _ = writeln!(out, "<testsuites {counts}>\n  <testsuite name=\"ister lint\" {counts} skipped=\"0\">");
    for file in files {
        let name = escape(file.source.name());
        let _ =
            write!(out, "    <testcase classname=\"ister.lint\" name=\"{name}\" file=\"{name}\" time=\"0\"");
        let said = |wanted: fn(Level) -> bool| -> String {
            let lines = file.linted.findings.iter().filter(|f| wanted(f.level)).map(|f| {
                let help = f.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
                format!("{}: {}[{}] {}{help}\n", file.source.place(f.span), f.level.name(), f.rule, f.message)
            });
            lines.collect()
        };
        let errors = said(|level| level == Level::Error);
        let others = said(|level| level != Level::Error);
        if errors.is_empty() && others.is_empty() {
            out.push_str("/>\n");
            continue;
        }
        out.push_str(">\n");
        if !errors.is_empty() {
            let count = file.count(Level::Error);
            let what = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
            let _ = writeln!(
                out,
                "      <failure type=\"lint\" message=\"{what}\">{}</failure>",
                escape(&errors)
            );
        }
        if !others.is_empty() {
            let _ = writeln!(out, "      <system-out>{}</system-out>", escape(&others));
        }
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Text for XML 1.0, which knows no control characters but three. Source: XML 1.0, section 2.2.
pub(in crate::report) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if (c as u32) < 0x20 || matches!(c as u32, 0xfffe | 0xffff) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
