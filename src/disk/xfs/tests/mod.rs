//! Filled filesystems, judged by xfs_repair and by reading them back. They need xfsprogs, but no privileges.

mod filled;
mod forecast;
mod hostile;
mod support;
