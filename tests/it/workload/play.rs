//! A workload on a home, with everything killed in between, until home and model agree.

use std::fmt;
use std::time::{Duration, Instant};

use stateful_functions::random::Random;

use super::found::{Found, shortened};
use super::generator::Workload;
use super::homes::Home;
use super::model::{Model, World};
use super::program::{At, Input, Op, Program};

/// So long nothing at all may happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);
/// The ingress is fed in this many portions.
const PORTIONS: u64 = 25;
/// Server and runtime are each killed once per this many commands.
const COMMANDS_PER_KILL: u64 = 4_000;

/// The result of a workload that was played.
#[derive(Debug)]
pub(crate) struct Figures {
    seed: u64,
    commands: u64,
    records: usize,
    rounds: u64,
    server_ends: u64,
    runtime_ends: u64,
    time: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            commands,
            records,
            rounds,
            server_ends,
            runtime_ends,
            time,
        } = self;
        write!(
            f,
            "seed {seed}: {commands} commands, {records} records, functions ended {server_ends} times, runtime {runtime_ends} times, \
             {rounds} rounds of reports, {:.1} s",
            time.as_secs_f64()
        )
    }
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Server,
    Runtime,
}

/// When what is done: counted in records that came out, as that is what every home has.
#[derive(Debug)]
struct Plan {
    /// Inputs are fed up to here once there are this many records. In order.
    portions: Vec<(usize, usize)>,
    /// In order.
    kills: Vec<(usize, Victim)>,
    expected: World,
}

impl Plan {
    fn of(workload: &Workload, random: &mut Random) -> Self {
        let inputs = workload.inputs.len();
        let mut model = Model::default();
        let made: Vec<usize> = workload
            .inputs
            .iter()
            .map(|input| {
                model.take(input);
                model.world.records.len()
            })
            .collect();
        let mut ends: Vec<usize> = (1..PORTIONS)
            .map(|_| below(random, inputs))
            .chain([0, inputs])
            .collect();
        ends.sort_unstable();
        let portion = |two: &[usize]| {
            // When half of what came before is done.
            let before = two[0].checked_sub(1).map_or(0, |last| made[last]);
            (before / 2, two[1])
        };
        let expected = model.world;
        let mut kills = Vec::new();
        for _ in 0..workload.commands.div_ceil(COMMANDS_PER_KILL) {
            for victim in [Victim::Server, Victim::Runtime] {
                kills.push((below(random, expected.records.len()), victim));
            }
        }
        kills.sort_unstable_by_key(|(at, _)| *at);
        Self {
            portions: ends.windows(2).map(portion).collect(),
            kills,
            expected,
        }
    }
}

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}

/// Plays the workload of `seed`; what differs in the end, in words.
pub(crate) async fn play(
    home: &mut impl Home,
    seed: u64,
    commands: u64,
) -> Result<Figures, Vec<String>> {
    let started = Instant::now();
    let workload = Workload::random(seed, commands);
    let plan = Plan::of(&workload, &mut Random::seeded(!seed));
    let mut player = Player {
        home,
        found: Found::default(),
        addresses: Workload::addresses(),
        round: 0,
        last: (0, 0, 0, 0),
        since: Instant::now(),
    };
    player.feed(&workload, &plan).await;
    player.agree(&plan.expected).await?;
    player.rest().await?;
    // What is at rest outlives one more kill.
    player.home.kill_runtime().await;
    player.agree(&plan.expected).await?;
    player.rest().await?;
    let ends = player.home.ends();
    Ok(Figures {
        seed,
        commands: workload.commands,
        records: player.found.records(),
        rounds: player.round,
        server_ends: ends.server,
        runtime_ends: ends.runtime,
        time: started.elapsed(),
    })
}

struct Player<'a, H> {
    home: &'a mut H,
    found: Found,
    addresses: Vec<At>,
    round: u64,
    /// The numbers of records, reports, accepted inputs and ends: the workload continues as long as they grow.
    last: (usize, usize, u64, u64),
    since: Instant,
}

impl<H: Home> Player<'_, H> {
    /// Waits a moment and takes what came; false when nothing has come for long.
    async fn goes_on(&mut self) -> bool {
        tokio::time::sleep(PAUSE).await;
        for captured in self.home.tend().await {
            self.found.take(captured);
        }
        let now = (
            self.found.records(),
            self.found.reports(self.round),
            self.home.taken_in(),
            self.home.ends().server + self.home.ends().runtime,
        );
        if now != self.last {
            self.last = now;
            self.since = Instant::now();
        }
        self.since.elapsed() < PATIENCE
    }

    /// Feeds and kills until all records are there, or nothing happens any more.
    async fn feed(&mut self, workload: &Workload, plan: &Plan) {
        let (mut portions, mut kills) = (
            plan.portions.iter().peekable(),
            plan.kills.iter().peekable(),
        );
        let mut fed = 0;
        loop {
            let records = self.found.records();
            if let Some((_, end)) = portions.next_if(|(at, _)| *at <= records) {
                self.home.feed(&workload.inputs[fed..*end]);
                fed = *end;
            }
            match kills.next_if(|(at, _)| *at <= records) {
                Some((_, Victim::Server)) => self.home.kill_server().await,
                Some((_, Victim::Runtime)) => self.home.kill_runtime().await,
                None => {}
            }
            let done = records >= plan.expected.records.len() && fed == workload.inputs.len();
            if done || !self.goes_on().await {
                return;
            }
        }
    }

    /// Asks all addresses for reports, again and again, until they are as expected.
    async fn agree(&mut self, expected: &World) -> Result<(), Vec<String>> {
        let mut before = Vec::new();
        let mut since = Instant::now();
        loop {
            let differences = self.ask(expected).await;
            if differences.is_empty() {
                return Ok(());
            }
            if differences != before {
                before = differences;
                since = Instant::now();
            }
            if since.elapsed() > PATIENCE {
                let trouble = self.home.trouble().await;
                return Err([before, shortened(trouble.into_iter())].concat());
            }
        }
    }

    async fn ask(&mut self, expected: &World) -> Vec<String> {
        self.round += 1;
        let round = self.round;
        let report = |(n, to): (usize, &At)| Input {
            to: to.clone(),
            program: Program {
                id: format!("report.{round}.{n}"),
                from: None,
                ops: vec![Op::Report { round }],
            },
        };
        let inputs: Vec<Input> = self.addresses.iter().enumerate().map(report).collect();
        self.home.feed(&inputs);
        self.since = Instant::now();
        while self.found.reports(round) < inputs.len() && self.goes_on().await {}
        self.found.differences(round, &self.addresses, expected)
    }

    /// Waits until the home says that nothing waits any more.
    async fn rest(&mut self) -> Result<(), Vec<String>> {
        self.since = Instant::now();
        loop {
            let unrest = self.home.unrest().await;
            if unrest.is_empty() {
                return Ok(());
            }
            if !self.goes_on().await {
                return Err(unrest);
            }
        }
    }
}
