//! Splits a bill among people.

/// What each of `people` pays of `cents`: together exactly the bill, and nobody more than one cent
/// above another. Nobody pays when there is nobody.
pub fn split(cents: u64, people: u64) -> Vec<u64> {
    if people == 0 {
        return Vec::new();
    }
    let share = cents / people;
    (0..people).map(|_| share).collect()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_even_bill_splits_evenly() {
        assert_eq!(split(900, 3), [300, 300, 300]);
    }

    #[test]
    fn not_a_cent_is_lost() {
        assert_eq!(split(1000, 3), [334, 333, 333]);
    }
}
