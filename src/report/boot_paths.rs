//! Renders boot paths as a text tree and as SVG.

use super::svg::{STYLE, escaped};
use crate::verify::boot_path::{BootPaths, PathStep};

/// A line of the tree.
struct TreeLine {
    /// Indentation level; 0 is a firmware.
    depth: usize,
    text: String,
    is_issue: bool,
    /// Firmware or boot loader start it by default.
    is_default: bool,
}

fn lines(paths: &BootPaths) -> Vec<TreeLine> {
    let mut found = Vec::new();
    for path in &paths.paths {
        let text = path.firmware.to_string();
        found.push(TreeLine { depth: 0, text, is_issue: false, is_default: true });
        step(paths, &path.start, 1, true, &mut found);
    }
    found
}

fn step(paths: &BootPaths, step_: &PathStep, depth: usize, is_default: bool, found: &mut Vec<TreeLine>) {
    let is_default = is_default && !step_.is_alternative;
    let place = |partition: u32, path: &str| match partition {
        0 => path.to_owned(),
        number => format!("partition {number}: {path}"),
    };
    let file =
        step_.file.as_ref().map(|at| format!("  ({})", place(at.partition, &at.path))).unwrap_or_default();
    let marked = if step_.is_alternative { "  [not the default]" } else { "" };
    found.push(TreeLine {
        depth,
        text: format!("{}{file}{marked}", step_.title),
        is_issue: false,
        is_default,
    });
    let mut leaf =
        |text: String, is_issue: bool| found.push(TreeLine { depth: depth + 1, text, is_issue, is_default });
    for issue in &step_.issues {
        leaf(format!("error: {}", issue.message), true);
    }
    if let Some(kernel) = step_.kernel.and_then(|index| paths.kernels.get(index)) {
        if let Some((at, image)) = &kernel.image {
            let version = image.version.as_deref().unwrap_or("of unknown version");
            leaf(format!("kernel {version}  ({})", place(at.partition, &at.path)), false);
            image.damage.iter().for_each(|damage| leaf(format!("error: {damage}"), true));
        }
        for (at, archive) in &kernel.initramfs {
            leaf(format!("initramfs  ({})", place(at.partition, &at.path)), false);
            archive.damage.iter().for_each(|damage| leaf(format!("error: {damage}"), true));
        }
        if !kernel.options.is_empty() {
            leaf(format!("command line  {}", kernel.options), false);
        }
    }
    for next in &step_.next {
        step(paths, next, depth + 1, is_default, found);
    }
}

/// Renders a text tree in the style of tree(1).
pub fn boot_paths_text(paths: &BootPaths) -> String {
    let lines = lines(paths);
    if lines.is_empty() {
        return "no firmware finds a boot loader\n".to_owned();
    }
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        // Whether the next line at this depth or above is at this depth.
        let goes_on = |depth: usize| {
            let later = lines[index + 1..].iter().find(|later| later.depth <= depth);
            later.is_some_and(|later| later.depth == depth)
        };
        for depth in 1..line.depth {
            out.push_str(if goes_on(depth) { "│  " } else { "   " });
        }
        if line.depth > 0 {
            out.push_str(if goes_on(line.depth) { "├─ " } else { "└─ " });
        }
        out.push_str(&line.text);
        out.push('\n');
    }
    out
}

const HEIGHT: f64 = 22.0;
const INDENT: f64 = 24.0;
const MARGIN: f64 = 20.0;
/// Approximate width of a character.
const LETTER: f64 = 7.2;

/// Renders a complete SVG document with one box per step: the default path in green, issues in red.
pub fn boot_paths_svg(paths: &BootPaths) -> String {
    let lines = lines(paths);
    let mut body = String::new();
    let mut width = 400.0_f64;
    let mut y = MARGIN;
    for (index, line) in lines.iter().enumerate() {
        let x = MARGIN + line.depth as f64 * INDENT;
        let wide = line.text.chars().count() as f64 * LETTER + 16.0;
        width = width.max(x + wide + MARGIN);
        let class = match (line.is_issue, line.is_default) {
            (true, _) => "broken",
            (false, true) => "default",
            (false, false) => "other",
        };
        if line.depth > 0 {
            // The parent of the line.
            let parent = lines[..index].iter().rposition(|above| above.depth < line.depth).unwrap_or(0);
            let (from, middle) = (MARGIN + parent as f64 * (HEIGHT + 4.0) + HEIGHT, y + HEIGHT / 2.0);
            let left = x - INDENT / 2.0;
            body.push_str(&format!(
                "<path class=\"join\" d=\"M{left:.1} {from:.1} V{middle:.1} H{x:.1}\"/>\n"
            ));
        }
        body.push_str(&format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{HEIGHT}\" rx=\"4\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            x + 8.0,
            y + 15.0,
            escaped(&line.text)
        ));
        y += HEIGHT + 4.0;
    }
    y += MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {y:.0}\" width=\"{width:.0}\" height=\"{y:.0}\" \
         role=\"img\" font-family=\"ui-monospace, monospace\" font-size=\"12\">\n<title>boot paths</title>\n<style>\n{STYLE}  \
         .default {{ fill: #b7e4c7 }} .other {{ fill: #d8dee4 }} .broken {{ fill: #f2a7a7 }} rect + text {{ fill: #1b1f24 }}\n</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n"
    )
}
