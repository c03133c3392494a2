//! Plays a case: the pipelines as they run, on virtual time, with destinations that answer as the case says.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::super::Harness;
use super::read::Payload;
use super::script::{Destinations as Scripted, OUTPUT};
use super::{Case, Played, PlayedLetter};
use crate::clock::ManualClock;
use crate::delivery::engine::DeliveryState;
use crate::pipeline::{
    Destinations, HttpExport, Kept, Pipeline, PipelineConfig, RECORD, Record, Uuid,
};
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction,
    StatefulFunctions, Type, TypeName, ValueSpec,
};
use crate::time::Timestamp;
use crate::transport::http::client::{Network, Script};

/// Sends records to a pipeline, and hears what it answers.
const CALLER: TypeName = TypeName::new("statefun.test/caller");
/// The stage after the last one.
const LAST: &str = "statefun-test-output";
/// The sender of all records.
const SENDER: &str = "test";
/// When time begins.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

const fn raw(name: TypeName) -> Type<Bytes> {
    Type::sharing(
        name,
        |bytes: &Bytes, out| {
            out.extend_from_slice(bytes);
            Ok(())
        },
        Ok,
    )
}

const HEAD: ValueSpec<Bytes> =
    ValueSpec::new("head", raw(TypeName::new("statefun.pipelines/head")));
const JOB: ValueSpec<Bytes> = ValueSpec::new("job", raw(TypeName::new("statefun.pipelines/job")));

type Heard = Arc<Mutex<Vec<(String, Bytes)>>>;

struct Caller {
    entry: TypeName,
    heard: Heard,
}

impl StatefulFunction for Caller {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        if context.caller().is_none() {
            let to = Address::new(self.entry.clone(), SENDER);
            context.send(MessageBuilder::to(to).forward(&message));
            return Ok(());
        }
        let bytes = message.raw_value().unwrap_or_default();
        let answer = (message.value_type_name().to_owned(), bytes);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(answer);
        Ok(())
    }
}

/// What comes of the case, or why it cannot be played.
pub(super) async fn play(
    case: &Case,
    secrets: &[(String, Vec<(String, String)>)],
    pipelines: &[&PipelineConfig],
) -> Result<Played, String> {
    let clock = Arc::new(ManualClock::new(START));
    let destinations = Arc::new(Scripted::new(&case.answers));
    let network = Network::scripted(Script::new(destinations.clone()));
    let known = Destinations::default();
    let mut functions = StatefulFunctions::new();
    let mut built = Vec::new();
    for (at, config) in pipelines.iter().enumerate() {
        let mut known_secrets = config.secrets().clone();
        for (name, texts) in secrets {
            known_secrets = known_secrets.insecure(name, texts.iter().cloned());
        }
        let seed = Uuid::from_u128(at as u128 + 1);
        let mut builder = Pipeline::declared((*config).clone())
            .clock(clock.clone())
            .network(&network)
            .secrets(&known_secrets)
            .record_id_seed(seed);
        if !config.stages().is_empty() {
            builder = builder.named(LAST).http_export(HttpExport::post(OUTPUT));
        }
        let pipeline = builder.build().map_err(|err| err.to_string())?;
        for spec in pipeline.functions_beside(&known) {
            functions = functions.with(spec).map_err(|err| err.to_string())?;
        }
        built.push((config.name().to_owned(), pipeline));
    }
    let pipeline = match &case.to {
        None => built.first(),
        Some(to) => built.iter().find(|(name, _)| name == to),
    };
    let Some((_, pipeline)) = pipeline else {
        let names: Vec<&str> = built.iter().map(|(name, _)| name.as_str()).collect();
        let to = case.to.as_deref().unwrap_or_default();
        return Err(format!(
            "to: there is no pipeline `{to}`; known: {}",
            names.join(", ")
        ));
    };
    let heard = Heard::default();
    let caller = Caller {
        entry: pipeline.entry().clone(),
        heard: Arc::clone(&heard),
    };
    let functions = functions.with(FunctionSpec::new(CALLER, caller));
    let functions = functions.map_err(|err| err.to_string())?;
    let mut harness = Harness::with_clock(functions, clock);
    for input in &case.inputs {
        let message = MessageBuilder::to(Address::new(CALLER, SENDER));
        let message = message.value_as(&RECORD, record(case, input));
        let message = message.map_err(|err| err.to_string())?;
        harness.send(message).map_err(|err| err.to_string())?;
        harness.run().await.map_err(|err| err.to_string())?;
    }
    let advanced = harness.advance(case.lasts).await;
    advanced.map_err(|err| err.to_string())?;
    let (requests, outputs) = destinations.take();
    let mut played = Played {
        requests,
        outputs,
        ..Played::default()
    };
    played.responses = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    for function in built.iter().flat_map(|(_, pipeline)| pipeline.keepers()) {
        add_kept(&mut played, &harness, function)?;
    }
    Ok(played)
}

fn record(case: &Case, input: &Payload) -> Record {
    let mut record = match input {
        Payload::Document(document) => Record::json(document.clone()),
        Payload::Bytes(bytes) => {
            Record::new(bytes.clone()).with_content_type("text/plain; charset=utf-8")
        }
    };
    if let Some(content_type) = &case.content_type {
        record = record.with_content_type(content_type.clone());
    }
    for (name, value) in &case.values {
        record = record.with_value(name, value);
    }
    record
}

/// Adds what a stage keeps.
fn add_kept(played: &mut Played, harness: &Harness, function: &TypeName) -> Result<(), String> {
    for address in harness.addresses(function, Kept::VALUES[0]) {
        let read = |value: &ValueSpec<Bytes>| harness.state(&address, value);
        let head = read(&HEAD).map_err(|err| err.to_string())?;
        let job = read(&JOB).map_err(|err| err.to_string())?;
        let Some(head) = head else { continue };
        let kept = Kept::read(&head, None, job.as_deref()).map_err(|err| err.to_string())?;
        let stage = address.type_name().name();
        let stage = stage.rsplit_once('.').map_or(stage, |(_, stage)| stage);
        let delivery = kept.delivery();
        if delivery.state != Some(DeliveryState::Discarded) {
            played.waiting.push(stage.to_owned());
            continue;
        }
        let payload = kept.record().map(|record| record.payload());
        let summary = kept.summary();
        let error = summary
            .pointer("/error/message")
            .and_then(|text| text.as_str());
        played.letters.push(PlayedLetter {
            stage: stage.to_owned(),
            reason: delivery
                .reason
                .map_or("", |reason| reason.as_str())
                .to_owned(),
            error: error.unwrap_or_default().to_owned(),
            payload: payload.unwrap_or_default(),
        });
    }
    Ok(())
}
