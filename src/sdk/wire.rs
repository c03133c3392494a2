//! Reads and writes protobuf fields by hand, where generated code would copy bytes that are only inspected or passed on.

/// The bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid protobuf message: {0}")]
pub(crate) struct WireError(pub(crate) &'static str);

/// The value of one field; what its number means is up to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Field<'a> {
    pub(crate) const fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError("a field has an unexpected wire type")),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, WireError> {
        text(self.bytes()?)
    }

    pub(crate) const fn bool(self) -> Result<bool, WireError> {
        match self {
            Self::Varint(number) => Ok(number != 0),
            _ => Err(WireError("a field has an unexpected wire type")),
        }
    }
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| WireError("a text field is not UTF-8"))
}

/// The position of some bytes within others, of less than 4 GiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// The position of `part`, a slice of `whole`, in it.
    #[inline]
    pub(crate) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Self::new(start, part.len())
    }

    /// The `len` bytes before `end`.
    #[inline]
    pub(crate) const fn ending_at(end: usize, len: usize) -> Self {
        Self::new(end - len, len)
    }

    #[inline]
    const fn new(start: usize, len: usize) -> Self {
        Self {
            start: start as u32,
            len: len as u32,
        }
    }

    /// The bytes at this position in `whole`.
    #[inline]
    pub(crate) fn in_bytes(self, whole: &[u8]) -> &[u8] {
        let start = self.start as usize;
        let end = start.saturating_add(self.len as usize);
        whole.get(start..end).unwrap_or_default()
    }
}

/// The fields of a message, in order. Groups, which proto3 does not have, are skipped.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The common case: a field number below 16, and content shorter than 128 bytes.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, WireError> {
        match *self.0 {
            [key @ 0x08..0x80, len @ ..0x80, ref rest @ ..] if key & 7 == 2 => {
                if let Some((content, rest)) = rest.split_at_checked(usize::from(len)) {
                    self.0 = rest;
                    return Ok(Some((u32::from(key >> 3), Field::Bytes(content))));
                }
            }
            [key @ 0x08..0x80, number @ ..0x80, ref rest @ ..] if key & 7 == 0 => {
                self.0 = rest;
                return Ok(Some((u32::from(key >> 3), Field::Varint(number.into()))));
            }
            [] => return Ok(None),
            _ => {}
        }
        self.next_of_any_kind()
    }

    fn next_of_any_kind(&mut self) -> Result<Option<(u32, Field<'a>)>, WireError> {
        while !self.0.is_empty() {
            let key = self.varint()?;
            let number = u32::try_from(key >> 3).unwrap_or(0);
            if number == 0 || number >= 1 << 29 {
                return Err(WireError("a field number is out of range"));
            }
            match key & 7 {
                GROUP_START => self.skip_group(number)?,
                wire_type => return Ok(Some((number, self.field(wire_type)?))),
            }
        }
        Ok(None)
    }

    #[inline]
    fn field(&mut self, wire_type: u64) -> Result<Field<'a>, WireError> {
        Ok(match wire_type {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.array()?),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| TRUNCATED)?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(self.array()?),
            _ => return Err(WireError("a field has an unknown wire type")),
        })
    }

    fn skip_group(&mut self, number: u32) -> Result<(), WireError> {
        let mut open = vec![u64::from(number)];
        while let Some(&innermost) = open.last() {
            let key = self.varint()?;
            match key & 7 {
                GROUP_START if open.len() < MAX_GROUP_DEPTH => open.push(key >> 3),
                GROUP_END if key >> 3 == innermost => _ = open.pop(),
                wire_type => _ = self.field(wire_type)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        if let Some((&byte, rest)) = self.0.split_first()
            && byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(TRUNCATED)?;
            self.0 = rest;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(WireError("a number has too many bytes"))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(*taken)
    }
}

const GROUP_START: u64 = 3;
const GROUP_END: u64 = 4;
const MAX_GROUP_DEPTH: usize = 100;
const TRUNCATED: WireError = WireError("it ends within a field");

/// The length of `number` as a varint.
#[inline]
pub(crate) const fn varint_len(number: usize) -> usize {
    if number < 0x80 {
        return 1;
    }
    let bits = (usize::BITS - (number | 1).leading_zeros()) as usize;
    bits.div_ceil(7)
}

/// The length of a length-delimited field with a number below 16.
#[inline]
pub(crate) const fn field_len(content: usize) -> usize {
    1 + varint_len(content) + content
}

/// [`field_len`], or nothing for no bytes: proto3 leaves them out.
#[inline]
pub(crate) const fn bytes_len(content: &[u8]) -> usize {
    if content.is_empty() {
        0
    } else {
        field_len(content.len())
    }
}

/// See [`bytes_len`].
#[inline]
pub(crate) const fn text_len(text: &str) -> usize {
    bytes_len(text.as_bytes())
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, number: usize) {
    if let Ok(short @ ..0x80) = u8::try_from(number) {
        out.push(short);
    } else {
        put_long_varint(out, number);
    }
}

fn put_long_varint(out: &mut Vec<u8>, number: usize) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// The key of length-delimited field `number` (below 16) and the length of its content, which the caller appends.
#[inline]
pub(crate) fn put_header(out: &mut Vec<u8>, number: u8, len: usize) {
    let key = number << 3 | 2;
    if let Ok(short @ ..0x80) = u8::try_from(len) {
        out.extend_from_slice(&[key, short]);
    } else {
        out.push(key);
        put_long_varint(out, len);
    }
}

/// Like [`put_header`], if the length is not known yet; the content follows. Returns the position of the length.
pub(crate) fn put_open_header(out: &mut Vec<u8>, number: u8) -> usize {
    out.extend_from_slice(&[number << 3 | 2, 0]);
    out.len() - 1
}

/// Writes the length of what was appended since at `place`, and returns it; without content the header is removed.
pub(crate) fn close_header(out: &mut Vec<u8>, place: usize) -> usize {
    let len = out.len() - place - 1;
    if len == 0 {
        out.truncate(place - 1);
    } else if let (Some(length), Ok(short @ ..0x80)) = (out.get_mut(place), u8::try_from(len)) {
        *length = short;
    } else {
        let mut length = Vec::new();
        put_varint(&mut length, len);
        out.splice(place..=place, length);
    }
    len
}

#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    put_header(out, number, content.len());
    out.extend_from_slice(content);
}

