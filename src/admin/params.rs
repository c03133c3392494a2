//! The parameters of a request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Uri;
use serde_json::{Value, json};

use super::bad_request;
use super::page::Page;
use crate::runtime::request::percent_decoded;
use crate::runtime::respond::Refusal;
use crate::sdk::TypeName;

/// Items of a list that are given without being asked for a number.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// What stands behind the `?`.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let pairs = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decoded(&text.replace('+', " "));
            Some((decode(key)?, decode(value)?))
        });
        let decoded: Option<Vec<_>> = decoded.collect();
        decoded
            .map(Self)
            .ok_or_else(|| bad_request("the parameters are not percent-encoded UTF-8"))
    }

    /// Refuses every parameter that the route does not know.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self
            .0
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()))
        {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => Err(bad_request(&format!(
                "`{key}`: this route takes no parameters"
            ))),
            Some((key, _)) => Err(bad_request(&format!(
                "there is no parameter `{key}`; known: {}",
                known.join(", ")
            ))),
        }
    }

    /// A parameter that is given and not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(k, _)| k == key)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that may be given empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(k, _)| k == key)?;
        Some(value)
    }

    /// All values of a parameter that may be repeated.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(k, value)| k == key && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, Refusal> {
        match self.get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad_request(&format!("`{key}` is true or false"))),
        }
    }

    pub(super) fn type_name(&self, key: &str) -> Result<Option<TypeName>, Refusal> {
        let parsed = self.get(key).map(|text| text.parse::<TypeName>());
        parsed
            .transpose()
            .map_err(|err| bad_request(&format!("`{key}`: {err}")))
    }

    pub(super) fn limit(&self) -> Result<usize, Refusal> {
        match self.get("limit").map(str::parse) {
            None => Ok(DEFAULT_LIMIT),
            Some(Ok(limit @ 1..=MAX_LIMIT)) => Ok(limit),
            Some(_) => Err(bad_request(&format!(
                "`limit` is a number from 1 to {MAX_LIMIT}"
            ))),
        }
    }

    /// The key after which a list goes on.
    pub(super) fn after(&self) -> Result<Option<Bytes>, Refusal> {
        let decoded = self.get("after").map(|text| URL_SAFE_NO_PAD.decode(text));
        let decoded = decoded
            .transpose()
            .map_err(|_| bad_request("`after` is the `next` of an earlier list"));
        Ok(decoded?.map(Bytes::from))
    }
}

/// `{"items": […], "next": …}`.
pub(super) fn page_json<T>(page: &Page<T>, item: impl Fn(&T) -> Value) -> Value {
    let items: Vec<Value> = page.items.iter().map(item).collect();
    let next = page.next.as_ref().map(|key| URL_SAFE_NO_PAD.encode(key));
    json!({"items": items, "next": next})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/api/state?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn parameters_are_decoded_and_unknown_ones_are_refused() {
        let given = params("type=a%2Fb&id=&x=1+2");
        assert_eq!(
            given.type_name("type").unwrap().unwrap(),
            TypeName::new("a/b")
        );
        assert_eq!(
            (given.get("id"), given.text("id"), given.text("name")),
            (None, Some(""), None)
        );
        assert_eq!(given.get("x"), Some("1 2"));
        assert!(given.only(&["type", "id", "x"]).is_ok());
        assert!(given.only(&["type", "id"]).is_err());
        assert!(params("type=a").type_name("type").is_err());
    }

    #[test]
    fn a_limit_is_bounded_and_a_cursor_survives_its_encoding() {
        assert_eq!(params("").limit().unwrap(), 100);
        assert_eq!(params("limit=7").limit().unwrap(), 7);
        for wrong in ["limit=0", "limit=1001", "limit=x", "limit=-1"] {
            assert!(params(wrong).limit().is_err(), "{wrong}");
        }
        let page = Page {
            items: vec![1],
            next: Some(Bytes::from_static(&[0, 255, 62])),
        };
        let json = page_json(&page, |n| (*n).into());
        let after = params(&format!("after={}", json["next"].as_str().unwrap()))
            .after()
            .unwrap();
        assert_eq!(after, page.next);
        assert!(params("after=%00").after().is_err());
    }
}
