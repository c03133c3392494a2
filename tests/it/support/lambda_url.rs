//! A Lambda function behind an HTTP URL, as a function URL of Lambda: each POST is an invocation.

use std::sync::Arc;

use super::front::{Answer, front};
use super::lambda_api::{Lambda, Outcome, decoded, event, with_body};

impl Lambda {
    /// Serves as long as the test runs; the URL.
    pub(crate) async fn behind_url(self) -> String {
        let lambda = Arc::new(self);
        front(move |body| {
            let lambda = lambda.clone();
            async move {
                let event = with_body(event("function_url"), &body);
                answer(lambda.invoke(&event).await)
            }
        })
        .await
    }
}

/// An error of the function is a 502.
fn answer(outcome: Outcome) -> Answer {
    let response = match outcome {
        Ok(response) => response,
        Err(error) => return (502, "application/json".to_owned(), error.to_string().into()),
    };
    let status = response["statusCode"].as_u64().unwrap();
    let content_type = response["headers"]["content-type"].as_str().unwrap();
    let body = if response["isBase64Encoded"] == true {
        decoded(&response)
    } else {
        response["body"].as_str().unwrap().into()
    };
    (status.try_into().unwrap(), content_type.to_owned(), body)
}
