//! What `statefun check --connect` asks Kinesis. Nothing is changed there, and no right is needed that a run does not need.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::api::ListStreams;
use super::client::Lazy;
use super::failure::{Failure, Meaning};
use super::listing::list;
use super::poll::Poll;
use super::position::{Position, Split};
use crate::module::{KinesisEgress, KinesisIngress, Places};
use crate::runtime::{SystemAnswer, Verdict};

/// Asks for the streams of an ingress, and reads each of them at its end.
pub(super) async fn of_ingress(
    spec: &KinesisIngress,
    client: &Lazy,
    patience: Duration,
) -> Vec<SystemAnswer> {
    let mut inquiry = Inquiry::begin(&spec.places, patience);
    for route in &spec.streams {
        let stream = route.source.as_str();
        let asked = inquiry.ask(|| shards(client, stream)).await;
        let (verdict, text) = match asked {
            Ok(shards) => {
                let shards = match shards {
                    1 => "1 shard".to_owned(),
                    many => format!("{many} shards"),
                };
                let text = format!("the stream {stream} has {shards} and can be read");
                (Verdict::Fine, text)
            }
            Err(failure) if failure.is_of_service() => {
                inquiry.refused(&failure);
                // The others would get the same answer.
                break;
            }
            Err(failure) => of_stream(stream, &failure),
        };
        inquiry.answer(verdict, "streams", text);
    }
    inquiry.answers
}

/// Asks whether an egress can be used; functions name its streams.
pub(super) async fn of_egress(
    spec: &KinesisEgress,
    client: &Lazy,
    patience: Duration,
) -> Vec<SystemAnswer> {
    let mut inquiry = Inquiry::begin(&spec.places, patience);
    let known = inquiry.ask(|| async {
        let client = client.client().await.map_err(Failure::Unasked)?;
        client.call(&ListStreams { limit: 1 }).await.map(drop)
    });
    let (verdict, text) = match known.await {
        Err(failure) if failure.is_of_service() => {
            inquiry.refused(&failure);
            return inquiry.answers;
        }
        // Whoever may not list streams is known nevertheless, and needs no such right to write.
        Err(failure) if !failure.is_denied() => {
            let text = format!("whether Kinesis knows the credentials was not told: {failure}");
            (Verdict::Unknown, text)
        }
        _ => {
            let text = "Kinesis answers, and knows the credentials";
            (Verdict::Fine, text.to_owned())
        }
    };
    inquiry.answer(verdict, REGION, text);
    let text = "whether streams may be written shows with the first record: functions name them";
    inquiry.answer(Verdict::Unknown, "", text.to_owned());
    inquiry.answers
}

const REGION: &str = "awsRegion";

/// How many shards a stream has. The newest of them is read at its end.
async fn shards(client: &Lazy, stream: &str) -> Result<usize, Failure> {
    let shards = list(client, stream).await?.shards;
    if let Some(newest) = shards.last() {
        let split = Split::new(stream, &*newest.id);
        let mut poll = Poll::new(split, Position::Oldest, true);
        poll.fetch(client, 1).await?;
    }
    Ok(shards.len())
}

/// What a failure says about one stream.
fn of_stream(stream: &str, failure: &Failure) -> (Verdict, String) {
    match (failure, failure.meaning()) {
        (_, Meaning::Missing) => {
            let text = format!("the stream {stream} does not exist: the ingress waits for it");
            (Verdict::Warning, text)
        }
        (Failure::Changing(_), _) => (Verdict::Warning, failure.to_string()),
        (_, Meaning::Throttled) => {
            let text = format!("whether the stream {stream} can be read was not told: {failure}");
            (Verdict::Unknown, text)
        }
        _ => {
            let text = format!("the stream {stream} cannot be read: {failure}");
            (Verdict::Fault, text)
        }
    }
}

/// Questions about a document, and the answers so far.
struct Inquiry<'a> {
    places: &'a Places,
    patience: Duration,
    deadline: Instant,
    answers: Vec<SystemAnswer>,
}

impl<'a> Inquiry<'a> {
    fn begin(places: &'a Places, patience: Duration) -> Self {
        Self {
            places,
            patience,
            deadline: Instant::now() + patience,
            answers: Vec::new(),
        }
    }

    /// Asks, and again with the time of AWS if the clocks differ too much.
    async fn ask<T, F>(&self, question: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let asked = async {
            match question().await {
                Err(failure) if failure.meaning() == Meaning::Clock => question().await,
                answered => answered,
            }
        };
        timeout_at(self.deadline, asked).await.unwrap_or_else(|_| {
            let text = format!("no answer within {} s", self.patience.as_secs());
            Err(Failure::Unasked(text.into()))
        })
    }

    /// The service is out of reach, or does not accept the credentials.
    fn refused(&mut self, failure: &Failure) {
        let key = match failure.meaning() {
            Meaning::Credentials => "awsCredentials",
            _ => REGION,
        };
        self.answer(Verdict::Fault, key, failure.with_causes());
    }

    fn answer(&mut self, verdict: Verdict, key: &str, text: String) {
        let finding = self.places.finding(key, text);
        self.answers.push(SystemAnswer::new(verdict, finding));
    }
}
