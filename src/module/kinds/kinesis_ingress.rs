//! `io.statefun.kinesis.v1/ingress`: records of streams become messages.

use crate::document::{Fields, Location};
use crate::sdk::TypeName;
use crate::time::Timestamp;

use super::super::draft::{Binding, Draft};
use super::super::{Ingress, coerce};
use super::aws::{self, AwsCredentials, AwsRegion};
use super::places::Places;
use super::properties::{self, Properties};
use super::routes::{self, Route};
use super::{Spec, needs_connector, start};

pub(super) const KIND: &str = "io.statefun.kinesis.v1/ingress";

/// Reads records of Kinesis streams; the partition key is the id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KinesisIngress {
    /// The location of the document's `spec`.
    pub location: Location,
    /// Its name; positions are stored under it.
    pub id: TypeName,
    /// The streams, each once; not empty.
    pub streams: Vec<Route>,
    /// The AWS region.
    pub region: AwsRegion,
    /// The credentials.
    pub credentials: AwsCredentials,
    /// Where to begin without a stored position. Default latest.
    pub startup_position: KinesisStart,
    /// Further settings. Names that do not begin with `flink.` or `aws.` are settings of the AWS client, with a capital first letter.
    pub client_properties: Properties,
    /// Where its fields stand.
    pub places: Places,
}

/// Where to begin in streams without a stored position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KinesisStart {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// At the first record that is not older.
    Date(Timestamp),
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = coerce::name(&fields, "id");
    let empty = "Routing config for routable Kinesis ingress cannot be empty.";
    let streams = routes::read(&fields, "streams", "stream", empty, draft);
    let region = aws::region(&fields);
    let credentials = aws::credentials(&fields);
    let start = read_start(&fields);
    let client_properties = properties::read(&fields, "clientConfigProperties");
    let mut places = Places::of(&fields);
    for key in ["streams", "awsRegion", "awsCredentials"] {
        places.note(&fields, key);
    }
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "kinesis")) {
        let instead = "build with the feature `kinesis`, feed its functions through a statefun.http.v1/ingress instead";
        needs_connector(KIND, id, &fields, instead, draft);
    }
    fields.finish();
    let Some(id) = id else { return };
    draft.bind(Binding::Ingress(id.clone()), at);
    draft
        .module
        .ingresses
        .push(Ingress::Kinesis(KinesisIngress {
            location,
            id,
            streams,
            region,
            credentials,
            startup_position: start.unwrap_or(KinesisStart::Latest),
            client_properties,
            places,
        }));
}

fn read_start(fields: &Fields<'_>) -> Option<KinesisStart> {
    let (start, kind) = start::read(fields)?;
    let position = match kind.as_str() {
        "earliest" => Some(KinesisStart::Earliest),
        "latest" => Some(KinesisStart::Latest),
        "date" => start::date(&start).map(KinesisStart::Date),
        other => {
            start::unknown(&start, other, "earliest, latest, date");
            None
        }
    };
    start.finish();
    position
}
