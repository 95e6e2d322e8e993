//! Filled filesystems, checked with xfs_repair and by reading them back. The tests need xfsprogs, but no privileges.

mod filled;
mod forecast;
mod hostile;
mod support;
