//! The invariants, as `docs/invariants.md` states them.

const TABLE: &str = include_str!("../../../docs/invariants.md");

/// Id and statement of each.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (id, statement) = (cells.next()?, cells.next()?);
        id.starts_with("I-").then_some((id, statement))
    })
}

/// What an invariant states.
#[must_use]
pub fn statement(id: &str) -> Option<&'static str> {
    rows().find(|(known, _)| *known == id).map(|(_, statement)| statement)
}

/// The id, if there is such an invariant.
pub(crate) fn known(id: &str) -> Option<&'static str> {
    rows().find(|(known, _)| *known == id).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_from_the_table() {
        let once = statement("I-11");
        assert_eq!(once, Some("A request is answered exactly once"));
        assert_eq!(statement("no such"), None);
        assert!(rows().count() > 40);
    }
}
