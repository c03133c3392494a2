//! Which messages make a batch, and when it is called.

use stateful_functions::runtime::core::{CoreSettings, Input, Windows};

use super::{Reply, Rig};

#[test]
fn sf_32_an_address_has_one_call_at_a_time_and_its_batches_are_its_messages_in_order() {
    let mut rig = Rig::new();
    rig.learn_states();
    for text in ["1", "2", "3"] {
        rig.arrive("x", text);
    }
    rig.arrive("y", "other");
    let first = rig.call();
    assert_eq!(first.batch, ["1"]);
    assert_eq!(rig.call_of("a/f/y").batch, ["other"], "of another address");
    assert!(!rig.has_calls());
    rig.answer(&first, Reply::new());
    let second = rig.call();
    rig.arrive("x", "4");
    assert_eq!(second.batch, ["2", "3"]);
    rig.answer(&second, Reply::new());
    assert_eq!(rig.call().batch, ["4"]);
}

#[test]
fn sf_33_an_idle_address_is_called_at_once_and_a_backlog_beyond_its_limit_is_one_batch() {
    let mut rig = Rig::new();
    rig.arrive("a/limited/x", "1");
    let busy = rig.call();
    rig.arrive("feeder", "go");
    let feeder = rig.call();
    let many = (2..=9).map(|n| n.to_string());
    let many = many.fold(Reply::new(), |reply, n| reply.send("a/limited/x", &n));
    rig.answer(&feeder, many);
    rig.answer(&busy, Reply::new());
    let batch = rig.call().batch;
    assert_eq!(batch, ["2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[test]
fn sf_34_a_message_to_itself_does_not_overtake_waiting_ones() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let first = rig.call();
    rig.arrive("x", "2");
    rig.answer(&first, Reply::new().send("x", "own"));
    let second = rig.call();
    assert_eq!(second.batch, ["2"]);
    rig.arrive("x", "3");
    rig.answer(&second, Reply::new());
    assert_eq!(rig.call().batch, ["own", "3"]);
}

#[test]
fn sf_34_a_message_without_delay_does_not_overtake_one_that_was_not_delayed() {
    let mut rig = Rig::new();
    rig.learn_states();
    rig.arrive("x", "1");
    rig.arrive("y", "busy");
    let (first, busy) = (rig.call(), rig.call());
    rig.answer(
        &first,
        Reply::new().after(0, "y", "delayed").send("y", "sent"),
    );
    rig.answer(&busy, Reply::new());
    assert_eq!(rig.call().batch, ["sent", "delayed"]);
}

#[test]
fn sf_49_a_function_that_acts_outside_is_called_once_its_messages_are_on_disk_and_others_at_once() {
    let mut rig = Rig::new();
    rig.arrive("a/outside/x", "1");
    assert!(!rig.has_calls());
    rig.arrive("x", "go");
    let feeder = rig.call();
    rig.sync();
    let first = rig.call();
    assert_eq!(first.batch, ["1"]);
    rig.answer(&feeder, Reply::new().send("a/outside/x", "2"));
    rig.answer(&first, Reply::new());
    assert!(!rig.has_calls(), "the second is not on disk");
    rig.sync();
    assert_eq!(rig.call().batch, ["2"]);
}

#[test]
fn sf_51_a_first_call_that_hangs_delays_its_own_type_only() {
    let mut rig = Rig::new();
    rig.arrive("a/hanging/x", "1");
    rig.arrive("a/hanging/y", "2");
    rig.arrive("a/other/x", "3");
    let hanging = rig.call_of("a/hanging/x");
    assert_eq!(rig.drain(), [("a/other/x".into(), vec!["3".into()])]);

    rig.fail(&hanging);
    let next = rig.call_of("a/hanging/y");
    rig.answer(&next, Reply::needs(&["seen"]));
    assert_eq!(rig.call_of("a/hanging/y").values(), [("seen", None)]);
}

#[test]
fn messages_that_memory_has_no_room_for_come_from_the_store_in_order() {
    let windows = Windows {
        messages: 3,
        page: 2,
        ..Windows::default()
    };
    let mut rig = Rig::with(CoreSettings {
        windows,
        ..CoreSettings::default()
    });
    for n in 0..12 {
        rig.arrive("x", &n.to_string());
    }
    let batches = rig.drain();
    let texts: Vec<_> = batches.iter().flat_map(|(_, batch)| batch).collect();
    assert!(texts.iter().map(|n| n.parse::<u32>().unwrap()).eq(0..12));
    assert!(batches.iter().all(|(_, batch)| batch.len() <= 3));
    assert!(rig.is_at_rest());
}

#[test]
fn sf_48_after_a_crash_an_address_gets_all_its_messages_as_one_batch() {
    let mut rig = Rig::new();
    for text in ["1", "2", "3"] {
        rig.arrive("x", text);
    }
    let first = rig.call();
    rig.answer(&first, Reply::new().send("y", "sent"));
    rig.sync();
    rig.arrive("x", "lost");
    rig.crash();
    assert_eq!(rig.call_of("a/f/x").batch, ["2", "3"]);
    assert_eq!(rig.drain(), [], "the type has to be met first");
}

#[test]
fn r_24_a_stopping_core_finishes_its_calls_and_begins_none() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let (first, _) = (rig.call(), rig.arrive("x", "2"));
    rig.step(Input::Drain);
    rig.arrive("y", "3");
    rig.answer(&first, Reply::needs(&["seen"]));
    let again = rig.call();
    rig.answer(&again, Reply::new().after(0, "z", "4"));
    rig.advance(10);
    assert!(!rig.has_calls());
    assert_eq!((rig.core.in_flight(), rig.core.next_deadline()), (0, None));

    rig.sync();
    rig.crash();
    let mut called = rig.drain();
    called.extend(rig.drain());
    called.sort();
    let expected = [("a/f/x", "2"), ("a/f/y", "3"), ("a/f/z", "4")];
    let expected = expected.map(|(target, text)| (target.to_owned(), vec![text.to_owned()]));
    assert_eq!(called, expected);
}

#[test]
fn messages_for_ids_of_another_core_are_passed_on_after_they_were_staged() {
    let mut rig = Rig::with(CoreSettings {
        cores: 2,
        index: 0,
        ..CoreSettings::default()
    });
    // "9" belongs to core 0 of 2, "" to core 1.
    rig.arrive("9", "go");
    let call = rig.call();
    let rows = rig.rows().len();
    rig.answer(&call, Reply::new().send("a/g/", "1").send("9", "2"));
    assert_eq!(rig.seen(), ["forward a/g/ to core 1"]);
    assert_eq!(rig.rows().len(), rows + 1, "one consumed, two made");
    let (_, _, counters) = rig.core.counters().next().unwrap();
    assert_eq!((counters.out_local, counters.out_remote), (1, 1));
}
