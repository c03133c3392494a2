//! Kind: a list of any length needs bounded memory. `statefun deliveries list --all --json` with 1,000,000 items collected all of them, and printed one line of 176 MB.

use serde_json::{Value, json};
use stateful_functions::runtime::Runtime;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::cli::{command, statefun};
use crate::runtime::{SAMPLES, Started, admin};
use crate::support::canned::{Answer, Canned, ok};

fn page(count: usize, next: Option<&str>) -> Vec<u8> {
    let item = |n: usize| json!({"address": format!("a/b/{n}"), "state": "awaiting", "attempt": 1});
    let items: Vec<Value> = (0..count).map(item).collect();
    json!({"items": items, "next": next})
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn each_item_is_printed_before_the_next_page_has_come() {
    for args in [
        &["deliveries", "list", "--all"][..],
        &["deliveries", "list", "--all", "--json"],
        &["dead-letters", "list", "--all", "--json"],
        &["dead-letters", "export"],
        &["state", "list", "--all", "--json"],
        &["state", "export"],
    ] {
        // The second page never comes.
        let never = Answer::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_vec());
        let server = Canned::start([ok("", &page(500, Some("cursor"))), never]).await;
        let mut listing = command(args, &server.address.to_string())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(listing.stdout.take().unwrap()).lines();
        for n in 0..500 {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.contains(&format!("a/b/{n}")), "{args:?}: {line}");
        }
        listing.kill().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_printed_piece_by_piece_is_one_json_text() {
    let pages =
        |last: Option<&'static str>| [ok("", &page(500, Some("cursor"))), ok("", &page(3, last))];
    for (args, last, count) in [
        (&["deliveries", "list", "--all", "--json"][..], None, 503),
        (
            &["deliveries", "list", "--limit", "503", "--json"],
            Some("more"),
            503,
        ),
    ] {
        let server = Canned::start(pages(last)).await;
        let (code, out, err) = statefun(args, &server.address.to_string()).await;
        assert_eq!(code, 0, "{err}");
        let list: Vec<Value> = serde_json::from_str(&out).unwrap();
        assert_eq!(list.len(), count);
        let told = "there are more: continue with --after more, or list everything with --all\n";
        assert_eq!(err, last.map_or("", |_| told));
    }
}

#[tokio::test]
async fn an_empty_list_is_an_empty_json_array() {
    for args in [
        &["deliveries", "list", "--json"][..],
        &["dead-letters", "list", "--json"],
        &["state", "list", "--json"],
        &["state", "specs", "list", "--json"],
    ] {
        let empty = Canned::start([ok("", &page(0, None))]).await;
        let (code, out, err) = statefun(args, &empty.address.to_string()).await;
        assert_eq!((code, out.as_str()), (0, "[]\n"), "{args:?}: {err}");
    }
}

#[tokio::test]
async fn a_page_of_large_values_ends_early_and_the_list_goes_on() {
    let started = Started::with(Runtime::builder().admin(admin()), SAMPLES).await;
    let url = started.url("admin api", "");
    let large = "x".repeat(3 << 20);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large");
    std::fs::write(&file, &large).unwrap();
    for n in 0..4 {
        let address = format!("shop/cart/{n}");
        let args = [
            "state",
            "set",
            &address,
            "note",
            "--type",
            "io.statefun.types/string",
            "--file",
            file.to_str().unwrap(),
        ];
        let (code, _, err) = statefun(&args, &url).await;
        assert_eq!(code, 0, "{err}");
    }
    let page = started
        .request(
            http::Method::GET,
            "admin api",
            "/api/state?limit=1000",
            &[],
            "",
        )
        .await;
    let page: Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let (_, out, err) = statefun(&["state", "list", "--json"], &url).await;
    let list: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((list.len(), err.as_str()), (4, ""));
}
