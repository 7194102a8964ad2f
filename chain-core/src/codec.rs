//! The one encoding of the wire and the disk.
//!
//! bincode 2.0.1 through serde with fixed-width little-endian integers, u64 lengths and u32 variants (the
//! bincode 1 layout, so that a maintained byte-compatible crate can take its place). A version byte comes
//! first; each type states its limit; trailing bytes are refused; and a value is accepted only when encoding
//! it again gives the same bytes. Hashes and signatures never cover this encoding: see [`crate::canonical`].

use bincode::config::{Configuration, Fixint, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

const CONFIG: Configuration<LittleEndian, Fixint> =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding();

/// A type that may cross the wire or rest on the disk.
///
/// Implementors hold no maps, floats, recursion or zero-sized elements.
pub trait Wire: Serialize + DeserializeOwned {
    /// Most bytes an encoded value may have, version byte included.
    const LIMIT: usize;
    /// Version byte written first.
    const VERSION: u8 = 1;
}

/// Why bytes are no value of the wanted type, or a value has no encoding.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CodecError {
    /// More bytes than the type allows.
    #[error("{got} bytes, at most {limit} allowed")]
    TooLong {
        /// Bytes found.
        got: usize,
        /// The type's limit.
        limit: usize,
    },
    /// No version byte.
    #[error("empty input")]
    Empty,
    /// Another version of the type.
    #[error("format version {got}, wants {want}")]
    Version {
        /// Version found.
        got: u8,
        /// Version known here.
        want: u8,
    },
    /// Not an encoding of the type.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Bytes after the value.
    #[error("{0} bytes after the value")]
    Trailing(usize),
    /// Decodes, but is not what encoding the value gives.
    #[error("not the canonical encoding of its value")]
    NotCanonical,
}

/// Encodes a value, version byte first.
///
/// # Errors
/// When the value exceeds its type's limit.
pub fn encode<T: Wire>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(T::VERSION);
    bincode::serde::encode_into_std_write(value, &mut bytes, CONFIG)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    if bytes.len() > T::LIMIT {
        return Err(CodecError::TooLong { got: bytes.len(), limit: T::LIMIT });
    }
    Ok(bytes)
}

/// Decodes a value and proves that the bytes are its only encoding.
///
/// # Errors
/// On any deviation; nothing is allocated beyond what the bytes can hold.
pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, CodecError> {
    let value = decode_trusted(bytes)?;
    if encode(&value)? != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// Decodes bytes this node wrote itself and whose checksum the store has verified: all checks of
/// [`decode`] but the second encoding.
///
/// # Errors
/// On anything that is not an encoding of `T`.
pub fn decode_trusted<T: Wire>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > T::LIMIT {
        return Err(CodecError::TooLong { got: bytes.len(), limit: T::LIMIT });
    }
    let (&version, rest) = bytes.split_first().ok_or(CodecError::Empty)?;
    if version != T::VERSION {
        return Err(CodecError::Version { got: version, want: T::VERSION });
    }
    let (value, used) = decode_within::<T>(rest).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if used != rest.len() {
        return Err(CodecError::Trailing(rest.len() - used));
    }
    Ok(value)
}

/// Without a limit, bincode believes the length of a text and allocates before it looks for the bytes: eight
/// hostile bytes would abort the process. The limit is a constant of its type, so it comes in steps; each is
/// no smaller than the input, and no valid value claims more than its own bytes.
/// Reads the first field of a stored value without the rest of it.
///
/// Only for this node's own store, as [`decode_trusted`]: `T` is the whole, `Head` its first field.
///
/// # Errors
/// On another format version, or when the bytes do not begin with a `Head`.
pub fn decode_head<T: Wire, Head: DeserializeOwned>(bytes: &[u8]) -> Result<Head, CodecError> {
    let (&version, rest) = bytes.split_first().ok_or(CodecError::Empty)?;
    if version != T::VERSION {
        return Err(CodecError::Version { got: version, want: T::VERSION });
    }
    let read = bincode::serde::decode_from_slice(rest, CONFIG.with_limit::<0x400>());
    read.map(|(head, _)| head).map_err(|error| CodecError::Malformed(error.to_string()))
}

fn decode_within<T: Wire>(bytes: &[u8]) -> Result<(T, usize), bincode::error::DecodeError> {
    fn step<T: Wire, const LIMIT: usize>(bytes: &[u8]) -> Result<(T, usize), bincode::error::DecodeError> {
        bincode::serde::decode_from_slice(bytes, CONFIG.with_limit::<LIMIT>())
    }
    match bytes.len() {
        0..=0x400 => step::<T, 0x400>(bytes),
        0x401..=0x4000 => step::<T, 0x4000>(bytes),
        0x4001..=0x4_0000 => step::<T, 0x4_0000>(bytes),
        0x4_0001..=0x40_0000 => step::<T, 0x40_0000>(bytes),
        _ => step::<T, 0x400_0000>(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Sample {
        count: u64,
        names: Vec<String>,
        flag: Option<bool>,
    }
    impl Wire for Sample {
        const LIMIT: usize = 128;
    }

    fn sample() -> Sample {
        Sample { count: 258, names: vec!["ab".into()], flag: Some(true) }
    }

    #[test]
    fn the_layout_is_fixed_width_little_endian() {
        let bytes = encode(&sample()).unwrap();
        let want = [
            &[1][..],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            b"ab",
            &[1, 1],
        ]
        .concat();
        assert_eq!(bytes, want);
        assert_eq!(decode::<Sample>(&bytes), Ok(sample()));
    }

    #[test]
    fn a_head_is_read_without_the_rest() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(decode_head::<Sample, u64>(&bytes[..12]), Ok(258));
        assert_eq!(decode_head::<Sample, u64>(&[]), Err(CodecError::Empty));
        assert_eq!(decode_head::<Sample, u64>(&[9; 9]), Err(CodecError::Version { got: 9, want: 1 }));
        assert!(matches!(decode_head::<Sample, u64>(&bytes[..8]), Err(CodecError::Malformed(_))));
    }

    #[test]
    fn every_deviation_is_refused() {
        let good = encode(&sample()).unwrap();
        let mut trailing = good.clone();
        trailing.push(0);
        assert_eq!(decode::<Sample>(&trailing), Err(CodecError::Trailing(1)));
        let mut version = good.clone();
        version[0] = 9;
        assert_eq!(decode::<Sample>(&version), Err(CodecError::Version { got: 9, want: 1 }));
        assert_eq!(decode::<Sample>(&[]), Err(CodecError::Empty));
        assert!(matches!(decode::<Sample>(&good[..good.len() - 1]), Err(CodecError::Malformed(_))));
        // The count of names, and the length of the first: neither is believed.
        for (length, lie) in [(9, u64::MAX), (17, u64::MAX), (17, u64::MAX >> 1), (17, 1 << 40)] {
            let mut huge = good.clone();
            huge[length..length + 8].copy_from_slice(&lie.to_le_bytes());
            assert!(matches!(decode::<Sample>(&huge), Err(CodecError::Malformed(_))), "{length}: {lie}");
        }
        let mut bool_two = good;
        *bool_two.last_mut().unwrap() = 2;
        assert!(decode::<Sample>(&bool_two).is_err());
    }

    #[test]
    fn the_limit_holds_both_ways() {
        let long = Sample { names: vec!["x".repeat(200)], ..sample() };
        assert!(matches!(encode(&long), Err(CodecError::TooLong { limit: 128, .. })));
        assert!(matches!(decode::<Sample>(&[1; 200]), Err(CodecError::TooLong { limit: 128, .. })));
    }
}
