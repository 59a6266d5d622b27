//! JSON schemas of what is written, made from the structs themselves.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// Schema (JSON Schema 2020-12) of documents in the form of `T`, whose `schema_version` is `version`. Fields that are not
/// in it are allowed: new ones may appear without a new version.
pub fn json_schema<T: JsonSchema>(title: &str, version: u32) -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), format!("{title}, version {version}").into());
        if let Some(own) = root.get_mut("properties").and_then(|own| own.get_mut("schema_version")) {
            *own = json!({ "const": version });
        }
    }
    schema
}
