//! The hash tree of RFC 6962 (Certificate Transparency), section 2.1.
//!
//! Owns the hashes and proofs, and knows no files and no records beyond their bytes. A leaf is
//! `SHA-256(0x00 || record)`, a node `SHA-256(0x01 || left || right)`; a tree of n leaves has its
//! left half filled to the largest power of two below n. [`Tree`] keeps only the roots of the full
//! subtrees, so that a journal of any length appends in O(log n) memory.
//!
//! ```
//! use libos_journal::merkle::{self, Tree};
//!
//! let leaves: Vec<_> = [b"a", b"b", b"c"].map(|record| merkle::leaf_hash(record)).into();
//! let mut tree = Tree::new();
//! leaves.iter().for_each(|leaf| tree.push(*leaf));
//!
//! let proof = merkle::inclusion_proof(&leaves, 1).unwrap();
//! assert!(merkle::verify_inclusion(&leaves[1], 1, &tree.head(), &proof));
//! ```

use sha2::{Digest as _, Sha256};

use crate::{Head, TreeHash};

/// The hash of a record as a leaf.
#[must_use]
pub fn leaf_hash(record: &[u8]) -> TreeHash {
    TreeHash(Sha256::new().chain_update([0]).chain_update(record).finalize().into())
}

/// The hash of a node over its two children.
#[must_use]
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    TreeHash(Sha256::digest(bytes).into())
}

/// The root over no records: the SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> TreeHash {
    TreeHash(Sha256::digest([]).into())
}

/// A tree that only grows, held as its frontier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// Roots of the full subtrees from left to right: one per set bit of `size`.
    peaks: Vec<TreeHash>,
}

impl Tree {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tree of `size` leaves with these full subtrees, from left to right; nothing if their
    /// number is another than that size has. Only a comparison of the root proves them.
    #[must_use]
    pub fn from_peaks(size: u64, peaks: Vec<TreeHash>) -> Option<Self> {
        let fits = u32::try_from(peaks.len()) == Ok(size.count_ones());
        fits.then_some(Self { size, peaks })
    }

    /// Roots of the full subtrees from left to right: all that a continuation needs.
    #[must_use]
    pub fn peaks(&self) -> &[TreeHash] {
        &self.peaks
    }

    /// Appends a leaf, given by its [`leaf_hash`].
    pub fn push(&mut self, leaf: TreeHash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("one peak per set bit of the size");
            node = node_hash(&left, &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root() }
    }
}

