//! Delayed messages with tokens: armed, cancelled, delivered, and armed again.

use super::super::model::NEVER;
use super::super::program::{At, Input, Op, Program};
use super::{DELAYS, Generator, Way};

/// Tokens that were armed for [`NEVER`] along the way of the ingress.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pending: Vec<String>,
    cancelled: Vec<String>,
}

impl Generator {
    /// A program for a delayed message that shows when it is delivered.
    fn witness(&mut self, way: &Way, what: &str) -> Program {
        let ops = vec![
            self.add(),
            Op::Egress {
                text: self.unique(what),
            },
        ];
        self.finish(way, ops)
    }

    /// A message to this address itself.
    fn arm(&mut self, way: &Way, ms: u64, token: &str, what: &str) -> Op {
        let here = way.here().clone();
        let program = self.witness(&way.on_to(&here, Some(ms)), what);
        Op::SendAfter {
            ms,
            to: here,
            program,
            token: Some(token.to_owned()),
        }
    }

    /// Arms and cancels in one program; what is armed last may be delivered, and its token used again then.
    pub(super) fn cancel_at_once(&mut self, way: &Way, ops: &mut Vec<Op>) {
        let token = self.unique("token");
        let cancel = Op::Cancel {
            token: token.clone(),
        };
        if self.random.chance(50) {
            ops.push(cancel.clone());
        }
        for _ in 0..self.random.below(3) {
            let ms = self.pick(&DELAYS);
            ops.push(self.arm(way, ms, &token, "cancelled at once"));
            ops.push(cancel.clone());
        }
        if self.random.chance(70) {
            let ms = self.pick(&DELAYS);
            let mut last = self.arm(way, ms, &token, "armed last");
            if let Op::SendAfter { program, .. } = &mut last {
                let delivered = way.on_to(way.here(), Some(ms));
                let more = self.after_delivery(&delivered, &token);
                self.commands += more.len() as u64;
                program.ops.extend(more);
            }
            ops.push(last);
        }
    }

    /// A token is free once its message is delivered: to cancel it does nothing, and it may be armed again.
    fn after_delivery(&mut self, way: &Way, token: &str) -> Vec<Op> {
        let mut ops = Vec::new();
        if self.random.chance(30) {
            let token = token.to_owned();
            ops.push(Op::Cancel { token });
        }
        if self.random.chance(50) {
            ops.push(self.arm(way, 5, token, "token of a delivered message"));
        }
        ops
    }

    /// Arms a token for long, cancels it with a later message or uses it again after that.
    pub(super) fn cancel_later(&mut self, way: &Way, ops: &mut Vec<Op>) {
        if way.0.len() > 1 {
            let here = way.here().clone();
            let to_self = way.on_to(&here, None);
            self.cancel_by_message(way, &to_self, ops);
            return;
        }
        let mut tokens = self.take_tokens(way.here());
        match self.random.below(3) {
            0 if !tokens.pending.is_empty() => {
                let token = tokens.pending.remove(0);
                ops.push(Op::Cancel {
                    token: token.clone(),
                });
                tokens.cancelled.push(token);
            }
            1 if !tokens.cancelled.is_empty() => {
                let token = tokens.cancelled.remove(0);
                ops.push(self.arm(way, 5, &token, "token of a cancelled message"));
            }
            _ => {
                let token = self.unique("token");
                ops.push(self.arm(way, NEVER, &token, "cancelled later"));
                tokens.pending.push(token);
            }
        }
        self.put_tokens(way.here(), tokens);
    }

    /// Arms a token for long and has it cancelled by a sibling, or has another id try in vain.
    pub(super) fn cancel_elsewhere(&mut self, way: &Way, ops: &mut Vec<Op>) {
        if self.random.chance(60) {
            let sibling = way.on_to(&way.here().sibling(), None);
            self.cancel_by_message(way, &sibling, ops);
            return;
        }
        let stranger = self.address();
        if stranger.0.id() == way.here().0.id() {
            return;
        }
        let token = self.unique("token");
        ops.push(self.arm(way, 20, &token, "cancelled by a stranger"));
        let cancel = vec![Op::Cancel { token }];
        let program = self.finish(&way.on_to(&stranger, None), cancel);
        ops.push(Op::Send {
            to: stranger,
            program,
        });
    }

    /// The receiver at the end of `there` shares the id. It cancels the token and arms it itself: were it pending still, that would fail.
    fn cancel_by_message(&mut self, way: &Way, there: &Way, ops: &mut Vec<Op>) {
        let token = self.unique("token");
        ops.push(self.arm(way, NEVER, &token, "cancelled by a message"));
        let cancel = Op::Cancel {
            token: token.clone(),
        };
        let again = self.arm(there, 20, &token, "armed by who cancelled");
        let program = self.finish(there, vec![cancel, again]);
        ops.push(Op::Send {
            to: there.here().clone(),
            program,
        });
    }

    fn take_tokens(&mut self, at: &At) -> Tokens {
        let known = self.tokens.iter_mut().find(|(of, _)| of == at);
        known
            .map(|(_, tokens)| std::mem::take(tokens))
            .unwrap_or_default()
    }

    fn put_tokens(&mut self, at: &At, tokens: Tokens) {
        match self.tokens.iter_mut().find(|(of, _)| of == at) {
            Some((_, known)) => *known = tokens,
            None => self.tokens.push((at.clone(), tokens)),
        }
    }

    /// Cancels what is pending, and uses every cancelled token once more: were it pending still, that would fail.
    pub(super) fn closing_inputs(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (to, tokens) in std::mem::take(&mut self.tokens) {
            let way = Way(vec![(to.clone(), None)]);
            let mut ops = Vec::new();
            for token in tokens.pending {
                ops.push(Op::Cancel {
                    token: token.clone(),
                });
                ops.push(self.arm(&way, 5, &token, "token used again"));
            }
            for token in tokens.cancelled {
                ops.push(self.arm(&way, 5, &token, "token used again"));
            }
            if !ops.is_empty() {
                let program = self.finish(&way, ops);
                inputs.push(Input { to, program });
            }
        }
        inputs
    }
}
