//! The interpreter of the command language in Rust, and the processes that run it. Its twins in other languages are in
//! `tests/functions`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::retry::Backoff;
use stateful_functions::runtime::{Runtime, RuntimeConfig};
use stateful_functions::transport::http::serve;
use stateful_functions::{
    BoxError, CancellationToken, Context, EgressMessageBuilder, FunctionSpec, KafkaEgressMessage,
    KinesisEgressMessage, Message, MessageBuilder, StatefulFunction, StatefulFunctions, Type,
    ValueSpec, types,
};
use tokio::net::TcpListener;

use super::program::{At, Cell, KAFKA, KINESIS, Marks, Op, PROGRAM, Program, RECORDS, TYPES};

type Journal = BTreeMap<String, Marks>;

const PROGRAM_TYPE: Type<Program> = types::json(PROGRAM);
const RECORD: Type<Value> = types::json("workload/record");
const NOTE_TYPE: Type<Value> = types::json("workload/note");

const TOTAL: ValueSpec<i64> = ValueSpec::new("total", types::LONG);
const JOURNAL: ValueSpec<Journal> = ValueSpec::new("journal", types::json("workload/journal"));
const FLAG: ValueSpec<bool> = ValueSpec::new("flag", types::BOOL);
const NUMBER: ValueSpec<i32> = ValueSpec::new("number", types::INT);
const COUNT: ValueSpec<i64> = ValueSpec::new("count", types::LONG);
const RATIO: ValueSpec<f64> = ValueSpec::new("ratio", types::DOUBLE);
const SMALL: ValueSpec<f32> = ValueSpec::new("small", types::FLOAT);
const TEXT: ValueSpec<String> = ValueSpec::new("text", types::STRING);
const NOTE: ValueSpec<Value> = ValueSpec::new("note", NOTE_TYPE);

/// One of the three types.
#[derive(Clone)]
struct Interpreter {
    marks: PathBuf,
}

/// All three types, with the folder of their marks.
fn functions(marks: PathBuf) -> StatefulFunctions {
    let interpreter = Interpreter { marks };
    TYPES.into_iter().fold(StatefulFunctions::new(), |all, of| {
        let spec = FunctionSpec::new(of, interpreter.clone())
            .value(TOTAL)
            .value(JOURNAL)
            .value(FLAG)
            .value(NUMBER)
            .value(COUNT)
            .value(RATIO)
            .value(SMALL)
            .value(TEXT)
            .value(NOTE);
        all.with(spec).unwrap()
    })
}

impl StatefulFunction for Interpreter {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        if !message.is(&PROGRAM_TYPE) {
            return told(context, &message);
        }
        let program = message.require(&PROGRAM_TYPE)?;
        let caller = context.caller().cloned().map(At);
        if caller != program.from {
            let complaint = json!({"kind": "complaint", "program": program.id, "caller": caller});
            record(context, complaint)?;
        }
        for op in program.ops {
            self.step(context, &program.id, op)?;
        }
        Ok(())
    }
}

