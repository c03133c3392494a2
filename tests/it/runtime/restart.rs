//! What survives a restart.

use stateful_functions::runtime::{Runtime, StartError};

use super::{SAMPLES, Started, text};

/// Runs `work` on an executor of its own, which is dropped afterwards with all that still ran: as after a crash.
fn crashing<T>(work: impl Future<Output = T>) -> T {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let result = executor.block_on(work);
    drop(executor);
    result
}

#[test]
fn state_and_waiting_timers_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let data = folder.path().join("data");
    let module = format!(
        "{SAMPLES}---\nkind: statefun.file.v1/egress\nspec: {{id: statefun.samples/out, path: '{}'}}\n",
        out.display()
    );
    crashing(async {
        let started = Started::on_disk(&data, &module).await;
        assert_eq!(
            text(
                &started
                    .post("/call/statefun.samples/counter/a", &[], "5")
                    .await
            ),
            "5"
        );
        let json = [("content-type", "application/json")];
        let body = r#"{"after":"300ms","text":"still there"}"#;
        assert_eq!(
            started
                .post("/send/statefun.samples/reminder/a", &json, body)
                .await
                .status,
            202
        );
    });
    crashing(async {
        let started = Started::on_disk(&data, &module).await;
        assert_eq!(
            text(
                &started
                    .post("/call/statefun.samples/counter/a", &[], "1")
                    .await
            ),
            "6"
        );
        while !tokio::fs::read_to_string(&out)
            .await
            .unwrap_or_default()
            .contains("still there")
        {
            tokio::task::yield_now().await;
        }
    });
}

#[tokio::test]
async fn an_answer_is_remembered_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let key = [("idempotency-key", "once")];
    for _ in 0..3 {
        let started = Started::on_disk(folder.path(), SAMPLES).await;
        assert_eq!(
            text(
                &started
                    .post("/call/statefun.samples/counter/a", &key, "4")
                    .await
            ),
            "4"
        );
        started.runtime.shutdown().await;
    }
    let started = Started::on_disk(folder.path(), SAMPLES).await;
    assert_eq!(
        text(
            &started
                .post("/call/statefun.samples/counter/a", &[], "0")
                .await
        ),
        "4"
    );
}

#[tokio::test]
async fn r_04_a_second_runtime_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Runtime::builder()
        .data(folder.path())
        .start()
        .await
        .unwrap();
    let second = Runtime::builder().data(folder.path()).start().await;
    assert!(matches!(second, Err(StartError::Storage(_))), "{second:?}");
}
