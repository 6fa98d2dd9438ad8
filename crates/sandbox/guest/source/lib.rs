//! Empty: this package only pins where the engine's C sources come from.
