//! A temporary Postgres server on a free port, for peers that need one.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::process::{Server, free_address};

/// Stopped, and its data removed, when this value is dropped.
pub(crate) struct Postgres {
    pub(crate) address: SocketAddr,
    _server: Server,
    _folder: TempDir,
}

/// Postgres refuses to run as root; it then runs as this user, which its package creates.
const ACCOUNT: &str = "postgres";

impl Postgres {
    /// # Errors
    /// If it is not installed, or does not start.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs()?;
        // Not in the folder of the build, which that user may be unable to enter.
        let folder = tempfile::tempdir()?;
        let account = account()?;
        if let Some((user, group)) = account {
            chown(folder.path(), Some(user), Some(group))?;
        }
        let run_as = |program: &str| {
            let mut program = Command::new(programs.join(program));
            if let Some((user, group)) = account {
                program.uid(user).gid(group);
            }
            program.current_dir(folder.path());
            program
        };
        let data = folder.path().join("data");
        let made = run_as("initdb")
            .args(["--auth", "trust", "--username", ACCOUNT, "--pgdata"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "initdb failed: {made}");

        let address = free_address()?;
        let mut program = run_as("postgres");
        program.arg("-D").arg(&data);
        program.args(["-p", &address.port().to_string()]);
        program.args(["-c", "listen_addresses=127.0.0.1"]);
        program.args(["-c", "unix_socket_directories="]);
        program.args(["-c", "log_min_messages=fatal"]);
        let server = Server::listening(&mut program, address)?;
        Ok(Self {
            address,
            _server: server,
            _folder: folder,
        })
    }

    /// The superuser, without a password.
    pub(crate) const fn user(&self) -> &'static str {
        ACCOUNT
    }
}

/// The folder of `initdb` and `postgres`: on the path, or where Debian puts it, the newest version first.
fn programs() -> Result<PathBuf> {
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres"]
            .iter()
            .all(|it| folder.join(it).is_file())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<_> = debian.map(|it| it.path().join("bin")).collect();
    versions.sort();
    versions.reverse();
    std::env::split_paths(&path)
        .chain(versions)
        .find(has_all)
        .context("Postgres is not installed: no `initdb` and `postgres`")
}

/// User and group to run as, when this is root.
fn account() -> Result<Option<(u32, u32)>> {
    if Path::new("/proc/self").metadata()?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let found = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (user, group) = (fields.nth(1)?, fields.next()?);
        (name == ACCOUNT).then_some((user, group))
    });
    let (user, group) = found.with_context(|| {
        format!("Postgres does not run as root, and there is no user `{ACCOUNT}`")
    })?;
    Ok(Some((user.parse()?, group.parse()?)))
}
