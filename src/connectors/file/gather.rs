//! Makes batches of lines: records for functions, and lines that are set aside.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use super::cursor::{Content, Line};
use super::record::{ParsedLine, address};
use crate::runtime::intake::AddressKey;
use crate::runtime::{Batch, Inlet, SourceRecord};
use crate::sdk::TypeName;

/// Targets that are remembered, because many lines have the same.
const KNOWN: usize = 10_000;

/// Turns lines into records.
#[derive(Debug)]
pub(super) struct Gatherer {
    inlet: Inlet,
    /// The type of JSON without a type.
    json_type: TypeName,
    pub(super) max_line_bytes: usize,
    /// Targets by their text, with the reason if their function is not bound.
    known: HashMap<Box<str>, Target>,
}

#[derive(Debug, Clone)]
struct Target {
    address: AddressKey,
    unbound: Option<Box<str>>,
}

/// Lines of one file as a batch that is being filled.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The encoded values of all records.
    arguments: Vec<u8>,
    records: Vec<(AddressKey, Range<usize>)>,
    batch: Batch,
}

impl Gatherer {
    pub(super) fn new(inlet: Inlet, json_type: TypeName, max_line_bytes: usize) -> Self {
        Self {
            inlet,
            json_type,
            max_line_bytes,
            known: HashMap::new(),
        }
    }

    /// Adds a line of the file `name` to `gathered`.
    pub(super) fn add(&mut self, name: &str, line: Line<'_>, gathered: &mut Gathered) {
        let (text, fault) = match line.content {
            Content::Text(text) => match ParsedLine::read(text) {
                Ok(record) => return self.record(name, line, text, &record, gathered),
                Err(fault) => (text, fault),
            },
            Content::TooLong(text) => {
                let most = self.max_line_bytes;
                (
                    text,
                    format!("it is longer than {most} bytes (maxLineBytes)"),
                )
            }
            Content::Added(text) => {
                let fault =
                    "it was added to a line whose record had been taken without a line feed";
                (text, fault.to_owned())
            }
        };
        gathered.batch.set_aside(origin(name, line), fault, text);
    }

    fn record(
        &mut self,
        name: &str,
        line: Line<'_>,
        text: &[u8],
        record: &ParsedLine<'_>,
        gathered: &mut Gathered,
    ) {
        let start = gathered.arguments.len();
        record.encode(&self.json_type, &mut gathered.arguments);
        let Target { address, unbound } = self.target(&record.target);
        let Some(why) = unbound else {
            let argument = start..gathered.arguments.len();
            return gathered.records.push((address, argument));
        };
        let argument = gathered.arguments.split_off(start);
        let message = SourceRecord::encoded(address, argument.into());
        let origin = origin(name, line);
        gathered.batch.set_message_aside(origin, why, text, message);
    }

    fn target(&mut self, text: &str) -> Target {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let (namespace, name, id) = address(text).unwrap_or_default();
        let address = AddressKey::new(namespace, name, id);
        let bound = self.inlet.check_bound(&address);
        let unbound = bound.err().map(|fault| fault.to_string().into());
        let target = Target { address, unbound };
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(text.into(), target.clone());
        target
    }
}

/// The location of a line.
fn origin(name: &str, line: Line<'_>) -> String {
    format!("{name}:{} (byte {})", line.number, line.byte)
}

impl Gathered {
    /// The batch, without positions.
    pub(super) fn into_batch(self) -> Batch {
        let Self {
            arguments,
            records,
            mut batch,
            ..
        } = self;
        let arguments = Bytes::from(arguments);
        batch.reserve(records.len());
        for (address, argument) in records {
            batch.push(SourceRecord::encoded(address, arguments.slice(argument)));
        }
        batch
    }
}
