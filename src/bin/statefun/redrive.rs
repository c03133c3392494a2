//! Sends what is kept again: one of them, or all that a filter selects.

use serde_json::{Value, json};

use crate::admin::{AddressArg, Query};
use crate::deliveries::Actor;
use crate::json::{field, list_at};
use crate::list::{damaged_line, sound};
use crate::output;

/// The path below `path` and the body of the request.
pub(crate) fn request(
    path: &str,
    one: Option<&AddressArg>,
    filter: &Query,
    actor: &Actor,
    dry_run: bool,
) -> (String, Value) {
    let (by, why) = (&actor.actor, &actor.reason);
    match one {
        Some(one) => (
            format!("{path}/{}/redrive", one.path()),
            json!({"actor": by, "reason": why}),
        ),
        None => (
            format!("{path}/redrive{}", filter.text()),
            json!({"actor": by, "reason": why, "dry_run": dry_run}),
        ),
    }
}

/// Prints the answer; `one` is the line of the only one that was meant.
pub(crate) fn print(
    answer: &Value,
    one: Option<String>,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let damaged = list_at(answer, "/damaged");
    if as_json {
        output::json(answer)?;
    } else {
        let count = field(answer, "redriven");
        output::line(match (one, dry_run) {
            (Some(line), _) => line,
            (None, true) => format!("{count} would be sent again"),
            (None, false) => format!("{count} sent again"),
        })?;
        for one in damaged {
            output::line(damaged_line(one))?;
        }
    }
    sound(damaged.len())
}
