//! A value for each process, by its id. Ids are counted without a gap, so those in use lie
//! together: a look-up is two steps, and growing never moves what is there.

use libos_abi::Pid;
use rustc_hash::FxHashMap;

/// How many values a page holds.
const PAGE: u64 = 256;

/// A value for each process; that of one never written is the default.
#[derive(Debug, Default)]
pub(super) struct Dense<T> {
    pages: FxHashMap<u64, Vec<T>>,
}

impl<T: Clone + Default> Dense<T> {
    pub(super) fn get(&mut self, pid: Pid) -> &mut T {
        let page = self.pages.entry(pid.0 / PAGE);
        let page = page.or_insert_with(|| vec![T::default(); PAGE as usize]);
        &mut page[(pid.0 % PAGE) as usize]
    }
}
