//! The examples do what their comments say.

use std::time::Duration;

use stateful_functions::testing::TestContext;
use stateful_functions::{
    Address, EgressMessageBuilder, MessageBuilder, StatefulFunctions, TypeName, types,
};

/// The file of an example as a module, of which a test needs the functions.
macro_rules! example {
    ($name:ident, $file:literal) => {
        #[expect(dead_code, reason = "main serves; the test does not")]
        #[path = $file]
        mod $name;
    };
}

example!(behind_statefun, "../../examples/behind_statefun/main.rs");
example!(counter, "../../examples/counter.rs");
example!(delayed_reminder, "../../examples/delayed_reminder.rs");
example!(egress, "../../examples/egress.rs");
example!(greeter, "../../examples/greeter.rs");
#[cfg(feature = "runtime")]
example!(custom_source, "../../examples/custom_source.rs");
#[cfg(feature = "runtime")]
example!(files, "../../examples/files/main.rs");
#[cfg(feature = "runtime")]
example!(pipeline_export, "../../examples/pipeline_export.rs");
#[path = "../../examples/testing.rs"]
mod testing;

/// The only function of an example, at `bob`, called by `example/person` at `amy`.
fn at_bob(functions: StatefulFunctions) -> TestContext {
    let [function] = functions.specs() else {
        panic!("one function");
    };
    TestContext::new(function.clone(), "bob")
        .unwrap()
        .with_caller(amy())
}

fn amy() -> Address {
    Address::new(TypeName::new("example/person"), "amy")
}

/// A reader who runs an example sees what the library logs, and how to have it logged.
#[test]
fn every_example_installs_a_tracing_subscriber() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = if path.is_dir() {
            path.join("main.rs")
        } else {
            path
        };
        if !file.exists() || file.extension().is_some_and(|kind| kind == "yaml") {
            continue; // a module file, which the binary runs
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let is_installed = text.contains("tracing_subscriber::fmt()");
        assert!(is_installed, "{}", file.display());
        count += 1;
    }
    assert!(count >= 13, "{count}");
}

