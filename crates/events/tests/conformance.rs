//! The board of events keeps its contract, under every binding.

libos_conformance::suite!(events, libos_events::Events::default);
