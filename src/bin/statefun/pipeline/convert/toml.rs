//! TOML as JSON.

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Table, Value as Toml};

/// The document.
///
/// # Errors
/// If it is not TOML: with file, line and column.
pub(super) fn read(name: &str, text: &str) -> anyhow::Result<Value> {
    let parsed = text.parse::<DocumentMut>();
    let document = parsed.map_err(|err| {
        let before = err
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        anyhow::anyhow!("{name}:{line}: not TOML: {}", err.message().trim())
    })?;
    Ok(table(document.as_table()))
}

fn table(table: &Table) -> Value {
    let entries = table.iter();
    let entries = entries.map(|(key, item)| (key.to_owned(), of_item(item)));
    Value::Object(entries.collect())
}

fn of_item(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => of_value(value),
        Item::Table(inner) => table(inner),
        Item::ArrayOfTables(tables) => tables.iter().map(table).collect(),
    }
}

fn of_value(value: &Toml) -> Value {
    match value {
        Toml::String(text) => text.value().clone().into(),
        Toml::Integer(number) => (*number.value()).into(),
        Toml::Float(number) => (*number.value()).into(),
        Toml::Boolean(value) => (*value.value()).into(),
        Toml::Datetime(time) => time.value().to_string().into(),
        Toml::Array(items) => items.iter().map(of_value).collect(),
        Toml::InlineTable(inner) => {
            let entries = inner.iter();
            let entries = entries.map(|(key, value)| (key.to_owned(), of_value(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}