/// The module files beside the examples are read without a fault, and those that name all functions without a warning.
#[cfg(feature = "runtime")]
#[test]
fn every_module_file_of_the_examples_can_be_read() {
    use stateful_functions::module::{Module, ModuleFile, Placeholders};

    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
    let of = |folder: &std::path::Path| {
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let folders = of(folder).into_iter().filter(|path| path.is_dir());
    let below: Vec<_> = folders.flat_map(|folder| of(&folder)).collect();
    let mut count = 0;
    for path in of(folder).into_iter().chain(below) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let is_module = path.extension().is_some_and(|kind| kind == "yaml")
            && (text.contains("\nkind: io.statefun.") || text.contains("\nkind: statefun."));
        if !is_module {
            continue; // such as a file for compose
        }
        let name = path.display().to_string();
        let file = ModuleFile {
            name: &name,
            text: &text,
        };
        let variables = [("KAFKA", "localhost:9092"), ("FOLDER", "target")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (module, faults) = Module::read(&[file], &Placeholders::Replaced(variables.into()));
        assert!(faults.is_empty(), "{faults:?}");
        // A program beside the file has the functions that no document binds.
        let has_program = path.with_file_name("main.rs").exists();
        let is_fine = has_program || module.warnings.is_empty();
        assert!(is_fine, "{name}: {:?}", module.warnings);
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

#[tokio::test]
async fn the_greeter_counts_visits() {
    let mut test = at_bob(greeter::functions().unwrap());
    for greeting in ["Hello, bob.", "Hello again, bob: visit 2."] {
        let effects = test.invoke(test.message().value("hi")).await.unwrap();
        assert_eq!(
            effects.messages,
            [MessageBuilder::to(amy()).value(greeting)]
        );
    }
}

#[tokio::test]
async fn the_counter_adds_up_and_refuses_numbers_above_the_limit() {
    let mut test = at_bob(counter::functions().unwrap());
    let add = |amount| counter::Add { amount };
    for total in [60_i64, 100] {
        let amount = if total == 60 { 60 } else { 40 };
        let message = test.message().value_as(&counter::ADD, add(amount)).unwrap();
        let effects = test.invoke(message).await.unwrap();
        assert_eq!(effects.messages, [MessageBuilder::to(amy()).value(total)]);
    }
    let message = test.message().value_as(&counter::ADD, add(1)).unwrap();
    let effects = test.invoke(message).await.unwrap();
    let reason = "example/counter/bob: 101 is above the limit of 100";
    let refused = EgressMessageBuilder::to(TypeName::new("example/refused")).value(reason);
    assert_eq!(effects.egress, [refused]);
    assert!(effects.messages.is_empty());
}

#[tokio::test]
async fn the_reminder_reminds_of_the_last_text_unless_stopped() {
    let mut test = at_bob(delayed_reminder::functions().unwrap());
    test.invoke(test.message().value("milk")).await.unwrap();
    test.advance(Duration::from_secs(9));
    test.invoke(test.message().value("eggs")).await.unwrap();
    let [due] = test.advance(Duration::from_secs(10)).try_into().unwrap();
    let effects = test.invoke(due).await.unwrap();
    let reminder = EgressMessageBuilder::to(TypeName::new("example/reminders")).value("eggs");
    assert_eq!(effects.egress, [reminder]);

    test.invoke(test.message().value("tea")).await.unwrap();
    test.invoke(test.message().value("stop")).await.unwrap();
    assert!(test.advance(Duration::from_secs(60)).is_empty());
    let stale = test.message().value_as(&delayed_reminder::DUE, 3).unwrap();
    assert!(test.invoke(stale).await.unwrap().egress.is_empty());
}

#[tokio::test]
async fn orders_become_records_for_kafka_and_kinesis() {
    let mut test = at_bob(egress::functions().unwrap());
    let order = egress::Order {
        item: "tea".to_owned(),
        pieces: 3,
    };
    let message = test.message().value_as(&egress::ORDER, order).unwrap();
    let effects = test.invoke(message).await.unwrap();
    let kafka = effects.egress[0]
        .get(&types::KAFKA_RECORD)
        .unwrap()
        .unwrap();
    assert_eq!((&*kafka.topic, &*kafka.key), ("orders", "bob"));
    assert_eq!(kafka.value_bytes, r#"{"item":"tea","pieces":3}"#);
    let kinesis = effects.egress[1]
        .get(&types::KINESIS_RECORD)
        .unwrap()
        .unwrap();
    assert_eq!(
        (&*kinesis.stream, &*kinesis.partition_key),
        ("pieces", "bob")
    );
    assert_eq!(kinesis.value_bytes[..], [0, 0, 0, 3]);
}

#[tokio::test]
async fn each_login_is_counted_and_greeted_by_kafka() {
    let mut test = at_bob(behind_statefun::functions().unwrap());
    for greeting in ["welcome bob, login 1", "welcome bob, login 2"] {
        let effects = test.invoke(test.message().value("")).await.unwrap();
        let record = effects.egress[0].get(&types::KAFKA_RECORD).unwrap();
        let record = record.unwrap();
        assert_eq!((&*record.topic, &*record.key), ("greetings", "bob"));
        assert_eq!(record.value_bytes, greeting);
    }
}

#[test]
fn the_testing_example_passes() {
    testing::main().unwrap();
}

#[cfg(feature = "runtime")]
#[tokio::test]
async fn the_pipeline_delivers_after_the_outage_in_order_and_without_what_it_filters() {
    let folder = tempfile::tempdir().unwrap();
    let arrived = pipeline_export::run(folder.path()).await.unwrap();
    let reading = |celsius| format!(r#"{{"celsius":{celsius},"device":"d1","site":"north"}}"#);
    assert_eq!(arrived, [31, 32, 33].map(reading));
}

#[cfg(feature = "runtime")]
#[tokio::test]
async fn the_custom_source_counts_each_line_once_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    for lines in 1..=3 {
        assert_eq!(custom_source::run(folder.path()).await.unwrap(), lines);
    }
}

#[cfg(feature = "runtime")]
#[tokio::test]
async fn the_files_example_counts_each_order_once_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    for times in 1..=2_i64 {
        let counts = files::run(folder.path()).await.unwrap();
        let texts = counts.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["value"].as_str().unwrap().to_owned()
        });
        let mut texts: Vec<String> = texts.collect();
        texts.sort();
        let mut expected: Vec<String> = (1..=times).map(|n| format!("amy: {n}")).collect();
        expected.extend((1..=2 * times).map(|n| format!("bob: {n}")));
        assert_eq!(texts, expected);
    }
}
