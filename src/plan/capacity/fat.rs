//! Forecasts the capacity of a FAT filesystem.
//!
//! The computation reproduces `mkfs.fat.c` of dosfstools 4.2 for a filesystem in a file.

/// The maximum number of clusters of FAT12.
pub const MOST_12: u64 = 4084;
/// The size of a directory entry, in bytes.
pub const ENTRY_SIZE: u64 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Bits12,
    Bits16,
    Bits32,
}

impl Width {
    /// The number of bits of a FAT entry.
    pub fn bits(self) -> u32 {
        match self {
            Width::Bits12 => 12,
            Width::Bits16 => 16,
            Width::Bits32 => 32,
        }
    }
}

/// Minimum and maximum number of clusters of each width, in addition to [`MOST_12`].
const FEWEST_16: u64 = 4087;
const MOST_16: u64 = 65_524;
const FEWEST_32: u64 = 65_525;
const MOST_32: u64 = 268_435_446;
/// The default number of reserved sectors.
const RESERVED_32: u64 = 32;
const RESERVED: u64 = 1;
const ROOT_ENTRIES: u64 = 512;
/// The size in bytes from which FAT32 is the default.
const LARGE: u64 = 512 << 20;
/// The number of sectors up to which structures are not aligned.
const TINY: u64 = 8192;
/// The unit in which mkfs.vfat counts the device, in bytes.
const BLOCK: u64 = 1024;
/// The minimum number of blocks for content.
const FEWEST_BLOCKS: u64 = 32;

/// The parameters of a filesystem in a file.
#[derive(Clone, Copy, Debug)]
pub struct FatRequest<'a> {
    /// In bytes.
    pub size: u64,
    /// Further command-line options, such as `-F 32 -s 1`, without quotes.
    pub options: &'a str,
}

/// The capacity of an empty filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In bytes.
    pub cluster_size: u64,
    pub width: Width,
    /// Clusters for files and directories. With FAT32, the cluster of the root directory is not included.
    pub free_clusters: u64,
    /// The number of entries of the root directory; long names take several. `None` with FAT32, where it can grow.
    pub root_entries: Option<u64>,
}

#[derive(Clone, Debug)]
struct Options {
    /// `-F`
    width: Option<Width>,
    /// `-s`
    cluster_sectors: Option<u64>,
    /// `-S`, in bytes.
    sector_size: u64,
    /// `-f`
    tables: u64,
    /// `-R`
    reserved: Option<u64>,
    /// `-r`
    root_entries: Option<u64>,
    /// Unless `-a`.
    aligns: bool,
    /// `-g`, the second half.
    track_sectors: Option<u64>,
}

impl FatRequest<'_> {
    /// `None` if mkfs.vfat would fail, or the options are unknown.
    pub fn forecast(&self) -> Option<Capacity> {
        let options = Options::parse(self.options)?;
        Attempt::new(options, self.size).run()
    }
}

impl Options {
    fn parse(words: &str) -> Option<Options> {
        let mut options = Options {
            width: None,
            cluster_sectors: None,
            sector_size: 512,
            tables: 2,
            reserved: None,
            root_entries: None,
            aligns: true,
            track_sectors: None,
        };
        let mut words = words.split_whitespace();
        while let Some(word) = words.next() {
            if matches!(word, "--invariant" | "--mbr=n" | "--mbr=no") {
                continue;
            }
            let letters = word.strip_prefix('-')?;
            let letter = letters.chars().next().filter(char::is_ascii_alphabetic)?;
            match (letter, &letters[1..]) {
                ('a', "") => options.aligns = false,
                ('I' | 'v', "") => {}
                ('a' | 'I' | 'v', _) => return None,
                (_, "") => options.set(letter, words.next()?)?,
                (_, value) => options.set(letter, value)?,
            }
        }
        Some(options)
    }

