//! Recognizes the text on the guest's screen in a screenshot, for images whose kernel does not use the serial console.
//! Pure except for finding the font.
//!
//! The characters are those of QEMU's VGA BIOS, which text mode uses unchanged. In the kernel's frame buffer font the
//! widest characters are one column narrower, some of those are one row longer, and a few strokes differ. Therefore
//! each character is compared with these variants too, and the nearest one within a limit is chosen.

use std::path::Path;

/// Paths of QEMU's VGA BIOS.
const ROMS: &[&str] = &["/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/qemu/vgabios-stdvga.bin"];
/// Character 1 of code page 437, a face. It marks the position of the font.
const FACE: [u8; ROWS] = [0, 0, 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e, 0, 0, 0, 0];
/// Height and width of a character in pixels.
const ROWS: usize = 16;
const COLUMNS: usize = 8;
/// Text mode with 80 columns adds a ninth pixel column to each character. Source: IBM VGA, mode 3.
const TEXT_MODE_WIDTH: usize = 720;
/// Pixels that may differ from the nearest character.
const BOUND: u32 = 20;

/// The printable ASCII characters, one bit per pixel.
pub(super) struct Font(Vec<(char, u128)>);

impl Font {
    /// The font of QEMU's VGA BIOS, if it is installed.
    pub(super) fn of_host() -> Option<Font> {
        ROMS.iter().find_map(|path| Font::find(&std::fs::read(Path::new(path)).ok()?))
    }

    fn find(rom: &[u8]) -> Option<Font> {
        let face = rom.windows(ROWS).position(|window| window == FACE)?;
        let font = rom.get(face.checked_sub(ROWS)?..)?;
        let glyph = |code: u8| {
            let bytes = font.get(usize::from(code) * ROWS..)?.first_chunk::<ROWS>()?;
            Some((char::from(code), u128::from_be_bytes(*bytes)))
        };
        let wide = (b' '..=b'~').map(glyph).collect::<Option<Vec<_>>>()?;
        let narrow = wide.iter().filter_map(|(character, glyph)| Some((*character, narrower(*glyph)?)));
        let lower = narrow.clone().map(|(character, glyph)| (character, glyph >> COLUMNS));
        Some(Font(wide.iter().copied().chain(narrow).chain(lower).collect()))
    }

    fn nearest(&self, shape: u128) -> char {
        let distance = |glyph: &u128| (glyph ^ shape).count_ones();
        match self.0.iter().min_by_key(|(_, glyph)| distance(glyph)) {
            Some((character, glyph)) if distance(glyph) <= BOUND => *character,
            _ => '\u{fffd}',
        }
    }

    /// The lines of text in a picture, without trailing spaces and trailing empty lines.
    pub(super) fn read(&self, picture: &Picture) -> Vec<String> {
        let wide = if picture.width == TEXT_MODE_WIDTH { COLUMNS + 1 } else { COLUMNS };
        let line = |row: usize| {
            let text: String = (0..picture.width / wide)
                .map(|column| self.nearest(picture.shape(column * wide, row * ROWS)))
                .collect();
            text.trim_end().to_owned()
        };
        let mut lines: Vec<String> = (0..picture.height / ROWS).map(line).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

/// A variant of a full-width character without one of its middle columns; nothing for other characters.
fn narrower(glyph: u128) -> Option<u128> {
    let mut fills = false;
    let rows = glyph.to_be_bytes().map(|row| {
        fills |= row & 1 == 1;
        row & 0b1111_0000 | (row & 0b0000_0111) << 1
    });
    fills.then_some(u128::from_be_bytes(rows))
}

/// A screenshot in the format that QEMU writes.
pub(super) struct Picture {
    width: usize,
    height: usize,
    /// Red, green, blue.
    pixels: Vec<u8>,
}

impl Picture {
    /// Parses Netpbm's format "P6" with a maximum value of 255. Source: ppm(5).
    pub(super) fn parse(bytes: &[u8]) -> Option<Picture> {
        let mut rest = bytes.strip_prefix(b"P6")?;
        let mut number = || {
            let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
            let end = start + rest[start..].iter().position(|byte| !byte.is_ascii_digit())?;
            let value = std::str::from_utf8(&rest[start..end]).ok()?.parse::<usize>().ok()?;
            rest = &rest[end..];
            Some(value)
        };
        let (width, height, greatest) = (number()?, number()?, number()?);
        let pixels = rest.get(1..1 + width.checked_mul(height)?.checked_mul(3)?)?.to_vec();
        (greatest == 255).then_some(Picture { width, height, pixels })
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// The pixels of a character that differ from the background, which is the colour of its corner.
    fn shape(&self, x: usize, y: usize) -> u128 {
        let ground = self.pixel(x, y);
        let mut shape = 0;
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                shape = shape << 1 | u128::from(self.pixel(x + column, y + row) != ground);
            }
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws lines as a machine would, with some deviation in each character.
    fn draw(font: &Font, lines: &[&str], wide: usize, off: u128) -> Vec<u8> {
        let (width, height) = (80 * wide, 25 * ROWS);
        let mut pixels = vec![0u8; width * height * 3];
        for (row, line) in lines.iter().enumerate() {
            for (column, character) in line.chars().enumerate() {
                let (_, glyph) = font.0.iter().find(|(known, _)| *known == character).unwrap();
                let glyph = if character == ' ' { *glyph } else { glyph ^ off };
                for bit in 0..ROWS * COLUMNS {
                    if glyph >> (ROWS * COLUMNS - 1 - bit) & 1 == 1 {
                        let (x, y) = (column * wide + bit % COLUMNS, row * ROWS + bit / COLUMNS);
                        pixels[(y * width + x) * 3..][..3].fill(170);
                    }
                }
            }
        }
        [format!("P6\n{width} {height}\n255\n").as_bytes(), &pixels].concat()
    }

    #[test]
    fn text_is_recognized() {
        let Some(font) = Font::of_host() else { return };
        let lines = ["[    0.000000] Linux version 6.1", "", "kvm login: _"];
        for (wide, off) in [(8, 0), (9, 0), (8, 0b11 << 50)] {
            let picture = Picture::parse(&draw(&font, &lines, wide, off)).unwrap();
            assert_eq!(font.read(&picture), lines, "{wide} {off}");
        }
    }

    /// As Linux draws them: rows of "v" and "m".
    #[test]
    fn kernel_font_is_recognized() {
        let Some(font) = Font::of_host() else { return };
        let rows = |rows: [u8; 7]| rows.iter().fold(0, |shape, row| shape << 8 | u128::from(*row)) << 32;
        assert_eq!(font.nearest(rows([0xc6, 0xc6, 0xc6, 0xc6, 0xc6, 0x6c, 0x38])), 'v');
        assert_eq!(font.nearest(rows([0xec, 0xfe, 0xd6, 0xd6, 0xd6, 0xd6, 0xc6])), 'm');
    }

    #[test]
    fn invalid_picture_is_rejected() {
        for bytes in
            [&b""[..], b"P6", b"P6 2 2 255 \0", b"P5 1 1 255 abc", b"P6 9999999999999 9999999999999 255 x"]
        {
            assert!(Picture::parse(bytes).is_none());
        }
        assert!(Picture::parse(b"P6 1 1 255 abc").is_some());
    }
}
