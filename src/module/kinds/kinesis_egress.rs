//! `io.statefun.kinesis.v1/egress`: records to streams, which functions name in each record.

use std::num::NonZeroU32;

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::aws::{self, AwsCredentials, AwsRegion};
use super::kafka_egress::INSTEAD;
use super::places::Places;
use super::properties::{self, Properties};
use super::{Spec, needs_connector};

pub(super) const KIND: &str = "io.statefun.kinesis.v1/egress";

/// Writes records to Kinesis streams, each at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KinesisEgress {
    /// The AWS region.
    pub region: AwsRegion,
    /// The credentials.
    pub credentials: AwsCredentials,
    /// Maximum unacknowledged records. Default 1000.
    pub max_outstanding_records: NonZeroU32,
    /// Further settings of the producer.
    pub client_properties: Properties,
    /// Where its fields stand.
    pub places: Places,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    const DEFAULT: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");
    const MAX: &str = "maxOutstandingRecords";
    let fields = spec.fields;
    let id = coerce::name(&fields, "id");
    let region = aws::region(&fields);
    let credentials = aws::credentials(&fields);
    let max = fields.value(MAX, |node| {
        let number = coerce::int(node)?.and_then(|number| u32::try_from(number).ok());
        let number = number.and_then(NonZeroU32::new);
        number.ok_or_else(|| "Max outstanding records must be larger than 0.".into())
    });
    let client_properties = properties::read(&fields, "clientConfigProperties");
    let mut places = Places::of(&fields);
    for key in ["awsRegion", "awsCredentials"] {
        places.note(&fields, key);
    }
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "kinesis")) {
        let instead = format!("build with the feature `kinesis`, {INSTEAD}");
        needs_connector(KIND, id, &fields, &instead, draft);
    }
    fields.finish();
    let Some(id) = id else { return };
    draft.bind(Binding::Egress(id.clone()), at);
    draft.module.egresses.push(Egress {
        location,
        id,
        target: EgressTarget::Kinesis(KinesisEgress {
            region,
            credentials,
            max_outstanding_records: max.unwrap_or(DEFAULT),
            client_properties,
            places,
        }),
    });
}
