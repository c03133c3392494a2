//! What an application adds to its service in Rust: functions, routes, triggers and publishers.

use std::collections::BTreeMap;
use std::time::Duration;

use ::http::{HeaderValue, Method, Request, Response};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;
use stateful_functions::BoxError;
use stateful_functions::edgex::{
    AppContext, AppData, Application, ApplicationError, Authentication, Configuration,
    ConfigurationOptions, CustomTrigger, Functions, InvalidConfiguration, MessageContext, Outcome,
    TriggerError, TriggerInlet, TriggerMessage,
};
use stateful_functions::module::ModuleFile;
use stateful_functions::pipeline::{Answer, Record};
use stateful_functions::runtime::Runtime;
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpRequest, HttpResponse,
};
use tokio::sync::mpsc;

use super::text;
use crate::mqtt::broker::Broker;
use crate::pipelines::edgex::event;

const JSON: (&str, &str) = ("content-type", "application/json");

fn read(application: Application, text: &str) -> Result<Configuration, InvalidConfiguration> {
    let mut options = ConfigurationOptions::default();
    options.application = application;
    let text = format!("Service: {{Port: 0}}\n{text}");
    let file = ModuleFile {
        name: "configuration.yaml",
        text: &text,
    };
    Configuration::read(file, None, &options, &BTreeMap::new())
}

/// A running service, in this process.
struct Running {
    runtime: Runtime,
    url: String,
}

impl Running {
    async fn start(application: Application, text: &str) -> Self {
        let configuration = read(application, text).unwrap();
        let runtime = Runtime::builder().edgex(&configuration).unwrap();
        let runtime = runtime.start().await.unwrap();
        let mut listeners = runtime.listeners().iter();
        let service = listeners.find(|one| one.name == "edgex service").unwrap();
        let url = format!("http://{}", service.address);
        Self { runtime, url }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> HttpResponse {
        let mut request = HttpRequest::new(method, format!("{}{path}", self.url).parse().unwrap());
        request.body = body.to_owned().into();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers.insert(*name, value);
        }
        let http = HttpClient::new(HttpClientConfig::default()).unwrap();
        http.send(request, Duration::from_secs(60)).await.unwrap()
    }
}

/// Answers `Hello`, and tells what it saw.
fn hello(
    seen: mpsc::UnboundedSender<(String, BTreeMap<String, String>)>,
) -> impl Fn(&mut AppContext<'_>, AppData) -> Outcome {
    move |context, data| {
        let event = data.as_event().expect("an event");
        let id = event["id"].as_str().unwrap().to_owned();
        seen.send((id, context.get_all_values())).unwrap();
        context.set_response_data("Hello");
        Outcome::Pass
    }
}

#[tokio::test]
async fn pl_01_a_function_sees_the_event_and_its_values_and_answers() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let functions = Functions::new().function("SayHello", hello(sender));
    let application = Application::new();
    let application = application
        .set_default_functions_pipeline(functions)
        .unwrap();
    let service = Running::start(application, "Trigger: {Type: http}\n").await;
    let path = "/api/v3/trigger";
    let answer = service
        .send(Method::POST, path, &[JSON], &event().to_string())
        .await;
    assert_eq!((answer.status.as_u16(), text(&answer)), (200, "Hello"));
    let (id, values) = seen.recv().await.unwrap();
    assert_eq!(id, event()["event"]["id"]);
    for (key, value) in [
        ("devicename", "D"),
        ("profilename", "P"),
        ("sourcename", "S"),
        ("pipelineid", "default-pipeline"),
    ] {
        assert_eq!(values[key], value);
    }
    service.runtime.shutdown().await;
}

#[tokio::test]
async fn pl_02_functions_after_one_that_stops_never_run_and_the_caller_gets_success() {
    let (sender, mut ran) = mpsc::unbounded_channel();
    let stop = |_: &mut AppContext<'_>, _: AppData| Outcome::Stop;
    let functions = Functions::new()
        .function("First", stop)
        .function("Second", hello(sender.clone()))
        .function("Third", hello(sender));
    let application = Application::new();
    let application = application
        .set_default_functions_pipeline(functions)
        .unwrap();
    let service = Running::start(application, "Trigger: {Type: http}\n").await;
    let path = "/api/v3/trigger";
    let answer = service
        .send(Method::POST, path, &[JSON], &event().to_string())
        .await;
    assert_eq!((answer.status.as_u16(), text(&answer)), (200, ""));
    assert!(ran.try_recv().is_err());
    service.runtime.shutdown().await;
}

