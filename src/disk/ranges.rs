//! Byte ranges.

use std::ops::Range;

/// Sorts ranges, removes empty ones, and joins those that touch or overlap.
pub fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Subtracts `holes` from `ranges`; both are sorted and merged.
pub fn without(ranges: Vec<Range<u64>>, holes: &[Range<u64>]) -> Vec<Range<u64>> {
    if holes.is_empty() {
        return ranges;
    }
    let mut left = Vec::new();
    let mut next = 0;
    for Range { mut start, end } in ranges {
        while next < holes.len() && holes[next].end <= start {
            next += 1;
        }
        for hole in holes[next..].iter().take_while(|hole| hole.start < end) {
            if hole.start > start {
                left.push(start..hole.start);
            }
            start = start.max(hole.end);
        }
        if start < end {
            left.push(start..end);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_ranges_are_merged() {
        assert_eq!(merged(vec![8..10, 0..4, 4..6, 7..7, 9..12]), [0..6, 8..12]);
    }
}
