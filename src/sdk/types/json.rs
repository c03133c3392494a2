//! JSON under a type name of your own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Type;
use crate::sdk::{BoxError, TypeName};

/// `T` as JSON text in UTF-8, without white space around it; with white space it is read too.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use stateful_functions::{Type, TypeName, types};
///
/// #[derive(Serialize, Deserialize)]
/// struct Visit { name: String, at: i64 }
///
/// const VISIT: Type<Visit> = types::json(TypeName::new("example/visit"));
/// assert_eq!(VISIT.encode(&Visit { name: "Bob".into(), at: 7 })?, r#"{"name":"Bob","at":7}"#);
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
pub const fn json<T: Serialize + DeserializeOwned>(name: TypeName) -> Type<T> {
    Type::new(name, encode, decode)
}

fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
    Ok(serde_json::to_writer(out, value)?)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BoxError> {
    Ok(serde_json::from_slice(bytes)?)
}
