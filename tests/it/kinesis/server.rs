//! A kinesalite for all tests of a program. Streams have names of their own for each test.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::made::{Lack, fetch, made_once, skipped};

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// It ends with the program, which holds the other end of its input.
    _shell: Child,
}

/// The server. `None`, and the test is reported as skipped, where there can be none.
pub(super) fn shared(test: &str) -> Option<&'static Server> {
    static SERVER: OnceLock<Result<Server, Lack>> = OnceLock::new();
    match SERVER.get_or_init(Server::start) {
        Ok(server) => Some(server),
        Err(lack) => {
            skipped(test, lack);
            None
        }
    }
}

/// The folder with the program.
fn program() -> Result<PathBuf, Lack> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinesis");
    let inputs = ["package.json", "package-lock.json"].map(|file| source.join(file));
    made_once("kinesis", &inputs, |folder| {
        fetch(Command::new("node").arg("--version"))?;
        for file in &inputs {
            fs::copy(file, folder.join(file.file_name().unwrap())).unwrap();
        }
        let mut npm = Command::new("npm");
        fetch(
            npm.args(["ci", "--ignore-scripts", "--loglevel=error"])
                .current_dir(folder),
        )
    })
}

impl Server {
    fn start() -> Result<Self, Lack> {
        let folder = program()?;
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let script = "\"$@\" >/dev/null 2>&1 </dev/null & server=$!; read -r _; kill -9 $server";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", "node", "node_modules/kinesalite/cli.js"]);
        shell.args(["--port", &address.port().to_string()]);
        for (setting, value) in [
            ("--createStreamMs", "5"),
            ("--updateStreamMs", "5"),
            ("--deleteStreamMs", "5"),
            ("--shardLimit", "1000"),
        ] {
            shell.args([setting, value]);
        }
        let shell = shell.current_dir(folder).stdin(Stdio::piped());
        let shell = shell.stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "kinesalite does not listen");
            std::thread::yield_now();
        }
        Ok(Self {
            address,
            _shell: shell,
        })
    }
}
