//! Peers that are slow, silent or busy with nothing, as public trackers report them. Found here: an HTTP/2 connection stayed open for ever once it had
//! sent a request, and a peer that did not read its answers kept them in memory as long as it liked.

use std::future::IntoFuture as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use stateful_functions::transport::http::{ServerLimits, serve};
use stateful_functions::{FunctionSpec, StatefulFunctions, TypeName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::functions::{Gate, call, functions};
use crate::support::raw::ask;
use crate::support::until::until;

/// Short, because a test waits for it to pass.
const SHORT: Duration = Duration::from_millis(60);

/// The address of a server with these functions and limits.
async fn server(functions: StatefulFunctions, change: impl FnOnce(&mut ServerLimits)) -> String {
    let mut limits = ServerLimits::default();
    change(&mut limits);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve(listener, functions).with_limits(limits).into_future());
    address
}

fn request(function: &str) -> Vec<u8> {
    let body = call(function);
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// Whether somebody else is served.
async fn is_well(address: &str) -> bool {
    ask(address, &request("counter")).await.status() == 200
}

/// Writes `byte` again and again until the server has closed the connection.
async fn write_in_vain(connection: &mut TcpStream, byte: &[u8]) {
    until("the end of the connection", async || {
        connection.write_all(byte).await.err()
    })
    .await;
}

/// hyperium/hyper#3970
#[tokio::test]
async fn a_head_that_drips_in_byte_by_byte_ends_with_the_idle_timeout() {
    let address = server(functions(), |limits| limits.idle_timeout = SHORT).await;
    for begun in ["", "POST / HTTP/1.1\r\nhost: x\r\nx-drip: "] {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(begun.as_bytes()).await.unwrap();
        write_in_vain(&mut connection, b"P").await;
    }
    assert!(is_well(&address).await);
}

/// hyperium/hyper#3852
#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_closed() {
    let address = server(functions(), |limits| limits.write_timeout = SHORT).await;
    let mut connection = TcpStream::connect(&address).await.unwrap();
    connection.write_all(&request("swollen")).await.unwrap();
    write_in_vain(&mut connection, b"P").await;
    assert!(is_well(&address).await);
}

async fn http2(
    address: &str,
    window: u32,
) -> (
    http2::SendRequest<Full<Bytes>>,
    tokio::task::JoinHandle<Result<(), hyper::Error>>,
) {
    let socket = TcpStream::connect(address).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(TokioIo::new(socket)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn http2_request(address: &str, function: &str) -> hyper::Request<Full<Bytes>> {
    let request = hyper::Request::post(format!("http://{address}/"));
    request.body(Full::new(call(function))).unwrap()
}

/// hyperium/h2#826
#[tokio::test]
async fn an_idle_http2_connection_is_closed_like_any_other() {
    let address = server(functions(), |limits| limits.idle_timeout = SHORT).await;
    let (mut sender, connection) = http2(&address, 65_535).await;
    let answer = sender
        .send_request(http2_request(&address, "counter"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    let _ended = connection.await.unwrap();
    assert!(sender.is_closed());
}

/// CVE-2019-9517: asks for answers, and opens no window for them.
#[tokio::test]
async fn an_http2_client_that_takes_no_answer_is_closed() {
    let address = server(functions(), |limits| limits.idle_timeout = SHORT).await;
    let (mut sender, connection) = http2(&address, 0).await;
    let answer = sender
        .send_request(http2_request(&address, "swollen"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let _ended = connection.await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
    assert!(is_well(&address).await);
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head, &stream.to_be_bytes()[..], payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `POST http://x/`, as the static table of HPACK writes it.
const POST: &[u8] = b"\x83\x86\x84\x01\x01x";

/// The begin of a connection, and these frames.
fn conversation(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    frames.into_iter().for_each(|frame| bytes.extend(frame));
    bytes
}

/// hyperium/hyper#2877 and #3337, h2o/h2o#2090, CVE-2019-9511 to 9518, the CONTINUATION flood.
#[tokio::test]
async fn floods_of_http2_frames_do_not_keep_others_from_being_served() {
    const MANY: u32 = 10_000;
    let streams = || (0..MANY).map(|n| 2 * n + 1);
    let address = server(functions(), |_| {}).await;
    let open = |stream| frame(HEADERS, END_HEADERS, stream, POST);
    let cancel = 8u32.to_be_bytes();
    let floods: Vec<(&str, Vec<u8>)> = vec![
        (
            "resets",
            conversation(
                streams().flat_map(|stream| [open(stream), frame(RESET, 0, stream, &cancel)]),
            ),
        ),
        ("streams", conversation(streams().map(open))),
        (
            "settings",
            conversation(streams().map(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]))),
        ),
        (
            "pings",
            conversation(streams().map(|_| frame(PING, 0, 0, &[0; 8]))),
        ),
        (
            "priorities",
            conversation(streams().map(|stream| frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]))),
        ),
        (
            "empty data",
            conversation(
                [open(1)]
                    .into_iter()
                    .chain(streams().map(|_| frame(DATA, 0, 1, &[]))),
            ),
        ),
        (
            "windows",
            conversation(
                [open(1)]
                    .into_iter()
                    .chain(streams().map(|_| frame(WINDOW, 0, 1, &1u32.to_be_bytes()))),
            ),
        ),
        (
            "invalid heads",
            conversation(
                streams().map(|stream| frame(HEADERS, END_HEADERS, stream, b"\x83\x83\x83")),
            ),
        ),
        (
            "continuations",
            conversation(
                [frame(HEADERS, END_STREAM, 1, POST)]
                    .into_iter()
                    .chain(streams().map(|_| frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"))),
            ),
        ),
    ];
    for (name, bytes) in floods {
        let mut flood = TcpStream::connect(&address).await.unwrap();
        let sending = tokio::spawn(async move {
            // The server may end the connection, or read no further.
            let _ = flood.write_all(&bytes).await;
            flood
        });
        for _ in 0..20 {
            assert!(is_well(&address).await, "{name}");
        }
        sending.abort();
    }
}

#[tokio::test]
async fn no_more_requests_of_one_http2_connection_are_answered_at_a_time_than_allowed() {
    let gate = Gate::new();
    let gated = FunctionSpec::new(TypeName::new("test/gate"), gate.clone());
    let address = server(functions().with(gated).unwrap(), |_| {}).await;
    let body = call("gate");
    let requests = (0..150u32).map(|n| 2 * n + 1).flat_map(|stream| {
        [
            frame(HEADERS, END_HEADERS, stream, POST),
            frame(DATA, END_STREAM, stream, &body),
        ]
    });
    let mut connection = TcpStream::connect(&address).await.unwrap();
    connection.write_all(&conversation(requests)).await.unwrap();
    until("as many calls as are allowed", async || {
        (gate.started.available_permits() >= 100).then_some(())
    })
    .await;
    // The rest is refused: the server says so for each stream.
    let refused = frame(RESET, 0, 299, &7u32.to_be_bytes());
    let mut heard = Vec::new();
    while !heard.windows(refused.len()).any(|bytes| bytes == refused) {
        assert!(connection.read_buf(&mut heard).await.unwrap() > 0);
    }
    assert_eq!(gate.started.available_permits(), 100);
}
