//! Which outcomes of which calls are shown, and which not yet.
