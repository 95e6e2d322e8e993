//! What decides the bytes of a filesystem that is filled, beside its content and what its mkfs was told.

use uuid::Uuid;

#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Seconds since 1970, for what has a time and is not of the content.
    pub epoch: i64,
    /// What would be random, such as inodes' generations and other UUIDs, derives from it.
    pub seed: Uuid,
}
