//! The routes of the application.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming as Body;

use super::super::routes::{Authentication, CustomRoute};
use super::Desk;
use crate::runtime::bearer::is_authorised_by;
use crate::runtime::request;
use crate::runtime::respond::{self, FullResponse, Refusal, refuse};

impl Desk {
    /// Has the application answer a request.
    pub(super) async fn custom(
        &self,
        route: &CustomRoute,
        request: Request<Body>,
    ) -> Result<FullResponse, Refusal> {
        if !route.methods.contains(request.method()) {
            let allowed = route.allowed();
            let text = format!("this route takes {allowed}");
            return Err(respond::wrong_method(&allowed, &text));
        }
        self.authenticate(&route.authentication, request.headers())?;
        let (parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        let body = request::body(whole, &self.bodies).await?;
        let handle = AssertUnwindSafe(|| (route.handle)(Request::from_parts(parts, body)));
        let answering = AssertUnwindSafe(async move { handle.0().await });
        match answering.catch_unwind().await {
            Ok(answer) => Ok(answer.map(Full::new)),
            Err(_) => {
                tracing::error!(route = route.path(), "the handler of a route panicked");
                let text = "the handler of this route has failed";
                Err(refuse(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "route.failed",
                    text,
                ))
            }
        }
    }

    fn authenticate(
        &self,
        authentication: &Authentication,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let Authentication::Token { secret_name, key } = authentication else {
            return Ok(());
        };
        let token = match self.current.get().secret(secret_name, key) {
            Ok(Some(token)) if !token.is_empty() => token,
            _ => {
                let text = format!("`{key}` of the secret `{secret_name}` is not there; add it");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return Err(refuse(status, "route.no_secret", &text));
            }
        };
        match is_authorised_by(headers.get(AUTHORIZATION), &token) {
            true => Ok(()),
            false => {
                let text = "this route needs `Authorization: Bearer <token>`";
                Err(refuse(StatusCode::UNAUTHORIZED, "unauthorised", text))
            }
        }
    }
}
