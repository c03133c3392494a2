//! Timers: they are armed and disarmed by token, and fire on virtual time.

use stateful_functions::Timestamp;
use stateful_functions::delivery::engine::{Input, Purpose, Token};

use super::{Host, Message};

pub(crate) struct Timer {
    pub(crate) id: String,
    pub(crate) token: Token,
    at: Timestamp,
    arm: u64,
}

impl Host {
    pub(super) fn arm(&mut self, id: &str, token: Token, at: Timestamp, arm: u64) {
        let id = id.to_owned();
        let earlier = self
            .timers
            .insert(token.text(address(&id)), Timer { id, token, at, arm });
        assert!(
            earlier.is_none(),
            "arming a pending token stops the job on the real runtime"
        );
    }

    pub(super) fn disarm(&mut self, id: &str, token: Token) {
        match self.timers.remove(&token.text(address(id))) {
            Some(timer) => self.past.push((timer.id.clone(), timer.fires())),
            None => assert!(self.fires_in_inbox(id, token), "disarmed what is not armed"),
        }
    }

    pub(crate) fn fires_in_inbox(&self, id: &str, token: Token) -> bool {
        self.inbox.iter().any(|message| match message {
            Message::Input { id: to, input } => to == id && announced(input) == Some(token),
            _ => false,
        })
    }

    /// The next timer fires. False when there is none.
    pub(crate) fn fire_next(&mut self) -> bool {
        let next = self
            .timers
            .iter()
            .min_by_key(|(token, timer)| (timer.at, (*token).clone()));
        let Some(token) = next.map(|(token, _)| token.clone()) else {
            return false;
        };
        let timer = self.timers.remove(&token).unwrap();
        self.now = self.now.max(timer.at);
        self.send(&timer.id, timer.fires());
        true
    }
}

impl Timer {
    fn fires(&self) -> Input {
        let Token { purpose, epoch, n } = self.token;
        match purpose {
            Purpose::Retry => Input::Due {
                epoch,
                n,
                arm: self.arm,
            },
            _ => Input::Deadline { epoch, n },
        }
    }
}

fn announced(input: &Input) -> Option<Token> {
    let (purpose, epoch, n) = match *input {
        Input::Due { epoch, n, .. } => (Purpose::Retry, epoch, n),
        Input::Deadline { epoch, n } => (Purpose::Deadline, epoch, n),
        _ => return None,
    };
    Some(Token { purpose, epoch, n })
}

fn address(id: &str) -> String {
    format!("shop/job.crm/{id}")
}