/// The root over `leaves`, which are leaf hashes. O(n).
#[must_use]
pub fn root_of(leaves: &[TreeHash]) -> TreeHash {
    let mut tree = Tree::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// The hashes that prove leaf `index` to be in the tree over `leaves`, from the leaf up; nothing if
/// there is no such leaf. O(n).
#[must_use]
pub fn inclusion_proof(leaves: &[TreeHash], index: u64) -> Option<Vec<TreeHash>> {
    let mut index = usize::try_from(index).ok().filter(|index| *index < leaves.len())?;
    let (mut leaves, mut proof) = (leaves, Vec::new());
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            proof.push(root_of(right));
            leaves = left;
        } else {
            proof.push(root_of(left));
            index -= left.len();
            leaves = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The hashes that prove the tree over the first `old_size` leaves to be a prefix of the tree over
/// `leaves`; nothing if it is longer. O(n).
#[must_use]
pub fn consistency_proof(leaves: &[TreeHash], old_size: u64) -> Option<Vec<TreeHash>> {
    let mut old = usize::try_from(old_size).ok().filter(|old| *old <= leaves.len())?;
    if old == 0 {
        return Some(Vec::new());
    }
    // `whole`: the subtree at hand is one that the holder of the old root knows already.
    let (mut leaves, mut proof, mut whole) = (leaves, Vec::new(), true);
    while old < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old <= left.len() {
            proof.push(root_of(right));
            leaves = left;
        } else {
            proof.push(root_of(left));
            old -= left.len();
            leaves = right;
            whole = false;
        }
    }
    if !whole {
        proof.push(root_of(leaves));
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that record `index` of the journal with this head has this leaf hash
/// (RFC 9162, section 2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &TreeHash, index: u64, head: &Head, proof: &[TreeHash]) -> bool {
    if index >= head.size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, head.size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            skip_left_edge(&mut at, &mut last);
        } else {
            hash = node_hash(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == head.root
}

/// Whether `proof` shows that the journal with head `new` begins with the one with head `old`
/// (RFC 9162, section 2.1.4.2). Everything continues the empty journal.
#[must_use]
pub fn verify_consistency(old: &Head, new: &Head, proof: &[TreeHash]) -> bool {
    if old.size >= new.size || old.size == 0 {
        let begins = if old.size == 0 { old.root == empty_root() } else { old == new };
        let empty = new.size != 0 || new.root == empty_root();
        return begins && empty && proof.is_empty();
    }
    let (mut at, mut last) = (old.size - 1, new.size - 1);
    let shift = at.trailing_ones();
    at >>= shift;
    last >>= shift;
    // A complete old tree is itself the first hash, and so not repeated in the proof.
    let (first, rest) = match proof {
        _ if old.size.is_power_of_two() => (&old.root, proof),
        [first, rest @ ..] => (first, rest),
        [] => return false,
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            skip_left_edge(&mut at, &mut last);
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == old.root && new_hash == new.root
}

/// Goes up while the node at hand is a lone left child: such a level adds no hash.
fn skip_left_edge(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        *at >>= 1;
        *last >>= 1;
    }
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: usize) -> usize {
    1 << (len - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 6962 section 2.1, word for word and slowly, independent of the code above.
    mod reference {
        use super::{Sha256, TreeHash};
        use sha2::Digest as _;

        fn k(n: usize) -> usize {
            let mut k = 1;
            while k * 2 < n {
                k *= 2;
            }
            k
        }

        pub(super) fn mth(d: &[Vec<u8>]) -> TreeHash {
            let bytes = match d {
                [] => vec![],
                [one] => [&[0], one.as_slice()].concat(),
                _ => {
                    let (l, r) = d.split_at(k(d.len()));
                    [&[1][..], &mth(l).0, &mth(r).0].concat()
                }
            };
            TreeHash(Sha256::digest(bytes).into())
        }

        pub(super) fn path(m: usize, d: &[Vec<u8>]) -> Vec<TreeHash> {
            if d.len() == 1 {
                return vec![];
            }
            let k = k(d.len());
            let (mut p, other) = if m < k {
                (path(m, &d[..k]), mth(&d[k..]))
            } else {
                (path(m - k, &d[k..]), mth(&d[..k]))
            };
            p.push(other);
            p
        }

        pub(super) fn subproof(m: usize, d: &[Vec<u8>], b: bool) -> Vec<TreeHash> {
            if m == d.len() {
                return if b { vec![] } else { vec![mth(d)] };
            }
            let k = k(d.len());
            let (mut p, other) = if m <= k {
                (subproof(m, &d[..k], b), mth(&d[k..]))
            } else {
                (subproof(m - k, &d[k..], false), mth(&d[..k]))
            };
            p.push(other);
            p
        }
    }

    fn leaves(records: &[Vec<u8>]) -> Vec<TreeHash> {
        records.iter().map(|record| leaf_hash(record)).collect()
    }

    fn head(records: &[Vec<u8>]) -> Head {
        Head { size: records.len() as u64, root: root_of(&leaves(records)) }
    }

    fn numbered(n: usize) -> Vec<Vec<u8>> {
        (0..n).map(|i| i.to_string().into_bytes()).collect()
    }

    /// The records of the Certificate Transparency reference implementation, whose roots and proofs
    /// stand below as published there.
    const PUBLISHED: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];

    fn published_leaves() -> Vec<TreeHash> {
        let bytes = PUBLISHED.iter().map(|record| crate::hex::decode(record).unwrap());
        bytes.map(|record| leaf_hash(&record)).collect()
    }

    #[test]
    fn known_roots() {
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::new();
        assert_eq!(tree.root().to_string(), roots[0]);
        for (leaf, root) in published_leaves().into_iter().zip(&roots[1..]) {
            tree.push(leaf);
            assert_eq!(tree.root().to_string(), *root, "{} leaves", tree.size());
        }
    }

    fn texts(proof: &[TreeHash]) -> Vec<String> {
        proof.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn known_inclusion_proofs() {
        const K1: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        const K2: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
        const K4: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
        const C: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
        const E: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
        let known: [(u64, usize, &[&str]); 5] = [
            (0, 1, &[]),
            (
                0,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    C,
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (5, 8, &[E, "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0", K4]),
            (2, 3, &[K2]),
            (1, 5, &[K1, C, E]),
        ];
        let leaves = published_leaves();
        for (index, size, expected) in known {
            let proof = inclusion_proof(&leaves[..size], index).unwrap();
            assert_eq!(texts(&proof), expected, "{index} in {size}");
            let head = Head { size: size as u64, root: root_of(&leaves[..size]) };
            assert!(verify_inclusion(&leaves[index as usize], index, &head, &proof));
        }
    }

    #[test]
    fn known_consistency_proofs() {
        const C: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
        let known: [(u64, usize, &[&str]); 4] = [
            (1, 1, &[]),
            (
                1,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    C,
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                6,
                8,
                &[
                    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ],
            ),
            (2, 5, &[C, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
        ];
        let leaves = published_leaves();
        for (old, size, expected) in known {
            let proof = consistency_proof(&leaves[..size], old).unwrap();
            assert_eq!(texts(&proof), expected, "{old} and {size}");
            let of = |size: usize| Head { size: size as u64, root: root_of(&leaves[..size]) };
            assert!(verify_consistency(&of(old as usize), &of(size), &proof));
        }
    }

    /// Every pair of sizes and every index up to 40, against the reference.
    #[test]
    fn small_trees_agree_with_the_reference() {
        let records = numbered(40);
        for n in 0..=records.len() {
            let (d, new) = (&records[..n], head(&records[..n]));
            assert_eq!(new.root, reference::mth(d));
            for m in 0..n {
                let proof = inclusion_proof(&leaves(d), m as u64).unwrap();
                assert_eq!(proof, reference::path(m, d), "inclusion of {m} in {n}");
                assert!(verify_inclusion(&leaf_hash(&d[m]), m as u64, &new, &proof));
                let other = (m + 1) % n;
                assert!(n == 1 || !verify_inclusion(&leaf_hash(&d[m]), other as u64, &new, &proof));
            }
            for m in 1..=n {
                let (old, proof) =
                    (head(&d[..m]), consistency_proof(&leaves(d), m as u64).unwrap());
                assert_eq!(proof, reference::subproof(m, d, true), "consistency of {m} and {n}");
                assert!(verify_consistency(&old, &new, &proof), "{m} {n}");
                assert!(m == n || !verify_consistency(&new, &old, &proof));
            }
            assert!(verify_consistency(&head(&[]), &new, &[]));
            assert_eq!(inclusion_proof(&leaves(d), n as u64), None);
            assert_eq!(consistency_proof(&leaves(d), n as u64 + 1), None);
        }
    }

    proptest! {
        #[test]
        fn trees_agree_with_the_reference(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..200),
            at in any::<prop::sample::Index>(),
        ) {
            let (n, m) = (records.len(), at.index(records.len()));
            prop_assert_eq!(head(&records).root, reference::mth(&records));
            let hashes = leaves(&records);
            let expected = reference::path(m, &records);
            prop_assert_eq!(inclusion_proof(&hashes, m as u64).unwrap(), expected);
            let expected = reference::subproof(m + 1, &records, true);
            prop_assert_eq!(consistency_proof(&hashes, m as u64 + 1).unwrap(), expected);
            prop_assert!(m < n);
        }

        /// A proof with any bit flipped, a hash dropped, or for other data proves nothing.
        #[test]
        fn a_changed_proof_proves_nothing(
            n in 2_usize..100,
            m in any::<prop::sample::Index>(),
            bit in any::<prop::sample::Index>(),
        ) {
            let records = numbered(n);
            let (hashes, new) = (leaves(&records), head(&records));
            let m = m.index(n);
            let proof = inclusion_proof(&hashes, m as u64).unwrap();
            let mut bad = proof.clone();
            let flipped = bit.index(bad.len() * 256);
            bad[flipped / 256].0[flipped % 256 / 8] ^= 1 << (flipped % 8);
            prop_assert!(!verify_inclusion(&hashes[m], m as u64, &new, &bad));
            prop_assert!(!verify_inclusion(&hashes[m], m as u64, &new, &proof[1..]));
            prop_assert!(!verify_inclusion(&leaf_hash(b"x"), m as u64, &new, &proof));

            let old_size = m.max(1);
            let old = head(&records[..old_size]);
            let mut bad = consistency_proof(&hashes, old_size as u64).unwrap();
            prop_assert!(!bad.is_empty());
            let flipped = bit.index(bad.len() * 256);
            bad[flipped / 256].0[flipped % 256 / 8] ^= 1 << (flipped % 8);
            prop_assert!(!verify_consistency(&old, &new, &bad));
            prop_assert!(!verify_consistency(&old, &new, &bad[1..]));
        }
    }
}
