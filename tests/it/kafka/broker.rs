//! Real brokers: one of each version for all tests of a program, and brokers of a test's own, which it may kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::made::{Lack, build, fetch, made_once, skipped};
use crate::support::ports::free_port;
use crate::support::tls;

const RESOLVE: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";
const PATIENCE: Duration = Duration::from_secs(120);
/// Of the cluster; any will do.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// The versions that are tried.
#[derive(Debug, Clone, Copy)]
pub(super) enum Version {
    V39,
    V41,
}

impl Version {
    const fn text(self) -> &'static str {
        match self {
            Self::V39 => "3.9.1",
            Self::V41 => "4.1.0",
        }
    }

    /// The folder with its libraries.
    fn libraries(self) -> Result<PathBuf, Lack> {
        let version = self.text();
        let project =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/kafka/{version}.xml"));
        made_once(
            &format!("kafka/{version}"),
            std::slice::from_ref(&project),
            |folder| {
                fetch(Command::new("java").arg("-version"))?;
                let into = format!("-DoutputDirectory={}", folder.display());
                let mut maven = Command::new("mvn");
                maven.args(["-q", "-B", RESOLVE, &into, "-DincludeScope=runtime", "-f"]);
                fetch(maven.arg(&project))
            },
        )
    }
}

/// A broker on this machine, which is its own controller.
pub(super) struct Broker {
    libraries: PathBuf,
    folder: PathBuf,
    port: u16,
    /// It is never dropped: it ends with the program, and so does its folder.
    is_shared: bool,
    /// Listeners that are not open to everybody.
    secured: Option<Secured>,
    process: Mutex<Option<Child>>,
}

/// The ports of listeners with TLS or SASL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secured {
    /// TLS; a client may have a certificate.
    pub(super) tls: u16,
    /// TLS with a certificate that has expired.
    pub(super) expired: u16,
    /// SASL without TLS.
    pub(super) sasl: u16,
    /// SASL over TLS.
    pub(super) sasl_tls: u16,
}

/// The user of the secured listeners, and the password.
pub(super) const USER: &str = "alice";
pub(super) const PASSWORD: &str = "right-1";

/// The broker of this version that tests share. `None`, and the test is reported as skipped, where there can be none.
pub(super) fn shared(test: &str, version: Version) -> Option<&'static Broker> {
    static V39: OnceLock<Result<Broker, Lack>> = OnceLock::new();
    static V41: OnceLock<Result<Broker, Lack>> = OnceLock::new();
    let slot = match version {
        Version::V39 => &V39,
        Version::V41 => &V41,
    };
    let made = slot.get_or_init(|| {
        let broker = Broker::start(version, true, None)?;
        broker.warm_up();
        Ok(broker)
    });
    told(test, made.as_ref())
}

/// A broker that a test may kill.
pub(super) fn own(test: &str, version: Version) -> Option<Broker> {
    match Broker::start(version, false, None) {
        Ok(broker) => Some(broker),
        Err(lack) => told(test, Err(&lack)),
    }
}

/// A broker with listeners for TLS and SASL, where users can be denied what they want.
pub(super) fn secured(test: &str, version: Version) -> Option<Broker> {
    let ports = Secured {
        tls: free_port(),
        expired: free_port(),
        sasl: free_port(),
        sasl_tls: free_port(),
    };
    match Broker::start(version, false, Some(ports)) {
        Ok(broker) => {
            broker.grant(&["password", USER, PASSWORD]);
            Some(broker)
        }
        Err(lack) => told(test, Err(&lack)),
    }
}

fn told<T>(test: &str, made: Result<T, &Lack>) -> Option<T> {
    made.map_err(|lack| skipped(test, lack)).ok()
}

