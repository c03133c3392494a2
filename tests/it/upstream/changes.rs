//! Functions whose values changed while they were away: what a restored job makes of it.

use std::time::Duration;

use bytes::Bytes;
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
    StatefulFunction, StatefulFunctions, Type, TypeName, ValueSpec, types,
};

use super::functions::{EGRESSES, OUT, serve};
use crate::support::flink::{Cause, Flink, Settings, endpoint};

/// A message with a value sets all of its values; every message tells the names of those that there are.
struct Teller(Vec<ValueSpec<Bytes>>);

impl StatefulFunction for Teller {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let mut found = Vec::new();
        for spec in &self.0 {
            if message.has_value() {
                context.storage().set(spec, Bytes::from_static(b"value"))?;
            }
            found.extend(context.storage().get(spec)?.map(|_| spec.name()));
        }
        context.send_egress(EgressMessageBuilder::to(OUT).value(found.join(" ")));
        Ok(())
    }
}

const TELLER: TypeName = TypeName::new("test/teller");
const BEFORE: Type<Bytes> = types::bytes("test/before");
const AFTER: Type<Bytes> = types::bytes("test/after");
const HOUR: Duration = Duration::from_secs(3600);

const fn plain() -> ValueSpec<Bytes> {
    ValueSpec::new("plain", BEFORE)
}

const fn mortal() -> ValueSpec<Bytes> {
    ValueSpec::new("mortal", BEFORE)
}

/// The module of a teller with these values.
async fn teller(values: &[ValueSpec<Bytes>]) -> String {
    let spec = FunctionSpec::new(TELLER, Teller(values.to_vec()));
    let spec = values.iter().cloned().fold(spec, FunctionSpec::value);
    endpoint(
        "test/*",
        &serve(StatefulFunctions::new().with(spec).unwrap()).await,
    )
}

/// A stopped job whose `plain` and `mortal` are set, and its savepoint.
async fn stored(backend: &'static str) -> Option<(Flink, String)> {
    let module = teller(&[plain(), mortal().expire_after_write(HOUR)]).await;
    let settings = Settings {
        backend,
        ..Settings::capturing(EGRESSES).without_restarts()
    };
    let mut flink = Flink::start(&module, settings).await?;
    flink.feed(&MessageBuilder::to(Address::new(TELLER, "a")).value(true));
    let records = flink
        .records_until("they are set", |records| records.len() == 1)
        .await;
    assert_eq!(records[0].get(&types::STRING), "plain mortal");
    let savepoint = flink.savepoint().await;
    assert_eq!(flink.stop().await.status, "CANCELED");
    Some((flink, savepoint))
}

/// Restores the job with these values, and asks for them: what there is, or why it failed.
async fn restored(
    flink: &mut Flink,
    savepoint: &str,
    values: &[ValueSpec<Bytes>],
) -> Result<String, Vec<Cause>> {
    let module = teller(values).await;
    flink.start_from(Some(savepoint.to_owned()), &module).await;
    let told = flink.records().len();
    flink.feed_raw(&Address::new(TELLER, "a"), "test/ask", None);
    let answer = flink
        .news("it tells or fails", |events| match &events.end {
            Some(end) => Some(Err(end.causes.clone())),
            None => events
                .records
                .get(told)
                .map(|record| Ok(record.get(&types::STRING))),
        })
        .await;
    if answer.is_ok() {
        flink.stop().await;
    }
    answer
}

#[tokio::test]
async fn sf_64_values_may_be_added_and_dropped_and_live_longer_or_shorter() {
    let Some((mut flink, savepoint)) = stored("hashmap").await else {
        return;
    };
    let another = || ValueSpec::new("another", BEFORE);
    let after_write = |time| mortal().expire_after_write(time);
    for (values, found) in [
        (vec![plain(), after_write(HOUR)], "plain mortal"),
        (vec![another(), plain(), after_write(HOUR)], "plain mortal"),
        (vec![another().expire_after_call(HOUR), plain()], "plain"),
        (vec![plain(), after_write(2 * HOUR)], "plain mortal"),
        (
            vec![plain(), mortal().expire_after_call(HOUR)],
            "plain mortal",
        ),
        // Old enough by the time at which it was written.
        (
            vec![plain(), after_write(Duration::from_millis(1))],
            "plain",
        ),
    ] {
        let answer = restored(&mut flink, &savepoint, &values).await;
        assert_eq!(answer.as_deref(), Ok(found), "{values:?}");
    }
}

#[tokio::test]
async fn sf_64_values_must_not_change_their_type() {
    for backend in ["hashmap", "rocksdb"] {
        let Some((mut flink, savepoint)) = stored(backend).await else {
            return;
        };
        let changed = ValueSpec::new("plain", AFTER);
        let causes = restored(&mut flink, &savepoint, &[changed])
            .await
            .unwrap_err();
        let messages: Vec<&str> = causes.iter().map(|cause| cause.message.as_str()).collect();
        let last = &messages[messages.len() - 2..];
        assert_eq!(
            last,
            [
                "Error while getting state",
                "Previous type was: TypeName(test, before), new type is: TypeName(test, after)"
            ]
        );
    }
}

#[tokio::test]
async fn sf_64_values_must_not_begin_or_cease_to_expire() {
    for backend in ["hashmap", "rocksdb"] {
        let Some((mut flink, savepoint)) = stored(backend).await else {
            return;
        };
        for values in [
            vec![plain().expire_after_write(HOUR)],
            vec![plain(), mortal()],
        ] {
            let causes = restored(&mut flink, &savepoint, &values).await.unwrap_err();
            let classes: Vec<&str> = causes.iter().map(|cause| cause.class.as_str()).collect();
            assert!(
                classes.contains(&"org.apache.flink.util.StateMigrationException"),
                "{causes:#?}"
            );
        }
    }
}
