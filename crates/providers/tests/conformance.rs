//! The providers keep their contracts, under every binding.

use libos_conformance::suite;
use libos_providers::{FsProvider, ShellConfig, ShellProvider};

suite!(fs, FsProvider::new);
suite!(shell, || ShellProvider::new(ShellConfig::from_host()));
