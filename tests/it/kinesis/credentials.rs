//! Where credentials come from, and that they are renewed: the front sees which access key a request was signed with.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use stateful_functions::runtime::Environment;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::client::Client;
use super::front::{Front, error};
use super::ingress::{Ingress, folder};
use super::server::shared;
use crate::support::raw::RawMessage;
use crate::support::scene::Scene;
use crate::support::until::until;

/// A service that gives credentials: it answers by the number of the request, its first line and its body.
#[derive(Clone)]
struct Giver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<RawMessage>>>,
}

impl Giver {
    async fn start(answer: impl Fn(usize, &RawMessage) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let giver = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&giver.seen);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                if let Some(request) = RawMessage::read(&mut socket).await {
                    let number = seen.lock().unwrap().len();
                    let (status, body) = answer(number, &request);
                    seen.lock().unwrap().push(request);
                    let head = format!(
                        "HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
                }
            }
        });
        giver
    }

    fn seen(&self) -> Vec<RawMessage> {
        self.seen.lock().unwrap().clone()
    }
}

/// In so many seconds, as text.
fn expiry(seconds: u64) -> String {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let time = jiff::Timestamp::from_second(i64::try_from(since.as_secs() + seconds).unwrap());
    time.unwrap().to_string()
}

fn json(key: &str) -> String {
    let expiration = expiry(3600);
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"s","Token":"t","Expiration":"{expiration}"}}"#
    )
}

fn xml(key: &str, seconds: u64) -> String {
    let expiration = expiry(seconds);
    format!(
        "<R><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{expiration}</Expiration></Credentials></R>"
    )
}

/// A runtime that reads a stream in a process with these variables.
struct Stage {
    front: Front,
    scene: Scene,
    _data: TempDir,
}

impl Stage {
    async fn start(
        client: &Client,
        credentials: &'static str,
        variables: &[(&str, String)],
    ) -> Self {
        let front = Front::start(client.server).await;
        Self::start_at(front, client, credentials, variables).await
    }

    async fn start_at(
        front: Front,
        client: &Client,
        credentials: &'static str,
        variables: &[(&str, String)],
    ) -> Self {
        let stream = client.stream("credentials", 1).await;
        client.text(&stream, "a", "one").await;
        let mut ingress = Ingress::at(front.address, &stream);
        ingress.credentials = credentials;
        let module = ingress
            .module()
            .replace("{type: specific, id: us-east-1}", "{type: default}");
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let data = folder();
        let scene =
            Scene::start_within(Environment::from_iter(variables), &module, data.path()).await;
        Self {
            front,
            scene,
            _data: data,
        }
    }

    /// Waits until a request was signed with this access key, and the record was read.
    async fn signs_with(self, key: &str) {
        until(&format!("the key {key}"), async || {
            self.front
                .faults()
                .keys
                .contains(&key.to_owned())
                .then_some(())
        })
        .await;
        self.scene.arrive(&["one"]).await;
        self.scene.runtime.shutdown().await;
    }
}

const DEFAULT: &str = "{type: default}";