    fn set(&mut self, letter: char, value: &str) -> Option<()> {
        let number = || value.parse::<u64>().ok().filter(|_| value == "0" || !value.starts_with('0'));
        let power = |range: std::ops::RangeInclusive<u64>| {
            number().filter(|value| range.contains(value) && value.is_power_of_two())
        };
        match letter {
            'F' => {
                self.width = Some(match value {
                    "12" => Width::Bits12,
                    "16" => Width::Bits16,
                    "32" => Width::Bits32,
                    _ => return None,
                });
            }
            's' => self.cluster_sectors = Some(power(1..=128)?),
            'S' => self.sector_size = power(512..=32_768)?,
            'f' => self.tables = number().filter(|tables| (1..=4).contains(tables))?,
            'R' => self.reserved = Some(number().filter(|sectors| (1..=0xffff).contains(sectors))?),
            'r' => self.root_entries = Some(number().filter(|entries| (16..=32_768).contains(entries))?),
            'g' => {
                let (_, sectors) = value.split_once('/')?;
                self.track_sectors =
                    Some(sectors.parse().ok().filter(|sectors| (1..=65_535).contains(sectors))?);
            }
            // Label, ID, the position of the backup boot sector, and fields that only the boot code reads.
            'n' | 'i' | 'h' | 'b' | 'D' | 'M' => {}
            _ => return None,
        }
        Some(())
    }
}

/// Parameters that are tried until they fit.
struct Attempt {
    options: Options,
    /// In bytes.
    size: u64,
    sectors: u64,
    width: Option<Width>,
    cluster_sectors: u64,
    reserved: u64,
    root_sectors: u64,
    root_entries: u64,
    aligns: bool,
}

/// The result for one width: no clusters if it does not fit.
#[derive(Clone, Copy)]
struct Trial {
    clusters: u64,
    table_sectors: u64,
}

impl Attempt {
    fn new(options: Options, size: u64) -> Attempt {
        let sector_size = options.sector_size;
        let width = options.width.or((size >= LARGE).then_some(Width::Bits32));
        // mkfs.vfat converts its blocks and the remainder to whole sectors separately.
        let sectors =
            (size / BLOCK * BLOCK / sector_size + size % BLOCK / sector_size).min(u64::from(u32::MAX));
        let track = options.track_sectors.unwrap_or_else(|| track_sectors(size, sector_size));
        let sectors = if options.aligns { sectors / track * track } else { sectors };
        let guess = floppy(size);
        let root_entries = match (width, options.root_entries) {
            (Some(Width::Bits32), _) => 0,
            (_, Some(entries)) => entries,
            (_, None) => guess.root_entries,
        };
        let cluster_sectors = if width == Some(Width::Bits32) {
            wide_cluster(size / sector_size)
        } else {
            guess.cluster_sectors
        };
        Attempt {
            size,
            sectors,
            width,
            cluster_sectors: options.cluster_sectors.unwrap_or(cluster_sectors),
            reserved: options.reserved.unwrap_or(if width == Some(Width::Bits32) {
                RESERVED_32
            } else {
                RESERVED
            }),
            root_sectors: (root_entries * ENTRY_SIZE).div_ceil(sector_size),
            root_entries,
            aligns: options.aligns && sectors > TINY,
            options,
        }
    }

    fn run(mut self) -> Option<Capacity> {
        const LARGEST_CLUSTER: u64 = 128;
        if self.width == Some(Width::Bits32) && self.reserved < 2 {
            return None;
        }
        let largest = self.options.cluster_sectors.unwrap_or(LARGEST_CLUSTER);
        loop {
            let [bits_12, bits_16, bits_32] = self.trials();
            let fits = |trial: Trial, width: Width, by_itself: bool| {
                trial.clusters > 0 && self.width.map_or(by_itself, |asked| asked == width)
            };
            if fits(bits_12, Width::Bits12, true)
                || fits(bits_16, Width::Bits16, true)
                || fits(bits_32, Width::Bits32, false)
            {
                let width = self.width.unwrap_or(if bits_16.clusters > bits_12.clusters {
                    Width::Bits16
                } else {
                    Width::Bits12
                });
                let trial = match width {
                    Width::Bits12 => bits_12,
                    Width::Bits16 => bits_16,
                    Width::Bits32 => bits_32,
                };
                return self.capacity(width, trial);
            }
            self.cluster_sectors *= 2;
            if self.cluster_sectors > largest {
                return None;
            }
        }
    }

    fn aligned(&self, sectors: u64) -> u64 {
        if self.aligns { sectors.next_multiple_of(self.cluster_sectors) } else { sectors }
    }

