//! The HTTP routes of a service: those of EdgeX, health and metrics.
//!
//! `trigger` runs the pipeline, `secret` takes secrets, `custom` answers on the routes of the application, and the others answer from the configuration.

mod custom;
mod secret;
mod trigger;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::configuration::{Configuration, Trigger};
use super::reload::Current;
use crate::admin::Probes;
use crate::runtime::handle::RuntimeHandle;
use crate::runtime::http_listeners::{HttpListeners, HttpServer};
use crate::runtime::listener::stopped;
use crate::runtime::respond::{self, FullResponse, Refusal, refuse};
use crate::runtime::service::Service;
use crate::runtime::{Listener, StartError};
use crate::time::calendar::unix_date;
use crate::transport::http::BodyReader;

/// The version of EdgeX's interface that the routes follow.
const API_VERSION: &str = "v3";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The listener of a service.
#[derive(Debug)]
pub(super) struct Rest {
    configuration: Configuration,
    current: Current,
    /// From opening until serving.
    open: Option<(HttpServer, HttpListeners)>,
}

impl Rest {
    pub(super) fn new(configuration: &Configuration, current: Current) -> Self {
        Self {
            configuration: configuration.clone(),
            current,
            open: None,
        }
    }
}

#[async_trait]
impl Service for Rest {
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Listener, StartError> {
        let listen = &self.configuration.settings.service.listen;
        let server = listeners.open("edgex service", listen, None).await?;
        let listener = server.listener.clone();
        self.open = Some((server, listeners.clone()));
        Ok(listener)
    }

    async fn run(self: Box<Self>, runtime: RuntimeHandle, stop: watch::Receiver<bool>) {
        let Self {
            configuration,
            current,
            open: Some((server, listeners)),
        } = *self
        else {
            return;
        };
        let message = configuration.startup_message();
        if !message.trim().is_empty() {
            tracing::info!(service = configuration.service_key(), "{message}");
        }
        let services = &configuration.services;
        if let Some(bus) = services.bus() {
            for publisher in &configuration.application().publishers {
                publisher.link(runtime.clone(), bus.clone(), services.publish_topic());
            }
        }
        let service = &configuration.settings.service;
        let desk = Arc::new(Desk {
            probes: Probes::new(&server, &listeners, runtime.clone()),
            bodies: server.bodies.up_to(service.max_request_bytes),
            configuration,
            current,
            runtime,
        });
        let answer = move |request| {
            let desk = Arc::clone(&desk);
            async move { desk.answer(request).await }
        };
        server.answer(answer, |answer| answer, stopped(stop)).await;
    }
}

/// Shared by all requests.
struct Desk {
    /// As it was at the start.
    configuration: Configuration,
    current: Current,
    runtime: RuntimeHandle,
    probes: Probes,
    bodies: BodyReader,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Ping,
    Version,
    Configuration,
    Secret,
    Trigger,
    Health,
    Metrics,
}

impl Route {
    /// The route of a path; those of earlier versions only if they are wanted.
    fn of(path: &str, has_legacy: bool) -> Option<Self> {
        Some(match path {
            "/api/v3/ping" => Self::Ping,
            "/api/v3/version" => Self::Version,
            "/api/v3/config" => Self::Configuration,
            "/api/v3/secret" => Self::Secret,
            "/api/v3/trigger" => Self::Trigger,
            "/healthz" => Self::Health,
            "/metrics" => Self::Metrics,
            "/api/v1/trigger" | "/api/v2/trigger" | "/trigger" | "/trigger/" if has_legacy => {
                Self::Trigger
            }
            _ => return None,
        })
    }

    const fn method(self) -> Method {
        match self {
            Self::Secret | Self::Trigger => Method::POST,
            _ => Method::GET,
        }
    }
}

impl Desk {
    async fn answer(&self, request: Request<Body>) -> Result<FullResponse, Refusal> {
        let settings = &self.configuration.settings;
        let path = request.uri().path();
        let route = Route::of(path, settings.service.has_legacy_routes);
        let is_called = matches!(settings.trigger, Trigger::Http);
        let route = route.filter(|route| *route != Route::Trigger || is_called);
        let Some(route) = route else {
            let mut routes = self.configuration.application().routes.iter();
            if let Some(custom) = routes.find(|custom| custom.matches(path)) {
                return self.custom(custom, request).await;
            }
            return Err(not_found(path, settings.service.has_legacy_routes));
        };
        if request.method() != route.method() {
            let allowed = route.method();
            let text = format!("this route takes {allowed}");
            return Err(respond::wrong_method(allowed.as_str(), &text));
        }
        match route {
            Route::Ping => Ok(self.ping()),
            Route::Version => Ok(self.version()),
            Route::Configuration => Ok(self.shown()),
            Route::Secret => self.take_secret(request).await,
            Route::Trigger => Ok(self.trigger(request).await),
            Route::Health => self.probes.health().await,
            Route::Metrics => self.probes.metrics().await,
        }
    }

    fn ping(&self) -> FullResponse {
        ok(&json!({
            "apiVersion": API_VERSION,
            "timestamp": unix_date(self.runtime.now()),
            "serviceName": self.configuration.service_key(),
        }))
    }

    fn version(&self) -> FullResponse {
        ok(&json!({
            "apiVersion": API_VERSION,
            "version": VERSION,
            "serviceName": self.configuration.service_key(),
            "sdk_version": VERSION,
        }))
    }

    fn shown(&self) -> FullResponse {
        ok(&json!({
            "apiVersion": API_VERSION,
            "config": self.current.get().shown,
            "serviceName": self.configuration.service_key(),
        }))
    }
}

fn ok(body: &Value) -> FullResponse {
    respond::json(StatusCode::OK, body)
}

fn not_found(path: &str, has_legacy: bool) -> Refusal {
    let is_older = !has_legacy && Route::of(path, true).is_some();
    let text = match (path, is_older) {
        ("/api/v3/trigger", _) => {
            "the service has another trigger; with `Trigger.Type: http` it takes data here"
        }
        (_, true) => "a route of an earlier version; set `Service.LegacyRoutes: true`",
        _ => {
            "routes are /api/v3/ping, /version, /config, /secret, /trigger, and /healthz, /metrics"
        }
    };
    refuse(StatusCode::NOT_FOUND, "path.unknown", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_earlier_versions_are_there_on_demand() {
        assert_eq!(Route::of("/api/v3/trigger", false), Some(Route::Trigger));
        for older in ["/api/v1/trigger", "/api/v2/trigger", "/trigger"] {
            assert_eq!(Route::of(older, false), None);
            assert_eq!(Route::of(older, true), Some(Route::Trigger));
        }
        assert_eq!(Route::of("/api/v3/pong", true), None);
    }
}
