//! Functions behind a UNIX socket: ours serve there, and okhttp calls them there.

use std::future::IntoFuture;

use stateful_functions::transport::http::serve;
use stateful_functions::{
    BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, TypeName,
};
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::{ASYNC, Caller, OKHTTP, fine, warnings};
use crate::runtime::text;
use crate::support::canned::Canned;
use crate::support::until::until;

async fn greet(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let caller = context.caller().ok_or("nobody to answer")?.clone();
    let greeting = format!(
        "hello, {}",
        message.require(&stateful_functions::types::STRING)?
    );
    context.send(MessageBuilder::to(caller).value(greeting));
    Ok(())
}

#[tokio::test]
async fn sf_30_a_function_behind_a_unix_socket_is_called_over_okhttp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my fn.sock");
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(TypeName::new("example/f"), greet))
        .unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = serve(UnixListener::bind(&path).unwrap(), functions)
        .with_graceful_shutdown(async { drop(stopped.await) });
    let serving = tokio::spawn(server.into_future());
    let path = path.to_str().unwrap().replace(' ', "%20");
    let caller = Caller::new(&format!("http+unix://{path}/statefun"), OKHTTP).await;
    for name in ["bob", "eve"] {
        let answer = caller.started.post("/call/example/f/a", &[], name).await;
        assert_eq!(text(&answer), format!("hello, {name}"));
    }
    drop(caller);
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn sf_30_the_path_behind_the_socket_is_sent_as_it_is_written() {
    for scheme in ["http+unix", "https+unix"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fn.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let canned = Canned::always([], fine()).await;
        let behind = canned.clone();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            behind.converse(0, socket).await;
        });
        let url = format!(
            "{scheme}://{}/a%20b/{{function.name}}?c=/d.sock",
            path.display()
        );
        let caller = Caller::new(&format!("'{url}'"), OKHTTP).await;
        caller.send("a").await;
        caller.succeeds(1).await;
        let head = &canned.received()[0].1.head;
        assert!(
            head.starts_with("POST /a%20b/f?c=/d.sock HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nHost: unused\r\n"), "{head}");
    }
}

#[tokio::test]
async fn sf_30_a_socket_without_a_listener_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fn.sock");
    let caller = Caller::new(&format!("http+unix://{}/", path.display()), OKHTTP).await;
    caller.send("a").await;
    until("failed attempts", async || {
        (caller.failed_attempts().await > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sf_30_a_unix_socket_over_async_is_reported_at_load_and_fails_each_call() {
    let url = "http+unix:///run/fn.sock/statefun";
    let warnings = warnings(url, ASYNC);
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("hostname can't be null")),
        "{warnings:?}"
    );
    let caller = Caller::new(url, ASYNC).await;
    caller.send("a").await;
    assert_eq!(caller.failure().await, "hostname can't be null");
}
