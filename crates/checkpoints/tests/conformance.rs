//! Checkpoints keep their contract, under every binding.

libos_conformance::suite!(checkpoints, libos_checkpoints::Checkpoints::default);