impl Broker {
    pub(super) fn start(
        version: Version,
        is_shared: bool,
        secured: Option<Secured>,
    ) -> Result<Self, Lack> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let libraries = version.libraries()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kafka-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let broker = Self {
            libraries,
            port: free_port(),
            is_shared,
            secured,
            process: Mutex::new(None),
            folder,
        };
        fs::write(
            broker.folder.join("server.properties"),
            broker.settings(free_port()),
        )
        .unwrap();
        let mut format = broker.java();
        format.args([
            "kafka.tools.StorageTool",
            "format",
            "-t",
            CLUSTER,
            "--ignore-formatted",
            "-c",
        ]);
        fetch(format.arg("server.properties"))?;
        broker.restart();
        Ok(broker)
    }

    fn settings(&self, controller: u16) -> String {
        let (port, data) = (self.port, self.folder.join("data"));
        let open = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=2
auto.create.topics.enable=true
",
            data.display()
        );
        match self.secured {
            Some(ports) => secured_settings(&open, ports, &self.folder),
            None => open,
        }
    }

    /// The ports of the secured listeners.
    pub(super) fn secured(&self) -> Secured {
        self.secured.unwrap()
    }

    /// Sets a password or a right: the arguments of `tests/kafka/Grants.java`.
    pub(super) fn grant(&self, command: &[&str]) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/Grants.java");
        let mut java = Command::new("java");
        java.arg("-cp")
            .arg(format!("{}/*", self.libraries.display()))
            .arg(program)
            .arg(self.address())
            .args(command);
        build(&mut java);
    }

    fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.args([
            "-Xms128m",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
        ])
        .arg(format!("{}/*", self.libraries.display()))
        .current_dir(&self.folder);
        java
    }

    /// Starts it again where it was, and waits until it answers.
    pub(super) fn restart(&self) {
        // It ends with the program that holds the other end of its input.
        let mut shell = Command::new("sh");
        let script = "\"$@\" >server.log 2>&1 </dev/null & broker=$!; read -r _; kill -9 $broker; wait $broker";
        let script = match self.is_shared {
            true => format!("{script}; rm -rf \"$0\""),
            false => script.to_owned(),
        };
        shell.arg("-c").arg(script).arg(&self.folder).arg("java");
        let java = self.java();
        shell
            .args(java.get_args())
            .args(["kafka.Kafka", "server.properties"]);
        shell
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stderr(Stdio::null());
        *self.process.lock().unwrap() = Some(shell.spawn().unwrap());
        let client: BaseConsumer = self.client().create().unwrap();
        let begun = Instant::now();
        while client
            .fetch_metadata(Some("__ready"), Duration::from_secs(1))
            .is_err()
        {
            let log = || fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            assert!(
                begun.elapsed() < PATIENCE,
                "the broker does not answer:\n{}",
                log()
            );
        }
    }

    /// SIGKILL, at once.
    pub(super) fn kill(&self) {
        if let Some(mut shell) = self.process.lock().unwrap().take() {
            drop(shell.stdin.take());
            shell.wait().unwrap();
        }
    }

    /// `host:port`.
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Settings of a client.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        config.set("reconnect.backoff.max.ms", "500");
        config
    }

    /// The first group and the first transaction of a broker wait for topics of its own.
    fn warm_up(&self) {
        let group: BaseConsumer = self.client().set("group.id", "warm").create().unwrap();
        let producer: BaseProducer = self
            .client()
            .set("transactional.id", "warm")
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::to("warm").key("k").payload("v"))
            .unwrap();
        producer.commit_transaction(PATIENCE).unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("warm", 0, Offset::Offset(0))
            .unwrap();
        let begun = Instant::now();
        while group.commit(&offsets, CommitMode::Sync).is_err() {
            assert!(begun.elapsed() < PATIENCE, "no group can be had");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// `open` with further listeners, and with rights. The listener without a password is the administrators'.
fn secured_settings(open: &str, ports: Secured, folder: &Path) -> String {
    let data = |name: &str| fs::read_to_string(Path::new(tls::DATA).join(name)).unwrap();
    for name in ["server", "expired"] {
        let both = [data(&format!("{name}.key")), data(&format!("{name}.crt"))].concat();
        fs::write(folder.join(format!("{name}.pem")), both).unwrap();
    }
    let Secured {
        tls,
        expired,
        sasl,
        sasl_tls,
    } = ports;
    let listeners = format!(
        ",TLS://127.0.0.1:{tls},EXPIRED://127.0.0.1:{expired},SASL://127.0.0.1:{sasl},SASLTLS://127.0.0.1:{sasl_tls}"
    );
    let advertised = listeners.replace("127.0.0.1", "localhost");
    let lines = open.lines().map(|line| match line.split_once('=') {
        Some(("listeners", all)) => format!("listeners={all}{listeners}"),
        Some(("advertised.listeners", all)) => format!("advertised.listeners={all}{advertised}"),
        Some(("listener.security.protocol.map", all)) => format!(
            "listener.security.protocol.map={all},TLS:SSL,EXPIRED:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL"
        ),
        _ => line.to_owned(),
    });
    let mut settings: Vec<String> = lines.collect();
    for (listener, certificate) in [
        ("tls", "server"),
        ("expired", "expired"),
        ("sasltls", "server"),
    ] {
        let of = format!("listener.name.{listener}.ssl");
        settings.push(format!("{of}.keystore.type=PEM"));
        settings.push(format!(
            "{of}.keystore.location={}/{certificate}.pem",
            folder.display()
        ));
        settings.push(format!("{of}.truststore.type=PEM"));
        settings.push(format!(
            "{of}.truststore.location={}/authority.crt",
            tls::DATA
        ));
        settings.push(format!("{of}.client.auth=requested"));
    }
    for listener in ["sasl", "sasltls"] {
        let of = format!("listener.name.{listener}");
        let security = "org.apache.kafka.common.security";
        settings.push(format!(
            "{of}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
        ));
        settings.push(format!(
            "{of}.plain.sasl.jaas.config={security}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
        ));
        for mechanism in ["scram-sha-256", "scram-sha-512"] {
            settings.push(format!(
                "{of}.{mechanism}.sasl.jaas.config={security}.scram.ScramLoginModule required;"
            ));
        }
    }
    settings.push(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
    );
    settings.push("super.users=User:ANONYMOUS".to_owned());
    settings.push("allow.everyone.if.no.acl.found=true".to_owned());
    settings.join("\n") + "\n"
}
