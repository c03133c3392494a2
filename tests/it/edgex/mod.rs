//! Application services of EdgeX, run by the binary from configuration directories: triggers, routes, profiles.

mod application;
mod database;
mod http;
mod moving;
mod mqtt;
mod profiles;
mod reload;
mod rest;
mod urls;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ::http::{HeaderValue, Method};
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpRequest, HttpResponse,
};
use tempfile::TempDir;

use crate::support::process::Process;

/// A running service, and the folder with its files.
struct Service {
    process: Process,
    folder: TempDir,
}

impl Service {
    /// A service with this private file, in the profile `test`.
    fn start(configuration: &str) -> Self {
        Self::start_with(configuration, &[])
    }

    /// As [`start`](Self::start), with these variables of the environment.
    fn start_with(configuration: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("res/test");
        fs::create_dir_all(&profile).unwrap();
        fs::write(profile.join("configuration.yaml"), configuration).unwrap();
        let mut command = command(&folder.path().join("res"), "test", folder.path());
        command.envs(variables.iter().copied());
        let process = Process::of(command);
        Self { process, folder }
    }

    /// As [`start`](Self::start), with the data that is there.
    fn restart(&mut self) {
        let folder = self.folder.path();
        self.process = Process::of(command(&folder.join("res"), "test", folder));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn get(&self, path: &str) -> HttpResponse {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    async fn post(&self, path: &str, headers: &[(&'static str, &str)], body: &str) -> HttpResponse {
        self.send(Method::POST, path, headers, body.as_bytes().to_vec())
            .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> HttpResponse {
        let url = format!("{}{path}", self.process.url("edgex service"));
        let mut request = HttpRequest::new(method, url.parse().unwrap());
        request.body = body.into();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers.insert(*name, value);
        }
        let http = HttpClient::new(HttpClientConfig::default()).unwrap();
        http.send(request, Duration::from_secs(60)).await.unwrap()
    }
}

/// `statefun pipeline run` with EdgeX's flags, a data folder in `folder`, and free ports.
fn command(res: &Path, profile: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_statefun"));
    command
        .args(["pipeline", "run", "-cd"])
        .arg(res)
        .args(["-p", profile, "--admin", "127.0.0.1:0", "--data"])
        .arg(folder.join("data"))
        .env_remove("STATEFUN_ADMIN_TOKEN")
        .env("STATEFUN_LOG", "error")
        .env("SERVICE_PORT", "0");
    command
}

/// What the command prints when it does not start, and its exit code.
fn refused(mut command: Command) -> (String, Option<i32>) {
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    (told, output.status.code())
}

fn text(answer: &HttpResponse) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}
