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

    /// Every process in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Pid, &T)> {
        (1..).map(Pid).zip(self.pages.iter().flatten())
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
        assert!(pages.iter().all(|(pid, row)| pid.0 == *row));
        assert_eq!(pages.iter().count(), 2_049);
        for pid in (1..=2_049).rev() {
            assert_eq!(pages.pop(), Some(pid));
            assert_eq!(pages.next(), Pid(pid));
        }
        pages.push(1);
        assert_eq!(pages.get(Pid(1)), Some(&1));
    }
}
