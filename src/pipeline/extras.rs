//! What a record of an EdgeX pipeline carries beside its payload and its values.

use bytes::Bytes;

use crate::sdk::{Address, EgressMessage};

/// What a payload is known to be.
///
/// EdgeX hands objects from function to function; here a payload is bytes, and this says which of them are an object's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// Bytes or text.
    #[default]
    Bytes,
    /// A checked event, as JSON.
    Event,
    /// A request to add an event, as JSON.
    AddEventRequest,
    /// A checked metric, as JSON.
    Metric,
}

/// The rarely used part of a record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Extras {
    pub(crate) form: Form,
    /// The data for the caller, once a stage has set it.
    pub(crate) response: Option<Bytes>,
    /// The content type of the response, if a stage has set it.
    pub(crate) response_type: String,
    /// The content type with which the record entered, if it was decoded.
    pub(crate) input_type: String,
    /// It came from another pipeline by its topic, and has no caller.
    pub(crate) is_routed: bool,
    /// The copy for an isolated export: the next stage has got the record already.
    pub(crate) is_isolated: bool,
    /// Who gets the response.
    pub(crate) reply_to: Option<Address>,
    /// What the sender calls the request that the record belongs to.
    pub(crate) correlation_id: String,
    /// What functions have published; taken out and sent before the record is stored or passed on.
    pub(crate) publications: Vec<EgressMessage>,
}

impl Form {
    const NAMED: [(Self, &'static str); 3] = [
        (Self::Event, "event"),
        (Self::AddEventRequest, "addEventRequest"),
        (Self::Metric, "metric"),
    ];

    /// Its name in a stored record; empty for bytes.
    pub(crate) fn name(self) -> &'static str {
        let named = Self::NAMED.iter().find(|(form, _)| *form == self);
        named.map_or("", |(_, name)| name)
    }

    /// The form with this name; bytes if there is none.
    pub(crate) fn named(name: &str) -> Self {
        let named = Self::NAMED.iter().find(|(_, known)| *known == name);
        named.map_or(Self::Bytes, |(form, _)| *form)
    }
}
