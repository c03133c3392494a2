//! The handler as a service of hyper and of tower.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::body::{self, ReadError};
use super::encoding::{DecodeError, Encoding};
use crate::handler::RequestReplyHandler;
use crate::sdk::StatefulFunctions;
use crate::transport::exchange::{self, Answer, Route};

/// Calls functions over HTTP: a hyper service and a tower service for servers of your own. [`serve`](super::serve) is ours.
///
/// - `POST` at any path, with `content-type: application/octet-stream` or none, is a batch of invocations. The answer
///   is 200 with exactly `content-type: application/octet-stream`.
/// - 405 for other methods, 415 for another `content-type`, 400 for bytes that are no request, 413 for too many of them,
///   408 for a body that comes too slowly, and 500 with one line of text for what a function gets wrong.
/// - `gzip` and `deflate` request bodies are accepted.
/// - `GET /health` is 200 as long as the server answers.
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
    max_body_bytes: usize,
    body_timeout: Duration,
}

impl HandlerService {
    /// The handler with default limits.
    pub fn new(handler: RequestReplyHandler) -> Self {
        Self {
            handler,
            max_body_bytes: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(60),
        }
    }

    /// Larger request bodies are answered 413, counted as received and again when decompressed. Default 64 MiB; StateFun
    /// itself sets no limit, and sends all that waits for an address as one batch.
    #[must_use]
    pub fn with_max_body_bytes(self, max_body_bytes: usize) -> Self {
        Self {
            max_body_bytes,
            ..self
        }
    }

    /// A request body that takes longer to arrive is answered 408. Default 60 s.
    #[must_use]
    pub fn with_body_timeout(self, body_timeout: Duration) -> Self {
        Self {
            body_timeout,
            ..self
        }
    }

    pub(super) async fn answer<B: Body>(&self, request: Request<B>) -> Response<ReplyBody> {
        let (head, body) = request.into_parts();
        let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let route = exchange::route(head.method.as_str(), head.uri.path(), content_type);
        let encoding = Encoding::of(&head.headers);
        drop(head); // it shares the connection's read buffer, which is reused once nobody does
        let answer = match route {
            Route::Answered(answer) => answer,
            Route::Call => match self.read(encoding, body).await {
                Ok(request) => exchange::call(&self.handler, request).await,
                Err(answer) => answer,
            },
        };
        into_response(answer)
    }

    async fn read<B: Body>(&self, encoding: Encoding, body: B) -> Result<Bytes, Answer> {
        if encoding == Encoding::Other {
            return Err(Answer::unsupported_encoding());
        }
        let limit = self.max_body_bytes;
        let too_large = || {
            Answer::text(
                413,
                format!("the request body is larger than {limit} bytes"),
            )
        };
        let body = within(self.body_timeout, body::read(body, limit))
            .await
            .map_err(|_| {
                Answer::text(
                    408,
                    format!("the request body took longer than {:?}", self.body_timeout),
                )
            })?
            .map_err(|err| match err {
                ReadError::TooLarge => too_large(),
                ReadError::Broken(_) => Answer::text(400, "the request body broke off"),
            })?;
        encoding.decode(body, limit).map_err(|err| match err {
            DecodeError::TooLarge => too_large(),
            DecodeError::Malformed(err) => Answer::text(
                400,
                format!("the request body cannot be decompressed: {err}"),
            ),
        })
    }
}

/// As [`timeout`], but a future that is ready at once, as that of a small body is, costs no look at the clock.
async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout(limit, future).await,
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

/// The content type of nearly all answers, looked at by the compiler rather than for each of them.
const OCTET_STREAM: HeaderValue = HeaderValue::from_static(exchange::OCTET_STREAM);

fn into_response(answer: Answer) -> Response<ReplyBody> {
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
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
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

/// The body of an answer, known as a whole.
#[derive(Debug, Clone)]
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
