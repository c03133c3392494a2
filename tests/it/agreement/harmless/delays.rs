//! Delays and tokens.

use super::super::script::Entry;
use super::known;
use crate::support::reply::Reply;
use crate::support::scripted::Step;

pub(super) const SCRIPTS: &[Entry] = &[
    ("delays", |s| {
        let y = s.at("y");
        let reply = Reply::new()
            .after(200, &y, "third")
            .after(1, &y, "first")
            .after(100, &y, "second");
        s.answers("x", [Step::reply(reply)]);
        s.feed("x", "");
        s.calls("y", 3);
    }),
    ("delay_of_many_years", |s| {
        let y = s.at("y");
        s.answers(
            "x",
            [Step::reply(Reply::new().after(
                i64::MAX / 1_000_000,
                &y,
                "never",
            ))],
        );
        s.feed("x", "");
        s.calls("x", 1);
    }),
    ("delayed_to_self", |s| {
        let x = s.at("x");
        s.answers("x", [Step::reply(Reply::new().after(5, &x, "later"))]);
        s.feed("x", "");
        s.calls("x", 2);
    }),
    ("cancel_and_arm_in_one_answer", |s| {
        let y = s.at("y");
        let reply = Reply::new()
            .armed(30, &y, "gone", "t")
            .cancel("t")
            .armed(30, &y, "stays", "t");
        s.answers("x", [Step::reply(reply)]);
        s.feed("x", "");
        s.calls("y", 1);
    }),
    ("arm_and_cancel_in_one_answer", |s| {
        let y = s.at("y");
        let reply = Reply::new()
            .armed(30, &y, "gone", "t")
            .cancel("t")
            .after(60, &y, "end");
        s.answers("x", [Step::reply(reply)]);
        s.feed("x", "");
        s.calls("y", 1);
    }),
    ("cancel_of_another_type_with_the_id", |s| {
        let y = s.at("y");
        s.answers("x", [Step::reply(Reply::new().armed(400, &y, "gone", "t"))]);
        s.answers(
            "other/x",
            [Step::reply(Reply::new().cancel("t").after(500, &y, "end"))],
        );
        s.feed("x", "");
        s.calls("x", 1);
        s.settle();
        s.feed("other/x", "");
        s.calls("y", 1);
    }),
    ("cancel_of_another_id", |s| {
        let y = s.at("y");
        s.answers(
            "x",
            [Step::reply(Reply::new().armed(300, &y, "stays", "t"))],
        );
        s.answers(
            "z",
            [Step::reply(Reply::new().cancel("t").cancel("unknown"))],
        );
        s.feed("x", "");
        s.calls("x", 1);
        s.settle();
        s.feed("z", "");
        s.calls("y", 1);
    }),
    ("one_token_of_two_ids", |s| {
        let y = s.at("y");
        s.answers("x", [Step::reply(Reply::new().armed(1, &y, "of x", "t"))]);
        s.answers("z", [Step::reply(Reply::new().armed(1, &y, "of z", "t"))]);
        s.feed("x", "");
        s.calls("y", 1);
        s.feed("z", "");
        s.calls("y", 2);
    }),
    ("token_again_after_it_fired", |s| {
        let (x, y) = (s.at("x"), s.at("y"));
        s.answers("y", [Step::reply(Reply::new().send(&x, "again"))]);
        let arm = |text| Step::reply(Reply::new().armed(1, &y, text, "t"));
        s.answers("x", [arm("1"), arm("2")]);
        s.feed("x", "");
        s.calls("y", 2);
    }),
    ("token_again_after_it_was_cancelled", |s| {
        let y = s.at("y");
        let first = Reply::new().armed(60_000, &y, "gone", "t");
        let second = Reply::new().cancel("t");
        let third = Reply::new().armed(1, &y, "stays", "t");
        s.answers("x", [first, second, third].map(Step::reply));
        for count in 1..=3 {
            s.feed("x", "");
            s.calls("x", count);
        }
        s.calls("y", 1);
    }),
    ("cancel_of_what_has_fired", |s| {
        let y = s.at("y");
        known(s, "y");
        s.answers(
            "y",
            [Step::reply(Reply::new()), Step::reply(Reply::new()).held()],
        );
        s.answers(
            "x",
            [
                Step::reply(
                    Reply::new()
                        .armed(1, &y, "stays", "t")
                        .after(2, &s.at("z"), "fired"),
                ),
                Step::reply(Reply::new().cancel("t")),
            ],
        );
        s.feed("y", "busy");
        s.calls("y", 2);
        s.feed("x", "");
        s.calls("z", 1);
        s.feed("x", "");
        s.calls("x", 2);
        s.settle();
        s.release("y");
        s.calls("y", 3);
    }),
];
