//! The same pipeline on other software: small Go programs in `benches/peers`, built when needed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::postgres::Postgres;
use crate::process::{Server, free_address};
use crate::scratch;
use crate::sink::Sink;

/// A running peer.
pub(crate) struct Peer {
    pub(crate) server: Server,
    pub(crate) sink: Sink,
    /// Where it accepts events.
    pub(crate) path: &'static str,
    /// Resources it needs while it runs.
    _needs: Option<(Postgres, TempDir)>,
}

/// Benthos without a buffer: an event is answered once it is delivered.
pub(crate) fn benthos() -> Result<Peer> {
    let program = build("benthos")?;
    let (sink, address) = (Sink::start()?, free_address()?);
    let mut program = Command::new(program);
    program.env("PEER_LISTEN", address.to_string());
    program.env("PEER_SINK", sink.url());
    Ok(Peer {
        server: Server::listening(&mut program, address)?,
        sink,
        path: "/post",
        _needs: None,
    })
}

/// The EdgeX App Functions SDK with store and forward in Postgres.
pub(crate) fn edgex() -> Result<Peer> {
    let program = build("edgex")?;
    let (postgres, folder) = (Postgres::start()?, scratch()?);
    let (sink, address) = (Sink::start()?, free_address()?);
    let configuration = folder.path().join("configuration.yaml");
    fs::write(configuration, edgex_configuration(address, &postgres))?;
    let mut program = Command::new(program);
    program.args(["-s", "-cd"]).arg(folder.path()); // without core services
    program.env("PEER_SINK", sink.url());
    program.env("EDGEX_SECURITY_SECRET_STORE", "false");
    program.env("EDGEX_DBNAME", "postgres");
    Ok(Peer {
        server: Server::listening(&mut program, address)?,
        sink,
        path: "/api/v3/trigger",
        _needs: Some((postgres, folder)),
    })
}

fn edgex_configuration(address: SocketAddr, postgres: &Postgres) -> String {
    let (host, port) = (address.ip(), address.port());
    let (database_host, database_port) = (postgres.address.ip(), postgres.address.port());
    let user = postgres.user();
    format!(
        "Writable:
  LogLevel: ERROR
  StoreAndForward: {{Enabled: true, RetryInterval: 5s, MaxRetryCount: 0}}
  InsecureSecrets:
    DB:
      SecretName: postgres
      SecretData: {{username: {user}, password: none}}
  Telemetry: {{Interval: 0s}}
Service:
  HealthCheckInterval: 10s
  Host: {host}
  Port: {port}
  ServerBindAddr: {host}
  MaxRequestSize: 0
  RequestTimeout: 30s
HttpServer: {{Protocol: http}}
Trigger: {{Type: http}}
MessageBus: {{Disabled: true}}
Database: {{Type: postgres, Host: {database_host}, Port: {database_port}, Timeout: 5s}}
"
    )
}

/// Set as in EdgeX's own makefiles: it refuses a database newer than the version given here.
const EDGEX_VERSION: &str =
    "-X github.com/edgexfoundry/app-functions-sdk-go/v4/internal.SDKVersion=4.0.0";

/// Builds the program `name`; Go caches earlier builds.
fn build(name: &str) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/peers")
        .join(name);
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peer-{name}"));
    eprintln!("pipeline: go build of {name}");
    let status = Command::new("go")
        .current_dir(source)
        .args(["build", "-ldflags", EDGEX_VERSION, "-o"])
        .args([program.as_os_str(), ".".as_ref()])
        .status()
        .context("cannot run `go`; install Go 1.24 to compare with it")?;
    ensure!(
        status.success(),
        "`go build` of benches/peers/{name} failed: {status}"
    );
    Ok(program)
}
