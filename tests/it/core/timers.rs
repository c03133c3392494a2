//! Delayed messages and their tokens.

use stateful_functions::runtime::core::{CoreSettings, Windows};

use super::{Reply, Rig, typed};

fn at(target: &str, texts: &[&str]) -> (String, Vec<String>) {
    let texts = texts.iter().map(|text| (*text).to_owned());
    (target.to_owned(), texts.collect())
}

/// Has the function at `target` answer a message with `reply`.
fn say(rig: &mut Rig, target: &str, reply: Reply) {
    rig.arrive(target, "");
    let call = rig.call();
    rig.answer(&call, reply);
}

#[test]
fn sf_41_delayed_messages_come_in_time_in_order_and_from_their_sender() {
    let mut rig = Rig::new();
    say(
        &mut rig,
        "x",
        Reply::new()
            .after(20, "y", "late")
            .after(10, "y", "1")
            .after(10, "y", "2")
            .after(10, "z", "3"),
    );
    assert_eq!(rig.core.next_deadline().unwrap().as_millis(), 1_010);
    rig.advance(9);
    assert!(!rig.has_calls());
    rig.advance(1);
    let call = rig.call();
    assert_eq!(
        (&*call.target, &*call.batch),
        ("a/f/y", &["1".to_owned()][..])
    );
    assert_eq!(call.callers, [Some("a/f/x".to_owned())]);
    rig.answer(&call, Reply::new());
    assert_eq!(rig.drain(), [at("a/f/z", &["3"]), at("a/f/y", &["2"])]);
    rig.advance(10);
    assert_eq!(rig.drain(), [at("a/f/y", &["late"])]);
    assert!(rig.is_at_rest());
}

#[test]
fn sf_41_delayed_messages_survive_a_crash_and_come_at_once_when_they_are_overdue() {
    let mut rig = Rig::new();
    say(
        &mut rig,
        "x",
        Reply::new().after(10, "y", "1").after(30, "y", "2"),
    );
    rig.sync();
    rig.now += 20;
    rig.crash();
    assert_eq!(rig.drain(), [at("a/f/y", &["1"])]);
    rig.advance(9);
    assert!(!rig.has_calls());
    rig.advance(1);
    assert_eq!(rig.drain(), [at("a/f/y", &["2"])]);
}

#[test]
fn more_timers_than_memory_holds_fire_in_their_order() {
    let windows = Windows {
        timers: 3,
        fired_at_once: 2,
        page: 2,
        ..Windows::default()
    };
    let mut rig = Rig::with(CoreSettings {
        windows,
        max_active: 4,
        ..CoreSettings::default()
    });
    for n in [5, 3, 8, 1, 9, 2, 7, 4, 6] {
        let text = n.to_string();
        say(&mut rig, "x", Reply::new().after(n * 10, &text, &text));
    }
    let mut fired = Vec::new();
    while let Some(next) = rig.core.next_deadline() {
        rig.now = rig.now.max(next.as_millis());
        rig.advance(0);
        for (_, batch) in rig.drain() {
            assert_eq!(rig.now, 1_000 + 10 * batch[0].parse::<u64>().unwrap());
            fired.extend(batch);
        }
    }
    assert_eq!(fired.concat(), "123456789");
}

#[test]
fn sf_42_cancelled_messages_never_come_and_their_token_is_free_again() {
    let mut rig = Rig::new();
    let states = Reply::new().armed(10, "y", "1", "t");
    say(&mut rig, "x", states);
    say(&mut rig, "x", Reply::new().cancel("t").cancel("unknown"));
    rig.advance(10);
    assert!(!rig.has_calls());
    say(&mut rig, "x", Reply::new().armed(10, "y", "2", "t"));
    rig.advance(10);
    assert_eq!(rig.drain(), [at("a/f/y", &["2"])]);
    say(&mut rig, "x", Reply::new().armed(10, "y", "3", "t"));
    let within = Reply::new().cancel("t").armed(10, "y", "4", "t");
    say(&mut rig, "x", within.cancel("t").armed(10, "y", "5", "t"));
    rig.advance(10);
    assert_eq!(rig.drain(), [at("a/f/y", &["5"])]);
    assert_eq!(rig.rows().len(), 0);
}

#[test]
fn sf_42_a_fired_message_is_delivered_even_if_it_is_cancelled_then() {
    let mut rig = Rig::new();
    say(&mut rig, "x", Reply::new().armed(10, "y", "1", "t"));
    rig.arrive("x", "");
    rig.arrive("y", "busy");
    let (call, busy) = (rig.call(), rig.call());
    rig.advance(10);
    rig.answer(&call, Reply::new().cancel("t"));
    rig.answer(&busy, Reply::new());
    assert_eq!(rig.drain(), [at("a/f/y", &["1"])]);
}

#[test]
fn sf_43_a_token_belongs_to_an_id_and_all_its_types() {
    let mut rig = Rig::new();
    say(&mut rig, "x", Reply::new().armed(10, "y", "1", "t"));
    say(&mut rig, "z", Reply::new().armed(10, "y", "2", "t"));
    say(&mut rig, "b/f/x", Reply::new().cancel("t"));
    rig.advance(10);
    assert_eq!(rig.drain(), [at("a/f/y", &["2"])]);
}

#[test]
fn sf_43_arming_a_pending_token_fails_the_address_and_names_both() {
    let mut rig = Rig::new();
    say(&mut rig, "x", Reply::new().armed(10, "y", "1", "t"));
    rig.sync();
    rig.seen();
    say(&mut rig, "b/f/x", Reply::new().armed(20, "y", "2", "t"));
    assert_eq!(
        rig.seen(),
        [
            "b/f/x failed (1, Some(1000)): Trying to associate a message with cancellation token t and timestamp 1020, but a message with the same cancellation token exists and with a timestamp 1010 (armed by a/f/x; tokens are shared by all function types of an id: put the type into the token)"
        ]
    );
    rig.advance(10);
    assert_eq!(rig.drain(), [at("a/f/y", &["1"])]);
    rig.advance(990);
    assert_eq!(rig.drain(), [at("b/f/x", &[""])]);
}

#[test]
fn a_delayed_answer_reaches_its_caller_once_it_is_due_and_on_disk() {
    let mut rig = Rig::new();
    rig.ask("x", "1", "caller");
    let call = rig.call();
    let later = Reply::new().armed(10, "statefun.http/gateway/caller", "later", "t");
    rig.answer(&call, later);
    rig.sync();
    rig.seen();
    rig.advance(10);
    assert_eq!(rig.seen(), [""; 0]);
    rig.sync();
    assert_eq!(rig.seen(), ["caller <- later"]);
    assert_eq!(rig.rows().len(), 0);
}

#[test]
fn a_delayed_message_to_an_unbound_type_gives_a_warning_and_waits_there() {
    let mut rig = Rig::new();
    say(&mut rig, "x", Reply::new().after(10, "c/none/y", "1"));
    assert_eq!(
        rig.seen(),
        [
            "warning: a/f/x has armed a delayed message to c/none/y, and no function is bound to that type: it will wait there when it is due"
        ]
    );
    rig.advance(10);
    let failed = rig.seen().concat();
    assert!(
        failed.starts_with("c/none/y failed (1, Some(1000)): Cannot find a provider"),
        "{failed}"
    );
    say(&mut rig, "x", Reply::new());
    assert!(typed("").len() > 2);
}
