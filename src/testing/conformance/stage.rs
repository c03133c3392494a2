//! The test bench of sources and sinks: a runtime on a disk that loses power, and a function that records its input.
#![expect(clippy::unwrap_used, reason = "a suite of tests: a failure is a panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::runtime::{Runtime, RuntimeBuilder, RuntimeConfig, StartError, StoreStatus};
use crate::sdk::{
    Address, BoxError, Context, EgressMessage, EgressMessageBuilder, FunctionSpec, Message,
    MessageBuilder, StatefulFunction, StatefulFunctions, TypeName, ValueSpec, types,
};
use crate::testing::faulty::FaultyDisk;

/// The function that the records are for. It keeps the texts it gets, in order, and sends each to [`OUT`].
pub const LEDGER: TypeName = TypeName::new("conformance/ledger");
/// The egress to which every text is sent.
pub const OUT: TypeName = TypeName::new("conformance/out");

const TEXTS: ValueSpec<String> = ValueSpec::new("texts", types::STRING);
/// A text that is answered with all texts, and not kept.
const READ: &str = "read";
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(2);

/// How often a record may take effect when everything is killed again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Once.
    ExactlyOnce,
    /// Once or more; the first time in order.
    AtLeastOnce,
}

/// A record: a text for the ledger of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The id of the ledger.
    pub id: String,
    /// Unique, and never `read`.
    pub text: String,
}

impl LedgerEntry {
    pub(super) fn numbered(number: u64) -> Self {
        Self {
            id: format!("ledger-{}", number % 3),
            text: format!("record-{number}"),
        }
    }

    /// The record as the message that a source brings.
    pub fn message(&self) -> Message {
        MessageBuilder::to(Address::new(LEDGER, self.id.as_str())).value(self.text.as_str())
    }
}

/// Makes the record that is sent to an egress for a text.
pub(super) type Out = fn(&str) -> EgressMessage;

/// The text itself, for [`OUT`].
pub(super) fn plain(text: &str) -> EgressMessage {
    EgressMessageBuilder::to(OUT).value(text)
}

struct Ledger {
    out: Out,
}

impl StatefulFunction for Ledger {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let text = message.require(&types::STRING)?;
        let mut texts = context.storage().get(&TEXTS)?.unwrap_or_default();
        if text == READ {
            if let Some(caller) = context.caller().cloned() {
                context.send(MessageBuilder::to(caller).value(texts));
            }
            return Ok(());
        }
        texts.push_str(&text);
        texts.push('\n');
        context.storage().set(&TEXTS, texts)?;
        context.send_egress((self.out)(&text));
        Ok(())
    }
}

/// One run of a runtime, on an executor that dies with it.
pub(super) struct Life {
    executor: tokio::runtime::Runtime,
    pub(super) runtime: Runtime,
}

impl Life {
    /// Starts a runtime on `disk`, with a ledger that sends records made by `out`; `bind` binds the source or sink under test.
    pub(super) fn start(
        disk: &FaultyDisk,
        out: Out,
        bind: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder,
    ) -> Result<Self, StartError> {
        let ledger = FunctionSpec::new(LEDGER, Ledger { out }).value(TEXTS);
        let functions = StatefulFunctions::new().with(ledger).unwrap();
        let config = RuntimeConfig {
            partitions: 3.try_into().unwrap(),
            shutdown_timeout: Duration::from_secs(2),
            ..RuntimeConfig::default()
        };
        let builder = Runtime::builder()
            .disk(Arc::new(disk.clone()))
            .functions(functions)
            .config(config);
        let executor = tokio::runtime::Runtime::new().unwrap();
        let runtime = executor.block_on(bind(builder).start())?;
        Ok(Self { executor, runtime })
    }

    /// Runs `work` concurrently with the runtime.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.executor.block_on(work)
    }

    /// Whether the disk has lost power.
    pub(super) fn is_dead(&self) -> bool {
        let status = self.runtime.store_status();
        let is_dead = matches!(*status.borrow(), StoreStatus::Closed(_));
        is_dead
    }

    /// Waits until `is` is true or the disk has lost power; returns whether it is true.
    pub(super) fn until(&self, what: &str, mut is: impl AsyncFnMut(&Runtime) -> bool) -> bool {
        let begun = Instant::now();
        self.run(async {
            while !is(&self.runtime).await {
                if self.is_dead() {
                    return false;
                }
                assert!(begun.elapsed() < PATIENCE, "gave up waiting for {what}");
                tokio::time::sleep(PAUSE).await;
            }
            true
        })
    }

    /// Ends at once, without finishing or syncing anything.
    pub(super) fn crash(self) {
        drop(self.executor);
        drop(self.runtime);
    }

    pub(super) fn stop(self) {
        self.executor.block_on(self.runtime.shutdown());
    }
}

/// The texts of one ledger; `None` if there is no answer.
pub(super) async fn ledger(runtime: &Runtime, id: &str) -> Option<Vec<String>> {
    let read = MessageBuilder::to(Address::new(LEDGER, id)).value(READ);
    let answer = runtime.call(&read, Duration::from_secs(10)).await.ok()?;
    let texts = answer.require(&types::STRING).ok()?;
    Some(texts.lines().map(str::to_owned).collect())
}

/// How a run ends: after a number of disk changes, or when its work is done; and the disk that the next run finds.
pub(super) fn end(life: Life, disk: &FaultyDisk, random: &mut Random) -> FaultyDisk {
    // Nothing that happens from here on has an effect.
    disk.cut_power_after(0);
    let next = if random.chance(25) {
        disk.kill()
    } else {
        disk.lose_power(random)
    };
    life.crash();
    next
}

/// Compares what arrived with what was sent.
pub(super) fn check(guarantee: Guarantee, sent: &[String], arrived: &[String], what: &str) {
    let mut first: Vec<&String> = Vec::new();
    for text in arrived {
        if !first.contains(&text) {
            first.push(text);
        }
    }
    let lost: Vec<_> = sent.iter().filter(|text| !first.contains(text)).collect();
    assert!(lost.is_empty(), "{what}: lost {lost:?} of {arrived:?}");
    assert_eq!(
        first,
        sent.iter().collect::<Vec<_>>(),
        "{what}: out of order"
    );
    if guarantee == Guarantee::ExactlyOnce {
        assert_eq!(arrived, sent, "{what}: not once each");
    }
}
