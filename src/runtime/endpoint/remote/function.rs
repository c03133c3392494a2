//! One function type at a URL: its connections, and attempts to call it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Uri};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::answer::Rules;
use super::failed::Failed;
use super::headers::headers;
use super::invocations::Invocations;
use super::quiet::Quiet;
use super::redirect::{MAX_FOLLOW_UPS, Step};
use super::tls;
use super::url::Destination;
use super::words;
use crate::module::{Endpoint as EndpointSpec, Transport};
use crate::protocol::reqreply::FromFunction;
use crate::runtime::core::AddressKey;
use crate::runtime::endpoint::in_process::chain;
use crate::sdk::TypeName;
use crate::transport::http::client::{
    HttpClient, HttpClientConfig, HttpError, HttpRequest, HttpResponse, Network,
};

/// Connections of one function type over okhttp, which has no setting for it.
const MAX_CONNECTIONS: usize = 1024;
/// Unused connections of okhttp are closed after this time.
const OKHTTP_IDLE: Duration = Duration::from_secs(60);
/// The random part of a connection's age, beyond `pool_ttl`.
const JITTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));
/// How long connections that do not age are kept.
const AGELESS_IDLE: Duration = Duration::from_secs(24 * 3600);

/// A function type that has been called.
#[derive(Debug)]
pub(super) struct Function {
    rules: Rules,
    client: HttpClient,
    url: Uri,
    headers: HeaderMap,
    /// One for each connection in use.
    permits: Semaphore,
    /// How long an attempt waits for one of them, without connecting.
    connect: Duration,
    failures: Counter,
    latency: Histogram,
    quiet: Quiet,
}

impl Function {
    pub(super) fn new(
        spec: &EndpointSpec,
        network: &Network,
        type_name: &TypeName,
        invocations: &Invocations,
        seed: u64,
    ) -> Result<Self, String> {
        let rules = Rules::of(&spec.transport);
        let destination = Destination::parse(&spec.url(type_name), rules)?;
        let mut config = client_config(spec, network, seed)?;
        config.unix_socket = destination.socket;
        let (connections, connect) = match &spec.transport {
            Transport::Async(transport) => (transport.pool_size, transport.connect),
            Transport::OkHttp(transport) => (MAX_CONNECTIONS, transport.call),
        };
        let (failures, latency) = invocations.of(type_name);
        Ok(Self {
            rules,
            client: HttpClient::new(config).map_err(|err| chain(&err))?,
            headers: headers(rules, &Method::POST, &destination.url),
            url: destination.url,
            permits: Semaphore::new(connections.clamp(1, Semaphore::MAX_PERMITS)),
            connect,
            failures,
            latency,
            quiet: Quiet::default(),
        })
    }

    /// Sends the request once, with the follow-up requests that okhttp sends by itself.
    pub(super) async fn attempt(
        &self,
        body: Bytes,
        limit: Duration,
    ) -> Result<FromFunction, Failed> {
        let begun = Instant::now();
        let answer = match self.permit(limit).await {
            Ok(_permit) => self.ask(body, limit, begun).await,
            Err(failed) => Err(failed),
        };
        self.latency.observe(begun.elapsed().as_secs_f64() * 1000.0);
        let answer = answer.and_then(|response| self.rules.read(response));
        if let Err(failed) = &answer
            && (failed.io || self.rules == Rules::Async)
        {
            self.failures.inc();
        }
        answer
    }

    async fn permit(&self, limit: Duration) -> Result<SemaphorePermit<'_>, Failed> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let permit = timeout(limit.min(self.connect), self.permits.acquire()).await;
        permit.ok().and_then(Result::ok).ok_or_else(|| Failed {
            cause: "every connection of the pool was in use for too long".to_owned(),
            remedy: Some(words::RAISE_POOL),
            retry: true,
            io: true,
            asked_wait: None,
        })
    }

    async fn ask(
        &self,
        body: Bytes,
        limit: Duration,
        begun: Instant,
    ) -> Result<HttpResponse, Failed> {
        if self.rules == Rules::Async {
            let request = self.request(&self.url, self.headers.clone(), body);
            let sent = self.send(request, limit, begun).await;
            return sent.map_err(|err| self.rules.lost(&err));
        }
        let mut step = Step::post(self.url.clone());
        let (mut before, mut follow_ups) = (None, 0);
        while follow_ups <= MAX_FOLLOW_UPS {
            let request = self.step(&step, &body);
            let response = match self.send(request, limit, begun).await {
                // Sent again at once; the number of such connections is limited.
                Err(err) if err.is_stale_connection() => continue,
                sent => sent.map_err(|err| self.rules.lost(&err))?,
            };
            match step.after(&response, before) {
                None => return Ok(response),
                Some(next) => step = next,
            }
            before = Some(response.status);
            follow_ups += 1;
        }
        Err(Failed {
            cause: format!("Too many follow-up requests: {}", MAX_FOLLOW_UPS + 1),
            remedy: Some(words::END_REDIRECTS),
            retry: true,
            io: true,
            asked_wait: None,
        })
    }

    async fn send(
        &self,
        request: HttpRequest,
        limit: Duration,
        begun: Instant,
    ) -> Result<HttpResponse, HttpError> {
        let left = limit.saturating_sub(begun.elapsed());
        self.client.send(request, left).await
    }

    fn step(&self, step: &Step, body: &Bytes) -> HttpRequest {
        let headers = if step.method == Method::POST && step.url == self.url {
            self.headers.clone()
        } else {
            headers(self.rules, &step.method, &step.url)
        };
        if step.method == Method::POST {
            return self.request(&step.url, headers, body.clone());
        }
        let mut request = HttpRequest::new(step.method.clone(), step.url.clone());
        request.headers = headers;
        request
    }

    fn request(&self, url: &Uri, headers: HeaderMap, body: Bytes) -> HttpRequest {
        let mut request = HttpRequest::post(url.clone(), body);
        request.headers = headers;
        if let Some(length) = request.headers.get_mut(CONTENT_LENGTH) {
            *length = HeaderValue::from(request.body.len());
        }
        request
    }

    /// Logs failed attempts, the first at once and further ones occasionally.
    pub(super) fn report(&self, target: &AddressKey, attempt: u32, failed: &Failed) {
        let (cause, retry) = (words::told(failed), failed.retry);
        let address = target.to_address();
        match self.quiet.may_speak() {
            Some(suppressed) => {
                warn!(%address, attempt, %cause, retry, suppressed, "attempt to call a function failed");
            }
            None => debug!(%address, attempt, %cause, retry, "attempt to call a function failed"),
        }
    }
}