    fn trials(&self) -> [Trial; 3] {
        let (bytes, tables) = (self.options.sector_size, self.options.tables);
        let cluster = self.cluster_sectors * bytes;
        let Some(wide) = self.sectors.checked_sub(self.aligned(self.reserved)) else {
            return [Trial { clusters: 0, table_sectors: 0 }; 3];
        };
        let narrow = wide.saturating_sub(self.aligned(self.root_sectors));
        let trial = |available: u64, table_bytes: u64, entries_of: fn(u64) -> u64, most: u64| {
            let table_sectors = self.aligned(table_bytes.div_ceil(bytes));
            let clusters = available.saturating_sub(tables * table_sectors) / self.cluster_sectors;
            let most = entries_of(table_sectors * bytes).min(most);
            Trial { clusters: if clusters > most { 0 } else { clusters }, table_sectors }
        };
        let guess_12 = 2 * (narrow * bytes + tables * 3) / (2 * cluster + tables * 3);
        let guess_16 = (narrow * bytes + tables * 4) / (cluster + tables * 2);
        let guess_32 = (wide * bytes + tables * 8) / (cluster + tables * 4);
        let bits_12 = trial(narrow, ((guess_12 + 2) * 3 + 1) >> 1, |table| table * 2 / 3, MOST_12);
        let mut bits_16 = trial(narrow, (guess_16 + 2) * 2, |table| table / 2, MOST_16);
        let mut bits_32 = trial(wide, (guess_32 + 2) * 4, |table| table / 4, MOST_32);
        if bits_16.clusters < FEWEST_16 {
            bits_16.clusters = 0;
        }
        if bits_32.clusters < FEWEST_32 && self.options.width != Some(Width::Bits32) {
            bits_32.clusters = 0;
        }
        [bits_12, bits_16, bits_32]
    }

    fn capacity(&self, width: Width, trial: Trial) -> Option<Capacity> {
        let bytes = self.options.sector_size;
        let root_entries = if self.aligns && width != Width::Bits32 {
            self.aligned(self.root_sectors) * (bytes / ENTRY_SIZE)
        } else {
            self.root_entries
        };
        let root_sectors = (root_entries * ENTRY_SIZE).div_ceil(bytes);
        let start =
            (self.aligned(self.reserved) + self.options.tables * trial.table_sectors + root_sectors) * bytes;
        if self.size / BLOCK < start.div_ceil(BLOCK) + FEWEST_BLOCKS {
            return None;
        }
        let is_wide = width == Width::Bits32;
        Some(Capacity {
            cluster_size: self.cluster_sectors * bytes,
            width,
            free_clusters: trial.clusters.checked_sub(u64::from(is_wide))?,
            root_entries: (!is_wide).then_some(root_entries),
        })
    }
}

/// Sectors per track. The filesystem is truncated to whole tracks.
fn track_sectors(size: u64, sector_size: u64) -> u64 {
    if let Some(track) = floppy(size).track_sectors {
        return track;
    }
    match size / sector_size {
        ..=4096 => 16,
        4097..=524_288 => 32,
        _ => 63,
    }
}

struct Guess {
    cluster_sectors: u64,
    root_entries: u64,
    track_sectors: Option<u64>,
}

/// The defaults for floppy disks and for other sizes.
fn floppy(size: u64) -> Guess {
    let guess = |cluster_sectors, root_entries, track| Guess {
        cluster_sectors,
        root_entries,
        track_sectors: Some(track),
    };
    match size / 1024 {
        360 | 720 => guess(2, 112, 9),
        1200 => guess(1, 224, 15),
        1440 => guess(1, 224, 18),
        2880 => guess(2, 224, 36),
        _ => Guess { cluster_sectors: 4, root_entries: ROOT_ENTRIES, track_sectors: None },
    }
}

/// Sectors per cluster of FAT32, by the number of sectors of the filesystem.
fn wide_cluster(sectors: u64) -> u64 {
    const GIB: u64 = 1024 * 1024 * 2;
    match sectors {
        _ if sectors > 32 * GIB => 64,
        _ if sectors > 16 * GIB => 32,
        _ if sectors > 8 * GIB => 16,
        _ if sectors > 260 * 1024 * 2 => 8,
        _ => 1,
    }
}
