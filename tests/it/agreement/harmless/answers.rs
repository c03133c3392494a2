//! What is taken for an answer, and what is asked for again.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use stateful_functions::protocol::reqreply::FromFunction;

use super::super::host::OUT;
use super::super::script::{Entry, Script};
use super::TYPE;
use crate::support::reply::Reply;
use crate::support::scripted::Step;

pub(super) const SCRIPTS: &[Entry] = &[
    ("answers_that_count", |s| {
        let sends = |text| {
            FromFunction {
                response: Some(Reply::new().egress(OUT, text).0),
            }
            .encode_to_vec()
        };
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&sends("counts gzip")).unwrap();
        let chunked = sends("counts chunked");
        let chunks = [
            format!(
                "HTTP/1.1 200 OK\r\n{TYPE}transfer-encoding: chunked\r\n\r\n{:x}\r\n",
                chunked.len()
            )
            .as_bytes(),
            &chunked,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        let closing = format!("{TYPE}connection: close\r\n");
        s.answers(
            "x",
            [
                Step::answer(
                    "200 OK",
                    &format!("{TYPE}content-encoding: gzip\r\n"),
                    &gzip.finish().unwrap(),
                ),
                Step::raw(chunks),
                Step::answer("200 OK", &closing, &sends("counts closed")).closing(),
                Step::answer("201 Created", TYPE, &sends("counts 201")),
                Step::answer("299 Odd", TYPE, &sends("counts 299")),
                Step::body("APPLICATION/octet-STREAM", &sends("counts case")),
            ],
        );
        for count in 1..=6 {
            s.feed("x", "");
            s.calls("x", count);
            s.records(count);
        }
    }),
    ("statuses", |s| {
        let refused = [
            "404 Not Found",
            "400 Bad Request",
            "500 Internal Server Error",
            "503 Service Unavailable",
            "429 Too Many Requests",
            "100",
            "999 Odd",
        ];
        let refused = refused.iter().filter(|status| **status != "100");
        faulty(s, refused.map(|status| Step::status(status)));
    }),
    ("redirects", |s| {
        let to = "location: /elsewhere\r\n";
        faulty(
            s,
            [
                "301 Moved Permanently",
                "302 Found",
                "303 See Other",
                "307 Temporary Redirect",
                "308 Permanent Redirect",
            ]
            .map(|status| Step::answer(status, to, b"")),
        );
    }),
    ("content_types", |s| {
        let types = [
            "application/octet-stream; charset=utf-8",
            "application/octet-stream;",
            "text/plain",
            "",
            "application/json",
        ];
        faulty(s, types.map(|content_type| Step::body(content_type, b"")));
    }),
    ("no_content", |s| {
        // 204 has no content type.
        faulty(s, [Step::raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())]);
    }),
    ("garbage", |s| {
        faulty(s, [Step::body("application/octet-stream", b"garbage")]);
    }),
    ("cut_values", |s| {
        let cut: Option<&[u8]> = Some(b"\x0a\x7f");
        let no_text: Option<&[u8]> = Some(b"\x0a\x02\xff\xff");
        let bytes = || Some(Bytes::from_static(b"\x0a\x7f"));
        let x = s.at("x");
        faulty(
            s,
            [
                Reply::new().send_raw(&x, cut),
                Reply::new().send_raw(&x, no_text),
                Reply::new().mutate(1, "v", bytes()),
                Reply::new().mutate(0, "v", bytes()),
                Reply::new().after(1, &x, "").with(|result| {
                    result.delayed_invocations[0].argument = bytes();
                }),
                Reply::new().egress(OUT, "").with(|result| {
                    result.outgoing_egresses[0].argument = bytes();
                }),
            ]
            .map(Step::reply),
        );
    }),
    ("cut_inside", |s| {
        faulty(
            s,
            [Step::body(
                "application/octet-stream",
                b"\xA2\x06\x02\x0A\x7F",
            )],
        );
    }),
    ("broken_connections", |s| {
        let half = format!("HTTP/1.1 200 OK\r\n{TYPE}content-length: 10\r\n\r\n12345");
        faulty(
            s,
            [
                Step::reset_after(""),
                Step::close_after(""),
                Step::reset_after("HTTP/1.1 200 OK\r\n"),
                Step::close_after("HTTP/1.1 200 OK\r\n"),
                Step::reset_after(&half),
                Step::close_after(&half),
                Step::close_after("this is not HTTP\r\n\r\n"),
            ],
        );
    }),
    ("oversize", |s| {
        let bytes = vec![0; (32 << 20) + 1];
        faulty(s, [Step::body("application/octet-stream", &bytes)]);
    }),
    ("okhttp_statuses", |s| {
        s.behind("okhttp");
        let retried = [
            "408 Request Timeout",
            "409 Conflict",
            "420 Odd",
            "429 Too Many Requests",
            "499 Odd",
            "500 Internal Server Error",
            "503 Service Unavailable",
            "599 Odd",
        ];
        faulty(s, retried.map(|status| Step::status(status).closing()));
    }),
    ("okhttp_broken_connections", |s| {
        s.behind("okhttp");
        faulty(
            s,
            [
                Step::close_after(""),
                Step::close_after("HTTP/1.1 200 OK\r\n"),
            ],
        );
    }),
    ("okhttp_answers_that_count", |s| {
        s.behind("okhttp");
        let sends = |text| {
            FromFunction {
                response: Some(Reply::new().egress(OUT, text).0),
            }
            .encode_to_vec()
        };
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&sends("okhttp gzip")).unwrap();
        s.answers(
            "x",
            [
                Step::answer(
                    "200 OK",
                    &format!("{TYPE}content-encoding: gzip\r\n"),
                    &gzip.finish().unwrap(),
                ),
                Step::answer("201 Created", TYPE, &sends("okhttp 201")),
            ],
        );
        for count in 1..=2 {
            s.feed("x", "");
            s.calls("x", count);
            s.records(count);
        }
    }),
];

/// Each of these answers is one to the same message; the last one takes it.
fn faulty(s: &mut Script, steps: impl IntoIterator<Item = Step>) {
    let steps: Vec<Step> = steps.into_iter().collect();
    let count = steps.len() + 1;
    s.answers("x", steps);
    s.feed("x", "1");
    s.calls("x", count);
    s.feed("x", "2");
    s.calls("x", count + 1);
}
