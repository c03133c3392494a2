//! Kind: a guess instead of a refusal. `dead-letters list --why permanant` listed nothing; `redrive ADDRESS --target X` redrove a dead letter of another target;
//! a state set by hand before its function had run was stored as text, and the function, which declares a number, failed from then on.

use http::Method;
use serde_json::{Value, json};
use stateful_functions::runtime::Runtime;

use super::cli::statefun;
use crate::runtime::{SAMPLES, Started, admin};

async fn started() -> Started {
    Started::with(Runtime::builder().admin(admin()), SAMPLES).await
}

async fn refusal(
    started: &Started,
    method: Method,
    path: &str,
    body: &str,
) -> (u16, String, String) {
    let response = started.request(method, "admin api", path, &[], body).await;
    let told: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    (response.status.as_u16(), text("code"), text("message"))
}

#[tokio::test]
async fn every_parameter_of_the_api_that_means_nothing_is_refused_with_what_is_right() {
    let started = started().await;
    for (path, told) in [
        ("/health?x=1", "this route takes no parameters"),
        ("/metrics?a=b", "this route takes no parameters"),
        ("/api/state?typ=a/b", "known: type, id, name, after, limit"),
        ("/api/state?limit=0", "from 1 to 1000"),
        ("/api/state?limit=1001", "from 1 to 1000"),
        ("/api/state?limit=ten", "from 1 to 1000"),
        ("/api/state?limit=", "`limit` has no value"),
        ("/api/state?type=", "`type` has no value"),
        ("/api/state?type", "`type` has no value"),
        ("/api/state?type=a", "`type`"),
        ("/api/state?type=a/b&type=a/c", "`type` is given twice"),
        ("/api/state?limit=1&limit=2", "`limit` is given twice"),
        ("/api/state?id=a", "`id` needs `type`"),
        ("/api/state?after=AAAA", "`after` is the `next`"),
        ("/api/state?name=%zz", "percent-encoded"),
        ("/api/queues?limit=5000", "from 1 to 1000"),
        ("/api/deliveries?state=waiting", "`state` is one of"),
        (
            "/api/deliveries?reason=permanant",
            "expected one of `scheduled`",
        ),
        ("/api/deliveries?target=crm", "`http://127.0.0.1:9000`"),
        (
            "/api/deliveries?target=http://127.0.0.1:9000/hook",
            "scheme, host and port",
        ),
        (
            "/api/deliveries?target=http://h:99999",
            "scheme, host and port",
        ),
        ("/api/dead-letters?full=yes", "`full` is true or false"),
        (
            "/api/dead-letters?state=discarded",
            "there is no parameter `state`",
        ),
        (
            "/api/dead-letters/export?limit=1",
            "there is no parameter `limit`",
        ),
        ("/api/state/a//b/c", "the path's function type"),
        ("/api/state/a/b/%/c", "percent-encoded"),
    ] {
        let (status, code, message) = refusal(&started, Method::GET, path, "").await;
        assert_eq!(status, 400, "{path}: {code}");
        assert!(message.contains(told), "{path}: {message}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let started = started().await;
    for id in ["a", "b"] {
        let path = format!("/api/state/shop/cart/{id}/total");
        let headers = [("statefun-type", "io.statefun.types/int")];
        let put = started
            .request(Method::PUT, "admin api", &path, &headers, "1")
            .await;
        assert_eq!(put.status, 200);
    }
    let page = started
        .request(Method::GET, "admin api", "/api/state?limit=1", &[], "")
        .await;
    let page: Value = serde_json::from_slice(&page.body).unwrap();
    let next = page["next"].as_str().unwrap();
    let path = format!("/api/state?type=shop/basket&after={next}");
    let (status, _, message) = refusal(&started, Method::GET, &path, "").await;
    assert_eq!(status, 400);
    assert!(message.contains("of the same list"), "{message}");
}

#[tokio::test]
async fn a_command_with_a_key_that_means_nothing_does_nothing() {
    let started = started().await;
    let asked = json!({"actor": "alice", "reason": "crm is back"});
    let with = |key: &str, value: Value| {
        let mut asked = asked.clone();
        asked[key] = value;
        asked.to_string()
    };
    for (path, body, told) in [
        (
            "/api/dead-letters/redrive",
            with("dryrun", json!(true)),
            "field `dryrun` is unknown",
        ),
        (
            "/api/dead-letters/redrive",
            with("dry_run", json!("yes")),
            "expected true or false, found the text",
        ),
        (
            "/api/dead-letters/redrive",
            with("actor", json!(" ")),
            "`actor` is empty",
        ),
        (
            "/api/dead-letters/redrive",
            with("reason", json!("x".repeat(2001))),
            "longer than 2000",
        ),
        (
            "/api/deliveries/a/b/c/retry",
            with("dry_run", json!(true)),
            "for many deliveries at a time",
        ),
        (
            "/api/deliveries/a/b/c/retry",
            "{}".to_owned(),
            "field `actor` is missing",
        ),
    ] {
        let (status, _, message) = refusal(&started, Method::POST, path, &body).await;
        assert_eq!(status, 400, "{path} {body}");
        assert!(message.contains(told), "{path} {body}: {message}");
    }
}

#[tokio::test]
async fn a_state_whose_type_nobody_has_declared_is_set_with_a_named_type_only() {
    let started = started().await;
    let admin = started.url("admin api", "");
    let set = ["state", "set", "statefun.samples/counter/bob", "total", "7"];
    let (code, _, err) = statefun(&set, &admin).await;
    assert_eq!(code, 1);
    assert!(err.contains("no function has declared `total` of statefun.samples/counter yet: name the value's type"), "{err}");
    let path = "/api/state/statefun.samples/counter/bob/total";
    let (status, code, _) = refusal(&started, Method::PUT, path, "7").await;
    assert_eq!((status, code.as_str()), (422, "state.type_unknown"));
    let typed = [&set[..], &["--type", "io.statefun.types/long"]].concat();
    let (code, out, err) = statefun(&typed, &admin).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("io.statefun.types/long  7"), "{out}");
    let int = [("statefun-type", "io.statefun.types/int")];
    let total = started
        .post("/call/statefun.samples/counter/bob", &int, "1")
        .await;
    assert_eq!(crate::runtime::text(&total), "8");
}

#[tokio::test]
async fn arguments_that_contradict_one_another_or_mean_nothing_are_a_fault_of_usage() {
    for (args, told) in [
        (
            &[
                "dead-letters",
                "redrive",
                "a/b/c",
                "--target",
                "http://h:1",
                "--reason",
                "x",
            ][..],
            "cannot be used with",
        ),
        (
            &[
                "dead-letters",
                "redrive",
                "a/b/c",
                "--why",
                "permanent",
                "--reason",
                "x",
            ],
            "cannot be used with",
        ),
        (
            &[
                "dead-letters",
                "redrive",
                "a/b/c",
                "--dry-run",
                "--reason",
                "x",
            ],
            "cannot be used with",
        ),
        (&["dead-letters", "redrive", "--reason", "x"], "ADDRESS"),
        (&["deliveries", "list", "--limit", "0"], "--limit"),
        (&["deliveries", "list", "--limit", "-1"], "-1"),
        (
            &["deliveries", "list", "--limit", "5", "--all"],
            "cannot be used with",
        ),
        (&["deliveries", "show", "a/b"], "<namespace>/<type>/<id>"),
        (&["deliveries", "list", "--type", "a"], "--type"),
        (&["deliveries", "list", "--admin", "localhost"], "host:port"),
        (
            &["deliveries", "list", "--admin", "localhost:99999"],
            "0 to 65535",
        ),
        (
            &["deliveries", "list", "--admin", "ftp://h:1"],
            "the scheme is `ftp`",
        ),
        (&["queues", "--limit", "0"], "1..=1000"),
        (&["queues", "--limit", "1001"], "1..=1000"),
        (&["state", "list", "--id", "a"], "TYPE"),
        (
            &["state", "list", "--data", "x", "--admin", "127.0.0.1:1"],
            "give one of them",
        ),
        (
            &["state", "list", "--data", "x", "--token", "abc"],
            "give one of them",
        ),
        (
            &["run", "--set", "A=1", "--set", "A=2"],
            "--set gives `A` two values",
        ),
        (
            &["check", "--set", "A=1", "--set", "A=2"],
            "--set gives `A` two values",
        ),
        (&["run", "--strict", "--set", "A=1"], "cannot be used with"),
        (&["run", "--on-error", "fail"], "--attempts"),
        (&["run", "--attempts", "0"], "--attempts"),
        (
            &["run", "--data", "x", "--ephemeral"],
            "cannot be used with",
        ),
        (&["run", "--admin", "8191"], "host:port"),
        (&["sink", "9000"], "host:port"),
        (&["sink", ":9000"], "the host is missing"),
        (&["sink", "127.0.0.1:0", "--status", "99"], "200 to 599"),
        (
            &["send", "a/b/c", "x", "--file", "y"],
            "cannot be used with",
        ),
        (&["send", "a/b/c"], "VALUE"),
    ] {
        let (code, out, err) = statefun(args, "127.0.0.1:1").await;
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(told), "{args:?}: {err}");
    }
}

#[tokio::test]
async fn the_folder_may_be_read_while_the_environment_names_a_runtime() {
    let (code, _, err) = statefun(
        &["state", "list", "--data", "no/such/folder"],
        "127.0.0.1:1",
    )
    .await;
    assert_eq!(code, 1);
    assert!(err.contains("no/such/folder is not a data folder"), "{err}");
}

#[tokio::test]
async fn a_filter_that_the_runtime_refuses_ends_the_command_with_its_words() {
    let started = started().await;
    let admin = started.url("admin api", "");
    for (args, told) in [
        (
            &["dead-letters", "list", "--why", "permanant"][..],
            "`permanant` is not known here; expected one of",
        ),
        (
            &["deliveries", "list", "--state", "waiting"],
            "`state` is one of acknowledged",
        ),
        (
            &["deliveries", "list", "--target", "http://h/hook"],
            "scheme, host and port",
        ),
        (
            &["deliveries", "list", "--after", "x"],
            "`after` is the `next`",
        ),
    ] {
        let (code, out, err) = statefun(args, &admin).await;
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains(told), "{args:?}: {err}");
    }
}
