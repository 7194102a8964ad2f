//! Cursors of lists that go by state keys: the rest of the next key, in hexadecimal.

use chain_core::code::{Code, Refusal};

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn bytes_of(text: &str) -> Result<Vec<u8>, Refusal> {
    let bad = || Refusal::new(Code::BadParameter, "the cursor is none that this node gave");
    if !text.is_ascii() || !text.len().is_multiple_of(2) || text.len() > 512 {
        return Err(bad());
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad());
    (0..text.len()).step_by(2).map(byte).collect()
}
