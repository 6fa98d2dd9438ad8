//! The desk for humans keeps its contract, under every binding.

libos_conformance::suite!(human, libos_human::Humans::default);
