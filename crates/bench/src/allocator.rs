//! A global allocator that counts, for the thread that asks.
//!
//! Owns two numbers of each thread: how often it asked the system for memory and how many bytes it
//! holds more than it gave back. It must never allocate itself. A binary or test that counts
//! declares it:
//!
//! ```
//! use libos_bench::allocator::{Counting, count};
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting;
//!
//! assert_eq!(count(|| Vec::<u8>::new()).1, 0);
//! assert_eq!(count(|| vec![1_u8]).1, 1);
//! ```
#![allow(unsafe_code, reason = "the trait of global allocators is unsafe to implement")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    // Without a destructor and initialised at compile time: reading them allocates nothing.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counting;

fn note(allocations: u64, bytes: usize, freed: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
    let change = bytes.cast_signed().wrapping_sub(freed.cast_signed());
    LIVE_BYTES.set(LIVE_BYTES.get().wrapping_add(change as i64));
}

// SAFETY: every method hands its arguments on to the system's allocator unchanged and returns what
// that returns; the counters are plain cells of the thread and never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(1, bytes, layout.size());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(0, 0, layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// How often this thread has asked for memory so far; always 0 without [`Counting`].
#[must_use]
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// The bytes this thread asked for less those it gave back; what another thread frees is not seen.
#[must_use]
pub fn live_bytes() -> i64 {
    LIVE_BYTES.get()
}

/// What `work` gives and how often it asked for memory.
pub fn count<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = allocations();
    let value = work();
    (value, allocations() - before)
}
