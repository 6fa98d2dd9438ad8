//! The tables, written out: `docs/abi.md` for people, the frozen description for machines.
//!
//! Pure functions of [`SERVICES`](crate::SERVICES) and [`Fault::TABLE`](crate::Fault::TABLE):
//! the same tables always give the same text. `cargo xtask abi` writes both and checks that a new
//! description only ever adds to the frozen one.
//!
//! ```
//! let page = libos_abi::docs::markdown();
//! assert!(page.contains("### 9.1 `fs.read`"));
//! assert_eq!(libos_abi::docs::frozen()["version"], 2);
//! ```

mod frozen;
mod page;
mod schema;

pub use frozen::frozen;
pub use page::markdown;
