//! A custom source that follows a file and takes in each line exactly once: `cargo run --features runtime --example custom_source`.
//! Run it more than once: each run appends a line to `target/custom-source.log`, and the count goes on.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use stateful_functions::runtime::{Batch, Inlet, Runtime, Source};
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, TypeName,
    ValueSpec, types,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

const WORDS: TypeName = TypeName::new("example/words");
const SEEN: ValueSpec<i64> = ValueSpec::new("seen", types::LONG);

/// Reads a file from its stored position on, and follows it as it grows.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
}

#[async_trait]
impl Source for Lines {
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        // A position is bytes that only the source understands: here, the number of bytes already read.
        let mut done = match inlet.position("file")? {
            Some(position) => u64::from_be_bytes(position[..].try_into()?),
            None => 0,
        };
        loop {
            let mut file = tokio::fs::File::open(&self.path).await?;
            file.seek(std::io::SeekFrom::Start(done)).await?;
            let mut text = Vec::new();
            file.take(64 * 1024).read_to_end(&mut text).await?;
            // The last line may be incomplete.
            let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            let lines = String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned();
            done += end as u64 + 1;
            // The lines and their end position are stored in one step: whatever is killed, each line takes effect once.
            let mut batch = Batch::new().position("file", done.to_be_bytes().to_vec());
            for word in lines.split_whitespace() {
                batch.push(&MessageBuilder::to(Address::new(WORDS, word)).value(1_i64));
            }
            // Waits while the runtime has no room. A broker would be acknowledged once the receipt is durable.
            inlet.bring(batch).await?.durable().await?;
        }
    }
}

/// Counts how often a word occurred; 0 only asks.
async fn count(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + message.require(&types::LONG)?;
    context.storage().set(&SEEN, seen)?;
    context.reply(seen);
    Ok(())
}

/// Appends a line, starts a runtime, and returns the count of the word `line` once all lines are counted.
pub(crate) async fn run(folder: &Path) -> Result<i64, BoxError> {
    let path = folder.join("custom-source.log");
    let mut log = std::fs::read_to_string(&path).unwrap_or_default();
    log.push_str("one more line\n");
    std::fs::write(&path, &log)?;

    let functions = StatefulFunctions::new().with(FunctionSpec::new(WORDS, count).value(SEEN))?;
    let runtime = Runtime::builder()
        .functions(functions)
        .ingress(TypeName::new("example/lines"), Lines { path })
        .data(folder.join("custom-source-data"))
        .start()
        .await?;
    let ask = MessageBuilder::to(Address::new(WORDS, "line")).value(0_i64);
    let lines = i64::try_from(log.lines().count())?;
    let seen = loop {
        let answer = runtime.call(&ask, Duration::from_secs(5)).await?;
        let seen = answer.require(&types::LONG)?;
        if seen >= lines {
            break seen;
        }
    };
    runtime.shutdown().await;
    Ok(seen)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().init();
    println!("lines so far: {}", run(Path::new("target")).await?);
    Ok(())
}
