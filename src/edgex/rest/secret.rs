//! `POST /api/v3/secret`: takes a secret into the file of secrets, or into memory.

use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use serde::Deserialize;
use serde_json::json;

use super::super::secrets_file;
use super::{API_VERSION, Desk};
use crate::runtime::request;
use crate::runtime::respond::{self, FullResponse, Refusal};

/// Secrets are small.
const MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretRequest {
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    secret_name: String,
    #[serde(default)]
    secret_data: Vec<Entry>,
}

/// Keys and their texts.
type Texts = Vec<(String, String)>;

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
}

impl SecretRequest {
    /// The name and the texts, or what is missing.
    fn checked(self) -> Result<(String, Texts), &'static str> {
        if self.secret_name.trim().is_empty() {
            return Err("`secretName` is required and missing");
        }
        if self.secret_data.is_empty() {
            return Err("`secretData` needs at least one entry with `key` and `value`");
        }
        let entries = self.secret_data.into_iter();
        let texts: Texts = entries.map(|entry| (entry.key, entry.value)).collect();
        let is_whole =
            |(key, value): &(String, String)| !key.trim().is_empty() && !value.is_empty();
        match texts.iter().all(is_whole) {
            true => Ok((self.secret_name, texts)),
            false => {
                Err("each entry of `secretData` needs `key` and `value`, which must not be empty")
            }
        }
    }
}

impl Desk {
    pub(super) async fn take_secret(
        &self,
        request: Request<Body>,
    ) -> Result<FullResponse, Refusal> {
        let body = request::body(request, &self.bodies.up_to(MAX_BYTES)).await?;
        let taken: SecretRequest = match serde_json::from_slice(&body) {
            Ok(taken) => taken,
            Err(err) => {
                // Its own text could contain a part of the secret.
                let (line, column) = (err.line(), err.column());
                let text =
                    format!("line {line}, column {column} is not part of a request with a secret");
                return Ok(answer(StatusCode::BAD_REQUEST, "", Some(&text)));
            }
        };
        let id = taken.request_id.clone();
        let (name, texts) = match taken.checked() {
            Ok(checked) => checked,
            Err(text) => return Ok(answer(StatusCode::BAD_REQUEST, &id, Some(text))),
        };
        let Some(path) = self.configuration.settings.service.secrets_file.clone() else {
            tracing::warn!(
                secret = name,
                "a secret is kept in memory only, and is lost when the service ends: set Service.SecretsFile"
            );
            self.configuration.stored_secrets.store(&name, texts);
            return Ok(answer(StatusCode::CREATED, &id, None));
        };
        let shown = path.display().to_string();
        let stored = tokio::task::spawn_blocking(move || secrets_file::store(&path, &name, &texts));
        let failure = match stored.await {
            Ok(Ok(())) => return Ok(answer(StatusCode::CREATED, &id, None)),
            Ok(Err(err)) => err.to_string(),
            Err(_) => "writing was cut off".to_owned(),
        };
        tracing::error!(path = shown, failure, "a secret cannot be stored");
        let text = format!("the secret cannot be stored in {shown}: {failure}");
        Ok(answer(StatusCode::INTERNAL_SERVER_ERROR, &id, Some(&text)))
    }
}

fn answer(status: StatusCode, request_id: &str, message: Option<&str>) -> FullResponse {
    let mut body = json!({
        "apiVersion": API_VERSION,
        "requestId": request_id,
        "statusCode": status.as_u16(),
    });
    if let (Some(message), Some(body)) = (message, body.as_object_mut()) {
        body.insert("message".to_owned(), message.into());
    }
    respond::json(status, &body)
}
