//! The engine keeps the contract of authority, under every binding.

libos_conformance::suite!(capability, libos_capability::Capabilities::new);