#[tokio::test]
async fn pl_31_routes_of_the_application_are_served_and_those_of_the_service_reserved() {
    let hello = |request: Request<Bytes>| async move {
        let text = format!("{} {}", request.uri().path(), request.body().len());
        Response::new(Bytes::from(text))
    };
    let panics = |_: Request<Bytes>| async { panic!("no more") };
    let open = || Authentication::Unauthenticated;
    let token = Authentication::Token {
        secret_name: "routes".to_owned(),
        key: "token".to_owned(),
    };
    let reserved =
        Application::new().add_custom_route("/api/v3/ping", open(), &[Method::GET], hello);
    let reserved = reserved.unwrap_err();
    assert_eq!(
        reserved,
        ApplicationError::Reserved("/api/v3/ping".to_owned())
    );
    assert_eq!(reserved.to_string(), "/api/v3/ping: route is reserved");

    let application = Application::new()
        .add_custom_route("/myroute", open(), &[Method::GET, Method::POST], hello)
        .and_then(|one| one.add_custom_route("/of/:name", token, &[Method::GET], hello))
        .and_then(|one| one.add_custom_route("/panics", open(), &[Method::GET], panics))
        .unwrap();
    let settings = r#"
Trigger: {Type: http}
Writable:
  InsecureSecrets: {routes: {SecretName: routes, SecretData: {token: open-sesame}}}
  Pipeline:
    ExecutionOrder: SetResponseData
    Functions: {SetResponseData: {Parameters: {}}}
"#;
    let service = Running::start(application, settings).await;
    let answer = service.send(Method::POST, "/myroute", &[], "four").await;
    assert_eq!((answer.status.as_u16(), text(&answer)), (200, "/myroute 4"));
    let refused = service.send(Method::PUT, "/myroute", &[], "").await;
    assert_eq!(refused.status.as_u16(), 405);
    assert_eq!(refused.headers["allow"], "GET, POST");
    let refused = service.send(Method::GET, "/of/D1", &[], "").await;
    assert_eq!(refused.status.as_u16(), 401);
    let token = ("authorization", "Bearer open-sesame");
    let answer = service.send(Method::GET, "/of/D1", &[token], "").await;
    assert_eq!((answer.status.as_u16(), text(&answer)), (200, "/of/D1 0"));
    let failed = service.send(Method::GET, "/panics", &[], "").await;
    assert_eq!(failed.status.as_u16(), 500);
    let ping = service.send(Method::GET, "/api/v3/ping", &[], "").await;
    assert_eq!(ping.status.as_u16(), 200);
    service.runtime.shutdown().await;
}

/// Gives one message after the other to the pipelines, and sends what comes of it.
#[derive(Debug)]
struct Channel {
    messages: mpsc::UnboundedReceiver<(Option<MessageContext>, TriggerMessage)>,
    answers: mpsc::UnboundedSender<Result<String, String>>,
}

