//! The validator binary.
fn main() {}