fn region() -> (&'static str, String) {
    ("AWS_REGION", "eu-west-1".to_owned())
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_comes_first() {
    let Some(server) = shared("kinesis credentials of the environment") else {
        return;
    };
    let variables = [
        region(),
        ("AWS_ACCESS_KEY_ID", "of-environment".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "s".to_owned()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere".to_owned()),
    ];
    let stage = Stage::start(&Client::of(server), DEFAULT, &variables).await;
    stage.signs_with("of-environment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_may_have_a_role_and_a_source() {
    let Some(server) = shared("kinesis credentials of a role") else {
        return;
    };
    let sts = Giver::start(|_, _| (200, xml("of-role", 3600))).await;
    let home = folder();
    write(
        home.path(),
        ".aws/credentials",
        "[base]\naws_access_key_id = of-base\naws_secret_access_key = s\n",
    );
    write(
        home.path(),
        ".aws/config",
        "[profile shop]\nregion = eu-west-1\nrole_arn = arn:aws:iam::1:role/shop\nsource_profile = base\nexternal_id = 7\n",
    );
    let variables = [
        ("HOME", home.path().to_str().unwrap().to_owned()),
        ("AWS_PROFILE", "shop".to_owned()),
        ("AWS_ENDPOINT_URL_STS", format!("http://{}", sts.address)),
    ];
    let stage = Stage::start(&Client::of(server), DEFAULT, &variables).await;
    stage.signs_with("of-role").await;
    let asked = sts.seen()[0].clone();
    let by = asked.header("authorization").unwrap();
    assert!(
        by.contains("Credential=of-base/") && by.contains("/eu-west-1/sts/aws4_request"),
        "{by}"
    );
    assert_eq!(
        asked.text(),
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fshop&RoleSessionName=statefun&ExternalId=7"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_gets_a_role_which_is_renewed_before_it_expires() {
    let Some(server) = shared("kinesis credentials of a web identity") else {
        return;
    };
    // The first ones expire at once, as far as requests are concerned.
    let sts = Giver::start(|number, _| match number {
        0 => (200, xml("first", 1)),
        1 => (500, String::new()),
        _ => (200, xml("second", 3600)),
    })
    .await;
    let place = folder();
    let variables = [
        region(),
        (
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            write(place.path(), "token", "the-token\n"),
        ),
        ("AWS_ROLE_ARN", "arn:x".to_owned()),
        ("AWS_ROLE_SESSION_NAME", "me".to_owned()),
        ("AWS_ENDPOINT_URL_STS", format!("http://{}", sts.address)),
    ];
    let stage = Stage::start(&Client::of(server), DEFAULT, &variables).await;
    stage.signs_with("second").await;
    let asked = sts.seen()[0].clone();
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(
        asked.text(),
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Ax&RoleSessionName=me&WebIdentityToken=the-token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_gives_credentials_to_the_bearer_of_its_token() {
    let Some(server) = shared("kinesis credentials of a container") else {
        return;
    };
    let agent = Giver::start(|_, _| (200, json("of-container"))).await;
    let place = folder();
    let variables = [
        region(),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://{}/v1/credentials", agent.address),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            write(place.path(), "token", "the-token"),
        ),
    ];
    let stage = Stage::start(&Client::of(server), DEFAULT, &variables).await;
    stage.signs_with("of-container").await;
    let asked = agent.seen()[0].clone();
    assert!(
        asked.head.starts_with("GET /v1/credentials "),
        "{}",
        asked.head
    );
    assert_eq!(asked.header("authorization"), Some("the-token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_gives_region_and_credentials_of_its_role() {
    let Some(server) = shared("kinesis credentials of an instance") else {
        return;
    };
    let service = Giver::start(|_, request| {
        let line = request.head.lines().next().unwrap().to_owned();
        let has_token = request.header("x-aws-ec2-metadata-token") == Some("session");
        let roles = "GET /latest/meta-data/iam/security-credentials/ ";
        match line {
            line if line.starts_with("PUT /latest/api/token ") => (200, "session".to_owned()),
            _ if !has_token => (401, String::new()),
            line if line.starts_with("GET /latest/meta-data/placement/region ") => {
                (200, "eu-west-1".to_owned())
            }
            line if line.starts_with(roles) => (200, "my-role".to_owned()),
            line if line.starts_with("GET /latest/meta-data/iam/security-credentials/my-role ") => {
                (200, json("of-instance"))
            }
            _ => (404, String::new()),
        }
    })
    .await;
    let variables = [(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        format!("http://{}", service.address),
    )];
    let stage = Stage::start(&Client::of(server), DEFAULT, &variables).await;
    stage.signs_with("of-instance").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_are_looked_for_again() {
    let Some(server) = shared("kinesis refused credentials") else {
        return;
    };
    let client = Client::of(server);
    let front = Front::start(server).await;
    let refused = error(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    );
    let refusals = std::iter::repeat_n(refused, 1_000).collect();
    front.faults().answers.insert("ListShards", refusals);
    let home = folder();
    let profile =
        |key: &str| format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n");
    write(home.path(), ".aws/credentials", &profile("old"));
    let variables = [region(), ("HOME", home.path().to_str().unwrap().to_owned())];
    let stage = Stage::start_at(front.clone(), &client, DEFAULT, &variables).await;
    stage.scene.says("UnrecognizedClientException").await;
    write(home.path(), ".aws/credentials", &profile("new"));
    until("the new key", async || {
        front
            .faults()
            .keys
            .contains(&"new".to_owned())
            .then_some(())
    })
    .await;
    front.faults().answers.clear();
    stage.signs_with("new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_reported() {
    let Some(server) = shared("kinesis without credentials") else {
        return;
    };
    let client = Client::of(server);
    let disabled = ("AWS_EC2_METADATA_DISABLED", "true".to_owned());
    for (variables, words) in [
        (vec![disabled.clone()], "no AWS region is known"),
        (
            vec![disabled.clone(), region()],
            "there are no AWS credentials",
        ),
        (
            vec![disabled, region(), ("AWS_PROFILE", "nobody".to_owned())],
            "there is no AWS profile `nobody`",
        ),
    ] {
        let stage = Stage::start(&client, DEFAULT, &variables).await;
        stage.scene.says(words).await;
        stage.scene.runtime.shutdown().await;
    }
}
