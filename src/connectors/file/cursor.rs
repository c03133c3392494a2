//! Cuts the bytes of a file into lines, and counts bytes and lines. Pure.

use std::io::BufRead as _;

/// The byte order mark that some programs write at the beginning of a file.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Where reading continues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Bytes before it.
    pub(super) byte: u64,
    /// Lines that begin before it.
    pub(super) line: u64,
    pub(super) within: Within,
}

/// Where in a line a cursor is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Within {
    /// At its start.
    #[default]
    Nothing,
    /// Behind a record that was taken although its line feed was missing.
    Taken,
    /// In the rest of a line that is too long.
    TooLong,
}

/// A line that is not blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: u64,
    /// Its first byte in the file.
    pub(super) byte: u64,
    pub(super) content: Content<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// The line without line end, byte order mark, and the zero bytes that a truncated file may begin with.
    Text(&'a [u8]),
    /// The first bytes of a line that is too long; its rest is skipped.
    TooLong(&'a [u8]),
    /// Text that was added to the line of a record that had been taken.
    Added(&'a [u8]),
}

impl Cursor {
    /// Takes the lines at the front of `bytes`, which are behind the cursor, up to the last line feed. Returns how many bytes that is.
    pub(super) fn take<'a>(
        &mut self,
        bytes: &'a [u8],
        max_line_bytes: usize,
        mut each: impl FnMut(Line<'a>),
    ) -> usize {
        let mut rest = bytes;
        loop {
            let mut behind = rest;
            let length = behind.skip_until(b'\n').unwrap_or_default();
            let line = rest.get(..length).unwrap_or_default();
            match line.strip_suffix(b"\n") {
                Some(text) => self.ends(text, length, max_line_bytes, &mut each),
                None if self.within == Within::TooLong => self.byte += of(length),
                None if length > max_line_bytes => {
                    self.begin(Content::TooLong(line), &mut each);
                    self.byte += of(length);
                    self.within = Within::TooLong;
                }
                None => return bytes.len() - rest.len(),
            }
            rest = behind;
            if rest.is_empty() {
                return bytes.len();
            }
        }
    }

    /// Takes `bytes`, which are behind the cursor and have no line feed, as a line.
    pub(super) fn take_last<'a>(&mut self, bytes: &'a [u8], mut each: impl FnMut(Line<'a>)) {
        self.text(bytes, &mut each);
        self.byte += of(bytes.len());
        if self.within == Within::Nothing {
            self.within = Within::Taken;
        }
    }

    /// The end of a line, with `length` bytes up to its line feed.
    fn ends<'a>(
        &mut self,
        text: &'a [u8],
        length: usize,
        max_line_bytes: usize,
        each: &mut impl FnMut(Line<'a>),
    ) {
        if self.within == Within::Nothing && text.len() > max_line_bytes {
            self.begin(Content::TooLong(text), each);
        } else {
            self.text(text, each);
        }
        self.byte += of(length);
        self.within = Within::Nothing;
    }

    fn text<'a>(&mut self, text: &'a [u8], each: &mut impl FnMut(Line<'a>)) {
        match self.within {
            Within::Nothing => self.begin(Content::Text(self.cleaned(text)), each),
            Within::Taken if !text.trim_ascii().is_empty() => each(Line {
                number: self.line,
                byte: self.byte,
                content: Content::Added(text.trim_ascii()),
            }),
            Within::Taken | Within::TooLong => {}
        }
    }

    fn begin<'a>(&mut self, content: Content<'a>, each: &mut impl FnMut(Line<'a>)) {
        self.line += 1;
        if content != Content::Text(b"") {
            each(Line {
                number: self.line,
                byte: self.byte,
                content,
            });
        }
    }

    fn cleaned<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let is_first = self.byte == 0;
        let text = text.strip_prefix(BOM).filter(|_| is_first).unwrap_or(text);
        let zeros = text.iter().take_while(|byte| **byte == 0).count();
        text.get(zeros..).unwrap_or_default().trim_ascii()
    }
}

fn of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken of `bytes` in pieces of `step` bytes: number, byte and content.
    fn taken(bytes: &[u8], step: usize, max: usize) -> Vec<(u64, u64, String)> {
        let (mut cursor, mut seen, mut end) = (Cursor::default(), Vec::new(), 0);
        let mut each = |line: Line<'_>| {
            let text = |kind: &str, text: &[u8]| format!("{kind}{}", text.escape_ascii());
            let content = match line.content {
                Content::Text(bytes) => text("", bytes),
                Content::TooLong(_) => "too long".to_owned(),
                Content::Added(bytes) => text("added ", bytes),
            };
            seen.push((line.number, line.byte, content));
        };
        while end < bytes.len() {
            end = (end + step).min(bytes.len());
            let start = usize::try_from(cursor.byte).unwrap();
            let length = cursor.take(&bytes[start..end], max, &mut each);
            assert_eq!(cursor.byte, (start + length) as u64);
        }
        let start = usize::try_from(cursor.byte).unwrap();
        cursor.take_last(&bytes[start..], &mut each);
        seen
    }

    #[test]
    fn lines_are_the_same_in_whatever_pieces_the_file_is_read() {
        let file =
            b"\xef\xbb\xbfone\r\n\n \t\r\n\0\0\0two\nthree \xff\n0123456789abcdef\n\xef\xbb\xbfx\nlast";
        let expected = [
            (1, 0, "one"),
            (4, 13, "two"),
            (5, 20, "three \\xff"),
            (6, 28, "too long"),
            (7, 45, "\\xef\\xbb\\xbfx"),
            (8, 50, "last"),
        ];
        for step in 1..file.len() {
            let seen = taken(file, step, 15);
            let seen: Vec<_> = seen
                .iter()
                .map(|(n, at, c)| (*n, *at, c.as_str()))
                .collect();
            assert_eq!(seen, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn a_line_whose_record_was_taken_is_one_line_when_its_end_comes() {
        let mut cursor = Cursor::default();
        let mut seen = Vec::new();
        cursor.take_last(b"{}", |line| seen.push((line.number, line.content)));
        assert_eq!((cursor.byte, cursor.within), (2, Within::Taken));
        cursor.take(b"\r\n{}\n", 10, |line| {
            seen.push((line.number, line.content))
        });
        let mut other = Cursor::default();
        other.take_last(b"{}", |_| {});
        other.take(b" more\n", 10, |line| {
            seen.push((line.number, line.content))
        });
        let text = Content::Text(b"{}");
        let added = Content::Added(b"more");
        assert_eq!(seen, [(1, text), (2, text), (1, added)]);
        assert_eq!((cursor.line, other.line), (2, 1));
    }

    #[test]
    fn the_rest_of_a_line_that_is_too_long_is_skipped_however_long_it_is() {
        let mut cursor = Cursor::default();
        let mut seen = Vec::new();
        for piece in [&b"0123456789"[..], b"0123456789", b"0\nnext\n"] {
            let length = cursor.take(piece, 5, |line| seen.push((line.number, line.byte)));
            assert_eq!(length, piece.len());
        }
        assert_eq!(seen, [(1, 0), (2, 22)]);
    }
}
