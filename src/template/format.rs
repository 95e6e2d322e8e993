//! The formatter of `ister fmt`.
//!
//! Only white space changes; key order, numbers and escapes are preserved. Each level is indented by four spaces.
//! Entries of a section are on one line each if they fit, so that partitions look like a table.

use super::json::{JsonSyntaxError, read};
use super::node::{Member, Node, Value};
use super::text::Span;

/// The maximum line width, where possible.
const WIDTH: usize = 100;
const INDENT: usize = 4;

/// Formats a template. Returns an error if the text is not valid JSON.
pub fn format(text: &str) -> Result<String, Vec<JsonSyntaxError>> {
    let (root, faults) = read(text);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut out = String::with_capacity(text.len());
    Layout { text, out: &mut out }.node(&root, 0, 0);
    out.push('\n');
    let windows = text.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n"));
    Ok(if windows { out.replace('\n', "\r\n") } else { out })
}

struct Layout<'t, 'o> {
    text: &'t str,
    out: &'o mut String,
}

impl Layout<'_, '_> {
    fn raw(&self, span: Span) -> &str {
        &self.text[span.start..span.end]
    }

    /// Formats a node. `used` is the width that its key takes on the line.
    fn node(&mut self, node: &Node, depth: usize, used: usize) {
        // One column is reserved for the comma.
        let available = WIDTH.saturating_sub(depth * INDENT + used + 1);
        if self.fits_on_one_line(node, depth, available) {
            let line = self.line(node);
            self.out.push_str(&line);
            return;
        }
        match &node.value {
            Value::Array(items) => self.block('[', ']', items, depth, |layout, item| {
                layout.node(item, depth + 1, 0);
            }),
            Value::Object(members) => self.block('{', '}', members, depth, |layout, member: &Member| {
                let key = format!("{}: ", layout.raw(member.key_span));
                layout.out.push_str(&key);
                layout.node(&member.value, depth + 1, key.chars().count());
            }),
            _ => {
                let line = self.line(node);
                self.out.push_str(&line);
            }
        }
    }

    fn block<T>(
        &mut self,
        open: char,
        close: char,
        children: &[T],
        depth: usize,
        each: impl Fn(&mut Self, &T),
    ) {
        self.out.push(open);
        for (index, child) in children.iter().enumerate() {
            self.out.push_str(if index > 0 { ",\n" } else { "\n" });
            self.out.push_str(&" ".repeat((depth + 1) * INDENT));
            each(self, child);
        }
        self.out.push('\n');
        self.out.push_str(&" ".repeat(depth * INDENT));
        self.out.push(close);
    }

    fn fits_on_one_line(&self, node: &Node, depth: usize, available: usize) -> bool {
        let is_container = |node: &Node| matches!(&node.value, Value::Array(_) | Value::Object(_));
        match &node.value {
            Value::Array(items) if items.is_empty() => true,
            Value::Object(members) if members.is_empty() => true,
            // The sections of the template have one entry per line.
            Value::Array(items) if depth < 2 && items.iter().any(is_container) => false,
            Value::Object(members) if depth < 2 && members.iter().any(|m| is_container(&m.value)) => false,
            Value::Array(_) | Value::Object(_) => depth > 0 && self.width(node, available).is_some(),
            _ => true,
        }
    }

    /// The length of [`line`](Self::line), or `None` if it exceeds `available`.
    fn width(&self, node: &Node, available: usize) -> Option<usize> {
        let raw = |span: Span| self.raw(span).chars().take(available + 1).count();
        let mut width = 0;
        match &node.value {
            Value::Array(items) => {
                width += "[]".len();
                for (index, item) in items.iter().enumerate() {
                    width += if index > 0 { ", ".len() } else { 0 };
                    width += self.width(item, available.checked_sub(width)?)?;
                }
            }
            Value::Object(members) if members.is_empty() => width += "{}".len(),
            Value::Object(members) => {
                width += "{  }".len();
                for (index, member) in members.iter().enumerate() {
                    width += if index > 0 { ", ".len() } else { 0 };
                    width += raw(member.key_span) + ": ".len();
                    width += self.width(&member.value, available.checked_sub(width)?)?;
                }
            }
            _ => width += raw(node.span),
        }
        (width <= available).then_some(width)
    }

    fn line(&self, node: &Node) -> String {
        match &node.value {
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.line(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Object(members) if members.is_empty() => "{}".to_owned(),
            Value::Object(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|m| format!("{}: {}", self.raw(m.key_span), self.line(&m.value)))
                    .collect();
                format!("{{ {} }}", members.join(", "))
            }
            _ => self.raw(node.span).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn partitions_are_on_one_line_each() {
        let text = r#"{"PartitionLayout":[{"disk":"a","partition":1,"size":"1G"},
            {"disk":"a", "partition":2, "size":"2G"}],"Bundles":["os-core","kernel-kvm"],
            "Users":[{"username":"ada","password":{"env":"X"}}],"Static_IP":{},"$lint":{"allow":{"a":"b"}}}"#;
        insta::assert_snapshot!(format(text).unwrap(), @r#"
        {
            "PartitionLayout": [
                { "disk": "a", "partition": 1, "size": "1G" },
                { "disk": "a", "partition": 2, "size": "2G" }
            ],
            "Bundles": ["os-core", "kernel-kvm"],
            "Users": [
                { "username": "ada", "password": { "env": "X" } }
            ],
            "Static_IP": {},
            "$lint": {
                "allow": { "a": "b" }
            }
        }
        "#);
    }

    #[test]
    fn long_arrays_are_split_over_lines() {
        let names: Vec<String> = (0..20).map(|n| format!("\"bundle-{n}\"")).collect();
        let text = format(&format!("{{\"Bundles\": [{}]}}", names.join(","))).unwrap();
        assert_eq!(text.lines().count(), 24);
        assert!(text.contains("        \"bundle-3\",\n"));
    }

    #[test]
    fn line_ends_are_preserved() {
        assert_eq!(format("{\r\n\"a\":1}").unwrap(), "{\r\n    \"a\": 1\r\n}\r\n");
        assert!(format("{a: 1}").is_err());
    }

    #[test]
    fn published_templates_are_formatted() {
        for text in [
            include_str!("../../vm-tests/kvm/template.json"),
            include_str!("../../vm-tests/kvm-legacy/template.json"),
        ] {
            assert_eq!(format(text).unwrap(), text);
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|n| n.to_string()),
            "[a-zé\\\\\"]{0,30}".prop_map(|text| serde_json::Value::from(text).to_string()),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8)
                    .prop_map(|items| format!("[{}]", items.join(" ,\n"))),
                prop::collection::vec(("[a-z]{1,12}", inner), 0..8).prop_map(|members| {
                    let members: Vec<String> =
                        members.iter().map(|(k, v)| format!("\"{k}\"  :{v}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn formatting_only_changes_white_space_and_is_idempotent(text in json()) {
            let once = format(&text).unwrap();
            prop_assert_eq!(read(&once).0.to_plain(), read(&text).0.to_plain());
            prop_assert_eq!(format(&once).unwrap(), once);
        }
    }
}
