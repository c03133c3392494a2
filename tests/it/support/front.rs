//! An HTTP/1.1 server whose answers the test computes from the body of each POST.

use std::sync::Arc;

use tokio::io::{AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

use super::raw::RawMessage;

/// Status, content type and body.
pub(crate) type Answer = (u16, String, Vec<u8>);

/// Serves as long as the test runs; the URL.
pub(crate) async fn front<F>(answer: impl Fn(Vec<u8>) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            tokio::spawn(converse(socket, answer.clone()));
        }
    });
    url
}

async fn converse<F>(socket: TcpStream, answer: Arc<impl Fn(Vec<u8>) -> F>)
where
    F: Future<Output = Answer>,
{
    let mut stream = BufStream::new(socket);
    while let Some(request) = RawMessage::read(&mut stream).await {
        let (status, content_type, body) = answer(request.body).await;
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.flush().await
        };
        if sent.await.is_err() {
            return; // whoever asked is gone
        }
    }
}
