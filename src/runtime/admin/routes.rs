//! Which path means what.

use http::{Method, StatusCode};

use crate::runtime::core::AddressKey;
use crate::runtime::request::percent_decoded;
use crate::runtime::respond::{Refusal, refuse};

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Ready,
    Metrics,
    Send(AddressKey),
    States,
    StateExport,
    State(AddressKey, String),
    Queues,
    Resume(AddressKey),
}

/// What a path names, and the methods it takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Routed {
    pub(super) route: Route,
    pub(super) allowed: &'static [Method],
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
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
    let parts: Option<Vec<String>> = path.split('/').skip(1).map(percent_decoded).collect();
    let parts = parts.ok_or_else(not_found)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (route, allowed) = match parts.as_slice() {
        ["health"] => (Route::Health, GET),
        ["ready"] => (Route::Ready, GET),
        ["metrics"] => (Route::Metrics, GET),
        ["api", "send", namespace, name, id] => {
            (Route::Send(AddressKey::new(namespace, name, id)), POST)
        }
        ["api", "state"] => (Route::States, GET),
        ["api", "state", "export"] => (Route::StateExport, GET),
        ["api", "state", namespace, name, id, state] => (
            Route::State(AddressKey::new(namespace, name, id), (*state).to_owned()),
            STATE,
        ),
        ["api", "queues"] => (Route::Queues, GET),
        ["api", "queues", namespace, name, id, "resume"] => {
            (Route::Resume(AddressKey::new(namespace, name, id)), POST)
        }
        _ => return Err(not_found()),
    };
    Ok(Routed { route, allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_decoded_after_they_are_told_apart() {
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
    fn other_paths_are_not_found() {
        for path in [
            "",
            "/",
            "/api",
            "/api/",
            "/health/",
            "/api/send/a/b",
            "/api/state/%zz",
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