impl Interpreter {
    fn step(&self, context: &mut Context, program: &str, op: Op) -> Result<(), BoxError> {
        match op {
            Op::Add { amount } => {
                let total = context.storage().get(&TOTAL)?.unwrap_or(0);
                context.storage().set(&TOTAL, total + amount)?;
            }
            Op::Set { cell, value } => set(context, cell, value)?,
            Op::Clear { cell } => clear(context, cell)?,
            Op::Read { cell } => {
                let value = read(context, cell)?;
                let read =
                    json!({"kind": "read", "program": program, "cell": cell, "value": value});
                record(context, read)?;
            }
            Op::Mark { number } => {
                let caller = context.caller().map(ToString::to_string);
                let mut journal = context.storage().get(&JOURNAL)?.unwrap_or_default();
                journal
                    .entry(caller.unwrap_or_default())
                    .or_default()
                    .note(number);
                context.storage().set(&JOURNAL, journal)?;
            }
            Op::Send { to, program } => {
                context.send(MessageBuilder::to(to.0).value_as(&PROGRAM_TYPE, program)?);
            }
            Op::SendAfter {
                ms,
                to,
                program,
                token,
            } => {
                let message = MessageBuilder::to(to.0).value_as(&PROGRAM_TYPE, program)?;
                let delay = Duration::from_millis(ms);
                match token {
                    None => context.send_after(delay, message)?,
                    Some(token) => {
                        let token = CancellationToken::new(token)?;
                        context.send_after_with_token(delay, token, message)?;
                    }
                }
            }
            Op::Cancel { token } => {
                context.cancel_delayed_message(&CancellationToken::new(token)?);
            }
            Op::Tell { to, cell, value } => tell_value(context, to, cell, value)?,
            Op::Egress { text } => {
                let egress = json!({"kind": "egress", "program": program, "text": text});
                record(context, egress)?;
            }
            Op::Kafka { topic, key, text } => {
                let message = KafkaEgressMessage::to(KAFKA)
                    .topic(topic)
                    .key(key)
                    .value(text)?;
                context.send_egress(message);
            }
            Op::Kinesis { stream, key, text } => {
                let message = KinesisEgressMessage::to(KINESIS)
                    .stream(stream)
                    .partition_key(key)
                    .value(text)?;
                context.send_egress(message);
            }
            Op::FailOnce { mark } => {
                if self.is_first(&mark)? {
                    return Err(format!("told to fail by {mark}").into());
                }
            }
            Op::CrashOnce { mark } => {
                if self.is_first(&mark)? {
                    std::process::abort();
                }
            }
            Op::Report { round } => {
                let total = context.storage().get(&TOTAL)?;
                let mut cells = Map::new();
                for cell in Cell::ALL {
                    let name = serde_json::to_value(cell)?;
                    let name = name.as_str().unwrap_or_default().to_owned();
                    cells.insert(name, read(context, cell)?.unwrap_or(Value::Null));
                }
                let report = json!({
                    "kind": "report",
                    "round": round,
                    "total": total.map(|total| total.to_string()),
                    "journal": context.storage().get(&JOURNAL)?,
                    "cells": cells,
                });
                record(context, report)?;
            }
        }
        Ok(())
    }