#[inline]
pub(crate) fn put_text(out: &mut Vec<u8>, number: u8, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Field<'_>)>, WireError> {
        let mut fields = Fields::of(bytes);
        let mut found = Vec::new();
        while let Some(field) = fields.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn every_wire_type_is_read_and_groups_are_skipped() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: 150
            0x13, 0x08, 0x01, 0x1B, 0x1C, 0x14, // group 2 with a group 3 inside
            0x1A, 0x02, b'h', b'i', // 3: "hi"
            0x25, 1, 0, 0, 0, // 4: fixed 1
            0x29, 2, 0, 0, 0, 0, 0, 0, 0, // 5: fixed 2
        ];
        assert_eq!(
            all(&bytes).unwrap(),
            [
                (1, Field::Varint(150)),
                (3, Field::Bytes(b"hi")),
                (4, Field::Fixed32([1, 0, 0, 0])),
                (5, Field::Fixed64([2, 0, 0, 0, 0, 0, 0, 0])),
            ]
        );
    }

    #[test]
    fn what_is_cut_off_or_impossible_is_refused() {
        for bad in [
            &[0x08][..],
            &[0x0A, 0x05, b'h'],
            &[0x0D, 1, 2],
            &[0x13, 0x08, 0x01],
            &[0x14],
            &[0x0F],
            &[0x00, 0x01],
            &[
                0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02,
            ],
            &[0xFF; 12],
        ] {
            assert!(all(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_what_is_written() {
        for number in [0, 1, 127, 128, 16_383, 16_384, usize::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(out.len(), varint_len(number), "{number}");
            let mut fields = Fields::of(&out);
            assert_eq!(fields.varint(), Ok(number as u64));
        }
    }
}
