//! Module files as the documentation of StateFun has them run as they are, but for addresses.

use std::fs;

use stateful_functions::transport::http::serve;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KinesisEgressMessage, Message, StatefulFunctions, TypeName,
};
use tokio::net::TcpListener;

use super::client::Client;
use super::front::Front;
use super::server::shared;
use crate::support::process::Process;
use crate::support::tls::DATA;

/// Passes the bytes of a record on.
async fn pass(context: &mut Context, message: Message) -> Result<(), BoxError> {
    assert_eq!(message.value_type_name(), "com.example/my-type");
    let value = message.raw_value().ok_or("a record has a value")?;
    let key = context.address().id().to_owned();
    let name = context.address().type_name().name().to_owned();
    let record = KinesisEgressMessage::to(TypeName::new("com.example/my-egress"));
    let record = record.stream("documentation-out").partition_key(key);
    let text = format!("{name} {}", String::from_utf8_lossy(&value));
    context.send_egress(record.value(text)?);
    Ok(())
}

/// Serves the functions; `host:port`.
async fn functions() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut functions = StatefulFunctions::new();
    for name in ["com.example.fns/fn1", "com.example.fns/fn2"] {
        let spec = FunctionSpec::new(name.parse().unwrap(), pass);
        functions = functions.with(spec).unwrap();
    }
    tokio::spawn(async move { serve(listener, functions).await });
    address
}

const MODULE: &str = "\
kind: io.statefun.kinesis.v1/ingress
spec:
  id: com.example/ingress
  awsRegion:
    type: specific
    id: us-west-1
  awsCredentials:
    type: basic
    accessKeyId: my_access_key_id
    secretAccessKey: my_secret_access_key
  startupPosition:
    type: earliest
  streams:
    - stream: documentation-1
      valueType: com.example/my-type
      targets:
        - com.example.fns/fn1
        - com.example.fns/fn2
    - stream: documentation-2
      valueType: com.example/my-type
      targets:
        - com.example.fns/fn1
  clientConfigProperties:
    - SocketTimeout: 9999
    - MaxConnections: 15
---
kind: io.statefun.kinesis.v1/egress
spec:
  id: com.example/my-egress
  awsRegion:
    type: custom-endpoint
    endpoint: https://localhost:4567
    id: us-west-1
  awsCredentials:
    type: profile
    profileName: john-doe
    profilePath: /path/to/profile/config
  maxOutstandingRecords: 9999
  clientConfigProperties:
    - ThreadingModel: POOLED
    - ThreadPoolSize: 10
";

/// The same in the format of 3.0.
const OLD_MODULE: &str = "\
version: \"3.0\"
module:
  meta:
    type: remote
  spec:
    endpoints:
      - endpoint:
          meta: {kind: http}
          spec: {functions: com.example.fns/*, urlPathTemplate: FUNCTIONS}
    ingresses:
      - ingress:
          meta:
            type: io.statefun.kinesis/ingress
            id: com.example/ingress
          spec:
            awsRegion:
              type: specific
              id: us-west-1
            awsCredentials:
              type: default
            startupPosition:
              type: earliest
            streams:
              - stream: documentation-2
                valueType: com.example/my-type
                targets:
                  - com.example.fns/fn2
    egresses:
      - egress:
          meta:
            type: io.statefun.kinesis/egress
            id: com.example/my-egress
          spec:
            awsRegion:
              type: default
            awsCredentials:
              type: default
";

#[tokio::test(flavor = "multi_thread")]
async fn sf_54_the_modules_of_the_documentation_run() {
    let Some(server) = shared("kinesis documentation modules") else {
        return;
    };
    let client = Client::of(server);
    let (plain, tls) = (
        Front::start(server).await,
        Front::start_with_tls(server).await,
    );
    for stream in ["documentation-1", "documentation-2", "documentation-out"] {
        client.make(stream, 1).await;
    }
    client.write("documentation-1", "bob", b"one").await;
    client.write("documentation-2", "eve", b"two").await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let profiles = path("profiles");
    fs::write(
        &profiles,
        "[john-doe]\naws_access_key_id = johns_key\naws_secret_access_key = s\n",
    )
    .unwrap();
    let functions = functions().await;
    let endpoint = format!(
        "---\nkind: io.statefun.endpoints.v2/http\nspec: {{functions: com.example.fns/*, urlPathTemplate: 'http://{functions}/'}}\n"
    );
    let module = MODULE
        .replace(
            "localhost:4567",
            &format!("localhost:{}", tls.address.port()),
        )
        .replace("/path/to/profile/config", profiles.to_str().unwrap());
    fs::write(path("module.yaml"), module + &endpoint).unwrap();
    let mut command = Process::command(&path("module.yaml"), &path("data"));
    command
        .env(
            "AWS_ENDPOINT_URL_KINESIS",
            format!("http://{}", plain.address),
        )
        .env("SSL_CERT_FILE", format!("{DATA}/authority.crt"));
    let mut process = Process::of(command);
    let records = client.await_records("documentation-out", 3).await;
    let mut texts: Vec<String> = records
        .iter()
        .map(|read| format!("{} {}", read.key, read.text()))
        .collect();
    texts.sort();
    assert_eq!(texts, ["bob fn1 one", "bob fn2 one", "eve fn1 two"]);
    assert_eq!(plain.faults().keys, ["my_access_key_id"]);
    assert_eq!(tls.faults().keys, ["johns_key"]);
    assert_eq!(process.terminate(), Some(0));

    let module = OLD_MODULE.replace("FUNCTIONS", &format!("'http://{functions}/'"));
    fs::write(path("old.yaml"), module).unwrap();
    let mut command = Process::command(&path("old.yaml"), &path("old-data"));
    command
        .env("AWS_ENDPOINT_URL", format!("http://{}", plain.address))
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "key_of_environment")
        .env("AWS_SECRET_ACCESS_KEY", "s");
    let mut process = Process::of(command);
    let records = client.await_records("documentation-out", 4).await;
    assert_eq!(records[3].text(), "fn2 two");
    assert!(
        plain
            .faults()
            .keys
            .contains(&"key_of_environment".to_owned())
    );
    assert_eq!(process.terminate(), Some(0));
}

#[test]
fn check_warns_of_properties_without_effect_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.yaml");
    fs::write(&module, MODULE).unwrap();
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_statefun"));
    let checked = check.arg("check").arg(&module).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let told = String::from_utf8(checked.stdout).unwrap();
    let warnings = told.lines().filter(|line| line.contains("has no effect"));
    let warnings: Vec<&str> = warnings.collect();
    let expected = [
        (":25:", "`MaxConnections`"),
        (":41:", "`ThreadPoolSize`"),
        (":40:", "`ThreadingModel`"),
    ];
    assert_eq!(warnings.len(), expected.len(), "{told}");
    for (warning, (line, property)) in warnings.iter().zip(expected) {
        let is_right = warning.contains(line) && warning.contains(property);
        assert!(is_right, "{warning}");
    }
}
