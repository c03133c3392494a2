//! The client of Kinesis: signed JSON calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderValue, Uri};
use tokio::sync::OnceCell;

use super::api::Call;
use super::aws::{Chain, Given, Provider, endpoint, region, sign};
use super::failure::{Failure, Meaning};
use super::service_url::service_url;
use super::settings::{Dependencies, Settings};
use crate::clock::Clock;
use crate::json_words;
use crate::module::AwsRegion;
use crate::sdk::BoxError;
use crate::time::{Timestamp, calendar};
use crate::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

const SERVICE: &str = "kinesis";
/// Precedes the name of a call.
const TARGET: &str = "Kinesis_20131202";
/// Larger than the largest answer, 10 MiB of records as JSON.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A client that is made when it is first needed, because the region may have to be asked for.
#[derive(Debug)]
pub(super) struct Lazy {
    settings: Settings,
    dependencies: Dependencies,
    client: OnceCell<Arc<Client>>,
}

impl Lazy {
    pub(super) fn new(settings: Settings, dependencies: Dependencies) -> Self {
        let client = OnceCell::new();
        Self {
            settings,
            dependencies,
            client,
        }
    }

    /// # Errors
    /// If the region is unknown, or the URL is invalid.
    pub(super) async fn client(&self) -> Result<Arc<Client>, BoxError> {
        let made = self.client.get_or_try_init(|| async {
            let client = Client::connect(&self.settings, &self.dependencies).await?;
            Ok::<_, BoxError>(Arc::new(client))
        });
        made.await.cloned()
    }
}

/// A client for one region. It connects and reconnects by itself.
#[derive(Debug)]
pub(super) struct Client {
    http: HttpClient,
    url: Uri,
    region: String,
    provider: Provider,
    clock: Arc<dyn Clock>,
    /// The limit of a call.
    patience: Duration,
    /// Milliseconds by which the clock of the service is ahead of ours, if that is too much.
    ahead: AtomicI64,
}

/// An answer, and when the service gave it.
pub(super) struct Answered<A> {
    pub(super) answer: A,
    /// By the clock of the service, in whole seconds.
    pub(super) at: Timestamp,
}

impl Client {
    async fn connect(settings: &Settings, dependencies: &Dependencies) -> Result<Self, BoxError> {
        let Dependencies {
            environment,
            network,
            clock,
        } = dependencies;
        let chain = Chain::new(environment.clone(), network, Arc::clone(clock))?;
        let region = region(&settings.region, &chain).await?;
        let url = match (&settings.endpoint, &settings.region) {
            (Some(named), _) => named.clone(),
            (None, AwsRegion::CustomEndpoint { endpoint, .. }) => endpoint.clone(),
            (None, _) => endpoint(SERVICE, &region, environment),
        };
        let url = service_url(&url)?;
        let mut config = HttpClientConfig::default().network(network);
        config.max_response_body_bytes = MAX_ANSWER_BYTES;
        if let Some(limit) = settings.connect_timeout {
            config.connect_timeout = limit;
        }
        let given = Given {
            credentials: settings.credentials.clone(),
            region: region.clone(),
        };
        Ok(Self {
            http: HttpClient::new(config)?,
            url,
            region,
            provider: Provider::new(given, chain, Arc::clone(clock)),
            clock: Arc::clone(clock),
            patience: settings.request_timeout,
            ahead: AtomicI64::new(0),
        })
    }

    /// Makes a call, once.
    ///
    /// # Errors
    /// If it has no result; the service may have acted on it nevertheless.
    pub(super) async fn call<C: Call>(&self, call: &C) -> Result<Answered<C::Response>, Failure> {
        let body = serde_json::to_vec(call).map_err(|why| Failure::Unasked(why.into()))?;
        let credentials = self.provider.get().await.map_err(Failure::Unsigned)?;
        let mut request = self.request(C::NAME, body.into());
        sign(
            &mut request,
            &credentials,
            (SERVICE, &self.region),
            self.now(),
        )
        .map_err(Failure::Unasked)?;
        let sent = self.http.send(request, self.patience).await;
        let response = sent.map_err(|source| Failure::Unanswered {
            call: C::NAME,
            source,
        })?;
        let date = date(&response.headers);
        if !response.status.is_success() {
            let failure = Failure::of(C::NAME, &response);
            match failure.meaning() {
                Meaning::Credentials => self.provider.refused(&credentials).await,
                Meaning::Clock => self.set_clock(date),
                _ => {}
            }
            return Err(failure);
        }
        let answer = serde_json::from_slice(&response.body).map_err(|why| Failure::Refused {
            call: C::NAME,
            code: "unreadable answer".to_owned(),
            message: json_words::explained(&why),
        })?;
        let at = date.unwrap_or_else(|| self.now());
        Ok(Answered { answer, at })
    }

    fn request(&self, name: &str, body: Bytes) -> HttpRequest {
        let mut request = HttpRequest::post(self.url.clone(), body);
        let kind = HeaderValue::from_static("application/x-amz-json-1.1");
        request.headers.insert(CONTENT_TYPE, kind);
        let target = HeaderValue::try_from(format!("{TARGET}.{name}"));
        let target = target.expect("calls have names in ASCII");
        request.headers.insert("x-amz-target", target);
        request
    }

    /// The time, by the clock of the service if ours is wrong.
    fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let span = Duration::from_millis(ahead.unsigned_abs());
        match ahead < 0 {
            true => self.clock.now() - span,
            false => self.clock.now() + span,
        }
    }

    fn set_clock(&self, date: Option<Timestamp>) {
        let Some(date) = date else { return };
        let millis = |time: Timestamp| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let ahead = millis(date).saturating_sub(millis(self.clock.now()));
        self.ahead.store(ahead, Ordering::Relaxed);
        tracing::warn!(
            ahead_ms = ahead,
            "the clock of this machine differs from that of AWS, which refuses its signatures; requests are signed with the time of AWS"
        );
    }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(DATE)?.to_str().ok()?;
    calendar::from_http_date(date)
}
