//! The handler as a hyper and tower service.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use super::encoding::Encoding;
use super::head;
use super::request_body::{BodyFault, BodyLimits, BodyReader};
use super::server::ServerLimits;
use crate::handler::RequestReplyHandler;
use crate::sdk::StatefulFunctions;
use crate::transport::exchange::{self, HandlerResponse, Route};

/// Calls functions over HTTP: a hyper service and a tower service, for your own server or for [`serve`](super::serve).
///
/// - `POST` at any path, with `content-type: application/octet-stream` or none, is a batch of invocations. The answer
///   is 200 with exactly `content-type: application/octet-stream`.
/// - 405 for other methods, 415 for another `content-type`, 400 for a body that is empty or not a request, 413 for one that is
///   too large (as soon as its length is known), 408 for one that arrives too slowly, 503 when the memory for request bodies is
///   used up, and 500 with one line of text when a function fails.
/// - `gzip` and `deflate` request bodies are accepted; 415 for other encodings.
/// - With [`serve`](super::serve) also 400 for an ambiguous request, such as one without a host or with two content
///   types, 417 for an expectation other than `100-continue`, and 501 for a transfer encoding other than
///   `chunked`.
/// - `GET /health` is 200 as long as the server answers.
///
/// Any host name is accepted, because StateFun uses the name that the server has in the network. Web pages cannot call functions:
/// the preflight request that a browser sends for this content type is answered with 405, and requests without a preflight with 403.
///
/// ```
/// use stateful_functions::StatefulFunctions;
/// use stateful_functions::transport::http::HandlerService;
///
/// let functions = StatefulFunctions::new();
/// let service = HandlerService::from(functions).with_max_body_bytes(8 * 1024 * 1024);
/// ```
#[derive(Debug, Clone)]
pub struct HandlerService {
    handler: RequestReplyHandler,
    bodies: BodyReader,
}

impl HandlerService {
    /// The handler with default limits.
    pub fn new(handler: RequestReplyHandler) -> Self {
        let limits = BodyLimits::up_to(64 * 1024 * 1024);
        Self {
            handler,
            bodies: BodyReader::new(limits, None),
        }
    }

    /// Larger request bodies are answered with 413; the limit applies to both the received and the decompressed size. Default
    /// 64 MiB. StateFun itself has no limit: it sends all waiting messages of an address as one batch.
    #[must_use]
    pub fn with_max_body_bytes(mut self, max_body_bytes: usize) -> Self {
        self.bodies.limits.max_bytes = max_body_bytes;
        self
    }

    /// A request body that takes longer to arrive is answered with 408. Default 60 s.
    #[must_use]
    pub fn with_body_timeout(mut self, body_timeout: Duration) -> Self {
        self.bodies.limits.timeout = body_timeout;
        self
    }

    /// If no byte of a request body arrives for this time, it is answered with 408. Default 10 s.
    #[must_use]
    pub fn with_body_pause(mut self, body_pause: Duration) -> Self {
        self.bodies.limits.pause = body_pause;
        self
    }

    /// Limits the memory for arriving bodies to that of the server.
    pub(super) fn with_memory_of(mut self, limits: &ServerLimits) -> Self {
        self.bodies.memory = Some(limits.body_memory(self.bodies.limits.max_bytes));
        self
    }

    /// Answers a request that came from the network unchecked. With another server in front, checking its head is that server's task.
    pub(super) fn answer_raw<B: Body>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<ReplyBody>, Infallible>> + use<B> {
        let begun = match head::check(&request) {
            Ok(()) => begin(request),
            Err(fault) => Err(HandlerResponse::text(fault.status(), fault.to_string()).into()),
        };
        self.answer(begun)
    }

    /// The future does not hold the head of the request, which is large and would be copied with it.
    fn answer<B: Body>(
        &self,
        begun: Result<Call<B>, Box<Response<ReplyBody>>>,
    ) -> impl Future<Output = Result<Response<ReplyBody>, Infallible>> + use<B> {
        let service = self.clone();
        async move {
            Ok(match begun {
                Ok(call) => into_response(service.call(call).await),
                Err(response) => *response,
            })
        }
    }

    async fn call<B: Body>(&self, Call { encoding, body }: Call<B>) -> HandlerResponse {
        match self.bodies.read(encoding, body).await {
            Ok(request) => exchange::call(&self.handler, request).await,
            Err(fault) => fault.into(),
        }
    }
}

/// A request to functions whose body has not been read yet.
struct Call<B> {
    encoding: Encoding,
    body: B,
}

/// Reads the head and drops it: it shares the connection's read buffer, which is reused once it is no longer shared.
fn begin<B: Body>(request: Request<B>) -> Result<Call<B>, Box<Response<ReplyBody>>> {
    let headers = request.headers();
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    // Pages can send a request without a content type without a preflight request.
    if content_type.is_none() && head::is_cross_site(headers, head::host_of(&request)) {
        return Err(HandlerResponse::text(403, "web pages may not call functions").into());
    }
    let (method, path) = (request.method().as_str(), request.uri().path());
    match exchange::route(method, path, content_type) {
        Route::Call => Ok(Call {
            encoding: Encoding::of(headers),
            body: request.into_body(),
        }),
        Route::Answered(answer) => {
            let mut response = into_response(answer);
            if request.method() == Method::HEAD {
                let ReplyBody(body) = std::mem::take(response.body_mut());
                let headers = response.headers_mut();
                headers.insert(CONTENT_LENGTH, body.len().into());
            }
            Err(response.into())
        }
    }
}

impl From<HandlerResponse> for Box<Response<ReplyBody>> {
    fn from(answer: HandlerResponse) -> Self {
        Self::new(into_response(answer))
    }
}

impl From<BodyFault> for HandlerResponse {
    fn from(fault: BodyFault) -> Self {
        Self::text(fault.status(), fault.to_string())
    }
}

impl From<RequestReplyHandler> for HandlerService {
    fn from(handler: RequestReplyHandler) -> Self {
        Self::new(handler)
    }
}

impl From<StatefulFunctions> for HandlerService {
    fn from(functions: StatefulFunctions) -> Self {
        Self::new(functions.into())
    }
}

/// The content type of nearly all answers, parsed at compile time.
const OCTET_STREAM: HeaderValue = HeaderValue::from_static(exchange::OCTET_STREAM);

fn into_response(answer: HandlerResponse) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let content_type = match answer.content_type {
        exchange::OCTET_STREAM => OCTET_STREAM,
        other => HeaderValue::from_static(other),
    };
    headers.insert(CONTENT_TYPE, content_type);
    if let Some(methods) = answer.allow {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    if answer.status == 503 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

type AnswerFuture = Pin<Box<dyn Future<Output = Result<Response<ReplyBody>, Infallible>> + Send>>;

impl<B> hyper::service::Service<Request<B>> for HandlerService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = AnswerFuture;

    fn call(&self, request: Request<B>) -> AnswerFuture {
        Box::pin(self.answer(begin(request)))
    }
}

impl<B> tower_service::Service<Request<B>> for HandlerService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AnswerFuture {
        hyper::service::Service::call(self, request)
    }
}

/// The complete body of an answer.
#[derive(Debug, Clone, Default)]
pub struct ReplyBody(Bytes);

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let rest = std::mem::take(&mut self.0);
        Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
