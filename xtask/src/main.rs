//! The project's one tool entry.
fn main() {}
