//! The fixed big-endian layout of everything that is hashed or signed.
//!
//! Written by hand, field by field, so that a second implementation needs only the formats page: integers
//! are big-endian and fixed-width, variable bytes carry a u32 length, options a 0/1 byte, lists a u32 count.

use crate::crypto::{Digest, PublicKey, Signature};

/// Builds canonical bytes.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty layout.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty layout with room for so many bytes: growing step by step costs more than writing.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Eight bytes, big-endian, two's complement.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Bytes of a length that the layout fixes.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// 32 bytes.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.raw(digest.as_bytes())
    }

    /// 32 bytes.
    pub fn public_key(&mut self, key: &PublicKey) -> &mut Self {
        self.raw(key.as_bytes())
    }

    /// 64 bytes.
    pub fn signature(&mut self, signature: &Signature) -> &mut Self {
        self.raw(signature.as_bytes())
    }

    /// A u32 length, then the bytes.
    ///
    /// # Panics
    /// When the bytes exceed `u32::MAX`, which no bounded type reaches.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    /// A u32 length, then UTF-8.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// The u32 count that precedes a list.
    ///
    /// # Panics
    /// When the count exceeds `u32::MAX`, which no bounded type reaches.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(
            u32::try_from(count).unwrap_or_else(|_| panic!("list of {count} elements in a bounded type")),
        )
    }

    /// A 0/1 byte, then the value if there is one.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
                self
            }
        }
    }

    /// The finished bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Canonical bytes that do not follow their layout.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("canonical bytes at offset {at}: {problem}")]
pub struct CanonicalError {
    /// Offset of the flaw.
    pub at: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

/// Reads canonical bytes; every read is bounds-checked.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// An error at the current offset.
    pub fn error(&self, problem: &'static str) -> CanonicalError {
        CanonicalError { at: self.at, problem }
    }

    /// Bytes of a length that the layout fixes.
    ///
    /// # Errors
    /// When fewer bytes are left.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], CanonicalError> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.error("too short"));
        };
        let slice = &self.bytes[self.at..end];
        self.at = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CanonicalError> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N)?);
        Ok(out)
    }

    /// One byte.
    ///
    /// # Errors
    /// When no byte is left.
    pub fn u8(&mut self) -> Result<u8, CanonicalError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// When fewer bytes are left.
    pub fn u16(&mut self) -> Result<u16, CanonicalError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// When fewer bytes are left.
    pub fn u32(&mut self) -> Result<u32, CanonicalError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// When fewer bytes are left.
    pub fn u64(&mut self) -> Result<u64, CanonicalError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Eight bytes, big-endian, two's complement.
    ///
    /// # Errors
    /// When fewer bytes are left.
    pub fn i64(&mut self) -> Result<i64, CanonicalError> {
        self.array().map(i64::from_be_bytes)
    }

    /// 32 bytes.
    ///
    /// # Errors
    /// When fewer bytes are left.
    pub fn digest(&mut self) -> Result<Digest, CanonicalError> {
        self.array().map(Digest::new)
    }

    /// 32 bytes.
    ///
    /// # Errors
    /// When fewer bytes are left.
    pub fn public_key(&mut self) -> Result<PublicKey, CanonicalError> {
        self.array().map(PublicKey::new)
    }

    /// 64 bytes.
    ///
    /// # Errors
    /// When fewer bytes are left.
    pub fn signature(&mut self) -> Result<Signature, CanonicalError> {
        self.array().map(Signature::new)
    }

    /// A u32 length, at most `limit`, then the bytes.
    ///
    /// # Errors
    /// When the length exceeds the limit or the input.
    pub fn bytes(&mut self, limit: usize) -> Result<&'a [u8], CanonicalError> {
        let len = self.count(limit)?;
        self.raw(len)
    }

    /// A u32 length in bytes, at most `limit`, then UTF-8.
    ///
    /// # Errors
    /// When the length exceeds the limit or the bytes are no UTF-8.
    pub fn text(&mut self, limit: usize) -> Result<String, CanonicalError> {
        let at = self.at;
        let bytes = self.bytes(limit)?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| CanonicalError { at, problem: "text is not UTF-8" })
    }

    /// The u32 count before a list, at most `limit`.
    ///
    /// # Errors
    /// When the count exceeds the limit.
    pub fn count(&mut self, limit: usize) -> Result<usize, CanonicalError> {
        let at = self.at;
        let count = self.u32()? as usize;
        if count > limit {
            return Err(CanonicalError { at, problem: "longer than its limit" });
        }
        Ok(count)
    }

    /// A 0/1 byte, then the value if it is 1.
    ///
    /// # Errors
    /// When the byte is neither, or the value is malformed.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CanonicalError>,
    ) -> Result<Option<T>, CanonicalError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(CanonicalError { at: self.at - 1, problem: "option byte is neither 0 nor 1" }),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When bytes are left.
    pub fn finish(self) -> Result<(), CanonicalError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("bytes after the value")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new();
        writer.u8(1).u16(2).u32(3).u64(4).text("文").option(Some(5_u64), |w, v| {
            w.u64(v);
        });
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.u8(), reader.u16(), reader.u32(), reader.u64()), (Ok(1), Ok(2), Ok(3), Ok(4)));
        assert_eq!(reader.text(3), Ok("文".to_owned()));
        assert_eq!(reader.option(Reader::u64), Ok(Some(5)));
        reader.finish().unwrap();
    }

    #[test]
    fn limits_and_flags_are_checked() {
        let mut writer = Writer::new();
        writer.text("long").u8(2);
        let bytes = writer.finish();
        assert_eq!(
            Reader::new(&bytes).text(3),
            Err(CanonicalError { at: 0, problem: "longer than its limit" })
        );
        let mut reader = Reader::new(&bytes);
        reader.text(4).unwrap();
        assert!(reader.option(Reader::u8).is_err());
        assert_eq!(Reader::new(&[1]).u16(), Err(CanonicalError { at: 0, problem: "too short" }));
    }
}
