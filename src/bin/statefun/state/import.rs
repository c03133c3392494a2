//! `statefun state import`: the lines of an export, in requests of bounded size.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context, bail};
use http::{HeaderValue, Method};
use serde_json::json;
use stateful_functions::printable::counted;

use crate::admin::Admin;
use crate::input;
use crate::output;

/// A request is sent once its lines have this many bytes; the server accepts 8 MiB.
const REQUEST_BYTES: usize = 1 << 20;
/// The longest line.
const MAX_LINE_BYTES: u64 = 7 << 20;

pub(super) async fn run(file: &Path, admin: &Admin, as_json: bool) -> anyhow::Result<()> {
    let name = file.display();
    let mut lines: Box<dyn BufRead + Send> = if file == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {name}"))?;
        Box::new(BufReader::new(opened))
    };
    let (mut read, mut imported) = (0_usize, 0_usize);
    loop {
        let (mut body, first) = (Vec::new(), read + 1);
        while body.len() < REQUEST_BYTES {
            let before = body.len();
            let mut line = lines.by_ref().take(MAX_LINE_BYTES + 1);
            let taken = line.read_until(b'\n', &mut body);
            if taken.with_context(|| format!("cannot read {name}"))? == 0 {
                break;
            }
            read += 1;
            if (body.len() - before) as u64 > MAX_LINE_BYTES {
                bail!("{name}:{read}: a line longer than {MAX_LINE_BYTES} bytes");
            }
        }
        if body.is_empty() {
            break;
        }
        let body = input::text_from(body, first).with_context(|| format!("cannot read {name}"))?;
        imported += send(admin, body, first).await.with_context(|| {
            let before = counted(imported, "value");
            format!("{name}: lines {first} to {read} were refused (before them {before} imported); correct the file and import it again")
        })?;
    }
    if as_json {
        output::json(&json!({"imported": imported}))?;
    } else {
        output::line(format!("{} imported", counted(imported, "value")))?;
    }
    Ok(())
}

async fn send(admin: &Admin, body: String, first: usize) -> anyhow::Result<usize> {
    let path = format!("/api/state/import?first_line={first}");
    let mut request = admin.request(Method::POST, &path)?;
    let content_type = HeaderValue::from_static("application/jsonl");
    request.headers.insert("content-type", content_type);
    request.body = body.into();
    let answer: serde_json::Value = crate::admin::read_json(&admin.send(request).await?.body)?;
    let count = answer.get("imported").and_then(serde_json::Value::as_u64);
    usize::try_from(count.context("the answer does not say how many")?).map_err(Into::into)
}
