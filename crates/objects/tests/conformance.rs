//! Object Memory keeps its contract, under every binding.

libos_conformance::suite!(objects, libos_objects::Objects::default);
