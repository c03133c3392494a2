//! Routes of an application beside those of its service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};

use super::application::ApplicationError;

/// Paths that are the service's, in all versions of EdgeX.
const RESERVED: &[&str] = &[
    "/api/version",
    "/api/v1/ping",
    "/api/v1/metrics",
    "/api/v1/config",
    "/api/v1/trigger",
    "/api/v1/secrets",
    "/api/v2/ping",
    "/api/v2/version",
    "/api/v2/config",
    "/api/v2/metrics",
    "/api/v2/secret",
    "/api/v2/trigger",
    "/api/v3/ping",
    "/api/v3/version",
    "/api/v3/config",
    "/api/v3/secret",
    "/api/v3/trigger",
    "/trigger",
    "/healthz",
    "/metrics",
];

/// Who may use a route.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// Everybody.
    Unauthenticated,
    /// Whoever sends the text under `key` of the secret `secret_name` as a bearer token.
    Token {
        /// The name of the secret.
        secret_name: String,
        /// The key in it.
        key: String,
    },
}

type Answering = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;
type Handle = Arc<dyn Fn(Request<Bytes>) -> Answering + Send + Sync>;

/// A route of an application.
#[derive(Clone)]
pub(super) struct CustomRoute {
    path: String,
    pub(super) methods: Vec<Method>,
    pub(super) authentication: Authentication,
    pub(super) handle: Handle,
}

impl CustomRoute {
    pub(super) fn new<F, R>(
        path: &str,
        authentication: Authentication,
        methods: &[Method],
        handler: F,
    ) -> Result<Self, ApplicationError>
    where
        F: Fn(Request<Bytes>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let plain = path.trim_end_matches('/');
        if RESERVED.contains(&plain) {
            return Err(ApplicationError::Reserved(path.to_owned()));
        }
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
            return Err(ApplicationError::MalformedRoute(path.to_owned()));
        }
        if methods.is_empty() {
            return Err(ApplicationError::NoMethods(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            methods: methods.to_vec(),
            authentication,
            handle: Arc::new(move |request| Box::pin(handler(request))),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is the route of `path`: a part that begins with a colon stands for any one.
    pub(super) fn matches(&self, path: &str) -> bool {
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (own.next(), given.next()) {
                (None, None) => return true,
                (Some(own), Some(given)) if own == given => {}
                (Some(own), Some(given)) if own.starts_with(':') && !given.is_empty() => {}
                _ => return false,
            }
        }
    }

    /// The methods, for the header `Allow`.
    pub(super) fn allowed(&self) -> String {
        let methods = self.methods.iter().map(Method::as_str);
        methods.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for CustomRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.allowed(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Result<CustomRoute, ApplicationError> {
        let handler = |_| async { Response::default() };
        CustomRoute::new(
            path,
            Authentication::Unauthenticated,
            &[Method::GET],
            handler,
        )
    }

    #[test]
    fn pl_31_routes_of_the_service_are_reserved() {
        for reserved in RESERVED {
            let refused = route(reserved).unwrap_err();
            assert!(
                refused.to_string().ends_with("route is reserved"),
                "{refused}"
            );
        }
        assert!(route("/api/v3/ping/").is_err());
        assert!(route("myroute").is_err());
        assert!(route("/api/v3/other").is_ok());
    }

    #[test]
    fn a_part_with_a_colon_stands_for_any_one() {
        let route = route("/devices/:name/state").unwrap();
        assert!(route.matches("/devices/D1/state"));
        for other in ["/devices//state", "/devices/D1", "/devices/D1/state/x"] {
            assert!(!route.matches(other), "{other}");
        }
    }
}
