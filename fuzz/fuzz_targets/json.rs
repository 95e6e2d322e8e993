//! The JSON reader: arbitrary bytes result in a tree whose spans are inside the text and on character boundaries, with
//! children in order and inside their parents. If serde_json accepts the text, our reader returns the same value without
//! errors; otherwise it returns at least one error. Formatting is idempotent.

#![no_main]

use ister::template::{Node, SourceText, Span, Value, format_json, read_json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let source = SourceText::from_bytes("fuzz.json", bytes.to_vec());
    let text = source.text();
    let (root, faults) = read_json(text);
    let inside = |span: Span| {
        assert!(span.start <= span.end && span.end <= text.len());
        assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
        let (start, end) = (source.position(span.start), source.position(span.end));
        assert!(start <= end && start.line >= 1 && start.column >= 1);
    };
    faults.iter().for_each(|fault| inside(fault.span));
    check(&root, &inside);

    // Like serde_json, the reader limits nesting to 128 levels, and reports an error for deeper texts.
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => {
            assert!(faults.is_empty(), "{faults:?}");
            assert_eq!(root.to_plain(), value);
            let once = format_json(text).expect("serde_json accepts the text");
            assert_eq!(read_json(&once).0.to_plain(), value);
            assert_eq!(format_json(&once).expect("formatted JSON is valid"), once);
        }
        Err(error) => assert!(!faults.is_empty() || error.to_string().contains("out of range"), "{error}"),
    }
});

fn check(node: &Node, inside: &dyn Fn(Span)) {
    inside(node.span);
    let mut last = node.span.start;
    let mut child = |span: Span| {
        assert!(node.span.contains(span) && last <= span.start, "{span:?} in {:?} after {last}", node.span);
        last = span.end;
    };
    match &node.value {
        Value::Array(items) => {
            for item in items {
                child(item.span);
                check(item, inside);
            }
        }
        Value::Object(members) => {
            for member in members {
                inside(member.key_span);
                child(member.key_span);
                child(member.value.span);
                check(&member.value, inside);
            }
        }
        _ => {}
    }
}
