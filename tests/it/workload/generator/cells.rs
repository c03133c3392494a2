//! State: cells that are set, cleared and read, and their values.

use serde_json::{Value, json};

use super::super::program::{Cell, Op};
use super::{Generator, Ordered, Way};

impl Generator {
    /// Sets, clears or reads a cell that belongs to this way.
    pub(super) fn state(&mut self, way: &Way, before: &[Op]) -> Op {
        for _ in 0..3 {
            let cell = self.pick(&Cell::ALL);
            // A second one would be equal to the first.
            let read = |op: &Op| matches!(op, Op::Read { cell: known } if *known == cell);
            let was_read = before.iter().any(read);
            if self
                .claim(Ordered::Cell(way.here().clone(), cell), way)
                .is_some()
            {
                return match self.random.below(10) {
                    0 | 1 => Op::Clear { cell },
                    2..6 if !was_read => Op::Read { cell },
                    _ => {
                        let value = self.value(cell);
                        Op::Set { cell, value }
                    }
                };
            }
        }
        self.add()
    }

    /// A value that every language reads and writes without loss.
    fn value(&mut self, cell: Cell) -> Value {
        let eighths = |n: u64| (n as f64 - 4_000.0) / 8.0;
        match cell {
            Cell::Flag => self.random.chance(50).into(),
            Cell::Number => {
                let some = i32::try_from(self.random.below(1_000)).unwrap();
                self.pick(&[
                    json!(0),
                    json!(-1),
                    json!(i32::MIN),
                    json!(i32::MAX),
                    json!(some),
                ])
            }
            Cell::Count => {
                let some = self.random.next_u64().cast_signed();
                self.pick(&[0, -2, i64::MIN, i64::MAX, some])
                    .to_string()
                    .into()
            }
            Cell::Ratio => {
                let some = json!(eighths(self.random.below(8_000)));
                self.pick(&[json!(0.0), json!(0.1), json!(1e300), json!(-2.5e-10), some])
            }
            Cell::Small => json!(eighths(self.random.below(8_000))),
            Cell::Text => {
                let some = self.unique("text");
                let texts = ["", "ä \"quoted\" \\ 🦀", "<&>\u{2028}\n", &some];
                self.pick(&texts).into()
            }
            Cell::Note => {
                let some = self.random.below(100);
                let notes = [
                    json!({}),
                    json!([]),
                    json!({"nested": {"list": [1, "two", null, false], "n": some}}),
                    json!("just text"),
                ];
                self.pick(&notes)
            }
        }
    }
}
