//! What a home made of a workload, held against what the model predicts.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::Value;
use stateful_functions::protocol::egress::{KafkaProducerRecord, KinesisEgressRecord};

use super::model::{World, canonical, kafka, kinesis};
use super::program::{At, KAFKA, KINESIS, RECORDS};

/// The types of the records of egresses.
pub(crate) const RECORD_TYPE: &str = "workload/record";
pub(crate) const KAFKA_TYPE: &str =
    "type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord";
pub(crate) const KINESIS_TYPE: &str =
    "type.googleapis.com/io.statefun.sdk.egress.KinesisEgressRecord";

/// Maximum differences of each kind that are shown.
const SHOWN: usize = 12;

/// A record as it came out of an egress.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// Names the record, not its delivery, where the home has such names.
    pub(crate) id: Option<String>,
    pub(crate) content: Value,
}

impl Captured {
    /// The record with these bytes that came out of `egress`.
    pub(crate) fn read(id: Option<String>, egress: &str, type_name: &str, bytes: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let content = if egress == RECORDS.as_str() && type_name == RECORD_TYPE {
            serde_json::from_slice(bytes).unwrap()
        } else if egress == KAFKA.as_str() && type_name == KAFKA_TYPE {
            let record = KafkaProducerRecord::decode(bytes).unwrap();
            kafka(&record.topic, &record.key, &text(&record.value_bytes))
        } else if egress == KINESIS.as_str() && type_name == KINESIS_TYPE {
            let record = KinesisEgressRecord::decode(bytes).unwrap();
            let value = text(&record.value_bytes);
            kinesis(&record.stream, &record.partition_key, &value)
        } else {
            format!("a {type_name} in {egress}: {}", STANDARD.encode(bytes)).into()
        };
        Self { id, content }
    }
}

/// All that came out so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Record by content, with the ids it came with.
    records: BTreeMap<String, Vec<String>>,
    /// Content by id.
    ids: HashMap<String, String>,
    /// Round and address, with the report.
    reports: HashMap<(u64, String), Value>,
    faults: Vec<String>,
}

impl Found {
    pub(crate) fn take(&mut self, captured: Captured) {
        let Captured { id, content } = captured;
        if content["kind"] == "report" {
            let round = content["round"].as_f64().unwrap_or_default() as u64;
            let at = content["at"].as_str().unwrap_or_default().to_owned();
            self.reports.insert((round, at), content);
            return;
        }
        let text = canonical(&content);
        let ids = self.records.entry(text.clone()).or_default();
        let Some(id) = id else { return };
        match self.ids.get(&id) {
            Some(before) if *before == text => {}
            Some(before) => {
                let fault = format!("record {id} was {before}, and then {text}");
                self.faults.push(fault);
            }
            None => {
                ids.push(id.clone());
                self.ids.insert(id, text);
            }
        }
    }

    /// How many different records there are.
    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    /// How many reports of a round there are.
    pub(crate) fn reports(&self, round: u64) -> usize {
        self.reports.keys().filter(|(of, _)| *of == round).count()
    }

    /// How the reports of a round and the records differ from what was to be expected.
    pub(crate) fn differences(
        &self,
        round: u64,
        addresses: &[At],
        expected: &World,
    ) -> Vec<String> {
        let mut all = self.faults.clone();
        all.extend(shortened(self.contents(round, addresses, expected)));
        let missing = expected
            .records
            .iter()
            .filter(|record| !self.records.contains_key(*record));
        all.extend(shortened(
            missing.map(|record| format!("missing record: {record}")),
        ));
        let other = self
            .records
            .keys()
            .filter(|record| !expected.records.contains(*record));
        all.extend(shortened(
            other.map(|record| format!("record that should not be: {record}")),
        ));
        let twice = self.records.iter().filter(|(_, ids)| ids.len() > 1);
        all.extend(shortened(twice.map(|(record, ids)| {
            format!("record that was made twice, as {ids:?}: {record}")
        })));
        all
    }

    fn contents<'a>(
        &'a self,
        round: u64,
        addresses: &'a [At],
        expected: &'a World,
    ) -> impl Iterator<Item = String> + 'a {
        addresses.iter().flat_map(move |at| {
            let expected = expected.contents.get(at).cloned().unwrap_or_default();
            match self.reports.get(&(round, at.to_string())) {
                None => vec![format!("{at}: no report")],
                Some(report) => compare(at, &expected.to_json(), report),
            }
        })
    }
}

