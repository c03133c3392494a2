//! HTTP/1.1 messages as the bytes that went over the wire.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads one message with a `content-length` body, or none, byte by byte so that nothing of the next one is taken.
/// `None` at the end of the stream.
pub(crate) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        message.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(message.clone()).unwrap();
    let mut body =
        vec![0; header(&head, "content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    message.extend(body);
    Some(String::from_utf8_lossy(&message).into_owned())
}

/// The value of the first header called `name`, whatever its case.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
