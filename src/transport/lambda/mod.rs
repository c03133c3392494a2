//! The handler as an AWS Lambda function. May import `handler` and `sdk`; the shapes of the events are in `event`.

mod event;

use lambda_runtime::{Diagnostic, LambdaEvent, run_concurrent, service_fn};
use tracing::warn;

use self::event::{Event, Request, Response};
use super::exchange::{self, HandlerResponse, Route};
use crate::handler::RequestReplyHandler;
use crate::sdk::BoxError;

/// Lambda's responses have at most 6 MB, or three quarters of that before base64; a little is reserved for the other fields.
const MAX_REPLY_BYTES: usize = 4_500_000;

/// Serves functions as an AWS Lambda function until the environment is shut down. Await it in `main`, on tokio.
///
/// Takes a [`StatefulFunctions`](crate::StatefulFunctions) or a handler. It accepts the events of an API Gateway
/// (REST API and HTTP API, payload formats 1.0 and 2.0), of a function URL and of an Application Load Balancer, and answers
/// like the HTTP transport: with the same statuses, texts and `GET /health`. Compressed request bodies are answered with 415 here.
///
/// - A REST API must declare `application/octet-stream` as a binary media type; otherwise it corrupts the bytes.
/// - Replies above 4.5 MB, which is 6 MB in base64, become a 500. A load balancer carries only 1 MB.
/// - With `AWS_LAMBDA_MAX_CONCURRENCY` set, as on managed instances, invocations are served concurrently.
///
/// ```no_run
/// # use stateful_functions::{BoxError, StatefulFunctions, transport::lambda};
/// #[tokio::main]
/// async fn main() -> Result<(), BoxError> {
///     let functions = StatefulFunctions::new(); // and `.with(…)` for each function
///     lambda::run(functions).await
/// }
/// ```
///
/// # Errors
/// If the connection to the Lambda Runtime API is lost.
///
/// # Panics
/// Outside of Lambda, where `AWS_LAMBDA_RUNTIME_API` and the other variables of a Lambda function are not set.
pub async fn run(handler: impl Into<RequestReplyHandler>) -> Result<(), BoxError> {
    let handler = handler.into();
    let service = service_fn(move |event: LambdaEvent<Event>| {
        let handler = handler.clone();
        async move { respond(&handler, event.payload).await }
    });
    run_concurrent(service).await
}

async fn respond(handler: &RequestReplyHandler, event: Event) -> Result<Response, Diagnostic> {
    let request = Request::try_from(event).map_err(|err| Diagnostic {
        error_type: "UnknownEvent".to_owned(),
        error_message: err.to_string(),
    })?;
    let answer = answer(handler, &request).await;
    Ok(Response::new(bounded(answer), request.shape))
}

async fn answer(handler: &RequestReplyHandler, request: &Request) -> HandlerResponse {
    let content_type = request.content_type.as_deref().map(str::as_bytes);
    match exchange::route(&request.method, &request.path, content_type) {
        Route::Answered(answer) => answer,
        Route::Call if request.is_compressed => HandlerResponse::unsupported_encoding(),
        Route::Call => match request.body() {
            Ok(body) => exchange::call(handler, body).await,
            Err(err) => {
                HandlerResponse::text(400, format!("the body of the event is not base64: {err}"))
            }
        },
    }
}

/// Says what is wrong; Lambda would say only that the function failed.
fn bounded(answer: HandlerResponse) -> HandlerResponse {
    let reply_bytes = answer.body.len();
    if reply_bytes <= MAX_REPLY_BYTES {
        return answer;
    }
    let line =
        format!("the reply has {reply_bytes} bytes; Lambda allows at most {MAX_REPLY_BYTES}");
    warn!(error = %line, "request failed");
    HandlerResponse::text(500, line)
}
