//! The providers keep their contracts, under every binding.

use libos_conformance::suite;
use libos_providers::{FsProvider, ShellConfig, ShellProvider, layers_missing};

suite!(fs, FsProvider::new);
suite!(shell, || ShellProvider::new(ShellConfig {
    may_lack: layers_missing().clone(),
    ..ShellConfig::from_host()
}));
