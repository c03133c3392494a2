//! A subscribed connection: its messages, with a bound on what is read ahead of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use redis::{Msg, RedisError, Value};
use tokio::time::timeout;

use super::client::Failure;
use super::watched::Watch;

/// The longest silence before a ping, and then before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(10);
/// Bytes that are read before the messages among them are taken.
const AHEAD: usize = 1 << 20;

pub(super) struct Listening {
    sink: PubSubSink,
    messages: PubSubStream,
    watch: Arc<Watch>,
    server: String,
}

impl Listening {
    pub(super) fn new(made: PubSub, watch: Arc<Watch>, server: String) -> Self {
        let (sink, messages) = made.split();
        Self {
            sink,
            messages,
            watch,
            server,
        }
    }

    /// Subscribes to channels and to patterns of them. Until then, what is read has no bound.
    pub(super) async fn subscribe(
        &mut self,
        channels: &[&str],
        patterns: &[&str],
    ) -> Result<(), Failure> {
        if !channels.is_empty() {
            let answer = timeout(SILENCE, self.sink.subscribe(channels)).await;
            self.answered(answer.ok())?;
        }
        if !patterns.is_empty() {
            let answer = timeout(SILENCE, self.sink.psubscribe(patterns)).await;
            self.answered(answer.ok())?;
        }
        self.watch.allow(AHEAD);
        Ok(())
    }

    /// The next message; a silent server is asked whether it is there.
    pub(super) async fn next(&mut self) -> Result<Msg, Failure> {
        loop {
            let message = next(&mut self.messages, &self.watch);
            if let Ok(message) = timeout(SILENCE, message).await {
                return message.ok_or_else(|| self.lost("the connection has ended"));
            }
            tokio::select! {
                biased;
                message = next(&mut self.messages, &self.watch) => {
                    return message.ok_or_else(|| self.lost("the connection has ended"));
                }
                answer = timeout(SILENCE, self.sink.ping::<Value>()) => {
                    self.answered(answer.ok())?;
                }
            }
        }
    }

    /// A message that is there already.
    pub(super) fn ready(&mut self) -> Option<Msg> {
        self.messages.next().now_or_never().flatten()
    }

    fn answered<T>(&self, answer: Option<Result<T, RedisError>>) -> Result<T, Failure> {
        match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(failure)) => Err(Failure::of(&failure, &self.watch, &self.server)),
            None => Err(self.lost("it does not answer")),
        }
    }

    fn lost(&self, otherwise: &str) -> Failure {
        Failure::Lost {
            server: self.server.clone(),
            text: self.watch.end().unwrap_or_else(|| otherwise.to_owned()),
        }
    }
}

/// More is read only when all messages are taken.
async fn next(messages: &mut PubSubStream, watch: &Watch) -> Option<Msg> {
    loop {
        tokio::select! {
            biased;
            message = messages.next() => return message,
            () = watch.exhausted() => watch.allow(AHEAD),
        }
    }
}
