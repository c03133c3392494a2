//! Redis's protocol, version 2: commands are lists of bytes, replies are values.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

/// The largest text that Redis keeps.
const MAX_TEXT: i64 = 512 << 20;
/// Values of a list. No command of ours has a longer reply.
const MAX_ITEMS: i64 = 1 << 20;
/// Lists within lists.
const MAX_DEPTH: u32 = 8;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Nil,
    Number(i64),
    /// A short answer such as `OK`, or bytes.
    Text(Bytes),
    List(Vec<Value>),
    /// An error that is part of a list.
    Error(String),
}

/// Bytes that are not Redis's protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server does not speak Redis's protocol: {0}")]
pub(super) struct NotResp(&'static str);

impl Value {
    pub(super) const fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The bytes of a text.
    pub(super) const fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if it is UTF-8.
    pub(super) fn text(&self) -> Option<&str> {
        str::from_utf8(self.bytes()?).ok()
    }

    pub(super) const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// The value at `key` of a list of keys and values.
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        let mut pairs = self.list()?.chunks_exact(2);
        pairs.find_map(|pair| match pair {
            [name, value] if name.text() == Some(key) => Some(value),
            _ => None,
        })
    }
}

/// A command and its arguments.
#[derive(Clone, Default)]
pub(super) struct Command {
    count: usize,
    arguments: Vec<u8>,
    name: &'static str,
}

/// Its name, never its arguments.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Command").field(&self.name).finish()
    }
}

impl Command {
    pub(super) fn new(name: &'static str) -> Self {
        let command = Self {
            name,
            ..Self::default()
        };
        command.with(name)
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// With one more argument.
    pub(super) fn with(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.push(argument);
        self
    }

    /// Like [`with`](Self::with), for use in a loop.
    pub(super) fn push(&mut self, argument: impl AsRef<[u8]>) {
        let argument = argument.as_ref();
        self.count += 1;
        let head = format!("${}\r\n", argument.len());
        self.arguments.extend_from_slice(head.as_bytes());
        self.arguments.extend_from_slice(argument);
        self.arguments.extend_from_slice(b"\r\n");
    }

    /// The bytes to send.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("*{}\r\n", self.count).as_bytes());
        out.extend_from_slice(&self.arguments);
    }
}

/// Takes the next whole reply from the front of `input`; `None` if it is not all there.
pub(super) fn take(input: &mut BytesMut) -> Result<Option<Value>, NotResp> {
    let mut at = 0;
    let Some(shape) = measure(input, &mut at, 0)? else {
        return Ok(None);
    };
    let mut whole = input.split_to(at).freeze();
    Ok(Some(build(shape, &mut whole)))
}

/// A value as it lies in the input.
enum Shape {
    Nil(usize),
    Number(usize, i64),
    /// The length of what comes before the text, of the text, and of what comes after it.
    Text(usize, usize, usize),
    Error(usize, usize),
    List(usize, Vec<Shape>),
}

fn measure(input: &[u8], at: &mut usize, depth: u32) -> Result<Option<Shape>, NotResp> {
    let begin = *at;
    let Some(line) = line(input, at)? else {
        return Ok(None);
    };
    let head = *at - begin;
    let (kind, rest) = line.split_first().ok_or(NotResp("a reply has no type"))?;
    let shape = match kind {
        b'+' => Shape::Text(1, rest.len(), 2),
        b'-' => Shape::Error(1, rest.len()),
        b':' => Shape::Number(head, number(rest)?),
        b'$' => match number(rest)? {
            -1 => Shape::Nil(head),
            length @ 0..=MAX_TEXT => {
                let length = usize::try_from(length).unwrap_or_default();
                let end = *at + length;
                match input.get(end..end + 2) {
                    None => return Ok(None),
                    Some(b"\r\n") => *at = end + 2,
                    Some(_) => return Err(NotResp("a text is longer than it says")),
                }
                Shape::Text(head, length, 2)
            }
            _ => return Err(NotResp("a text is too long")),
        },
        b'*' => match number(rest)? {
            -1 => Shape::Nil(head),
            count @ 0..=MAX_ITEMS if depth < MAX_DEPTH => {
                let mut shapes = Vec::new();
                for _ in 0..count {
                    match measure(input, at, depth + 1)? {
                        Some(shape) => shapes.push(shape),
                        None => return Ok(None),
                    }
                }
                Shape::List(head, shapes)
            }
            _ => return Err(NotResp("a list is too long or too deep")),
        },
        _ => return Err(NotResp("a reply has an unknown type")),
    };
    Ok(Some(shape))
}

/// The line that begins at `at`, without its end.
fn line<'a>(input: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, NotResp> {
    const LONGEST: usize = 64 << 10;
    let rest = input.get(*at..).unwrap_or_default();
    match rest.windows(2).position(|two| two == b"\r\n") {
        Some(length) => {
            *at += length + 2;
            Ok(rest.get(..length))
        }
        None if rest.len() > LONGEST => Err(NotResp("a line has no end")),
        None => Ok(None),
    }
}

fn number(text: &[u8]) -> Result<i64, NotResp> {
    let text = str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or(NotResp("a number is not one"))
}

/// The value that lies at the front of `input`.
fn build(shape: Shape, input: &mut Bytes) -> Value {
    match shape {
        Shape::Nil(length) => {
            input.advance(length);
            Value::Nil
        }
        Shape::Number(length, number) => {
            input.advance(length);
            Value::Number(number)
        }
        Shape::Text(before, length, after) => {
            input.advance(before);
            let text = input.split_to(length);
            input.advance(after);
            Value::Text(text)
        }
        Shape::Error(before, length) => {
            input.advance(before);
            let text = input.split_to(length);
            input.advance(2);
            Value::Error(String::from_utf8_lossy(&text).into_owned())
        }
        Shape::List(length, shapes) => {
            input.advance(length);
            Value::List(
                shapes
                    .into_iter()
                    .map(|shape| build(shape, input))
                    .collect(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_command_is_a_list_of_texts() {
        let mut out = Vec::new();
        Command::new("XACK").with("s").with(b"\r\n").put(&mut out);
        assert_eq!(out, b"*3\r\n$4\r\nXACK\r\n$1\r\ns\r\n$2\r\n\r\n\r\n");
        let shown = format!("{:?}", Command::new("AUTH").with("hidden"));
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn replies_are_taken_one_by_one_when_they_are_whole() {
        let bytes = b"+OK\r\n:-7\r\n$-1\r\n*3\r\n$2\r\n\r\n\r\n*-1\r\n-ERR no\r\n$0\r\n\r\n";
        let expected = [
            text("OK"),
            Value::Number(-7),
            Value::Nil,
            Value::List(vec![
                text("\r\n"),
                Value::Nil,
                Value::Error("ERR no".to_owned()),
            ]),
            text(""),
        ];
        let (mut input, mut taken) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            input.extend_from_slice(&[*byte]);
            taken.extend(take(&mut input).unwrap());
        }
        assert_eq!(taken, expected);
        assert!(input.is_empty());
    }

    #[test]
    fn what_is_not_the_protocol_is_refused() {
        for bytes in [
            "HTTP/1.1 400 Bad Request\r\n",
            "$x\r\n",
            "$1\r\nabc\r\n",
            "$999999999999\r\n",
            "*999999999\r\n",
            "\r\n",
        ] {
            assert!(take(&mut BytesMut::from(bytes)).is_err(), "{bytes}");
        }
        let deep = "*1\r\n".repeat(20);
        assert!(take(&mut BytesMut::from(&*deep)).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut input) {}
        }
    }
}