/// What of an address differs, value by value.
fn compare(at: &At, expected: &Value, report: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    let mut hold = |name: &str, expected: &Value, found: &Value| {
        if canonical(expected) != canonical(found) {
            differences.push(format!("{at}: {name}: expected {expected}, found {found}"));
        }
    };
    hold("total", &expected["total"], &report["total"]);
    match (
        expected["journal"].as_object(),
        report["journal"].as_object(),
    ) {
        (Some(marks), Some(found)) => {
            for caller in marks
                .keys()
                .chain(found.keys().filter(|key| !marks.contains_key(*key)))
            {
                let name = format!("journal of {caller:?}");
                hold(
                    &name,
                    &expected["journal"][caller],
                    &report["journal"][caller],
                );
            }
        }
        _ => hold("journal", &expected["journal"], &report["journal"]),
    }
    for (cell, value) in expected["cells"].as_object().into_iter().flatten() {
        hold(cell, value, &report["cells"][cell]);
    }
    differences
}

/// The first few, and how many more there are.
pub(crate) fn shortened(differences: impl Iterator<Item = String>) -> Vec<String> {
    let all: Vec<String> = differences.collect();
    let more = all.len().saturating_sub(SHOWN);
    let rest = (more > 0).then(|| format!("… and {more} more like that"));
    all.into_iter().take(SHOWN).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workload::generator::Workload;
    use crate::workload::model::Model;

    /// What a home finds that does as the model says, with one thing changed.
    fn found(world: &World, addresses: &[At], change: impl Fn(&mut Value)) -> Found {
        let mut found = Found::default();
        for at in addresses {
            let mut report = world
                .contents
                .get(at)
                .cloned()
                .unwrap_or_default()
                .to_json();
            report["kind"] = "report".into();
            report["round"] = 1.into();
            report["at"] = at.to_string().into();
            change(&mut report);
            found.take(Captured {
                id: None,
                content: report,
            });
        }
        for (n, record) in world.records.iter().enumerate() {
            let mut content: Value = serde_json::from_str(record).unwrap();
            change(&mut content);
            let captured = Captured {
                id: Some(n.to_string()),
                content,
            };
            // Deliveries may be repeated.
            found.take(captured.clone());
            found.take(captured);
        }
        found
    }

    #[test]
    fn any_deviation_from_the_model_is_a_difference_and_nothing_else_is() {
        let workload = Workload::random(3, 2_000);
        let world = Model::of(&workload.inputs).world;
        let addresses = Workload::addresses();
        let differences = |change: &dyn Fn(&mut Value)| {
            found(&world, &addresses, change).differences(1, &addresses, &world)
        };
        assert_eq!(differences(&|_| {}), [""; 0]);

        let at = "workload/alpha/1";
        let total = differences(&|value| {
            if value["kind"] == "report" && value["at"] == at {
                value["total"] = "77".into();
            }
        });
        assert_eq!(total.len(), 1, "{total:?}");
        assert!(
            total[0].starts_with("workload/alpha/1: total: expected \""),
            "{total:?}"
        );
        assert!(total[0].ends_with("found \"77\""), "{total:?}");

        let cell = differences(&|value| {
            if value["kind"] == "report" && value["at"] == at {
                value["cells"]["note"] = json!({"another": 1});
            }
        });
        assert_eq!(cell.len(), 1, "{cell:?}");

        let first = world.records.first().unwrap();
        let record = differences(&|value| {
            if canonical(value) == *first {
                value["extra"] = 1.into();
            }
        });
        assert_eq!(record.len(), 2, "{record:?}");
        assert!(record[0].starts_with("missing record") && record[1].contains("should not be"));
    }

    #[test]
    fn a_record_under_two_ids_and_an_id_of_two_records_are_differences() {
        let record = |id: &str, text: &str| Captured {
            id: Some(id.to_owned()),
            content: json!({"text": text}),
        };
        let mut found = Found::default();
        found.take(record("1", "a"));
        found.take(record("2", "a"));
        found.take(record("2", "b"));
        let mut world = World::default();
        world
            .records
            .extend(["a", "b"].map(|text| canonical(&json!({"text": text}))));
        let differences = found.differences(1, &[], &world);
        assert_eq!(differences.len(), 2, "{differences:?}");
    }
}
