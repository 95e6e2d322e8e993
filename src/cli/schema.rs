//! `ister schema`

use super::console::print;
use super::run::Outcome;
use crate::lint::TYPE_SCHEMA_TEXT;
use crate::plan::PLAN_SCHEMA_TEXT;
use crate::report::template_reference;
use crate::template::SCHEMA_TEXT;
use clap::{Args, ValueEnum};

/// Print a JSON Schema (2020-12): of templates and image types, for editors, or of what a command prints with `--format json`
///
/// Example: ister schema > ister-template.schema.json
#[derive(Args, Debug)]
pub(super) struct SchemaArgs {
    /// The kind of document
    #[arg(value_enum, default_value_t = Document::Template, value_name = "DOCUMENT")]
    document: Document,

    /// How it is printed
    #[arg(long, value_enum, default_value_t = SchemaFormat::Json)]
    format: SchemaFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SchemaFormat {
    /// JSON Schema
    Json,
    /// Reference page in Markdown (docs/template.md), for templates only
    Markdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Document {
    /// Templates
    Template,
    /// Plans: `ister plan`, and `<image>.plan.json`
    Plan,
    /// Definitions of image types: type.json
    Type,
    /// `ister lint`
    Lint,
    /// `ister rules`
    Rules,
    /// `ister bundles`
    Bundles,
    /// `ister build`
    #[cfg(feature = "full")]
    Build,
    /// `ister verify`
    #[cfg(feature = "full")]
    Verify,
    /// `ister diff`
    #[cfg(feature = "full")]
    Diff,
    /// Verdicts: `ister boot`, and `verdict.json` of its report
    #[cfg(feature = "full")]
    Boot,
    /// Receipts: `<image>.receipt.json`
    #[cfg(feature = "full")]
    Receipt,
    /// `ister test`, and its `results.json`
    #[cfg(feature = "full")]
    Test,
    /// `ister test --least-memory`
    #[cfg(feature = "full")]
    LeastMemory,
    /// `ister report`
    #[cfg(feature = "full")]
    Report,
    /// `ister cache list`
    #[cfg(feature = "full")]
    Cache,
    /// `ister swupd info`
    #[cfg(feature = "full")]
    SwupdInfo,
    /// `ister swupd install`
    #[cfg(feature = "full")]
    SwupdInstall,
    /// `ister swupd verify`
    #[cfg(feature = "full")]
    SwupdVerify,
}

macro_rules! schema {
    ($name:literal) => {
        include_str!(concat!("../../schema/ister-", $name, ".schema.json"))
    };
}

impl Document {
    fn schema(self) -> &'static str {
        match self {
            Document::Template => SCHEMA_TEXT,
            Document::Plan => PLAN_SCHEMA_TEXT,
            Document::Type => TYPE_SCHEMA_TEXT,
            Document::Lint => schema!("lint"),
            Document::Rules => schema!("rules"),
            Document::Bundles => schema!("bundles"),
            #[cfg(feature = "full")]
            Document::Build => schema!("build"),
            #[cfg(feature = "full")]
            Document::Verify => schema!("verify"),
            #[cfg(feature = "full")]
            Document::Diff => schema!("diff"),
            #[cfg(feature = "full")]
            Document::Boot => schema!("boot"),
            #[cfg(feature = "full")]
            Document::Receipt => schema!("receipt"),
            #[cfg(feature = "full")]
            Document::Test => schema!("test"),
            #[cfg(feature = "full")]
            Document::LeastMemory => schema!("least-memory"),
            #[cfg(feature = "full")]
            Document::Report => schema!("report"),
            #[cfg(feature = "full")]
            Document::Cache => schema!("cache"),
            #[cfg(feature = "full")]
            Document::SwupdInfo => schema!("swupd-info"),
            #[cfg(feature = "full")]
            Document::SwupdInstall => schema!("swupd-install"),
            #[cfg(feature = "full")]
            Document::SwupdVerify => schema!("swupd-verify"),
        }
    }
}

pub(super) fn run(args: &SchemaArgs) -> anyhow::Result<Outcome> {
    match (args.format, args.document) {
        (SchemaFormat::Json, document) => print(document.schema()),
        (SchemaFormat::Markdown, Document::Template) => print(&template_reference()),
        (SchemaFormat::Markdown, _) => anyhow::bail!("only the template has a reference in Markdown"),
    }
    Ok(Outcome::Fine)
}

#[cfg(all(test, feature = "full"))]
mod tests {
    use super::*;
    use crate::cli::output::{BuildOutput, CacheOutput, LeastMemoryOutput, ReportOutput, SwupdVerifyOutput};
    use crate::content::swupd::{Installed, Listing};
    use crate::report::{DiffOutput, LintOutput, Receipt, RulesOutput, VerifyOutput};
    use schemars::{JsonSchema, generate::SchemaSettings};

