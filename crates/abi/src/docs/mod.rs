//! The tables, written out: `docs/abi.md` for people, the frozen description for machines, and for
//! tools the declarations of their languages.
//!
//! Pure functions of `SERVICES` and `Fault::TABLE`:
//! the same tables always give the same text. `cargo xtask abi` writes them and checks that a new
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
mod typescript;
mod wit;

pub use frozen::frozen;
pub use page::markdown;
pub use typescript::typescript;
pub use wit::wit;

use crate::{CallInfo, DemandInfo, SERVICES, ServiceInfo};

/// The services with the calls that a process can make; those without any are left out.
pub fn open_services() -> impl Iterator<Item = (&'static ServiceInfo, Vec<&'static CallInfo>)> {
    let is_open = |call: &&CallInfo| !matches!(call.demand, DemandInfo::Host | DemandInfo::Kernel);
    let services = SERVICES.iter().copied();
    let services = services
        .map(move |service| (service, service.calls.iter().filter(is_open).collect::<Vec<_>>()));
    services.filter(|(_, calls)| !calls.is_empty())
}
