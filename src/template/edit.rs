//! Fixes, and the text edits that they consist of.
//!
//! A [`Change`] is in terms of the template ("remove this member", "add this key"). [`resolve`] turns it into
//! [`Edit`]s of the text, which preserve the indentation, line ends and key order of the file.

use super::node::{Node, Value};
use super::text::Span;
use std::collections::BTreeMap;

/// A fix for a finding, for `--fix` and for editors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What the fix does, as shown in the menu of an editor: "write `true`".
    pub title: String,
    pub safety: Safety,
    pub changes: Vec<Change>,
}

/// Whether a fix can be applied without review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// The fix preserves the obvious meaning of the template and loses no text.
    Safe,
    /// The fix is a guess, or changes the image.
    Unsafe,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replaces the text of a span; an empty span inserts.
    Replace(Span, String),
    /// Removes the array item, or the object member with this key or value span, and its comma.
    Remove(Span),
    /// Appends a member to the object at this place. The value is JSON.
    AddKey { object: Span, key: String, value: String },
    /// Appends an item, as JSON, to the array at this place.
    AddItem { array: Span, item: String },
}

/// A replacement for a range of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub span: Span,
    pub text: String,
}

impl Fix {
    pub fn safe(title: impl Into<String>, change: Change) -> Fix {
        Fix { title: title.into(), safety: Safety::Safe, changes: vec![change] }
    }

    pub fn unsafe_(title: impl Into<String>, change: Change) -> Fix {
        Fix { title: title.into(), safety: Safety::Unsafe, changes: vec![change] }
    }
}

impl Change {
    /// Replaces a span with a JSON string.
    pub fn string(span: Span, text: &str) -> Change {
        Change::Replace(span, json_string(text))
    }
}

/// A text as a JSON string, with quotes.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The edits for the changes, in the order of the text. `None` if a place is not in the document.
pub fn resolve(changes: &[Change], text: &str, root: &Node) -> Option<Vec<Edit>> {
    let mut edits = changes
        .iter()
        .map(|change| match change {
            Change::Replace(span, with) => Some(Edit { span: *span, text: with.clone() }),
            Change::Remove(span) => remove(*span, root),
            Change::AddKey { object, key, value } => {
                let node = container(root, *object)?;
                add(node, text, |colon| format!("{}{colon}{value}", json_string(key)))
            }
            Change::AddItem { array, item } => {
                let node = container(root, *array)?;
                add(node, text, |_| item.clone())
            }
        })
        .collect::<Option<Vec<Edit>>>()?;
    edits.sort_by_key(|edit| edit.span);
    Some(edits)
}

