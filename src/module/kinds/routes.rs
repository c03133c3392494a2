//! Which functions get the records of a topic or a stream.

use crate::document::{Fields, Finding, Node, Value};
use crate::sdk::TypeName;

use super::super::coerce;
use super::super::draft::Draft;
use super::properties::{elements, no_list};

/// Which functions get the records of a topic or a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The topic or the stream.
    pub source: String,
    /// The type of the message; the bytes of the record are its value.
    pub value_type: String,
    /// The functions, in the order in which they get a record. The id is the record's key.
    pub targets: Vec<TypeName>,
}

/// Reads the routes at `key`, each with its source at `source`. `empty` is StateFun's text if there is none.
pub(super) fn read(
    fields: &Fields<'_>,
    key: &'static str,
    source: &'static str,
    empty: &str,
    draft: &mut Draft<'_>,
) -> Vec<Route> {
    let is_given = fields.has(key);
    let items = fields.items(key);
    if !is_given || items.as_ref().is_some_and(Vec::is_empty) {
        let finding = fields.finding(key, empty);
        fields.findings().fault(finding);
    }
    let mut routes: Vec<Route> = Vec::new();
    for (path, item) in items.unwrap_or_default() {
        let Some(route) = coerce::below(fields, item, &path) else {
            continue;
        };
        let read = read_one(&route, source, draft);
        route.finish();
        let Some(read) = read else { continue };
        if let Some(earlier) = routes.iter().position(|known| known.source == read.source) {
            let text = format!("{source} `{}` occurs again; this one counts", read.source);
            fields.warn_below(item, &path, text.into());
            routes.remove(earlier);
        }
        routes.push(read);
    }
    routes
}

fn read_one(fields: &Fields<'_>, source: &'static str, draft: &mut Draft<'_>) -> Option<Route> {
    let name = coerce::text_of_any(fields, source);
    let value_type = fields.needed("valueType", coerce::only_text);
    let targets = targets(fields, draft);
    Some(Route {
        source: name?,
        value_type: value_type?,
        targets: targets?,
    })
}

fn targets(fields: &Fields<'_>, draft: &mut Draft<'_>) -> Option<Vec<TypeName>> {
    const KEY: &str = "targets";
    let Some(node) = fields.given(KEY) else {
        fields.missing(KEY);
        return None;
    };
    if !matches!(node.value, Value::List(_)) {
        fields.warn(KEY, no_list(node));
    }
    let items = elements(node, &fields.path_of(KEY));
    if items.is_empty() {
        fields.warn(KEY, "no targets: no function gets these records");
    }
    let mut targets = Vec::with_capacity(items.len());
    for (path, item) in items {
        targets.push(target(fields, item, &path, draft));
    }
    targets.into_iter().collect()
}

fn target(fields: &Fields<'_>, item: &Node, path: &str, draft: &mut Draft<'_>) -> Option<TypeName> {
    match coerce::type_name(item) {
        Ok((name, remark)) => {
            if let Some(remark) = remark {
                fields.warn_below(item, path, remark.into());
            }
            let at = Finding::new(item.location.clone(), path, "");
            draft.targets.push((name.clone(), at));
            Some(name)
        }
        Err(complaint) => {
            fields.fault_below(item, path, complaint);
            None
        }
    }
}
