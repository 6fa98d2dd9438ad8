//! Planted bugs, by which the simulator shows that it would find them.
//!
//! A place that can be broken on purpose asks [`mutated`]. Without the feature `mutations`, which
//! no default build has, the answer is the constant `false` and the place is compiled away. With
//! it, a thread plants one bug by its name.

/// Whether the bug of this name is planted in this thread.
#[cfg(feature = "mutations")]
#[must_use]
pub fn mutated(name: &str) -> bool {
    PLANTED.get() == Some(name)
}

/// Whether the bug of this name is planted: never, in a build without the feature `mutations`.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
#[must_use]
pub const fn mutated(_name: &str) -> bool {
    false
}

#[cfg(feature = "mutations")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, or takes it out.
#[cfg(feature = "mutations")]
pub fn plant(name: Option<&'static str>) {
    PLANTED.set(name);
}
