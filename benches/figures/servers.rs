//! The servers of one counter: ours, the same written by hand on hyper and prost, and an echo that moves the same number of bytes.
//! Each runs on one thread; the load generator has the other core. A relay, which is compared with the runtime, has as many
//! threads as the runtime.

use std::io::Write;

use anyhow::{Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use stateful_functions::transport::http;
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, TypeName,
    ValueSpec, types,
};
use tokio::net::TcpListener;

use crate::relay::Relay;
use crate::{by_hand, process, tally};

pub(crate) const COUNTER: TypeName = TypeName::new("bench/counter");
pub(crate) const ADDER: TypeName = TypeName::new("bench/adder");
const NEIGHBOUR: TypeName = TypeName::new("bench/neighbour");
const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
const TOTAL: ValueSpec<i64> = ValueSpec::new("total", types::LONG);

/// Serves until this process ends: `handler`, `by-hand`, `tally`, `echo LENGTH` with answers of that many bytes, or `relay ADDRESS`
/// to the functions there.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    process::end_with_parent();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut runtime = match arguments[..] {
        ["relay", _] => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        match arguments[..] {
            ["handler"] => Ok(http::serve(listener, functions()?).await?),
            ["tally"] => tally::serve(listener).await,
            ["by-hand"] => bare(listener, Some(OCTET_STREAM), by_hand::count).await,
            ["echo", length] => {
                let answer = Bytes::from(vec![b'.'; length.parse()?]);
                bare(listener, None, move |_body| Ok(answer.clone())).await
            }
            ["relay", functions] => {
                let relay = Relay::new(functions.parse()?);
                plain(listener, move |request| relay.clone().answer(request)).await
            }
            _ => bail!("no such server: {arguments:?}"),
        }
    })
}

fn functions() -> Result<StatefulFunctions> {
    Ok(StatefulFunctions::new()
        .with(FunctionSpec::new(COUNTER, count).value(SEEN))?
        .with(FunctionSpec::new(ADDER, add).value(TOTAL))?)
}

/// Counts its calls and tells a neighbour.
async fn count(context: &mut Context, message: Message) -> Result<(), BoxError> {
    message.require(&types::STRING)?;
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    let neighbour = Address::new(NEIGHBOUR, context.address().id());
    context.send(MessageBuilder::to(neighbour).value(seen));
    Ok(())
}

/// Adds numbers and answers with the total, as the binary's sample `counter` does.
async fn add(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let number: i64 = message.require(&types::STRING)?.parse()?;
    let total = context.storage().get(&TOTAL)?.unwrap_or(0) + number;
    context.storage().set(&TOTAL, total)?;
    let caller = context.caller().ok_or("nobody to answer")?.clone();
    context.send(MessageBuilder::to(caller).value(total));
    Ok(())
}

/// A StateFun runtime takes replies of no other type.
const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Answers each request's body with `answer`, on plain hyper.
async fn bare<F>(listener: TcpListener, content_type: Option<HeaderValue>, answer: F) -> Result<()>
where
    F: Fn(Bytes) -> Result<Bytes> + Clone + Send + 'static,
{
    plain(listener, move |request: Request<Incoming>| {
        let (answer, content_type) = (answer.clone(), content_type.clone());
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            let mut answer = Response::new(Full::new(answer(body)?));
            if let Some(content_type) = content_type {
                answer.headers_mut().insert(CONTENT_TYPE, content_type);
            }
            Ok(answer)
        }
    })
    .await
}

/// Serves each connection with `answer`, on plain hyper.
async fn plain<F, R>(listener: TcpListener, answer: F) -> Result<()>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<Full<Bytes>>>> + Send + 'static,
{
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let service = service_fn(answer.clone());
        tokio::spawn(async move {
            // The generator closes its connections when it is done.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}
