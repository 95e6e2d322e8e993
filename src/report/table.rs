//! Text tables with columns as wide as their longest cell.

pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// Columns whose index is in `right` are right-aligned, as is usual for numbers.
    pub fn new(head: &[&'static str], right: &[usize]) -> Table {
        Table { head: head.to_vec(), rows: Vec::new(), right: right.to_vec() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// As wide as the cells are.
    pub fn render(&self) -> String {
        self.render_within(None)
    }

    /// At most `width` columns wide: the last cells are wrapped between words. If too little is left for them, each row
    /// becomes a paragraph.
    pub fn render_within(&self, width: Option<usize>) -> String {
        let head: Vec<String> = self.head.iter().map(|h| h.to_string()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(&self.rows).collect();
        let widest = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(widest).collect();
        let last = head.len().saturating_sub(1);
        let before: usize = widths.iter().take(last).map(|width| width + GAP).sum();
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(before));
        if room < LEAST_WRAPPED && widths.last().is_some_and(|last| *last > room) {
            return self.paragraphs(width.unwrap_or(usize::MAX));
        }
        let mut out = String::new();
        for line in lines {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let fill = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                if column > 0 {
                    text.push_str(&" ".repeat(GAP));
                }
                match (self.right.contains(&column), column == last) {
                    (true, _) => text.push_str(&(fill + cell)),
                    (false, true) => text.push_str(&wrapped(cell, room, &" ".repeat(before))),
                    (false, false) => text.push_str(&(cell.to_owned() + &fill)),
                }
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }

    fn paragraphs(&self, width: usize) -> String {
        let row = |cells: &Vec<String>| {
            let cells: Vec<&str> = cells.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
            let (last, first) = cells.split_last().map_or(("", &[][..]), |(last, first)| (*last, first));
            let indent = " ".repeat(GAP);
            let text = wrapped(last, width.saturating_sub(GAP), &indent);
            format!("{}\n{indent}{text}\n", wrapped(&first.join("  "), width, &indent))
        };
        self.rows.iter().map(row).collect()
    }
}

/// Blanks between columns.
pub(super) const GAP: usize = 2;
/// The last column is not made narrower than this.
const LEAST_WRAPPED: usize = 24;

/// A text in lines of at most `width` characters, broken between words. All lines but the first begin with `indent`, which does not
/// count. Longer words have a line of their own.
pub(super) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            out.push('\n');
            out.push_str(indent);
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["name", "n"], &[1]);
        table.row(["a".into(), "10".into()]);
        table.row(["long one".into(), "7".into()]);
        assert_eq!(table.render(), "name       n\na         10\nlong one   7\n");
    }

    #[test]
    fn the_last_column_is_wrapped_between_words() {
        let mut table = Table::new(&["name", "text"], &[]);
        table.row(["a".into(), "one two three four five six seven".into()]);
        let wide = "name  text\na     one two three four five six seven\n";
        assert_eq!(table.render_within(Some(80)), wide);
        assert_eq!(table.render(), wide);
        assert_eq!(
            table.render_within(Some(31)),
            "name  text\na     one two three four five\n      six seven\n"
        );
        assert_eq!(table.render_within(Some(20)), "a\n  one two three four\n  five six seven\n");
    }
}
