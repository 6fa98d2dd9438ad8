//! The scheduler behind a small fake of the kernel.

mod calls;
mod figures;
mod laws;
mod lifecycle;
mod rig;