/// Applies all groups of edits that do not touch an earlier group. Returns the new text and the indices of the applied
/// groups.
pub fn apply<G: AsRef<[Edit]>>(text: &str, groups: &[G]) -> (String, Vec<usize>) {
    // Sorted by place. Edits of different groups never touch each other.
    let mut taken: BTreeMap<(usize, usize), &Edit> = BTreeMap::new();
    let mut made = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let group = group.as_ref();
        let alone = group.iter().all(|edit| is_free(&taken, edit.span));
        let ordered = group
            .windows(2)
            .all(|pair| pair[0].span.end <= pair[1].span.start && pair[0].span != pair[1].span);
        if alone && ordered {
            made.push(index);
            taken.extend(group.iter().map(|edit| ((edit.span.start, edit.span.end), edit)));
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in taken.into_values() {
        out.push_str(&text[at..edit.span.start]);
        out.push_str(&edit.text);
        at = edit.span.end;
    }
    out.push_str(&text[at..]);
    (out, made)
}

/// Whether no edit overlaps or touches a place, because the order of two insertions at the same place would be
/// arbitrary.
fn is_free(taken: &BTreeMap<(usize, usize), &Edit>, span: Span) -> bool {
    let before = taken.range(..(span.start, 0)).next_back();
    let meets = before.is_some_and(|(&(start, end), _)| {
        end > span.start || end == span.start && (start == end || span.start == span.end)
    });
    // The next edit may start where this one ends, unless one of them is an insertion.
    let mut behind = taken.range((span.start, 0)..=(span.end, usize::MAX));
    let behind = behind.any(|(&(start, end), _)| {
        start < span.end || start == span.start || start == end || span.start == span.end
    });
    !meets && !behind
}

/// The number of children of a container.
fn count(node: &Node) -> usize {
    match &node.value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

/// The span of a container's child, from the start of the key or item to the end of the value.
fn child(node: &Node, index: usize) -> Option<Span> {
    match &node.value {
        Value::Object(members) => {
            members.get(index).map(|m| Span::new(m.key_span.start, m.value.span.end.max(m.key_span.end)))
        }
        Value::Array(items) => items.get(index).map(|item| item.span),
        _ => None,
    }
}

/// The child that contains a place. Uses binary search, because children are in the order of the text.
fn child_at(node: &Node, span: Span) -> Option<usize> {
    let after = match &node.value {
        Value::Object(members) => members.partition_point(|m| m.key_span.start <= span.start),
        Value::Array(items) => items.partition_point(|item| item.span.start <= span.start),
        _ => 0,
    };
    after.checked_sub(1)
}

fn remove(span: Span, root: &Node) -> Option<Edit> {
    let (parent, index) = find_child(root, span)?;
    let this = child(parent, index)?;
    let before = index.checked_sub(1).and_then(|before| child(parent, before));
    let range = match (before, child(parent, index + 1)) {
        (_, Some(next)) => Span::new(this.start, next.start),
        (Some(before), None) => Span::new(before.end, this.end),
        // Remove all text between the brackets if it is the only child.
        (None, None) => Span::new(parent.span.start + 1, parent.span.end.saturating_sub(1).max(this.end)),
    };
    Some(Edit { span: range, text: String::new() })
}

/// The container of an item or member, and its index there.
fn find_child(node: &Node, span: Span) -> Option<(&Node, usize)> {
    let index = child_at(node, span)?;
    let value = match &node.value {
        Value::Object(members) => {
            let member = &members[index];
            if member.key_span == span || member.value.span == span {
                return Some((node, index));
            }
            &member.value
        }
        Value::Array(items) => {
            let item = &items[index];
            if item.span == span {
                return Some((node, index));
            }
            item
        }
        _ => return None,
    };
    find_child(value, span)
}

/// The object or array at a place.
fn container(node: &Node, span: Span) -> Option<&Node> {
    let value = match &node.value {
        Value::Object(_) | Value::Array(_) if node.span == span => return Some(node),
        Value::Object(members) => &members[child_at(node, span)?].value,
        Value::Array(items) => &items[child_at(node, span)?],
        _ => return None,
    };
    container(value, span)
}

/// Appends a child, formatted like the one before it.
fn add(node: &Node, text: &str, new: impl Fn(&str) -> String) -> Option<Edit> {
    let count = count(node);
    let Some(last) = count.checked_sub(1).and_then(|last| child(node, last)) else {
        let inside = Span::new(node.span.start + 1, node.span.end.checked_sub(1)?);
        return Some(Edit { span: inside, text: new(": ") });
    };
    let before =
        count.checked_sub(2).and_then(|i| child(node, i)).map_or(node.span.start + 1, |child| child.end);
    // The white space between two children, or between the bracket and the only one.
    let gap = text.get(before..last.start)?.trim_start_matches(',');
    let gap = if gap.is_empty() && count == 1 { " " } else { gap };
    let gap = if gap.trim().is_empty() { gap } else { " " };
    let colon = match &node.value {
        Value::Object(members) => members
            .last()
            .and_then(|m| text.get(m.key_span.end..m.value.span.start))
            .filter(|colon| colon.trim() == ":")
            .unwrap_or(": "),
        _ => "",
    };
    Some(Edit { span: Span::new(last.end, last.end), text: format!(",{gap}{}", new(colon)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::json;

    fn changed(text: &str, change: impl Fn(&dyn Fn(&str) -> Span) -> Change) -> String {
        let (root, _) = json::read(text);
        let place = |part: &str| {
            let start = text.find(part).unwrap();
            Span::new(start, start + part.len())
        };
        let edits = resolve(&[change(&place)], text, &root).unwrap();
        apply(text, &[edits]).0
    }

    #[test]
    fn removing_includes_the_comma_and_preserves_lines() {
        let text = "{\n  \"a\": 1,\n  \"b\": [1, 22, 3]\n}";
        for (part, expect) in [
            ("\"a\"", "{\n  \"b\": [1, 22, 3]\n}"),
            ("\"b\"", "{\n  \"a\": 1\n}"),
            ("22", "{\n  \"a\": 1,\n  \"b\": [1, 3]\n}"),
            ("3", "{\n  \"a\": 1,\n  \"b\": [1, 22]\n}"),
        ] {
            assert_eq!(changed(text, |place| Change::Remove(place(part))), expect);
        }
        assert_eq!(changed("[ 7 ]", |place| Change::Remove(place("7"))), "[]");
    }

    #[test]
    fn adding_follows_the_style_of_the_file() {
        let key = |text: &str| {
            changed(text, |place| Change::AddKey {
                object: place(text.trim()),
                key: "k".into(),
                value: "1".into(),
            })
        };
        assert_eq!(key("{\r\n\t\"a\" : 1\r\n}"), "{\r\n\t\"a\" : 1,\r\n\t\"k\" : 1\r\n}");
        assert_eq!(key("{\"a\": 1, \"b\": 2}"), "{\"a\": 1, \"b\": 2, \"k\": 1}");
        assert_eq!(key("{ \"a\":1 }"), "{ \"a\":1, \"k\":1 }");
        assert_eq!(key("{ }"), "{\"k\": 1}");
        let item =
            |text: &str| changed(text, |place| Change::AddItem { array: place(text), item: "9".into() });
        assert_eq!(item("[1,\n 2]"), "[1,\n 2,\n 9]");
        assert_eq!(item("[]"), "[9]");
    }

    #[test]
    fn touching_edits_wait_for_the_next_round() {
        let edit = |start, end, text: &str| vec![Edit { span: Span::new(start, end), text: text.into() }];
        let groups = [edit(0, 2, "x"), edit(1, 3, "y"), edit(4, 4, "z"), edit(4, 4, "w"), edit(5, 6, "")];
        assert_eq!(apply("abcdef", &groups), ("xcdze".to_owned(), vec![0, 2, 4]));
        // A group may surround another one. A group whose own edits overlap is not applied.
        let around = vec![edit(0, 0, "[").remove(0), edit(6, 6, "]").remove(0)];
        let overlapping = vec![edit(1, 3, "x").remove(0), edit(2, 4, "y").remove(0)];
        assert_eq!(
            apply("abcdef", &[edit(2, 3, "C"), around, overlapping]),
            ("[abCdef]".to_owned(), vec![0, 1])
        );
    }
}
