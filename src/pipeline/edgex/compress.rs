//! `Compress`: compressed bytes as base64 text.

use super::super::record::Record;
use super::super::stage::{Answer, Stage};
use super::super::stages::compress::{self, Format};
use super::super::stages::{Builtin, StageKind};
use super::parameters::Parameters;

#[derive(Debug)]
struct Compress(compress::Compress);

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let text = parameters.required("Algorithm");
    let format = text.and_then(|text| {
        let format = match text.trim().to_ascii_lowercase().as_str() {
            "gzip" => Ok(Format::Gzip),
            "zlib" => Ok(Format::Zlib),
            _ => Err(format!("`{text}` is not an algorithm; known: gzip, zlib")),
        };
        parameters.check("Algorithm", format)
    });
    parameters.finish(format.map(stage))
}

pub(super) fn gzip(parameters: Parameters<'_>) -> Option<StageKind> {
    parameters.finish(Some(stage(Format::Gzip)))
}

pub(super) fn zlib(parameters: Parameters<'_>) -> Option<StageKind> {
    parameters.finish(Some(stage(Format::Zlib)))
}

fn stage(format: Format) -> StageKind {
    StageKind::pure(Compress(compress::Compress::as_text(format)))
}

impl Builtin for Compress {
    fn variant(&self) -> &'static str {
        match self.0.format() {
            Format::Gzip => "gzip",
            Format::Zlib => "zlib",
        }
    }
}

impl Stage for Compress {
    fn apply(&self, record: &mut Record) -> Answer {
        let answer = self.0.apply(record);
        if answer == Answer::Continue {
            record.set_response_content_type("text/plain");
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::super::tests::{applied, faults};
    use super::*;

    const TEXT: &str = "This is the test string used for testing";

    #[test]
    fn pl_11_compressed_text_decodes_to_itself_and_repeats_exactly() {
        for (stage, is_gzip) in [
            (json!({"Compress": {"Algorithm": "GZip"}}), true),
            (json!({"CompressWithGZIP": {}}), true),
            (json!({"Compress": {"algorithm": "zlib"}}), false),
            (json!({"CompressWithZLIB": null}), false),
        ] {
            let (mut one, mut two) = (Record::new(TEXT), Record::new(TEXT));
            assert_eq!(applied(&stage, &mut one), Answer::Continue);
            assert_eq!(applied(&stage, &mut two), Answer::Continue);
            assert_eq!(one.payload(), two.payload());
            assert_eq!(one.content_type(), "text/plain");
            assert_eq!(one.response_content_type(), "text/plain");
            let bytes = STANDARD.decode(one.payload()).unwrap();
            let mut text = String::new();
            match is_gzip {
                true => flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text),
                false => flate2::read::ZlibDecoder::new(&*bytes).read_to_string(&mut text),
            }
            .unwrap();
            assert_eq!(text, TEXT);
        }
    }

    #[test]
    fn an_unknown_algorithm_is_a_fault() {
        assert_eq!(
            faults(&json!({"Compress": {"Algorithm": "lz4"}})),
            ["stages[0].Compress.Algorithm: `lz4` is not an algorithm; known: gzip, zlib"]
        );
    }
}
