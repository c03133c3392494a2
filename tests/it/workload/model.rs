//! What a workload leaves behind: the contents of every address and the records, predicted without a runtime.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::program::{At, Cell, Input, Marks, Op, Program};

/// A message that is due so late is cancelled before.
pub(crate) const NEVER: u64 = 600_000;

/// What an address keeps.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Contents {
    total: Option<i64>,
    journal: BTreeMap<String, Marks>,
    cells: BTreeMap<Cell, Value>,
}

impl Contents {
    /// As the record of a `report`, without its round, value by value.
    pub(crate) fn to_json(&self) -> Value {
        let cells = Cell::ALL.map(|cell| {
            let name = serde_json::to_value(cell).unwrap();
            let value = self.cells.get(&cell).cloned();
            (
                name.as_str().unwrap().to_owned(),
                value.unwrap_or(Value::Null),
            )
        });
        let journal = (!self.journal.is_empty()).then_some(&self.journal);
        json!({
            "total": self.total.map(|total| total.to_string()),
            "journal": journal,
            "cells": Map::from_iter(cells),
        })
    }
}

/// What a program sends.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Send(At, Program),
    After(u64, At, Program, Option<String>),
    Cancel(String),
}

/// Contents and records, as far as programs were done.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct World {
    pub(crate) contents: BTreeMap<At, Contents>,
    pub(crate) records: BTreeSet<String>,
}

impl World {
    /// Does a program at an address; what it sends is handed back in the order in which it takes effect.
    pub(crate) fn run(&mut self, at: &At, caller: Option<&At>, program: &Program) -> Vec<Effect> {
        let (mut sent, mut delayed) = (Vec::new(), Vec::new());
        let here = self.contents.entry(at.clone()).or_default();
        let mut records = Vec::new();
        if program.from.as_ref() != caller {
            records.push(
                json!({"kind": "complaint", "at": at, "program": program.id, "caller": caller}),
            );
        }
        for op in &program.ops {
            match op {
                Op::Add { amount } => here.total = Some(here.total.unwrap_or(0) + amount),
                Op::Set { cell, value } => drop(here.cells.insert(*cell, value.clone())),
                Op::Clear { cell } => drop(here.cells.remove(cell)),
                Op::Read { cell } => {
                    let value = here.cells.get(cell);
                    records.push(json!({"kind": "read", "at": at, "program": program.id, "cell": cell, "value": value}));
                }
                Op::Mark { number } => {
                    let caller = caller.map(At::to_string).unwrap_or_default();
                    here.journal.entry(caller).or_default().note(*number);
                }
                Op::Send { to, program } => sent.push(Effect::Send(to.clone(), program.clone())),
                Op::SendAfter {
                    ms,
                    to,
                    program,
                    token,
                } => delayed.push(Effect::After(
                    *ms,
                    to.clone(),
                    program.clone(),
                    token.clone(),
                )),
                Op::Cancel { token } => delayed.push(Effect::Cancel(token.clone())),
                Op::Egress { text } => {
                    records.push(
                        json!({"kind": "egress", "at": at, "program": program.id, "text": text}),
                    );
                }
                Op::Kafka { topic, key, text } => records.push(kafka(topic, key, text)),
                Op::Kinesis { stream, key, text } => records.push(kinesis(stream, key, text)),
                Op::FailOnce { .. } | Op::CrashOnce { .. } | Op::Report { .. } => {}
                Op::Tell { .. } => panic!("no program of a workload has `tell`"),
            }
        }
        self.records.extend(records.iter().map(canonical));
        sent.append(&mut delayed);
        sent
    }
}

/// A Kafka record as it is compared.
pub(crate) fn kafka(topic: &str, key: &str, text: &str) -> Value {
    json!({"kind": "kafka", "topic": topic, "key": key, "text": text})
}

/// A Kinesis record as it is compared.
pub(crate) fn kinesis(stream: &str, key: &str, text: &str) -> Value {
    json!({"kind": "kinesis", "stream": stream, "key": key, "text": text})
}

