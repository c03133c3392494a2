//! `gzip: {}` and `zlib: {}`: compresses the payload. Equal input gives equal bytes: no time is written into them.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::super::record::Record;
use super::super::stage::{Answer, Stage, refuse};
use super::{Builtin, StageKind};
use crate::document::At;

#[derive(Debug)]
pub(in crate::pipeline) struct Compress {
    format: Format,
    level: Compression,
    base64: bool,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) enum Format {
    Gzip,
    Zlib,
}

pub(super) fn read_gzip(node: At<'_>) -> Option<StageKind> {
    read(node, Format::Gzip)
}

pub(super) fn read_zlib(node: At<'_>) -> Option<StageKind> {
    read(node, Format::Zlib)
}

fn read(node: At<'_>, format: Format) -> Option<StageKind> {
    let fields = node.fields()?;
    let level = fields.get("level").map_or(Some(6), |node| {
        let level = node.whole()?;
        u32::try_from(level)
            .ok()
            .filter(|level| *level <= 9)
            .or_else(|| node.fault("must be 0 (none) to 9 (best)"))
    });
    let base64 = fields
        .get("base64")
        .map_or(Some(false), |node| node.boolean());
    fields.finish();
    Some(StageKind::pure(Compress {
        format,
        level: Compression::new(level?),
        base64: base64?,
    }))
}

impl Builtin for Compress {}

impl Stage for Compress {
    fn apply(&self, record: &mut Record) -> Answer {
        if !record.content_encoding().is_empty() {
            return refuse(format_args!(
                "the payload is already {}",
                record.content_encoding()
            ));
        }
        let compressed = match self.compress(&record.payload()) {
            Ok(compressed) => compressed,
            Err(err) => return refuse(err),
        };
        if self.base64 {
            record.set_payload(STANDARD.encode(compressed), "text/plain");
        } else {
            let content_type = record.content_type().to_owned();
            record.set_payload(compressed, content_type);
            record.set_content_encoding(self.format.content_encoding());
        }
        Answer::Continue
    }
}

impl Compress {
    /// Its format.
    #[cfg(feature = "edgex")]
    pub(in crate::pipeline) const fn format(&self) -> Format {
        self.format
    }

    /// The stage that makes base64 text of the compressed bytes.
    #[cfg(feature = "edgex")]
    pub(in crate::pipeline) const fn as_text(format: Format) -> Self {
        Self {
            format,
            level: Compression::new(6),
            base64: true,
        }
    }

    fn compress(&self, payload: &[u8]) -> std::io::Result<Vec<u8>> {
        match self.format {
            Format::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), self.level);
                encoder.write_all(payload)?;
                encoder.finish()
            }
            Format::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), self.level);
                encoder.write_all(payload)?;
                encoder.finish()
            }
        }
    }
}

impl Format {
    /// HTTP's name: what it calls `deflate` is the zlib format.
    const fn content_encoding(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "deflate",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use serde_json::json;

    use super::super::tests::{apply, faults};
    use super::*;

    const TEXT: &str = "This is the test string used for testing";

    fn decoded(kind: &str, bytes: &[u8]) -> String {
        let mut text = String::new();
        match kind {
            "gzip" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
            _ => flate2::read::ZlibDecoder::new(bytes).read_to_string(&mut text),
        }
        .unwrap();
        text
    }

    #[test]
    fn pl_11_compressed_text_decodes_to_itself_and_repeats_exactly() {
        for kind in ["gzip", "zlib"] {
            let stage = json!({kind: {"base64": true}});
            let (mut one, mut two) = (Record::new(TEXT), Record::new(TEXT));
            assert_eq!(apply(&stage, &mut one), Answer::Continue);
            assert_eq!(apply(&stage, &mut two), Answer::Continue);
            assert_eq!(one.payload(), two.payload());
            assert_eq!(one.content_type(), "text/plain");
            assert_eq!(
                decoded(kind, &STANDARD.decode(one.payload()).unwrap()),
                TEXT
            );
        }
    }

    #[test]
    fn without_base64_the_content_type_stays_and_the_encoding_is_named() {
        for (kind, encoding) in [("gzip", "gzip"), ("zlib", "deflate")] {
            let mut record = Record::new(TEXT).with_content_type("application/json");
            assert_eq!(apply(&json!({kind: null}), &mut record), Answer::Continue);
            assert_eq!(record.content_type(), "application/json");
            assert_eq!(record.content_encoding(), encoding);
            assert_eq!(decoded(kind, &record.payload()), TEXT);
            assert!(matches!(
                apply(&json!({kind: {}}), &mut record),
                Answer::Fail(_)
            ));
        }
    }

    #[test]
    fn a_level_beyond_nine_is_a_fault() {
        assert_eq!(faults(&json!({"gzip": {"level": 10}})).len(), 1);
    }
}
