//! Connections that send and call continuously, across restarts, and remember the answers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use stateful_functions::random::Random;
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use tokio::sync::watch;

use super::until::until;

/// Ids that messages go to.
const IDS: u64 = 24;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) connections: u64,
    /// Percent of the messages that go to `statefun.samples/counter`; the others go to `test/ledger`.
    pub(crate) percent_counted: u64,
}

/// What a ledger is asked for beside the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    Nothing,
    Relay(String),
    Late(u64),
}

/// What the sender of a message knows about its acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// Nothing certain.
    Unknown,
    Accepted,
    /// It must leave no trace.
    Refused,
}

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    connection: u64,
    counted: bool,
    id: String,
    entry: String,
    then: Then,
    call: bool,
    /// With an idempotency key it is sent again until it is accepted.
    keyed: bool,
    pub(crate) acceptance: Acceptance,
}

impl Order {
    fn random(connection: u64, number: u64, counted: bool, random: &mut Random) -> Self {
        let then = match random.below(6) {
            _ if counted => Then::Nothing,
            0 => Then::Relay(random.below(IDS).to_string()),
            1 => Then::Late(random.below(800)),
            _ => Then::Nothing,
        };
        Self {
            connection,
            counted,
            id: random.below(IDS).to_string(),
            entry: format!("c{connection}.{number}"),
            then,
            call: random.chance(40),
            keyed: random.chance(40),
            acceptance: Acceptance::Unknown,
        }
    }

    fn path(&self) -> String {
        let verb = if self.call { "call" } else { "send" };
        let function = if self.counted {
            "statefun.samples/counter"
        } else {
            "test/ledger"
        };
        format!("/{verb}/{function}/{}", self.id)
    }

    fn body(&self) -> String {
        match &self.then {
            _ if self.counted => "1".to_owned(),
            Then::Nothing => self.entry.clone(),
            Then::Relay(id) => format!("{} relay {id}", self.entry),
            Then::Late(ms) => format!("{} late {ms}", self.entry),
        }
    }

    /// Where its entries stand once all is done: ledger and entry.
    fn entries(&self) -> Vec<(&str, String)> {
        let own = (&*self.id, self.entry.clone());
        match &self.then {
            _ if self.counted => vec![],
            Then::Nothing => vec![own],
            Then::Relay(id) => vec![own, (id, format!("{}-relayed", self.entry))],
            Then::Late(_) => vec![own, (&self.id, format!("{}-late", self.entry))],
        }
    }
}

/// Where the ingress listens now; `None` while it is down.
type Base = Option<String>;

#[derive(Debug)]
struct Shared {
    plan: Plan,
    base: watch::Sender<Base>,
    stop: AtomicBool,
    accepted: AtomicU64,
    orders: Mutex<Vec<Order>>,
}

/// Connections at work, a thread each.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    connections: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the connections; they wait until they are [pointed](Self::point_at) at an ingress.
    pub(crate) fn start(plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            plan,
            base: watch::Sender::new(None),
            stop: AtomicBool::default(),
            accepted: AtomicU64::default(),
            orders: Mutex::default(),
        });
        let connection = |n| {
            let shared = Arc::clone(&shared);
            let executor = executor();
            thread::spawn(move || executor.block_on(work(&shared, n)))
        };
        let connections = (0..plan.connections).map(connection).collect();
        Self {
            shared,
            connections,
        }
    }

    /// The ingress is at `base`, such as `http://127.0.0.1:8090`, from now on.
    pub(crate) fn point_at(&self, base: Base) {
        self.shared.base.send_replace(base);
    }

    /// Waits until `count` more messages are accepted.
    pub(crate) fn accept(&self, count: u64) {
        let accepted = || self.shared.accepted.load(Ordering::Relaxed);
        let goal = accepted() + count;
        let what = format!("{count} more messages to be accepted");
        let reached = until(&what, async || (accepted() >= goal).then_some(()));
        executor().block_on(reached);
    }

    /// Waits until every connection has finished its request, and returns what became of each message.
    pub(crate) fn finish(self) -> Vec<Order> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for connection in self.connections {
            connection.join().expect("a connection does not panic");
        }
        std::mem::take(&mut self.shared.orders.lock().unwrap())
    }
}

