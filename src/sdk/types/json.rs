//! JSON under a type name of your own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Type;
use crate::json_words;
use crate::sdk::BoxError;

/// `T` as JSON text in UTF-8, under the type name `name`.
///
/// JSON without a type name of its own is read as this type, too: an ingress gives a body with `content-type: application/json` the type
/// [`UNTYPED_JSON`], and each function reads it as the type it asks for. [`Message::is`](crate::Message::is) compares names, so a function that
/// accepts several JSON types needs the name from the sender, in the header `statefun-type`; or it takes one enum.
///
/// A bad name does not compile in a `const`, and panics elsewhere; [`Type::new`] takes names that are known only at run time.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use stateful_functions::{Type, TypeName, types};
///
/// #[derive(Serialize, Deserialize)]
/// struct Visit { name: String, at: i64 }
///
/// const VISIT: Type<Visit> = types::json("example/visit");
/// assert_eq!(VISIT.encode(&Visit { name: "Bob".into(), at: 7 })?, r#"{"name":"Bob","at":7}"#);
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
pub const fn json<T: Serialize + DeserializeOwned>(name: &'static str) -> Type<T> {
    Type::json(name, encode, decode)
}

/// The type name of JSON whose sender gave no other: `statefun/json`.
pub const UNTYPED_JSON: &str = "statefun/json";

fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
    Ok(serde_json::to_writer(out, value)?)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BoxError> {
    serde_json::from_slice(bytes).map_err(|err| json_words::explained(&err).into())
}
