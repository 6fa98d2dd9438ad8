//! The one walk that decides whether records are those that were appended.

use crate::{Corruption, Head, JournalError, TreeHash, merkle, merkle::Tree};

/// Takes records in order and compares them with leaves, roots and a head kept elsewhere.
pub(crate) struct Checker<'a> {
    tree: Tree,
    /// Records up to here gave a root that was stored for them.
    proved: u64,
    against: Option<&'a Head>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(against: Option<&'a Head>) -> Result<Self, JournalError> {
        let checker = Self { tree: Tree::new(), proved: 0, against };
        checker.compare_against()?;
        Ok(checker)
    }

    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The next record: its position, its stored leaf, its bytes.
    pub(crate) fn record(
        &mut self,
        seq: i64,
        leaf: &[u8],
        body: &[u8],
    ) -> Result<(), JournalError> {
        position(seq, self.tree.size())?;
        let hash = merkle::leaf_hash(body);
        if leaf != hash.0 {
            return Err(JournalError::corrupt(self.tree.size(), Corruption::Changed));
        }
        self.tree.push(hash);
        Ok(())
    }

    /// The root stored for the records so far. Without one, `against` is compared by `covered`.
    pub(crate) fn root(&mut self, root: &TreeHash) -> Result<(), JournalError> {
        let head = self.tree.head();
        if head.root != *root {
            let last = libos_abi::Seq(head.size.saturating_sub(1));
            return Err(JournalError::corrupt(self.proved, Corruption::Rewritten { last }));
        }
        self.proved = head.size;
        Ok(())
    }

    /// Compares with the head kept elsewhere if this is its place. To be called after `root`, which
    /// names the record more exactly.
    pub(crate) fn compare_against(&self) -> Result<(), JournalError> {
        match self.against {
            Some(against) if against.size == self.tree.size() => same(against, &self.tree.head()),
            _ => Ok(()),
        }
    }

    /// There are no more records, and `stored` is the head kept with them.
    pub(crate) fn finish(self, stored: &Head) -> Result<Head, JournalError> {
        let found = self.tree.head();
        for head in [Some(stored), self.against].into_iter().flatten() {
            if head.size > found.size {
                let what = Corruption::Truncated { size: Some(head.size) };
                return Err(JournalError::corrupt(found.size, what));
            }
        }
        if stored.size < found.size {
            return Err(JournalError::corrupt(stored.size, Corruption::Inserted));
        }
        same(stored, &found)?;
        Ok(found)
    }
}

/// Refuses a stored position `seq` where `expected` must stand.
pub(crate) fn position(seq: i64, expected: u64) -> Result<(), JournalError> {
    let what = match u64::try_from(seq) {
        Ok(seq) if seq == expected => return Ok(()),
        Ok(seq) if seq > expected => Corruption::Missing,
        _ => Corruption::Inserted,
    };
    Err(JournalError::corrupt(expected, what))
}

/// Refuses a head of the same size with another root.
pub(crate) fn same(expected: &Head, found: &Head) -> Result<(), JournalError> {
    if expected == found {
        return Ok(());
    }
    let what = Corruption::HeadMismatch { expected: *expected, found: *found };
    Err(JournalError::corrupt(expected.size, what))
}
