//! The table of all lint rules. Each rule is in a file of its own.

mod bootloader_missing;
mod bundle_duplicate;
mod bundle_unknown;
mod cmdline_console;
mod cmdline_grub;
mod cmdline_ipxe;
mod cmdline_long;
mod cmdline_overrides;
mod cmdline_root_ssh;
mod control_character;
mod disk_device;
mod disk_full;
mod disk_name;
mod disk_odd;
mod disk_several;
mod disk_size_aws;
mod disk_size_google;
mod disk_size_missing;
mod encryption_boot;
mod encryption_kernel;
mod encryption_mismatch;
mod esp_fat32;
mod esp_filesystem;
mod esp_missing;
mod esp_mount;
mod esp_not_first;
mod esp_room;
mod esp_small;
mod esp_twice;
mod esp_with_bios;
mod filesystem_kept;
mod filesystem_options;
mod filesystem_options_grub;
mod filesystem_size;
mod filesystem_without_mount;
mod filesystem_without_partition;
mod format_size;
mod hook_interpreter;
mod hook_missing;
mod hook_not_executable;
mod hook_writable;
mod hostname;
mod hostname_dash;
mod hostname_long;
mod image_unbootable;
mod image_without_boot;
mod kernel_missing;
mod kernel_several;
mod label_case;
mod label_characters;
mod label_duplicate;
mod label_length;
mod login_impossible;
mod memory_live;
mod mirror_without_version;
mod missing_key;
mod mount_duplicate;
mod mount_impossible;
mod mount_order;
mod mount_path;
mod mount_without_filesystem;
mod os_core_missing;
mod package_name;
mod partition_count;
mod partition_duplicate;
mod partition_order;
mod partition_rest_not_last;
mod partition_size;
mod partition_without_filesystem;
mod passphrase_clear;
mod passphrase_reused;
mod passphrase_weak;
mod reading;
mod root_kept;
mod root_missing;
mod root_not_last;
mod root_small;
mod static_ip;
mod static_ip_address;
mod static_ip_gateway;
mod static_ip_interface;
mod static_ip_interface_unlikely;
mod static_ip_manager;
mod swap_filesystem;
mod unknown_value;
mod url;
mod url_credentials;
mod url_plain_http;
mod user_duplicate;
mod user_key;
mod user_key_weak;
mod user_name;
mod user_name_portable;
mod user_name_reserved;
mod user_password;
mod user_password_empty;
mod user_password_weak;
mod user_sudo;
mod user_uid;
mod user_uid_system;
mod version;
mod version_latest;

use super::finding::Rule;

pub use reading::{DUPLICATE_KEY, LINT_ALLOWANCE, MISSPELT_KEY, SCHEMA, SYNTAX, UNKNOWN_KEY, WRONG_TYPE};

/// Sorted by name.
pub static RULES: &[&Rule] = &[
    &bootloader_missing::RULE,
    &bundle_duplicate::RULE,
    &bundle_unknown::RULE,
    &cmdline_console::RULE,
    &cmdline_grub::RULE,
    &cmdline_ipxe::RULE,
    &cmdline_long::RULE,
    &cmdline_overrides::RULE,
    &cmdline_root_ssh::RULE,
    &control_character::RULE,
    &disk_device::RULE,
    &disk_full::RULE,
    &disk_name::RULE,
    &disk_odd::RULE,
    &disk_several::RULE,
    &disk_size_aws::RULE,
    &disk_size_google::RULE,
    &disk_size_missing::RULE,
    &reading::DUPLICATE_KEY,
    &encryption_boot::RULE,
    &encryption_kernel::RULE,
    &encryption_mismatch::RULE,
    &esp_fat32::RULE,
    &esp_filesystem::RULE,
    &esp_missing::RULE,
    &esp_mount::RULE,
    &esp_not_first::RULE,
    &esp_room::RULE,
    &esp_small::RULE,
    &esp_twice::RULE,
    &esp_with_bios::RULE,
    &filesystem_kept::RULE,
    &filesystem_options::RULE,
    &filesystem_options_grub::RULE,
    &filesystem_size::RULE,
    &filesystem_without_mount::RULE,
    &filesystem_without_partition::RULE,
    &format_size::RULE,
    &hook_interpreter::RULE,
    &hook_missing::RULE,
    &hook_not_executable::RULE,
    &hook_writable::RULE,
    &hostname::RULE,
    &hostname_dash::RULE,
    &hostname_long::RULE,
    &image_unbootable::RULE,
    &image_without_boot::RULE,
    &kernel_missing::RULE,
    &kernel_several::RULE,
    &label_case::RULE,
    &label_characters::RULE,
    &label_duplicate::RULE,
    &label_length::RULE,
    &reading::LINT_ALLOWANCE,
    &login_impossible::RULE,
    &memory_live::RULE,
    &mirror_without_version::RULE,
    &missing_key::RULE,
    &reading::MISSPELT_KEY,
    &mount_duplicate::RULE,
    &mount_impossible::RULE,
    &mount_order::RULE,
    &mount_path::RULE,
    &mount_without_filesystem::RULE,
    &os_core_missing::RULE,
    &package_name::RULE,
    &partition_count::RULE,
    &partition_duplicate::RULE,
    &partition_order::RULE,
    &partition_rest_not_last::RULE,
    &partition_size::RULE,
    &partition_without_filesystem::RULE,
    &passphrase_clear::RULE,
    &passphrase_reused::RULE,
    &passphrase_weak::RULE,
    &root_kept::RULE,
    &root_missing::RULE,
    &root_not_last::RULE,
    &root_small::RULE,
    &reading::SCHEMA,
    &static_ip::RULE,
    &static_ip_address::RULE,
    &static_ip_gateway::RULE,
    &static_ip_interface::RULE,
    &static_ip_interface_unlikely::RULE,
    &static_ip_manager::RULE,
    &swap_filesystem::RULE,
    &reading::SYNTAX,
    &reading::UNKNOWN_KEY,
    &unknown_value::RULE,
    &url::RULE,
    &url_credentials::RULE,
    &url_plain_http::RULE,
    &user_duplicate::RULE,
    &user_key::RULE,
    &user_key_weak::RULE,
    &user_name::RULE,
    &user_name_portable::RULE,
    &user_name_reserved::RULE,
    &user_password::RULE,
    &user_password_empty::RULE,
    &user_password_weak::RULE,
    &user_sudo::RULE,
    &user_uid::RULE,
    &user_uid_system::RULE,
    &version::RULE,
    &version_latest::RULE,
    &reading::WRONG_TYPE,
];

/// All names, for suggestions.
pub fn names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}

/// The rule of a name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.binary_search_by(|rule| rule.name.cmp(name)).ok().map(|index| RULES[index])
}

#[cfg(test)]
mod tests;
