//! A Postgres server on this machine.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::made::skipped;
use crate::support::ports::free_port;
use crate::support::until::until;

/// It refuses to run as root; it then runs as this user, which its package creates.
const ACCOUNT: &str = "postgres";

/// Stopped when it is dropped. Its superuser is `postgres`, with any password.
pub(super) struct Postgres {
    pub(super) port: u16,
    child: Child,
    _folder: TempDir,
}

impl Postgres {
    /// `None`, and `test` is reported as skipped, where there is none.
    pub(super) async fn start(test: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            skipped(test, "PostgreSQL is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let account = account();
        if let Some((user, group)) = account {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let run_as = |program: &str| {
            let mut program = Command::new(programs.join(program));
            if let Some((user, group)) = account {
                program.uid(user).gid(group);
            }
            program.current_dir(folder.path()).stdout(Stdio::null());
            program
        };
        let data = folder.path().join("data");
        let made = run_as("initdb")
            .args([
                "--no-sync",
                "--auth",
                "trust",
                "--username",
                ACCOUNT,
                "--pgdata",
            ])
            .arg(&data)
            .status();
        assert!(made.unwrap().success(), "initdb failed");
        let port = free_port();
        let child = run_as("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args([
                "-c",
                "unix_socket_directories=",
                "-c",
                "log_min_messages=fatal",
            ])
            .spawn();
        let started = Self {
            port,
            child: child.unwrap(),
            _folder: folder,
        };
        until("a Postgres server that listens", async || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Some(started)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // A fast shutdown: its processes end with it.
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.child.wait();
    }
}

/// The folder of `initdb` and `postgres`, the newest version first.
fn programs() -> Option<PathBuf> {
    let has_all = |folder: &PathBuf| {
        let mut programs = ["initdb", "postgres"].iter();
        programs.all(|program| folder.join(program).is_file())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<_> = debian.flatten().map(|it| it.path().join("bin")).collect();
    versions.sort();
    versions.reverse();
    let mut all = versions.into_iter().chain(std::env::split_paths(&path));
    all.find(has_all)
}

/// The user and group to run as, if this is root.
fn account() -> Option<(u32, u32)> {
    if Path::new("/proc/self").metadata().unwrap().uid() != 0 {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (user, group) = (fields.nth(1)?, fields.next()?);
        (name == ACCOUNT).then_some((user.parse().ok()?, group.parse().ok()?))
    })
}
