//! A script: the answers of the function server, the messages sent, and what is waited for.

use crate::support::reply::Reply;
use crate::support::scripted::Step;

/// One script. It has function types and ids of its own, so that many can be played in one job.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) name: String,
    namespace: &'static str,
    /// What the calls of an address get, one after the other; later ones an answer without effects.
    pub(super) answers: Vec<(String, Vec<Step>)>,
    pub(super) moves: Vec<Move>,
}

/// What happens next.
#[derive(Debug)]
pub(super) enum Move {
    /// A message of type `test/text` comes from an ingress.
    Feed(String, &'static str),
    /// The address has had this many requests.
    Calls(String, usize),
    /// Everything that was fed has reached its address.
    Settle,
    /// A held answer of the address goes out.
    Release(String),
    /// This many records have left.
    Records(usize),
    /// All effects up to those of the [`last`](Script::last) reply outlive a failure.
    Checkpoint,
    /// The runtime ends, and starts again over what it stored.
    Restart,
}

/// A name, and how the script is written.
pub(super) type Entry = (&'static str, fn(&mut Script));

impl Script {
    pub(super) fn of((name, write): Entry) -> Self {
        Self::new(name.to_owned(), write)
    }

    pub(super) fn new(name: String, write: impl FnOnce(&mut Self)) -> Self {
        let mut script = Self {
            name,
            namespace: "agree",
            answers: Vec::new(),
            moves: Vec::new(),
        };
        write(&mut script);
        script
    }

    /// Another endpoint of the module, by its namespace, from here on.
    pub(super) fn behind(&mut self, namespace: &'static str) {
        self.namespace = namespace;
    }

    /// An address of this script: an id, or `<type>/<id>`.
    pub(super) fn at(&self, short: &str) -> String {
        let (namespace, name) = (self.namespace, &self.name);
        match short.split_once('/') {
            None => format!("{namespace}/{name}/{short}.{name}"),
            Some((kind, id)) => format!("{namespace}/{name}.{kind}/{id}.{name}"),
        }
    }

    pub(super) fn answers(&mut self, at: &str, steps: impl IntoIterator<Item = Step>) {
        self.answers
            .push((self.at(at), steps.into_iter().collect()));
    }

    /// As [`answers`](Self::answers), of an address with another form than those of [`at`](Self::at).
    pub(super) fn answers_at(&mut self, address: &str, steps: impl IntoIterator<Item = Step>) {
        self.answers
            .push((address.to_owned(), steps.into_iter().collect()));
    }

    pub(super) fn calls_at(&mut self, address: &str, count: usize) {
        self.moves.push(Move::Calls(address.to_owned(), count));
    }

    pub(super) fn feed(&mut self, at: &str, text: &'static str) {
        self.moves.push(Move::Feed(self.at(at), text));
    }

    pub(super) fn calls(&mut self, at: &str, count: usize) {
        self.moves.push(Move::Calls(self.at(at), count));
    }

    pub(super) fn release(&mut self, at: &str) {
        self.moves.push(Move::Release(self.at(at)));
    }

    pub(super) fn records(&mut self, count: usize) {
        self.moves.push(Move::Records(count));
    }

    pub(super) fn settle(&mut self) {
        self.moves.push(Move::Settle);
    }

    /// The last reply before the checkpoint. That it was sent does not mean that it has taken effect: a checkpoint may still hold its call, which is
    /// then made again. So it has a message for an address that is not part of the script.
    pub(super) fn last(&self, reply: Reply) -> Reply {
        reply.send(&self.echo(), "")
    }

    pub(super) fn echo(&self) -> String {
        format!("agree/echo/{}", self.name)
    }

    pub(super) fn checkpoint(&mut self) {
        self.moves.push(Move::Checkpoint);
    }

    pub(super) fn restart(&mut self) {
        self.moves.push(Move::Restart);
    }

    /// All addresses that the script speaks of, each once.
    pub(super) fn addresses(&self) -> Vec<&str> {
        let fed = self.moves.iter().filter_map(|step| match step {
            Move::Feed(address, _) | Move::Calls(address, _) => Some(&**address),
            _ => None,
        });
        let answered = self.answers.iter().map(|(address, _)| &**address);
        let mut all: Vec<&str> = fed.chain(answered).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
