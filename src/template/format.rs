//! `ister fmt`: one way to lay a template out.
//!
//! What stands in a file stays as it was written (key order, numbers, escapes); only white space changes. Four spaces a
//! level; an entry of a section stands on one line if it fits, so that partitions read like a table.

use super::json::{SyntaxFault, read};
use super::node::{Member, Node, Value};
use super::text::Span;

/// Lines are no longer than this, where they can be shorter.
const WIDTH: usize = 100;
const INDENT: usize = 4;

/// The text in its one layout. `Err` where it is not JSON: what was not understood is not moved around.
pub fn format(text: &str) -> Result<String, Vec<SyntaxFault>> {
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

    /// `used`: how much of the line the key takes.
    fn node(&mut self, node: &Node, depth: usize, used: usize) {
        // One character is the comma's.
        let room = WIDTH.saturating_sub(depth * INDENT + used + 1);
        if self.stands_on_one_line(node, depth, room) {
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

    fn stands_on_one_line(&self, node: &Node, depth: usize, room: usize) -> bool {
        let is_container = |node: &Node| matches!(&node.value, Value::Array(_) | Value::Object(_));
        match &node.value {
            Value::Array(items) if items.is_empty() => true,
            Value::Object(members) if members.is_empty() => true,
            // The sections of the template are lists of lines.
            Value::Array(items) if depth < 2 && items.iter().any(is_container) => false,
            Value::Object(members) if depth < 2 && members.iter().any(|m| is_container(&m.value)) => false,
            Value::Array(_) | Value::Object(_) => depth > 0 && self.width(node, room).is_some(),
            _ => true,
        }
    }

    /// The length of [`line`](Self::line), or `None` where that is more than `room`.
    fn width(&self, node: &Node, room: usize) -> Option<usize> {
        let raw = |span: Span| self.raw(span).chars().take(room + 1).count();
        let mut width = 0;
        match &node.value {
            Value::Array(items) => {
                width += "[]".len();
                for (index, item) in items.iter().enumerate() {
                    width += if index > 0 { ", ".len() } else { 0 };
                    width += self.width(item, room.checked_sub(width)?)?;
                }
            }
            Value::Object(members) if members.is_empty() => width += "{}".len(),
            Value::Object(members) => {
                width += "{  }".len();
                for (index, member) in members.iter().enumerate() {
                    width += if index > 0 { ", ".len() } else { 0 };
                    width += raw(member.key_span) + ": ".len();
                    width += self.width(&member.value, room.checked_sub(width)?)?;
                }
            }
            _ => width += raw(node.span),
        }
        (width <= room).then_some(width)
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
    fn partitions_read_like_a_table() {
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
    fn what_is_too_long_for_a_line_gets_several() {
        let names: Vec<String> = (0..20).map(|n| format!("\"bundle-{n}\"")).collect();
        let text = format(&format!("{{\"Bundles\": [{}]}}", names.join(","))).unwrap();
        assert_eq!(text.lines().count(), 24);
        assert!(text.contains("        \"bundle-3\",\n"));
    }

    #[test]
    fn line_ends_stay() {
        assert_eq!(format("{\r\n\"a\":1}").unwrap(), "{\r\n    \"a\": 1\r\n}\r\n");
        assert!(format("{a: 1}").is_err());
    }

    #[test]
    fn our_own_templates_are_laid_out_like_this() {
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
        fn formatting_changes_nothing_but_space_and_settles_at_once(text in json()) {
            let once = format(&text).unwrap();
            prop_assert_eq!(read(&once).0.to_plain(), read(&text).0.to_plain());
            prop_assert_eq!(format(&once).unwrap(), once);
        }
    }
}