fn executor() -> tokio::runtime::Runtime {
    let mut executor = tokio::runtime::Builder::new_current_thread();
    executor.enable_all().build().unwrap()
}

async fn work(shared: &Shared, connection: u64) {
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let mut random = Random::seeded(shared.plan.seed << 16 | connection);
    let mut number = 0;
    let mut again = None;
    let stopped = || shared.stop.load(Ordering::Relaxed);
    while !stopped() {
        until("an ingress that accepts messages", async || {
            let mut order = again.take().unwrap_or_else(|| {
                number += 1;
                let counted = random.chance(shared.plan.percent_counted);
                Order::random(connection, number, counted, &mut random)
            });
            order.acceptance = shared.give(&client, &order).await;
            let accepted = order.acceptance == Acceptance::Accepted;
            if order.keyed && !accepted {
                again = Some(order);
                return None;
            }
            shared.orders.lock().unwrap().push(order);
            (accepted || stopped()).then_some(())
        })
        .await;
        shared.accepted.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    async fn give(&self, client: &HttpClient, order: &Order) -> Acceptance {
        let mut bases = self.base.subscribe();
        let base = bases.wait_for(Option::is_some).await.unwrap().clone();
        let url = base.unwrap() + &order.path();
        let mut request = HttpRequest::post(url.parse().unwrap(), order.body());
        if order.keyed {
            let name = HeaderName::from_static("idempotency-key");
            let key = HeaderValue::from_str(&order.entry).unwrap();
            request.headers.insert(name, key);
        }
        let response = match client.send(request, Duration::from_secs(60)).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Acceptance::Refused,
            Err(_) => return Acceptance::Unknown,
        };
        match response.status {
            StatusCode::OK if order.counted => Acceptance::Accepted,
            StatusCode::OK => {
                assert_eq!(response.body, order.entry, "somebody else's answer");
                Acceptance::Accepted
            }
            // Without an answer in time a call stays accepted.
            StatusCode::ACCEPTED | StatusCode::GATEWAY_TIMEOUT => Acceptance::Accepted,
            StatusCode::TOO_MANY_REQUESTS => Acceptance::Refused,
            StatusCode::SERVICE_UNAVAILABLE => Acceptance::Unknown,
            other => panic!("{other} to {order:?}: {:?}", response.body),
        }
    }
}

/// What the functions have written down.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The entries of each ledger, in order.
    ledgers: BTreeMap<String, Vec<String>>,
    /// The totals of the counters.
    totals: BTreeMap<String, u64>,
}

