//! The parameters of a request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Uri;
use serde_json::{Value, json};

use super::bad_request;
use super::damaged::shown;
use super::page::Page;
use crate::runtime::core::AddressKey;
use crate::runtime::request::percent_decoded;
use crate::runtime::respond::Refusal;
use crate::sdk::TypeName;

/// The default number of items of a list.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// An id may be empty.
const MAY_BE_EMPTY: &str = "id";
/// A list may have several states.
const MAY_BE_REPEATED: &str = "state";

/// The part after the `?`.
#[derive(Default)]
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

    /// Refuses parameters that are unknown, have no value or have two different values.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        for (key, value) in &self.0 {
            if !known.contains(&key.as_str()) {
                let known = match known {
                    [] => "this route takes no parameters".to_owned(),
                    _ => format!("known: {}", known.join(", ")),
                };
                return Err(bad_request(&format!(
                    "there is no parameter `{key}`; {known}"
                )));
            }
            if value.is_empty() && key != MAY_BE_EMPTY {
                let text = format!("`{key}` has no value; give it one, or leave it out");
                return Err(bad_request(&text));
            }
            if key != MAY_BE_REPEATED && self.get(key) != Some(value.as_str()) {
                let text = format!("`{key}` is given twice, with two values; give it once");
                return Err(bad_request(&text));
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(k, _)| k == key)?;
        Some(value)
    }

    /// All values of a parameter that may be repeated.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let given = self.0.iter().filter(move |(k, _)| k == key);
        given.map(|(_, value)| value.as_str())
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

    /// The number of the first line of a body that is part of a longer file.
    pub(super) fn first_line(&self) -> Result<usize, Refusal> {
        match self.get("first_line").map(str::parse) {
            None => Ok(1),
            Some(Ok(first @ 1..)) => Ok(first),
            Some(_) => Err(bad_request("`first_line` is a number, 1 or more")),
        }
    }

    /// The key after which a list continues, which must begin with `prefix`.
    pub(super) fn after(&self, prefix: &[u8]) -> Result<Option<Bytes>, Refusal> {
        self.after_key(prefix, names_an_address)
    }

    /// The same for a list whose keys `is_key` knows.
    pub(super) fn after_key(
        &self,
        prefix: &[u8],
        is_key: fn(&Bytes) -> bool,
    ) -> Result<Option<Bytes>, Refusal> {
        let Some(text) = self.get("after") else {
            return Ok(None);
        };
        let key = URL_SAFE_NO_PAD.decode(text).ok().map(Bytes::from);
        let key = key.filter(|key| key.starts_with(prefix) && is_key(key));
        key.map(Some)
            .ok_or_else(|| bad_request("`after` is the `next` of an earlier page of the same list"))
    }
}

fn names_an_address(key: &Bytes) -> bool {
    AddressKey::split(key).is_some_and(|(address, _)| {
        let (namespace, name, _) = address.parts();
        TypeName::from_parts(namespace, name).is_ok()
    })
}

/// `{"items": […], "next": …}`.
pub(super) fn page_json<T>(page: &Page<T>, item: impl Fn(&T) -> Value) -> Value {
    let items: Vec<Value> = page.items.iter().map(|one| shown(one, &item)).collect();
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
        assert_eq!((given.get("id"), given.get("name")), (Some(""), None));
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
        let key = AddressKey::new("shop", "cart", "a").row(b"total");
        let page = Page {
            items: vec![Ok(1)],
            next: Some(key.clone()),
        };
        let json = page_json(&page, |n| (*n).into());
        let next = json["next"].as_str().unwrap();
        let after = |prefix| params(&format!("after={next}")).after(prefix);
        assert_eq!(after(&[]).unwrap(), Some(key.clone()));
        assert_eq!(after(&key[..5]).unwrap(), page.next);
        assert!(after(b"other").is_err(), "a cursor of another list");
        for wrong in ["after=%00", "after=AAAA", "after=!"] {
            assert!(params(wrong).after(&[]).is_err(), "{wrong}");
        }
    }
}
