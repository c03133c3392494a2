use serde_json::json;
use stateful_functions::delivery::engine::{
    Class, Classes, Delivery, DeliveryState, Entry, Failure, History, Input, Outcome, Policy,
    Transition,
};
use stateful_functions::delivery::{Index, Row};
use stateful_functions::random::Random;

use super::{Rig, actor, down, every, secs, transitions};
use DeliveryState::Executing;

#[test]
fn a_transition_is_written_with_the_originals_names() {
    let mut rig = Rig::new(every(60));
    let effects = rig.submit();
    assert_eq!(
        serde_json::to_value(transitions(&effects)[0]).unwrap(),
        json!({
            "seq": 0, "attempt": 0, "state_before": null, "state_after": "acknowledged",
            "created_at": "2023-11-14T22:13:20.000Z",
        })
    );
    let effects = rig.ends(Outcome::Err(
        Failure::of_status(Classes::Off, 503, "busy").unwrap(),
    ));
    let [failed, awaiting] = transitions(&effects)[..] else {
        panic!()
    };
    assert_eq!(
        serde_json::to_value(failed).unwrap(),
        json!({
            "seq": 2, "attempt": 1, "state_before": "executing", "state_after": "failed",
            "error": {"code": "http_503", "message": "busy", "status_code": 503},
            "created_at": "2023-11-14T22:13:20.000Z",
        })
    );
    assert_eq!(
        serde_json::to_value(awaiting).unwrap(),
        json!({
            "seq": 3, "attempt": 1, "state_before": "failed", "state_after": "awaiting", "reason": "retry",
            "due": "2023-11-14T22:14:20.000Z", "created_at": "2023-11-14T22:13:20.000Z",
        })
    );
}

#[test]
fn a_long_history_is_folded_and_still_gives_the_head() {
    let mut rig = Rig::new(Policy::edgex_with(secs(60), 0));
    rig.submit();
    for round in 0..200 {
        let code = if round % 50 < 25 {
            "connect"
        } else {
            "http_503"
        };
        rig.ends(Outcome::Err(Failure::retry(
            code,
            format!("failure {round}"),
        )));
        assert!(rig.history.entries().len() <= 64);
        rig.fires();
    }
    let folded: Vec<_> = rig
        .history
        .entries()
        .iter()
        .filter_map(|entry| match entry {
            Entry::Folded(folded) => Some((folded.count, folded.error.code.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        folded[..3],
        [(24, "connect"), (25, "http_503"), (25, "connect")]
    );
    assert_eq!(rig.history.first_error().unwrap().message, "failure 0");
    assert_eq!(rig.history.last_error().unwrap().message, "failure 199");
    let json = serde_json::to_string(&rig.history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&json).unwrap(), rig.history);
}

#[test]
fn a_history_of_alternating_errors_stays_bounded_too() {
    let mut rig = Rig::new(Policy::edgex_with(secs(60), 0));
    rig.submit();
    for round in 0..300 {
        match round % 3 {
            0 => rig.ends(down()),
            1 => rig.ends(Outcome::NoAnswer),
            _ => rig.put(Input::Interrupted {
                epoch: 0,
                n: rig.delivery.attempt,
            }),
        };
        assert!(rig.history.entries().len() <= 64, "after {round} rounds");
        rig.fires();
    }
}

#[test]
fn of_two_writers_for_one_number_the_second_is_refused() {
    let mut rig = Rig::new(every(60));
    let effects = rig.submit();
    let again = transitions(&effects)[1].clone();
    let fault = rig.history.append(again).unwrap_err();
    assert_eq!((fault.expected, fault.got), (2, 1));
}

#[test]
fn dl_10_rows_twice_and_out_of_order_give_the_same_index() {
    let mut rows = Vec::new();
    for job_id in ["a", "b", "c"] {
        let mut rig = Rig::new(every(60));
        let mut effects = rig.submit();
        for _ in 0..4 {
            effects.extend(rig.ends(down()));
            effects.extend(rig.fires());
        }
        let row = |transition: &Transition| Row {
            job_id: job_id.into(),
            transition: transition.clone(),
        };
        rows.extend(transitions(&effects).into_iter().map(row));
    }
    let in_order = index(&rows);
    assert_eq!(in_order.head("b").unwrap().state_after, Executing);
    let mut random = Random::seeded(1);
    for _ in 0..50 {
        let mut mixed = [rows.clone(), rows.clone()].concat();
        for last in (1..mixed.len()).rev() {
            let at = usize::try_from(random.below(last as u64 + 1)).unwrap();
            mixed.swap(at, last);
        }
        assert_eq!(index(&mixed), in_order);
    }
    let json = serde_json::to_string(&rows[0]).unwrap();
    assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), rows[0]);
}

fn index(rows: &[Row]) -> Index {
    let mut index = Index::default();
    for row in rows {
        index.insert(row.clone());
    }
    index
}

#[test]
fn a_delivery_comes_back_from_its_json() {
    let mut rig = Rig::with(Delivery::job("a", "crm", Some("k".into())), every(60));
    rig.submit();
    rig.put(Input::Turn { seq: 1 });
    rig.put(Input::Cancel { by: actor() });
    let json = serde_json::to_string(&rig.delivery).unwrap();
    assert_eq!(
        serde_json::from_str::<Delivery>(&json).unwrap(),
        rig.delivery
    );
    assert_eq!(Failure::retry("a", "b").class, Class::Retry);
}