impl Books {
    /// Asks the functions behind the ingress at `base`, the counters too if `counters`.
    pub(crate) async fn read(base: &str, counters: bool) -> Self {
        let client = HttpClient::new(HttpClientConfig::default()).unwrap();
        let ask = async |function: &str, id: &str, body: &'static str| {
            let url = format!("{base}/call/{function}/{id}").parse().unwrap();
            let request = HttpRequest::post(url, body);
            let response = client.send(request, Duration::from_secs(60)).await.unwrap();
            let text = String::from_utf8(response.body.to_vec()).unwrap();
            assert_eq!(response.status, 200, "{text}");
            text
        };
        let mut books = Self::default();
        for id in (0..IDS).map(|id| id.to_string()) {
            if counters {
                let total = ask("statefun.samples/counter", &id, "0").await;
                books.totals.insert(id.clone(), total.parse().unwrap());
            }
            let text = ask("test/ledger", &id, "read").await;
            let entries = text.lines().map(str::to_owned).collect();
            books.ledgers.insert(id, entries);
        }
        books
    }

    /// Reads until all is there that must be, and sees that there is nothing else.
    pub(crate) async fn settled(base: &str, orders: &[Order], counters: bool) -> Self {
        // An address takes its messages in order: what was accepted comes before the question.
        Self::read(base, counters).await.check_accepted(orders);
        let books = until("all follow-ups", async || {
            let books = Self::read(base, counters).await;
            books.is_complete(orders).then_some(books)
        })
        .await;
        books.check(orders);
        books
    }

    fn check_accepted(&self, orders: &[Order]) {
        let all: HashSet<(&str, &str)> = self.entries().collect();
        let accepted = orders
            .iter()
            .filter(|order| order.acceptance == Acceptance::Accepted);
        for (id, entry) in accepted.filter_map(|order| order.entries().into_iter().next()) {
            assert!(
                all.contains(&(id, &*entry)),
                "{entry} was accepted, and is not in ledger {id}"
            );
        }
    }

    /// Whether what follows from the messages that were taken in is there.
    fn is_complete(&self, orders: &[Order]) -> bool {
        let all: HashSet<(&str, &str)> = self.entries().collect();
        let is_there = |(id, entry): &(&str, String)| all.contains(&(*id, &**entry));
        orders.iter().map(Order::entries).all(|entries| {
            let taken_in = entries.first().is_some_and(is_there);
            !taken_in || entries.iter().all(is_there)
        })
    }

    /// Nothing twice, nothing that was not asked for, in order; totals within their bounds.
    fn check(&self, orders: &[Order]) {
        let mut allowed: HashSet<(&str, String)> = HashSet::new();
        for order in orders
            .iter()
            .filter(|order| order.acceptance != Acceptance::Refused)
        {
            allowed.extend(order.entries());
        }
        for (id, entry) in self.entries() {
            assert!(
                allowed.remove(&(id, entry.to_owned())),
                "{entry} stands in ledger {id}: twice, or nobody asked for it"
            );
        }
        self.check_order(orders);
        for (id, total) in &self.totals {
            let counted = orders
                .iter()
                .filter(|order| order.counted && order.id == *id);
            let with = |acceptance| {
                counted
                    .clone()
                    .filter(|order| order.acceptance == acceptance)
                    .count() as u64
            };
            let (least, unknown) = (with(Acceptance::Accepted), with(Acceptance::Unknown));
            assert!(
                (least..=least + unknown).contains(total),
                "counter {id} has {total}, accepted {least}, unknown {unknown}"
            );
        }
    }

    /// What one connection sent to one id stands there in the order in which it was sent.
    fn check_order(&self, orders: &[Order]) {
        let sent: HashMap<&str, (u64, usize)> = orders
            .iter()
            .enumerate()
            .map(|(at, order)| (&*order.entry, (order.connection, at)))
            .collect();
        for (id, entries) in &self.ledgers {
            let mut last = HashMap::new();
            for entry in entries {
                // Relayed and late ones have an order of their own.
                let Some((connection, at)) = sent.get(&**entry) else {
                    continue;
                };
                let before = last.insert(connection, at);
                assert!(before < Some(at), "{entry} came too late to ledger {id}");
            }
        }
    }

    /// Each entry of each ledger was delivered, always with the same record id, and nothing else was. `records` are ids and
    /// entries in the order of their delivery.
    pub(crate) fn check_records(&self, records: &[(String, String)]) {
        let mut ids = HashMap::new();
        let mut entries = HashMap::new();
        for (id, entry) in records {
            let first = ids.entry(&**entry).or_insert(id);
            assert_eq!(*first, id, "{entry} was delivered with two ids");
            let first = entries.entry(id).or_insert(entry);
            assert_eq!(*first, entry, "{id} names two records");
        }
        for (ledger, entry) in self.entries() {
            assert!(
                ids.remove(entry).is_some(),
                "the record of {entry} in ledger {ledger} is missing"
            );
        }
        assert!(ids.is_empty(), "records without a commit: {ids:?}");
    }

    /// Whether the records of all entries are among `records`.
    pub(crate) fn are_all_in(&self, records: &[(String, String)]) -> bool {
        let there: HashSet<&str> = records.iter().map(|(_, entry)| &**entry).collect();
        self.entries().all(|(_, entry)| there.contains(entry))
    }

    fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ledgers
            .iter()
            .flat_map(|(id, entries)| entries.iter().map(move |entry| (&**id, &**entry)))
    }
}
