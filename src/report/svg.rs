//! Renders a plan as SVG. Each disk has two bars: one to scale, and one in which the text of every partition is
//! readable.

use crate::plan::{Disk, Partition, Plan};
use crate::template::FilesystemType;

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 20.0;
/// Height of the bar that is to scale.
const SCALE_HEIGHT: f64 = 22.0;
/// Height of the readable bar.
const READ_HEIGHT: f64 = 84.0;
/// Space between the bars, for the connecting lines.
const JOIN: f64 = 26.0;
const LINE: f64 = 16.0;
/// Minimum width of a partition in the readable bar.
const LEAST: f64 = 96.0;

/// Renders a complete SVG document, in light or dark colours as the reader prefers.
pub fn plan_svg(plan: &Plan) -> String {
    let mut body = String::new();
    let mut y = MARGIN;
    let mut width = WIDTH;
    for disk in &plan.disks {
        let needed = LEAST * disk.partitions.len() as f64 + 2.0 * MARGIN;
        width = width.max(needed);
    }
    for disk in &plan.disks {
        y = draw(disk, width - 2.0 * MARGIN, y, &mut body);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {y}\" width=\"{width}\" height=\"{y}\" \
         role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        escaped(&plan.disks.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>().join(", "))
    )
}

pub(super) const STYLE: &str = "\
  .paper { fill: #ffffff } text { fill: #1b1f24 } .quiet { fill: #57606a } .join { stroke: #8c959f; fill: none }
  .part { stroke: #ffffff } .free { fill: #d0d7de } .vfat { fill: #f6c177 } .swap { fill: #cfc3e8 }
  .ext { fill: #9ccfd8 } .xfs { fill: #a6d189 } .btrfs { fill: #f2a7b8 } .none { fill: #d8dee4 } .on { fill: #1b1f24 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 } .part { stroke: #0d1117 }
    .free { fill: #30363d } .on { fill: #1b1f24 }
  }
";

/// Draws a disk at `y` and returns the position of the next one.
fn draw(disk: &Disk, width: f64, y: f64, out: &mut String) -> f64 {
    let title = format!("{} · {} · sectors of {} bytes", disk.name, disk.size, disk.sector_size.bytes());
    text(MARGIN, y + LINE, "", &title, out);
    let top = y + LINE + 10.0;
    let below = top + SCALE_HEIGHT + JOIN;
    out.push_str(&format!(
        "<rect class=\"free\" x=\"{MARGIN}\" y=\"{top}\" width=\"{width:.1}\" height=\"{SCALE_HEIGHT}\"/>\n"
    ));
    let widths = readable(disk, width);
    let mut x = MARGIN;
    for (partition, wide) in disk.partitions.iter().zip(widths) {
        let start = MARGIN + width * disk.offset(partition).0 as f64 / disk.size.0 as f64;
        let length = width * partition.size.0 as f64 / disk.size.0 as f64;
        let class = class(partition);
        out.push_str(&format!(
            "<g><title>{}</title>\n\
             <rect class=\"part {class}\" x=\"{start:.2}\" y=\"{top}\" width=\"{length:.2}\" height=\"{SCALE_HEIGHT}\"/>\n\
             <path class=\"join\" d=\"M{start:.2} {bottom} L{x:.1} {below} M{end:.2} {bottom} L{right:.1} {below}\"/>\n\
             <rect class=\"part {class}\" x=\"{x:.1}\" y=\"{below}\" width=\"{wide:.1}\" height=\"{READ_HEIGHT}\"/>\n",
            escaped(&partition.title()),
            bottom = top + SCALE_HEIGHT,
            end = start + length,
            right = x + wide,
        ));
        for (row, line) in lines(partition).iter().enumerate() {
            // A character of this font is about 6.4 units wide.
            let most = ((wide - 12.0) / 6.4) as usize;
            text(x + 6.0, below + 16.0 + LINE * row as f64, "on", &shortened(line, most), out);
        }
        out.push_str("</g>\n");
        x += wide;
    }
    let mut at = below + READ_HEIGHT + 8.0;
    for partition in &disk.partitions {
        at += LINE;
        let range = format!(
            "{}  LBA {} to {}, {} bytes{}",
            partition.title(),
            partition.first_lba,
            partition.last_lba,
            partition.size.0,
            space(partition)
        );
        text(MARGIN, at, "quiet", &range, out);
    }
    at + LINE + MARGIN
}

/// Widths of the partitions: proportional, but at least `LEAST`.
fn readable(disk: &Disk, width: f64) -> Vec<f64> {
    let count = disk.partitions.len() as f64;
    let total: f64 = disk.partitions.iter().map(|p| p.size.0 as f64).sum();
    let spare = (width - LEAST * count).max(0.0);
    disk.partitions.iter().map(|p| LEAST + spare * p.size.0 as f64 / total.max(1.0)).collect()
}

fn lines(partition: &Partition) -> Vec<String> {
    let filesystem = partition.filesystem.as_ref();
    let kind = filesystem.map_or("unformatted".to_owned(), |f| f.kind.to_string());
    let mut lines = vec![
        format!("{} {}", partition.number, partition.mount.as_deref().unwrap_or(&partition.name)),
        partition.size.to_string(),
        if partition.encryption.is_some() { format!("{kind} in LUKS2") } else { kind },
    ];
    lines.extend(filesystem.and_then(|f| f.label.clone()).map(|label| format!("“{label}”")));
    lines.extend(filesystem.filter(|f| f.keep).map(|_| "preserved".to_owned()));
    lines
}

fn space(partition: &Partition) -> String {
    match partition.space {
        Some(space) => match (space.holds, space.left) {
            (Some(holds), Some(left)) => {
                format!(", capacity {}, used {holds}, free {left}", space.offers)
            }
            _ => format!(", capacity {}", space.offers),
        },
        None => String::new(),
    }
}

fn class(partition: &Partition) -> &'static str {
    match partition.filesystem.as_ref().map(|f| f.kind) {
        Some(FilesystemType::Vfat) => "vfat",
        Some(FilesystemType::Swap) => "swap",
        Some(FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4) => "ext",
        Some(FilesystemType::Xfs) => "xfs",
        Some(FilesystemType::Btrfs) => "btrfs",
        None => "none",
    }
}

fn text(x: f64, y: f64, class: &str, text: &str, out: &mut String) {
    out.push_str(&format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n", escaped(text)));
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
