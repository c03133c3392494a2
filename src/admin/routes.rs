//! Paths and their meaning.

use http::{Method, StatusCode};

use super::bad_request;
use super::set_aside::RecordId;
use crate::delivery::Verb;
use crate::runtime::core::AddressKey;
use crate::runtime::request::path_part;
use crate::runtime::respond::{Refusal, refuse};
use crate::sdk::TypeName;

/// The resource of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Ready,
    Metrics,
    Send(AddressKey),
    Call(AddressKey),
    States,
    StateExport,
    StateImport,
    State(AddressKey, String),
    Declarations,
    Declaration(TypeName, String),
    Queues,
    Resume(AddressKey),
    Deliveries,
    Delivery(AddressKey),
    Act(AddressKey, Verb),
    Edit(AddressKey),
    Events,
    Event(String),
    Jobs,
    Job(String),
    JobTransitions(String),
    JobAct(String, Verb),
    RedriveJobs,
    JobStats,
    DeadLetters,
    DeadLetterExport,
    DeadLetter(AddressKey),
    RedriveAll,
    SetAside,
    RedriveSetAside,
    OneSetAside(RecordId),
    /// Sends a record that was set aside again (true), or deletes it.
    TakeBack(RecordId, bool),
}

/// The resource of a path, and the methods it accepts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Routed {
    pub(super) route: Route,
    pub(super) allowed: &'static [Method],
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const DELETE: &[Method] = &[Method::DELETE];
const STATE: &[Method] = &[Method::GET, Method::PUT, Method::DELETE];

/// Looks a path up; each of its parts is percent-encoded.
pub(super) fn route(path: &str) -> Result<Routed, Refusal> {
    let not_found = || {
        refuse(
            StatusCode::NOT_FOUND,
            "path.unknown",
            "there is no such route",
        )
    };
    let parts: Result<Vec<String>, Refusal> = path.split('/').skip(1).map(path_part).collect();
    let parts = parts?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let at = |namespace, name, id| match TypeName::from_parts(namespace, name) {
        Ok(_) => Ok(AddressKey::new(namespace, name, id)),
        Err(error) => Err(bad_request(&format!("the path's function type: {error}"))),
    };
    let record = |namespace, name, id| RecordId::parse(namespace, name, id).ok_or_else(not_found);
    let (route, allowed) = match *parts.as_slice() {
        ["health"] => (Route::Health, GET),
        ["ready"] => (Route::Ready, GET),
        ["metrics"] => (Route::Metrics, GET),
        ["api", "send", namespace, name, id] => (Route::Send(at(namespace, name, id)?), POST),
        ["api", "call", namespace, name, id] => (Route::Call(at(namespace, name, id)?), POST),
        ["api", "state"] => (Route::States, GET),
        ["api", "state", "export"] => (Route::StateExport, GET),
        ["api", "state", "import"] => (Route::StateImport, POST),
        ["api", "state", namespace, name, id, state] => (
            Route::State(at(namespace, name, id)?, state.to_owned()),
            STATE,
        ),
        ["api", "state-specs"] => (Route::Declarations, GET),
        ["api", "state-specs", namespace, name, state] => {
            let function = TypeName::from_parts(namespace, name).map_err(|_| not_found())?;
            (Route::Declaration(function, state.to_owned()), DELETE)
        }
        ["api", "queues"] => (Route::Queues, GET),
        ["api", "queues", namespace, name, id, "resume"] => {
            (Route::Resume(at(namespace, name, id)?), POST)
        }
        ["api", "deliveries"] => (Route::Deliveries, GET),
        ["api", "deliveries", namespace, name, id] => {
            (Route::Delivery(at(namespace, name, id)?), GET)
        }
        ["api", "deliveries", namespace, name, id, verb] => (
            Route::Act(
                at(namespace, name, id)?,
                delivery_verb(verb).ok_or_else(not_found)?,
            ),
            POST,
        ),
        ["api", "events"] => (Route::Events, POST),
        ["api", "events", id] => (Route::Event(id.to_owned()), GET),
        ["api", "jobs"] => (Route::Jobs, GET),
        ["api", "jobs", "redrive"] => (Route::RedriveJobs, POST),
        ["api", "jobs", id] => (Route::Job(id.to_owned()), GET),
        ["api", "jobs", id, "transitions"] => (Route::JobTransitions(id.to_owned()), GET),
        ["api", "jobs", id, verb] => {
            let verb = delivery_verb(verb).ok_or_else(not_found)?;
            (Route::JobAct(id.to_owned(), verb), POST)
        }
        ["api", "stats", "jobs"] => (Route::JobStats, GET),
        ["api", "dead-letters"] => (Route::DeadLetters, GET),
        ["api", "dead-letters", "export"] => (Route::DeadLetterExport, GET),
        ["api", "dead-letters", "redrive"] => (Route::RedriveAll, POST),
        ["api", "set-aside"] => (Route::SetAside, GET),
        ["api", "set-aside", "redrive"] => (Route::RedriveSetAside, POST),
        ["api", "set-aside", namespace, name, id] => {
            (Route::OneSetAside(record(namespace, name, id)?), GET)
        }
        ["api", "set-aside", namespace, name, id, "redrive"] => {
            (Route::TakeBack(record(namespace, name, id)?, true), POST)
        }
        ["api", "set-aside", namespace, name, id, "purge"] => {
            (Route::TakeBack(record(namespace, name, id)?, false), POST)
        }
        ["api", "dead-letters", namespace, name, id] => {
            (Route::DeadLetter(at(namespace, name, id)?), GET)
        }
        ["api", "dead-letters", namespace, name, id, "redrive"] => {
            (Route::Act(at(namespace, name, id)?, Verb::Retry), POST)
        }
        ["api", "dead-letters", namespace, name, id, "edit"] => {
            (Route::Edit(at(namespace, name, id)?), POST)
        }
        ["api", "dead-letters", namespace, name, id, "purge"] => {
            (Route::Act(at(namespace, name, id)?, Verb::Purge), POST)
        }
        _ => return Err(not_found()),
    };
    Ok(Routed { route, allowed })
}

fn delivery_verb(text: &str) -> Option<Verb> {
    match text {
        "retry" => Some(Verb::Retry),
        "cancel" => Some(Verb::Cancel),
        "discard" => Some(Verb::Discard),
        "purge" => Some(Verb::Purge),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_decoded_after_the_path_is_split() {
        let address = AddressKey::new("example", "greeter", "a/b");
        let found = route("/api/state/example/greeter/a%2Fb/seen").unwrap();
        assert_eq!(found.route, Route::State(address, "seen".to_owned()));
        let empty = AddressKey::new("example", "greeter", "");
        assert_eq!(
            route("/api/queues/example/greeter//resume").unwrap().route,
            Route::Resume(empty)
        );
    }

    #[test]
    fn a_path_that_names_no_address_says_what_is_wrong() {
        for path in [
            "/api/state/%zz",
            "/api/state/a//b/c",
            "/api/send//b/c",
            "/%",
        ] {
            let status = route(path).unwrap_err().status();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "",
            "/",
            "/api",
            "/api/",
            "/health/",
            "/api/send/a/b",
            "/api/queues/a/b/c/stop",
        ] {
            assert_eq!(
                route(path).unwrap_err().status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
}
