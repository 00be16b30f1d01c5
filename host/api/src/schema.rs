//! Schemas of what handlers take and give. The types derive `schemars::JsonSchema`; a handler names one in its
//! `#[utoipa::path]` as `ref(of::<Type>())`, which collects it for the document.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::thread::LocalKey;

thread_local! {
    /// The document is built by one thread in one go, see [`collect`].
    static SENT: RefCell<SchemaGenerator> = RefCell::new(settings().for_serialize().into_generator());
    static TAKEN: RefCell<SchemaGenerator> = RefCell::new(settings().for_deserialize().into_generator());
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

/// Reference to the schema of what is sent.
pub(crate) fn of<T: JsonSchema>() -> String {
    reference::<T>(&SENT)
}

/// Reference to the schema of what is taken. The types of requests have names of their own, so that the two don't meet.
pub(crate) fn taken<T: JsonSchema>() -> String {
    reference::<T>(&TAKEN)
}

fn reference<T: JsonSchema>(generator: &'static LocalKey<RefCell<SchemaGenerator>>) -> String {
    let schema = generator.with_borrow_mut(|generator| generator.subschema_for::<T>());
    match schema.get("$ref") {
        Some(Value::String(reference)) => reference.clone(),
        _ => format!("#/components/schemas/{}", T::schema_name()),
    }
}

/// Runs `build`, and gives the schemas that were named in it.
pub(crate) fn collect<R>(build: impl FnOnce() -> R) -> (R, Map<String, Value>) {
    let built = build();
    let take = |generator: &mut SchemaGenerator| generator.take_definitions(true);
    let mut schemas = TAKEN.with_borrow_mut(take);
    schemas.extend(SENT.with_borrow_mut(take));
    (built, schemas)
}
