//! A table of processes by their ids, which are counted without a gap.
//!
//! Looking up costs two steps, whatever the number of processes; growing never moves what is
//! there.

use libos_abi::Pid;
use serde::{Serialize, Serializer};

/// How many processes a page holds.
const PAGE: usize = 1 << 10;

/// Processes, the first of which is p1.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

/// Where a process stands.
fn place(pid: Pid) -> Option<(usize, usize)> {
    let index = usize::try_from(pid.0.checked_sub(1)?).ok()?;
    Some((index / PAGE, index % PAGE))
}

impl<T> Pages<T> {
    /// The id of the next process.
    pub(crate) fn next(&self) -> Pid {
        Pid(self.len as u64 + 1)
    }

    pub(crate) fn get(&self, pid: Pid) -> Option<&T> {
        let (page, place) = place(pid)?;
        self.pages.get(page)?.get(place)
    }

    pub(crate) fn get_mut(&mut self, pid: Pid) -> Option<&mut T> {
        let (page, place) = place(pid)?;
        self.pages.get_mut(page)?.get_mut(place)
    }

    pub(crate) fn push(&mut self, row: T) {
        if self.len.is_multiple_of(PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(row);
            self.len += 1;
        }
    }

    /// Takes the last process out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let row = self.pages.last_mut()?.pop()?;
        self.len -= 1;
        if self.len.is_multiple_of(PAGE) {
            self.pages.pop();
        }
        Some(row)
    }

    /// Every process after one (p0: every process) in the order of their ids.
    pub(crate) fn after(&self, pid: Pid) -> impl Iterator<Item = (Pid, &T)> {
        let first = usize::try_from(pid.0).map_or(self.len, |first| first.min(self.len));
        let mut pages = self.pages.iter().skip(first / PAGE);
        let rest = pages.next().map_or(&[][..], |page| &page[first % PAGE..]);
        (first as u64 + 1..).map(Pid).zip(rest.iter().chain(pages.flatten()))
    }
}

impl<T: Serialize> Serialize for Pages<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.pages.iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_found_by_its_id_and_popped_in_turn() {
        let mut pages = Pages::default();
        assert_eq!((pages.next(), pages.pop()), (Pid(1), None::<u64>));
        assert_eq!(pages.after(Pid(0)).count(), 0);
        for pid in 1..=2_049 {
            assert_eq!(pages.next(), Pid(pid));
            pages.push(pid);
        }
        for pid in [1, 1_024, 1_025, 2_048, 2_049] {
            assert_eq!(pages.get(Pid(pid)), Some(&pid));
            assert_eq!(pages.get_mut(Pid(pid)), Some(&mut { pid }));
        }
        for pid in [0, 2_050, u64::MAX] {
            assert_eq!(pages.get(Pid(pid)), None);
            assert_eq!(pages.get_mut(Pid(pid)), None);
        }
        for after in [0, 1, 1_023, 1_024, 1_025, 2_048, 2_049, 2_050, u64::MAX] {
            let found: Vec<u64> = pages.after(Pid(after)).map(|(_, row)| *row).collect();
            assert_eq!(found, (1..=2_049).skip_while(|pid| *pid <= after).collect::<Vec<_>>());
            assert!(pages.after(Pid(after)).all(|(pid, row)| pid.0 == *row));
        }
        for pid in (1..=2_049).rev() {
            assert_eq!(pages.pop(), Some(pid));
            assert_eq!(pages.next(), Pid(pid));
        }
        pages.push(1);
        assert_eq!(pages.get(Pid(1)), Some(&1));
    }
}
