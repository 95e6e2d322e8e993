//! The keys of a template. They are defined in its JSON Schema, from which decoding, completion and the reference take
//! them.

use serde_json::Value;
use std::sync::LazyLock;

/// `schema/ister-template.schema.json`, JSON Schema 2020-12.
pub const SCHEMA_TEXT: &str = include_str!("../../schema/ister-template.schema.json");

pub(crate) static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(SCHEMA_TEXT).expect("the embedded schema is valid"));

/// An object of the template.
pub(crate) struct KeyedObject {
    /// For messages.
    pub(crate) name: &'static str,
    /// Its keys, in the schema's order.
    pub(crate) keys: Vec<&'static str>,
    /// The keys that have no default.
    pub(crate) required: Vec<&'static str>,
}

impl KeyedObject {
    /// The object that the schema describes at a JSON pointer.
    fn at(pointer: &str, name: &'static str) -> KeyedObject {
        let schema: &'static Value = &SCHEMA;
        let object = schema.pointer(pointer).expect("the schema describes every object");
        let properties = object["properties"].as_object().expect("the schema lists the keys of every object");
        let required = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        KeyedObject {
            name,
            keys: properties.keys().map(String::as_str).collect(),
            required: required.collect(),
        }
    }
}

macro_rules! keyed_objects {
    ($($constant:ident: $pointer:literal, $name:literal;)*) => {
        $(pub(crate) static $constant: LazyLock<KeyedObject> =
            LazyLock::new(|| KeyedObject::at($pointer, $name));)*

        #[cfg(test)]
        pub(super) const ALL: &[(&LazyLock<KeyedObject>, &str)] = &[$((&$constant, $pointer)),*];
    };
}

keyed_objects! {
    TEMPLATE: "", "the template";
    PARTITION: "/$defs/layoutEntry", "a partition";
    FILESYSTEM: "/$defs/filesystemEntry", "a filesystem";
    ENCRYPTION: "/$defs/filesystemEntry/properties/encryption", "encryption settings";
    MOUNT_POINT: "/$defs/mountEntry", "a mount point";
    USER: "/$defs/user", "a user";
    STATIC_ADDRESS: "/properties/Static_IP", "a static address";
    LINT: "/properties/$lint", "the linter settings";
    SECRET: "/$defs/secretSource", "the source of a secret";
}
