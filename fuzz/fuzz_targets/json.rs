//! The reader: any bytes give a tree whose places lie inside the text, on character boundaries, children inside their
//! parents and in order. Where serde_json reads the text, ours gives the same value and no fault; where it does not, at
//! least one. What can be laid out is laid out once: the layout of a layout is itself.

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

    // The reader stops at 128 levels, as serde_json does; what is deeper says so.
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => {
            assert!(faults.is_empty(), "{faults:?}");
            assert_eq!(root.to_plain(), value);
            let once = format_json(text).expect("it is JSON");
            assert_eq!(read_json(&once).0.to_plain(), value);
            assert_eq!(format_json(&once).expect("it is JSON still"), once);
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
