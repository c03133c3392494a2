//! How many messages may wait at an address: `maxNumBatchRequests` counts waiting messages, not those in flight.

use super::host::Host;
use super::script::Script;
use crate::support::reply::Reply;
use crate::support::scripted::Step;

/// At an endpoint with `maxNumBatchRequests: 2`, one message is in flight and two wait.
fn filled(s: &mut Script) {
    s.behind("few");
    let x = s.at("x");
    let quiet = || Step::reply(Reply::new());
    s.answers("x", [quiet(), quiet().held()]);
    // The first call of a type holds up everything on the real runtime.
    s.feed("x", "0");
    s.settle();
    s.feed("x", "1");
    s.calls("x", 2);
    s.feed("x", "2");
    // One waits: others are still taken in.
    s.settle();
    let sends = Step::reply(Reply::new().send(&x, "3"));
    s.answers("z", [sends.held()]);
    s.feed("z", "a");
    s.calls("z", 1);
    s.feed("z", "b");
    s.settle();
    s.release("z");
    // Its effects come before its next call: two wait now.
    s.calls("z", 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sf_50_as_many_messages_wait_beside_the_one_in_flight_as_the_real_runtime_lets_wait() {
    let script = || Script::new("limit".to_owned(), filled);
    let (begun, mut rest) = (
        script(),
        Script::new("limit".to_owned(), |s| s.behind("few")),
    );
    let mut ours = Host::ours(&[]).await;
    ours.begin(&begun).await;
    let x = begun.at("x");
    assert_eq!(ours.is_refused(&x, "4").await, Some(true));
    rest.release("x");
    rest.calls("x", 3);
    rest.feed("x", "4");
    rest.calls("x", 4);
    ours.begin(&rest).await;

    let Some(mut real) = Host::real(|_| ()).await else {
        return;
    };
    real.begin(&script()).await;
    // Its source waits until there is room.
    let mut rest = Script::new("limit".to_owned(), |s| s.behind("few"));
    rest.feed("x", "4");
    rest.release("x");
    rest.calls("x", 4);
    real.begin(&rest).await;
    let expected = ["`0`", "`1`", "`2`, few/limit/z.limit says `3`", "`4`"];
    assert_eq!(real.batches(&x), expected);
    assert_eq!(ours.batches(&x), expected);
}