    /// The schema of a type, described by its doc comments.
    fn generated<T: JsonSchema>(title: &str) -> String {
        // What a reader of the output gets: all fields are there unless serialization leaves them out.
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        schema.insert("title".into(), title.into());
        crate::report::document(&schema)
    }

    /// The schema of a file that people write.
    fn input<T: JsonSchema>(title: &str) -> String {
        let settings = SchemaSettings::draft2020_12();
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        schema.insert("title".into(), title.into());
        crate::report::document(&schema)
    }

    /// A plan is read again, by exactly its version: unknown fields are errors. In outputs, fields may be added.
    fn without_other_fields(schema: &str) -> String {
        fn close(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::Array(items) => items.iter_mut().for_each(close),
                serde_json::Value::Object(members) => {
                    members.values_mut().for_each(close);
                    if members.get("properties").is_some_and(|properties| properties.is_object()) {
                        members.insert("additionalProperties".to_owned(), false.into());
                    }
                }
                _ => {}
            }
        }
        let mut value = serde_json::from_str(schema).expect("a generated schema is JSON");
        close(&mut value);
        crate::report::document(&value)
    }

    /// `ISTER_UPDATE_SCHEMAS=1` writes them.
    #[test]
    fn schemas_describe_the_output_types() {
        let schemas = [
            (Document::Plan, without_other_fields(&generated::<crate::plan::Plan>("Plan of ister"))),
            (Document::Type, input::<crate::imagetest::TypeDefinition>("Image type of ister test")),
            (Document::Lint, generated::<LintOutput>("Output of ister lint")),
            (Document::Rules, generated::<RulesOutput>("Output of ister rules")),
            (Document::Bundles, generated::<crate::cli::bundles::BundlesOutput>("Output of ister bundles")),
            (Document::Build, generated::<BuildOutput>("Output of ister build")),
            (Document::Verify, generated::<VerifyOutput>("Output of ister verify")),
            (Document::Diff, generated::<DiffOutput>("Output of ister diff")),
            (Document::Boot, generated::<crate::boot::Verdict>("Verdict of ister boot")),
            (Document::Receipt, generated::<Receipt>("Receipt of ister")),
            (Document::Test, generated::<crate::imagetest::Results>("Results of ister test")),
            (Document::LeastMemory, generated::<LeastMemoryOutput>("Output of ister test --least-memory")),
            (Document::Report, generated::<ReportOutput>("Output of ister report")),
            (Document::Cache, generated::<CacheOutput>("Output of ister cache list")),
            (Document::SwupdInfo, generated::<Listing>("Output of ister swupd info")),
            (Document::SwupdInstall, generated::<Installed>("Output of ister swupd install")),
            (Document::SwupdVerify, generated::<SwupdVerifyOutput>("Output of ister swupd verify")),
        ];
        // All but the template's, which is written by hand.
        assert_eq!(schemas.len() + 1, Document::value_variants().len());
        for (document, text) in schemas {
            // Doc comments are descriptions here, so links of rustdoc lead nowhere.
            assert!(!text.contains("[`") && !text.contains("super::"), "{text}");
            let name = document.to_possible_value().expect("no variant is hidden");
            if std::env::var_os("ISTER_UPDATE_SCHEMAS").is_some() {
                let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
                let path = root.join(format!("schema/ister-{}.schema.json", name.get_name()));
                std::fs::write(path, &text).unwrap();
            } else {
                assert_eq!(document.schema(), text, "{}: see ISTER_UPDATE_SCHEMAS", name.get_name());
            }
        }
    }
}
