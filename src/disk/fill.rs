//! Settings for filling a filesystem that are neither content nor mkfs options.

use uuid::Uuid;

#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Timestamp for everything that does not come from the content, in seconds since 1970.
    pub epoch: i64,
    /// Seed for values that are normally random, such as inode generations and UUIDs.
    pub seed: Uuid,
}