#[async_trait]
impl CustomTrigger for Channel {
    async fn run(&mut self, inlet: &TriggerInlet) -> Result<(), BoxError> {
        while let Some((context, message)) = self.messages.recv().await {
            let within = Duration::from_secs(60);
            let answer = match inlet.call(context, message, within).await {
                Ok(response) => Ok(String::from_utf8(response.payload.to_vec())?),
                Err(TriggerError::Refused(text)) => Err(text),
                Err(other) => return Err(other.into()),
            };
            self.answers.send(answer)?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn pl_04_a_trigger_of_the_application_runs_the_pipelines_and_its_message_overrides_the_context()
 {
    let (messages, receiver) = mpsc::unbounded_channel();
    let (answers, mut answered) = mpsc::unbounded_channel();
    let trigger = std::sync::Mutex::new(Some(Channel {
        messages: receiver,
        answers,
    }));
    let show = |context: &mut AppContext<'_>, data: AppData| {
        let shown = format!(
            "{} {} {} {}",
            context.correlation_id(),
            context.input_content_type(),
            context.get_value("receivedtopic").unwrap_or("none"),
            String::from_utf8_lossy(&data.to_bytes()),
        );
        context.set_response_data(shown);
        Outcome::Pass
    };
    let application = Application::new().target_type("raw");
    let application = application
        .set_default_functions_pipeline(Functions::new().function("Show", show))
        .and_then(|one| {
            one.register_custom_trigger("my-trigger", move |_| {
                Ok(trigger.lock().unwrap().take().ok_or("once")?)
            })
        })
        .unwrap();
    let service = Running::start(application, "Trigger: {Type: MY-trigger}\n").await;
    let context = MessageContext::new("of-the-context", "text/csv").with_value("a", "b");
    let mut message = TriggerMessage::new("one", "");
    message.correlation_id = "123-234-345-456".to_owned();
    message.received_topic = "x/y".to_owned();
    messages.send((Some(context.clone()), message)).unwrap();
    let answer = answered.recv().await.unwrap();
    assert_eq!(answer.unwrap(), "123-234-345-456 text/csv x/y one");
    let message = TriggerMessage::new("two", "text/plain");
    messages.send((Some(context), message)).unwrap();
    let answer = answered.recv().await.unwrap();
    assert_eq!(answer.unwrap(), "of-the-context text/plain none two");
    let built_in = Application::new().register_custom_trigger("HTTP", |_| -> Result<Channel, _> {
        Err("never made".into())
    });
    assert_eq!(
        built_in.unwrap_err(),
        ApplicationError::BuiltInTrigger("HTTP".to_owned())
    );
    service.runtime.shutdown().await;
}

/// A service at the bus of `broker`, whose functions also publish.
fn at_the_bus(broker: &Broker, publish_topic: &str) -> String {
    format!(
        "
MessageBus: {{Host: 127.0.0.1, Port: {}, Optional: {{Qos: 1}}}}
Trigger: {{SubscribeTopics: 'events/#', PublishTopic: '{publish_topic}'}}
",
        broker.port
    )
}

fn publishing() -> Functions {
    let publish = |context: &mut AppContext<'_>, _: AppData| {
        let told = json!({"device": context.get_value("devicename")});
        match context.publish_with_topic("told/{devicename}", &told) {
            Ok(()) => Outcome::Stop,
            Err(error) => Outcome::fail(error),
        }
    };
    Functions::new().function("Tell", publish)
}

// The clients of the broker block a thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pl_30_a_background_publisher_fills_in_its_topic_or_publishes_nothing() {
    let Some(broker) = Broker::start("edgex: the background publisher").await else {
        return;
    };
    let application = Application::new();
    let mut application = application
        .set_default_functions_pipeline(publishing())
        .unwrap();
    let publisher = application.add_background_publisher(4);
    let service = Running::start(application, &at_the_bus(&broker, "out/{kind}")).await;
    broker.make_session("out", "edgex/out/#", 1);
    let context = MessageContext::new("123", "text/plain");
    let refused = publisher.publish("one", &context).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "topic: failed to replace all context placeholders in input ('out/{kind}' after replacements)"
    );
    let context = context.with_value("Kind", "alarms");
    publisher.publish("two", &context).await.unwrap();
    let taken = broker.take("out", "edgex/out/#", 1);
    let (topic, envelope) = taken[0].split_once(' ').unwrap();
    assert_eq!(topic, "edgex/out/alarms");
    let envelope: serde_json::Value = serde_json::from_str(envelope).unwrap();
    assert_eq!(envelope["correlationID"], "123");
    assert_eq!(envelope["contentType"], "text/plain");
    assert_eq!(envelope["payload"], "dHdv");
    service.runtime.shutdown().await;
}