/// The client of one function type; `seed` spreads the ages of its connections.
pub(super) fn client_config(
    spec: &EndpointSpec,
    network: &Network,
    seed: u64,
) -> Result<HttpClientConfig, String> {
    own_config(spec, seed).map(|config| config.network(network))
}

/// The settings of the endpoint.
fn own_config(spec: &EndpointSpec, seed: u64) -> Result<HttpClientConfig, String> {
    match &spec.transport {
        Transport::Async(transport) => {
            let ttl = transport.pool_ttl;
            let mut config = HttpClientConfig {
                connect_timeout: transport.connect,
                max_idle_per_host: transport.pool_size,
                max_idle: transport.pool_size,
                max_response_body_bytes: transport.payload_max_bytes,
                // A connection is closed at its age, however it is used.
                max_connection_age: ttl.map(|ttl| ttl + JITTER.0..=ttl + JITTER.1),
                pool_idle_timeout: ttl.map_or(AGELESS_IDLE, |ttl| ttl + JITTER.1),
                seed,
                ..HttpClientConfig::default()
            };
            tls::apply(&transport.tls, &spec.location, &mut config)?;
            Ok(config)
        }
        Transport::OkHttp(transport) => Ok(HttpClientConfig {
            connect_timeout: transport.connect,
            read_timeout: Some(transport.read),
            write_timeout: Some(transport.write),
            pool_idle_timeout: OKHTTP_IDLE,
            title_case_headers: true,
            ..HttpClientConfig::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{AsyncTransport, FunctionPattern, Location, OkHttpTransport, TlsFiles};

    fn config(transport: Transport) -> HttpClientConfig {
        let spec = EndpointSpec {
            location: Location::file("module.yaml"),
            functions: FunctionPattern::Namespace("example".to_owned()),
            url_template: "http://localhost/".to_owned(),
            max_batch_requests: None,
            transport,
            lazy_fault: None,
        };
        client_config(&spec, &Network::default(), 7).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn sf_28_connections_of_async_age_and_those_of_okhttp_wait_a_minute() {
        let default = config(Transport::default());
        let age = seconds(16)..=seconds(18);
        assert_eq!((default.max_connection_age, default.seed), (Some(age), 7));
        assert_eq!(default.connect_timeout, seconds(20));
        let ageless = config(Transport::Async(AsyncTransport {
            pool_ttl: None,
            pool_size: 3,
            ..AsyncTransport::default()
        }));
        assert_eq!(
            (ageless.max_connection_age, ageless.max_idle_per_host),
            (None, 3)
        );
        let okhttp = config(Transport::OkHttp(OkHttpTransport::default()));
        assert_eq!(okhttp.max_connection_age, None);
        assert_eq!(
            (okhttp.pool_idle_timeout, okhttp.max_idle_per_host),
            (seconds(60), 1024)
        );
        assert_eq!(
            (okhttp.read_timeout, okhttp.write_timeout),
            (Some(seconds(10)), Some(seconds(10)))
        );
    }

    #[test]
    fn sf_29_authorities_that_are_named_stand_in_for_the_public_ones() {
        assert!(config(Transport::default()).trust_public_authorities);
        let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/authority.crt");
        let own = config(Transport::Async(AsyncTransport {
            tls: TlsFiles {
                trust_cacerts: Some(certificate.to_owned()),
                ..TlsFiles::default()
            },
            ..AsyncTransport::default()
        }));
        assert!(!own.trust_public_authorities && !own.trusted_certificates_pem.is_empty());
    }
}
