//! Makes log lines printable: a field may hold what a destination answered or a message contains.

use std::fmt;
use std::io::{self, Write};

use stateful_functions::printable;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// Writes the fields of a line of text, `name=value` after `name=value`.
pub(crate) fn printable_fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    debug_fn(|writer: &mut Writer<'_>, field, value: &dyn fmt::Debug| {
        let value = format!("{value:?}");
        let value = printable::text(&value);
        match field.name() {
            "message" => write!(writer, "{value}"),
            name => write!(
                writer,
                "{}={value}",
                name.strip_prefix("r#").unwrap_or(name)
            ),
        }
    })
    .delimited(" ")
}

/// A writer for lines of JSON.
pub(crate) struct PrintableJson<W>(pub(crate) W);

impl<W: Write> Write for PrintableJson<W> {
    /// It is given whole lines, so no character is split.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write_all(printable::json(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn fields_of_a_line_are_printable() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(printable_fields())
            .finish();
        let outside = "gone\u{1b}[2J\nINFO all is well";
        tracing::subscriber::with_default(log, || {
            let _span = tracing::info_span!("call", id = outside).entered();
            tracing::warn!(error = %outside, attempt = 3, "an export failed");
        });
        let told = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(
            !told.trim_end().contains(printable::is_unprintable),
            "{told}"
        );
        assert!(
            told.contains(r"an export failed error=gone\u{1b}[2J\nINFO all is well attempt=3"),
            "{told}"
        );
    }

    #[test]
    fn a_line_of_json_keeps_its_meaning_and_its_end() {
        let mut writer = PrintableJson(Vec::new());
        let line = "{\"error\":\"\u{9b}2J\"}\n";
        assert_eq!(writer.write(line.as_bytes()).unwrap(), line.len());
        assert_eq!(writer.0, b"{\"error\":\"\\u009b2J\"}\n");
    }
}
