//! All rules: one file each, and this table.

mod control_character;
mod disk_name;
mod disk_several;
mod esp_missing;
mod esp_twice;
mod filesystem_options;
mod filesystem_without_partition;
mod hook_missing;
mod hostname;
mod hostname_long;
mod missing_key;
mod mount_duplicate;
mod mount_impossible;
mod mount_path;
mod mount_without_filesystem;
mod partition_count;
mod partition_duplicate;
mod partition_rest_not_last;
mod partition_size;
mod reading;
mod root_kept;
mod root_missing;
mod static_ip;
mod unknown_value;
mod url;
mod user_duplicate;
mod user_key;
mod user_name;
mod user_password;
mod user_sudo;
mod user_uid;
mod version;

use super::finding::Rule;

pub use reading::{DUPLICATE_KEY, MISSPELT_KEY, SCHEMA, SYNTAX, UNKNOWN_KEY, WRONG_TYPE};

/// Sorted by name.
pub static RULES: &[&Rule] = &[
    &control_character::RULE,
    &disk_name::RULE,
    &disk_several::RULE,
    &reading::DUPLICATE_KEY,
    &esp_missing::RULE,
    &esp_twice::RULE,
    &filesystem_options::RULE,
    &filesystem_without_partition::RULE,
    &hook_missing::RULE,
    &hostname::RULE,
    &hostname_long::RULE,
    &missing_key::RULE,
    &reading::MISSPELT_KEY,
    &mount_duplicate::RULE,
    &mount_impossible::RULE,
    &mount_path::RULE,
    &mount_without_filesystem::RULE,
    &partition_count::RULE,
    &partition_duplicate::RULE,
    &partition_rest_not_last::RULE,
    &partition_size::RULE,
    &root_kept::RULE,
    &root_missing::RULE,
    &reading::SCHEMA,
    &static_ip::RULE,
    &reading::SYNTAX,
    &reading::UNKNOWN_KEY,
    &unknown_value::RULE,
    &url::RULE,
    &user_duplicate::RULE,
    &user_key::RULE,
    &user_name::RULE,
    &user_password::RULE,
    &user_sudo::RULE,
    &user_uid::RULE,
    &version::RULE,
    &reading::WRONG_TYPE,
];

#[cfg(test)]
mod tests;
