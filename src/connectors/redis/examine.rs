//! The documents of Redis as `statefun check --connect` sees them. Nothing is changed at the server.

use async_trait::async_trait;
use tokio::time::timeout;

use super::client::{Connecting, Connection, Failure};
use crate::module::{Finding, Location, RedisEgress, RedisIngress, RedisOut, RedisServer};
use crate::runtime::{Asking, ConnectorFindings, Examine, SystemAnswer, Verdict};
use crate::transport::http::client::Network;

/// An ingress.
pub(crate) struct IngressExamined<'a>(pub(crate) &'a RedisIngress);

/// An egress and the location of its document's `spec`.
pub(crate) struct EgressExamined<'a>(pub(crate) &'a Location, pub(crate) &'a RedisEgress);

#[async_trait]
impl Examine for IngressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        files(&self.0.server, &self.0.location)
    }

    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        let Self(spec) = self;
        let mut inquiry = match Inquiry::begin(&spec.server, &spec.location, asking).await {
            Ok(inquiry) => inquiry,
            Err(answers) => return answers,
        };
        for route in &spec.streams {
            inquiry.stream(&route.source).await;
        }
        inquiry.answers
    }
}

#[async_trait]
impl Examine for EgressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        files(&self.1.server, self.0)
    }

    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        let Self(location, spec) = self;
        let mut inquiry = match Inquiry::begin(&spec.server, location, asking).await {
            Ok(inquiry) => inquiry,
            Err(answers) => return answers,
        };
        if let (RedisOut::Stream, Some(stream)) = (spec.out, &spec.name) {
            inquiry.stream(stream).await;
        }
        inquiry.answers
    }
}

/// Files of `tls` and `passwordFile` that cannot be read or used.
fn files(server: &RedisServer, location: &Location) -> ConnectorFindings {
    let mut found = ConnectorFindings::default();
    if let Err(why) = Connecting::of(server, &Network::default()) {
        let finding = Finding::new(location.clone(), "spec", why.to_string());
        found.faults.push(finding);
    }
    found
}

/// Questions on a connection, and the answers so far.
struct Inquiry<'a> {
    connection: Connection,
    location: &'a Location,
    answers: Vec<SystemAnswer>,
}

impl<'a> Inquiry<'a> {
    async fn begin(
        server: &RedisServer,
        location: &'a Location,
        asking: &Asking,
    ) -> Result<Self, Vec<SystemAnswer>> {
        let patience = asking.patience;
        let finding = |text: String| Finding::new(location.clone(), "spec.url", text);
        let fault = |text: String| vec![SystemAnswer::new(Verdict::Fault, finding(text))];
        let connecting = Connecting::of(server, &asking.network);
        let connecting = connecting.map_err(|why| fault(why.to_string()))?;
        let opened = timeout(patience, async {
            let mut connection = connecting.open().await?;
            // A server that wants a password lets clients connect without one.
            connection.call::<()>(&redis::cmd("PING")).await?;
            Ok::<_, Failure>(connection)
        });
        let connection = match opened.await {
            Ok(Ok(connection)) => connection,
            Ok(Err(failure)) => return Err(fault(failure.to_string())),
            Err(_) => {
                let text = format!("{} does not answer within {patience:?}", server.name());
                return Err(fault(text));
            }
        };
        let fine = finding(format!("{} answers", server.name()));
        Ok(Self {
            connection,
            location,
            answers: vec![SystemAnswer::new(Verdict::Fine, fine)],
        })
    }

    /// Whether there is such a stream, or nothing that stands in its way.
    async fn stream(&mut self, stream: &str) {
        let mut asked = redis::cmd("TYPE");
        asked.arg(stream);
        let (verdict, text) = match self.connection.call::<String>(&asked).await {
            Ok(kind) => match kind.as_str() {
                "stream" => (Verdict::Fine, format!("stream `{stream}` exists")),
                "none" => (
                    Verdict::Fine,
                    format!("stream `{stream}` does not exist yet; the start creates it"),
                ),
                kind => (
                    Verdict::Fault,
                    format!("`{stream}` is a {kind}, not a stream"),
                ),
            },
            Err(failure) => (Verdict::Unknown, failure.to_string()),
        };
        let finding = Finding::new(self.location.clone(), "spec", text);
        self.answers.push(SystemAnswer::new(verdict, finding));
    }
}