/// One text for all JSON that is equal: sorted keys, one spelling for each number.
pub(crate) fn canonical(value: &Value) -> String {
    fn plain(value: &Value) -> Value {
        match value {
            Value::Number(number) => number
                .as_f64()
                .map_or(Value::Null, |number| (number + 0.0).into()),
            Value::Array(items) => items.iter().map(plain).collect(),
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (name.clone(), plain(value)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }
    plain(value).to_string()
}

/// Follows every input to its end, one after the other. That this is one of many orders does not matter: what does not commute
/// comes along one way.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) world: World,
}

impl Model {
    pub(crate) fn of(inputs: &[Input]) -> Self {
        let mut model = Self::default();
        inputs.iter().for_each(|input| model.take(input));
        model
    }

    pub(crate) fn take(&mut self, input: &Input) {
        self.follow(&input.to, None, &input.program);
    }

    fn follow(&mut self, at: &At, caller: Option<&At>, program: &Program) {
        let mut messages = Vec::new();
        let mut armed = HashMap::new();
        for effect in self.world.run(at, caller, program) {
            match effect {
                Effect::Send(to, program) => messages.push(Some((to, program))),
                Effect::After(NEVER.., ..) => {}
                Effect::After(_, to, program, token) => {
                    if let Some(token) = token {
                        armed.insert(token, messages.len());
                    }
                    messages.push(Some((to, program)));
                }
                Effect::Cancel(token) => {
                    if let Some(cancelled) = armed.remove(&token) {
                        messages[cancelled] = None;
                    }
                }
            }
        }
        for (to, program) in messages.into_iter().flatten() {
            self.follow(&to, Some(at), &program);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> At {
        text.parse().unwrap()
    }

    fn input(to: &str, ops: Vec<Op>) -> Input {
        let program = Program {
            id: "1".to_owned(),
            from: None,
            ops,
        };
        Input {
            to: at(to),
            program,
        }
    }

    #[test]
    fn equal_numbers_are_equal_whatever_their_spelling() {
        let ours = json!({"a": 1, "b": [0.5, 0.0]});
        let theirs: Value = serde_json::from_str(r#"{"b": [5e-1, -0.0], "a": 1.0}"#).unwrap();
        assert_eq!(canonical(&ours), canonical(&theirs));
        assert_ne!(canonical(&json!(1)), canonical(&json!("1")));
    }

    #[test]
    fn sums_cells_and_marks_are_kept_by_address_and_caller() {
        let alpha = "workload/alpha/x";
        let mark = |from: Option<&str>, number| Program {
            id: "2".to_owned(),
            from: from.map(at),
            ops: vec![Op::Mark { number }],
        };
        let send = |number| Op::Send {
            to: at(alpha),
            program: mark(Some(alpha), number),
        };
        let model = Model::of(&[input(
            alpha,
            vec![
                Op::Add { amount: 3 },
                Op::Add { amount: -5 },
                Op::Set {
                    cell: Cell::Text,
                    value: json!(""),
                },
                Op::Mark { number: 1 },
                send(1),
                send(3),
            ],
        )]);
        let json = model.world.contents[&at(alpha)].to_json();
        assert_eq!(json["total"], "-2");
        assert_eq!(json["cells"]["text"], "");
        assert_eq!(json["cells"]["flag"], Value::Null);
        let expected = json!({
            "": {"count": 1, "last": 1, "disorder": 0},
            alpha: {"count": 2, "last": 3, "disorder": 1},
        });
        assert_eq!(json["journal"], expected);
        assert_eq!(model.world.records.len(), 0);
    }

    #[test]
    fn a_message_cancelled_behind_its_arming_never_comes_and_one_armed_behind_a_cancellation_does()
    {
        let alpha = "workload/alpha/x";
        let cancel = || Op::Cancel {
            token: "t".to_owned(),
        };
        let arm = |text: &str| Op::SendAfter {
            ms: 5,
            to: at(alpha),
            program: Program {
                id: "2".to_owned(),
                from: Some(at(alpha)),
                ops: vec![Op::Egress {
                    text: text.to_owned(),
                }],
            },
            token: Some("t".to_owned()),
        };
        let ops = vec![cancel(), arm("first"), cancel(), arm("second")];
        let records = Model::of(&[input(alpha, ops)]).world.records;
        assert_eq!(records.len(), 1);
        assert!(records.first().unwrap().contains("second"));
    }
}
