//! Idempotency keys: a repeat gets the first answer, and the message counts once.

use stateful_functions::Timestamp;
use stateful_functions::runtime::core::{IdempotencyKey, Input};

use super::{Reply, Rig};

const KEEP: u64 = 1_000;

fn ask(rig: &mut Rig, gateway: &str, digest: u128) -> u64 {
    let key = key(rig, digest);
    rig.bring("x", "1", Some(gateway), Some(key))
}

fn key(rig: &Rig, digest: u128) -> IdempotencyKey {
    IdempotencyKey {
        row: "ingress a/f/x key".into(),
        digest,
        until: Timestamp::from_millis(rig.now + KEEP),
    }
}

fn answer(rig: &mut Rig, gateway: &str, text: &str) {
    let call = rig.call();
    let gateway = format!("statefun.http/gateway/{gateway}");
    rig.answer(&call, Reply::new().send(&gateway, text));
}

#[test]
fn a_repeat_while_the_first_runs_waits_for_its_answer() {
    let mut rig = Rig::new();
    ask(&mut rig, "first", 7);
    ask(&mut rig, "second", 7);
    answer(&mut rig, "first", "hello");
    assert!(!rig.has_calls());
    assert_eq!(rig.seen(), [""; 0], "nothing is on disk");
    rig.sync();
    assert_eq!(
        rig.seen(),
        ["accepted 1", "attached 2 to first", "first <- hello"]
    );
}

#[test]
fn a_repeat_gets_the_answer_also_after_a_crash_and_another_body_is_refused() {
    let mut rig = Rig::new();
    ask(&mut rig, "first", 7);
    answer(&mut rig, "first", "hello");
    rig.sync();
    rig.crash();
    rig.seen();
    ask(&mut rig, "second", 7);
    ask(&mut rig, "third", 8);
    rig.sync();
    assert_eq!(
        rig.seen(),
        ["refused 3: KeyReused", "replayed 2: Some(\"hello\")"]
    );
    assert!(!rig.has_calls());
}

#[test]
fn a_crash_before_the_answer_leaves_the_key_pending() {
    let mut rig = Rig::new();
    ask(&mut rig, "first", 7);
    rig.sync();
    rig.crash();
    rig.seen();
    ask(&mut rig, "second", 7);
    answer(&mut rig, "first", "hello");
    rig.sync();
    assert_eq!(rig.seen(), ["attached 2 to first", "first <- hello"]);
}

#[test]
fn a_message_without_a_waiting_caller_is_accepted_once() {
    let mut rig = Rig::new();
    for _ in 0..2 {
        let key = key(&rig, 7);
        rig.bring("x", "1", None, Some(key));
    }
    rig.sync();
    assert_eq!(rig.seen(), ["accepted 1", "replayed 2: None"]);
    assert_eq!(rig.drain().len(), 1);
    assert!(rig.is_at_rest());
}

#[test]
fn an_expired_key_is_forgotten_and_may_be_used_again() {
    let mut rig = Rig::new();
    ask(&mut rig, "first", 7);
    answer(&mut rig, "first", "hello");
    rig.advance(KEEP);
    ask(&mut rig, "second", 8);
    answer(&mut rig, "second", "anew");
    rig.sync();
    assert!(rig.seen().contains(&"second <- anew".to_owned()));
    rig.advance(KEEP);
    rig.step(Input::Sweep);
    assert_eq!(rig.rows().len(), 0);
}

/// Broke: the late answer of a call whose key had expired was stored as the answer of the call that used the key again.
#[test]
fn a_late_answer_under_an_expired_key_is_not_kept_for_the_next_call() {
    let mut rig = Rig::new();
    ask(&mut rig, "first", 7);
    rig.advance(KEEP);
    ask(&mut rig, "second", 7);
    answer(&mut rig, "first", "stale");
    ask(&mut rig, "third", 7);
    answer(&mut rig, "second", "fresh");
    ask(&mut rig, "fourth", 7);
    rig.sync();
    let seen = rig.seen();
    assert!(
        seen.contains(&"attached 3 to second".to_owned()),
        "{seen:?}"
    );
    assert!(
        seen.contains(&"replayed 4: Some(\"fresh\")".to_owned()),
        "{seen:?}"
    );
}

/// Broke: each call without an answer left a row that was never removed.
#[test]
fn a_call_without_an_answer_leaves_nothing_once_its_key_has_expired() {
    let mut rig = Rig::new();
    ask(&mut rig, "first", 7);
    rig.drain();
    rig.advance(KEEP);
    ask(&mut rig, "second", 7);
    rig.drain();
    rig.advance(KEEP);
    rig.step(Input::Sweep);
    assert_eq!(rig.rows().len(), 0);
}