// The clients of the broker block a thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_function_publishes_is_sent_with_its_record() {
    let Some(broker) = Broker::start("edgex: functions publish").await else {
        return;
    };
    let application = Application::new();
    let application = application
        .set_default_functions_pipeline(publishing())
        .unwrap();
    let service = Running::start(application, &at_the_bus(&broker, "")).await;
    broker.make_session("told", "edgex/told/#", 1);
    broker.logs("SUBACK to app-", 1).await;
    let payload =
        json!({"correlationID": "c", "contentType": "application/json", "payload": event()});
    broker.publish("edgex/events/x", 1, &[&payload.to_string()]);
    let taken = broker.take("told", "edgex/told/#", 1);
    let (topic, envelope) = taken[0].split_once(' ').unwrap();
    assert_eq!(topic, "edgex/told/D");
    let envelope: serde_json::Value = serde_json::from_str(envelope).unwrap();
    assert_eq!(envelope["payload"], json!({"device": "D"}));
    assert_ne!(
        envelope["correlationID"], "c",
        "a publication has its own id"
    );
    service.runtime.shutdown().await;
}

#[test]
fn pl_30_background_publishing_is_refused_without_the_message_bus() {
    for trigger in [
        "{Type: http, PublishTopic: x}",
        "{Type: external-mqtt, PublishTopic: x, ExternalMqtt: {Url: 'tcp://b:1883'}}",
    ] {
        let application = Application::new();
        let mut application = application
            .set_default_functions_pipeline(publishing())
            .unwrap();
        let _publisher = application.add_background_publisher(4);
        let invalid = read(application, &format!("Trigger: {trigger}\n")).unwrap_err();
        let faults: Vec<String> = invalid.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("background publishing is not supported"),
            "{faults:?}"
        );
    }
    let mut application = Application::new()
        .set_default_functions_pipeline(publishing())
        .unwrap();
    let _publisher = application.add_background_publisher(4);
    let invalid = read(application, "Trigger: {PublishTopic: ''}\n").unwrap_err();
    assert!(
        invalid.faults[0].to_string().contains("PublishTopic"),
        "{invalid}"
    );
}

#[tokio::test]
async fn registered_stages_are_functions_of_the_configuration() {
    let application = Application::new().register_stage("Shout", |parameters| {
        let mark = parameters["Mark"].as_str().ok_or("`Mark` is required")?;
        let mark = mark.to_owned();
        Ok(move |record: &mut Record| {
            let text = String::from_utf8_lossy(&record.payload()).to_uppercase();
            record.set_payload(text + &mark, "text/plain");
            Answer::Continue
        })
    });
    let settings = |mark: &str| {
        format!(
            "
Trigger: {{Type: http}}
Writable:
  Pipeline:
    TargetType: raw
    ExecutionOrder: ShoutLoud, SetResponseData
    Functions:
      ShoutLoud: {{Parameters: {{{mark}: '!'}}}}
      SetResponseData: {{Parameters: {{ResponseContentType: text/plain}}}}
"
        )
    };
    let application = application.unwrap();
    let invalid = read(application.clone(), &settings("Mrak")).unwrap_err();
    assert_eq!(
        invalid.faults[0].to_string(),
        "configuration.yaml:9:31: `Writable.Pipeline.Functions.ShoutLoud.Parameters`: `Mark` is required"
    );
    let service = Running::start(application, &settings("Mark")).await;
    let answer = service
        .send(Method::POST, "/api/v3/trigger", &[], "hey")
        .await;
    assert_eq!((answer.status.as_u16(), text(&answer)), (200, "HEY!"));
    service.runtime.shutdown().await;
}

#[test]
fn sections_of_the_application_are_read_as_its_own_types() {
    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "PascalCase")]
    struct Mine {
        rate: u32,
    }
    let configuration = read(
        Application::new(),
        "Trigger: {Type: http}
Mine: {Rate: 3}
Writable:
  Pipeline: {ExecutionOrder: SetResponseData, Functions: {SetResponseData: }}
",
    )
    .unwrap();
    assert_eq!(
        configuration.custom_section::<Mine>("Mine"),
        Ok(Mine { rate: 3 })
    );
    let missing = configuration.custom_section::<Mine>("Yours").unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the configuration has no section `Yours`"
    );
    assert!(configuration.custom_section::<Vec<u8>>("Mine").is_err());
}
