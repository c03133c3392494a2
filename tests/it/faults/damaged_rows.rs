//! Kind: unnoticed damage, as the core sees it.
//!
//! An unreadable stored row counted as absent: a value was gone, a key was unused, a timer never fired, and
//! recovery ended at it for all later addresses. Now its address is parked with location and remedy, and others continue.

use bytes::Bytes;
use stateful_functions::Timestamp;
use stateful_functions::runtime::core::keys::{ANSWERS, INBOX, STATE, TIMERS, TOKENS, token_key};
use stateful_functions::runtime::core::{AdminChange, IdempotencyKey};
use stateful_functions::storage::{Rows as _, Table, Write};

use crate::core::{Rig, key_of};
use crate::support::reply::Reply;

fn spoil(rig: &Rig, table: Table, key: impl Into<Bytes>) {
    rig.store
        .stage(vec![Write::put(table, key, &b"\xff\xff"[..])]);
}

/// `x` has a value, a token and a timer.
fn stateful() -> Rig {
    let mut rig = Rig::new();
    for id in ["x", "y"] {
        rig.arrive(id, "");
        let mut call = rig.call();
        if call.values().is_empty() {
            rig.answer(&call, Reply::needs(&["v"]));
            call = rig.call();
        }
        let arm = Reply::new().set("v", "1").armed(9_000, "other", id, id);
        rig.answer(&call, arm);
    }
    rig.sync();
    rig.seen();
    rig
}

#[test]
fn a_damaged_value_sets_its_address_aside_and_no_other() {
    let mut rig = stateful();
    spoil(&rig, STATE, key_of("x").row(b"v"));
    rig.arrive("x", "");
    assert!(!rig.has_calls());
    let told = rig.seen().concat();
    assert!(
        told.starts_with("a/f/x failed (1, None): value `v` of a/f/x cannot be read: it is damaged; restore the data folder from a backup, or remove what is damaged, and resume the address then"),
        "{told}"
    );
    rig.arrive("y", "");
    let call = rig.call();
    assert_eq!(call.values(), [("v", Some("1"))]);
    rig.answer(&call, Reply::new());
    rig.change(AdminChange::SetState {
        address: key_of("x"),
        name: "v".into(),
        value: None,
    });
    rig.change(AdminChange::Resume(key_of("x")));
    assert_eq!(rig.call().values(), [("v", None)]);
}

#[test]
fn a_damaged_token_is_not_a_free_token() {
    let mut rig = stateful();
    spoil(&rig, TOKENS, token_key("x", "x"));
    rig.arrive("x", "");
    let call = rig.call();
    rig.answer(&call, Reply::new().armed(9, "other", "", "x"));
    let told = rig.seen().concat();
    assert!(
        told.contains("a/f/x failed (1, None): the cancellation token"),
        "{told}"
    );
}

#[test]
fn a_damaged_answer_refuses_its_key_and_is_named() {
    let mut rig = stateful();
    let row = Bytes::from_static(b"ingress a/f/x key");
    spoil(&rig, ANSWERS, row.clone());
    let key = IdempotencyKey {
        row,
        digest: 1,
        until: Timestamp::from_millis(rig.now + 1_000),
    };
    rig.bring("x", "", None, Some(key));
    assert!(!rig.has_calls());
    let told = rig.seen().concat();
    assert!(
        told.contains(
            "the kept answer with the key `ingress a/f/x key` cannot be read: it is damaged"
        ),
        "{told}"
    );
}

#[test]
fn a_damaged_delayed_message_is_reported_and_the_others_fire() {
    let mut rig = stateful();
    let timers = rig.store.scan(TIMERS, &[], None, 9).unwrap();
    let due = &timers[0].0[..8];
    spoil(&rig, TIMERS, [due, &[0; 16]].concat());
    rig.sync();
    rig.crash();
    rig.seen();
    rig.advance(9_000);
    let told = rig.seen().concat();
    assert!(
        told.contains("warning: the delayed message that is due at"),
        "{told}"
    );
    let mut fired = rig.drain();
    fired.extend(rig.drain());
    let fired: Vec<String> = fired.into_iter().flat_map(|(_, batch)| batch).collect();
    assert_eq!(fired, ["x", "y"]);
}

#[test]
fn a_damaged_key_does_not_end_recovery_for_the_addresses_behind_it() {
    let mut rig = Rig::new();
    rig.arrive("x", "waits");
    rig.sync();
    rig.store
        .stage(vec![Write::put(INBOX, &b"\x01"[..], &b""[..])]);
    rig.sync();
    rig.crash();
    assert_eq!(rig.call().batch, ["waits"]);
    let told = rig.seen().concat();
    assert!(
        told.contains("a waiting message with the key `\\x01` cannot be read"),
        "{told}"
    );
}