    /// Leaves the mark; whether it was not there yet.
    fn is_first(&self, mark: &str) -> Result<bool, BoxError> {
        let file = self.marks.join(mark);
        match OpenOptions::new().write(true).create_new(true).open(file) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends a record, with the address it comes from.
fn record(context: &mut Context, mut record: Value) -> Result<(), BoxError> {
    record["at"] = context.address().to_string().into();
    context.send_egress(EgressMessageBuilder::to(RECORDS).value_as(&RECORD, record)?);
    Ok(())
}

/// Sends a value of a cell's type.
fn tell_value(context: &mut Context, to: At, cell: Cell, value: Value) -> Result<(), BoxError> {
    let to = MessageBuilder::to(to.0);
    let message = match cell {
        Cell::Flag => to.value(serde_json::from_value::<bool>(value)?),
        Cell::Number => to.value(serde_json::from_value::<i32>(value)?),
        Cell::Count => to.value(value.as_str().unwrap_or_default().parse::<i64>()?),
        Cell::Ratio => to.value(serde_json::from_value::<f64>(value)?),
        Cell::Small => to.value(serde_json::from_value::<f32>(value)?),
        Cell::Text => to.value(serde_json::from_value::<String>(value)?),
        Cell::Note => to.value_as(&NOTE_TYPE, value)?,
    };
    context.send(message);
    Ok(())
}

/// Takes a value of a cell's type.
fn told(context: &mut Context, message: &Message) -> Result<(), BoxError> {
    let (cell, value): (_, Value) = if message.is(&types::BOOL) {
        (Cell::Flag, message.require(&types::BOOL)?.into())
    } else if message.is(&types::INT) {
        (Cell::Number, message.require(&types::INT)?.into())
    } else if message.is(&types::LONG) {
        let count = message.require(&types::LONG)?;
        (Cell::Count, count.to_string().into())
    } else if message.is(&types::DOUBLE) {
        (Cell::Ratio, message.require(&types::DOUBLE)?.into())
    } else if message.is(&types::FLOAT) {
        (Cell::Small, message.require(&types::FLOAT)?.into())
    } else if message.is(&types::STRING) {
        (Cell::Text, message.require(&types::STRING)?.into())
    } else {
        (Cell::Note, message.require(&NOTE_TYPE)?)
    };
    let caller = context.caller().cloned().map(At);
    record(
        context,
        json!({"kind": "told", "caller": caller, "cell": cell, "value": value}),
    )
}

fn set(context: &mut Context, cell: Cell, value: Value) -> Result<(), BoxError> {
    let storage = context.storage();
    match cell {
        Cell::Flag => storage.set(&FLAG, serde_json::from_value(value)?)?,
        Cell::Number => storage.set(&NUMBER, serde_json::from_value(value)?)?,
        Cell::Count => storage.set(&COUNT, value.as_str().unwrap_or_default().parse()?)?,
        Cell::Ratio => storage.set(&RATIO, serde_json::from_value(value)?)?,
        Cell::Small => storage.set(&SMALL, serde_json::from_value(value)?)?,
        Cell::Text => storage.set(&TEXT, serde_json::from_value(value)?)?,
        Cell::Note => storage.set(&NOTE, value)?,
    }
    Ok(())
}

fn clear(context: &mut Context, cell: Cell) -> Result<(), BoxError> {
    let storage = context.storage();
    match cell {
        Cell::Flag => storage.remove(&FLAG)?,
        Cell::Number => storage.remove(&NUMBER)?,
        Cell::Count => storage.remove(&COUNT)?,
        Cell::Ratio => storage.remove(&RATIO)?,
        Cell::Small => storage.remove(&SMALL)?,
        Cell::Text => storage.remove(&TEXT)?,
        Cell::Note => storage.remove(&NOTE)?,
    }
    Ok(())
}

fn read(context: &mut Context, cell: Cell) -> Result<Option<Value>, BoxError> {
    let storage = context.storage();
    Ok(match cell {
        Cell::Flag => storage.get(&FLAG)?.map(Value::from),
        Cell::Number => storage.get(&NUMBER)?.map(Value::from),
        Cell::Count => storage.get(&COUNT)?.map(|count| count.to_string().into()),
        Cell::Ratio => storage.get(&RATIO)?.map(Value::from),
        Cell::Small => storage.get(&SMALL)?.map(Value::from),
        Cell::Text => storage.get(&TEXT)?.map(Value::from),
        Cell::Note => storage.get(&NOTE)?,
    })
}

/// Serves the functions on `127.0.0.1:PORT`, with their marks in `MARKS`.
#[test]
#[ignore = "started by other tests"]
fn process_of_the_workload_functions() {
    let (Ok(port), Some(marks)) = (std::env::var("PORT"), std::env::var_os("MARKS")) else {
        return;
    };
    end_with_the_starter();
    let executor = tokio::runtime::Runtime::new().unwrap();
    executor.block_on(async {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
            .await
            .unwrap();
        tell("ready");
        serve(listener, functions(marks.into())).await.unwrap();
    });
}

/// Runs `MODULE` with the functions in this process, its data in `DATA`, the functions' marks in `MARKS` and the ids in `PARTITIONS`;
/// prints what `statefun run` prints.
#[test]
#[ignore = "started by other tests"]
fn process_of_the_workload_runtime() {
    let name = |name| std::env::var_os(name);
    let (Some(module), Some(data), Some(marks)) = (name("MODULE"), name("DATA"), name("MARKS"))
    else {
        return;
    };
    let text = std::fs::read_to_string(module).unwrap();
    let file = ModuleFile {
        name: "module.yaml",
        text: &text,
    };
    let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
    let mut config = RuntimeConfig::default();
    let partitions = std::env::var("PARTITIONS").unwrap();
    config.partitions = partitions.parse().unwrap();
    // In process no transport tries again before the address backs off.
    config.failure.backoff = Backoff {
        first: Duration::from_millis(20),
        ..Backoff::default()
    };
    end_with_the_starter();
    let executor = tokio::runtime::Runtime::new().unwrap();
    executor.block_on(async {
        let builder = Runtime::builder()
            .config(config)
            .functions(functions(marks.into()))
            .data(data);
        let builder = builder
            .module(&module)
            .unwrap()
            .admin(crate::runtime::admin());
        let runtime = builder.start().await.unwrap();
        for listener in runtime.listeners() {
            tell(&format!(
                "{} listens on {}",
                listener.name, listener.address
            ));
        }
        tell("ready");
        // Until it is killed.
        std::future::pending::<()>().await;
    });
}

/// Ends this process when whoever started it is gone, and with it the other end of its standard input.
fn end_with_the_starter() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::abort();
    });
}

/// A line for whoever started this process; the test runner may have begun one.
#[expect(clippy::print_stdout, reason = "it is how the processes speak")]
fn tell(line: &str) {
    println!("\n{line}");
}
