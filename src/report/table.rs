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

    pub fn render(&self) -> String {
        let head: Vec<String> = self.head.iter().map(|h| h.to_string()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut out = String::new();
        for line in lines {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let fill = " ".repeat(widths[column] - cell.chars().count());
                if column > 0 {
                    text.push_str("  ");
                }
                if self.right.contains(&column) {
                    text.push_str(&fill);
                    text.push_str(cell);
                } else {
                    text.push_str(cell);
                    text.push_str(&fill);
                }
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
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
}
