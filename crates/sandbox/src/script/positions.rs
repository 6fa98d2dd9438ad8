//! Places in a script that was translated, told in the source that its author wrote.

use crate::Position;

/// How the engine names the script.
const SCRIPT: &str = "tool.js:";
/// How it names the runtime around it.
const RUNTIME: &str = "(libos:runtime";

/// One place in a translated script and where it comes from, both counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mapping {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) source_line: u32,
    pub(crate) source_column: u32,
}

/// The places of a translated script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions(Vec<Mapping>);

impl Positions {
    pub(crate) fn new(mut mappings: Vec<Mapping>) -> Self {
        mappings.sort_unstable();
        Self(mappings)
    }

    /// The place in the source behind a place in the script: that of the nearest mapping before it
    /// on its line, or else the nearest of all.
    pub(crate) fn source(&self, at: Position) -> Position {
        let (line, column) = (at.line.saturating_sub(1), at.column.saturating_sub(1));
        let after = self.0.partition_point(|it| (it.line, it.column) <= (line, column));
        let before = after.checked_sub(1).map(|index| self.0[index]);
        let found = before.filter(|it| it.line == line).or_else(|| self.0.get(after).copied());
        found
            .or(before)
            .map_or(at, |it| Position { line: it.source_line + 1, column: it.source_column + 1 })
    }
}

/// A stack as the engine wrote it, without the frames of the runtime, told in the author's source.
/// All of it is the tool's word.
pub(crate) fn told(stack: &str, positions: Option<&Positions>) -> String {
    let own = stack.lines().map(str::trim).filter(|line| !line.contains(RUNTIME));
    let told = own.filter(|line| !line.is_empty()).map(|line| frame(line, positions));
    told.collect::<Vec<_>>().join("\n")
}

fn frame(line: &str, positions: Option<&Positions>) -> String {
    let (Some(positions), Some(start)) = (positions, line.find(SCRIPT)) else {
        return line.to_owned();
    };
    let (head, rest) = line.split_at(start);
    let rest = &rest[SCRIPT.len()..];
    match place(rest) {
        Some((at, after)) => format!("{head}tool.ts:{}{after}", positions.source(at)),
        None => line.to_owned(),
    }
}

/// The place at which a stack begins, in the script.
pub(crate) fn first(stack: &str) -> Option<Position> {
    let start = stack.find(SCRIPT)?;
    place(&stack[start + SCRIPT.len()..]).map(|(at, _)| at)
}

/// Reads `line:column`; gives what follows as well.
fn place(text: &str) -> Option<(Position, &str)> {
    let (line, rest) = text.split_once(':')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (column, after) = rest.split_at(end);
    Some((Position { line: line.parse().ok()?, column: column.parse().ok()? }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions() -> Positions {
        let mapping = |line, column, source_line, source_column| Mapping {
            line,
            column,
            source_line,
            source_column,
        };
        Positions::new(vec![mapping(1, 4, 7, 2), mapping(0, 0, 3, 0), mapping(1, 0, 6, 8)])
    }

    #[test]
    fn a_place_is_that_of_the_nearest_mapping_before_it_on_its_line() {
        for ((line, column), expected) in
            [((1, 1), "4:1"), ((1, 99), "4:1"), ((2, 3), "7:9"), ((2, 6), "8:3"), ((9, 9), "8:3")]
        {
            let told = positions().source(Position { line, column });
            assert_eq!(told.to_string(), expected, "{line}:{column}");
        }
    }

    #[test]
    fn a_stack_is_told_in_the_source_and_without_the_runtime() {
        let stack = "    at f (tool.js:2:6)\n    at map (native)\n    at run (libos:runtime:9:1)\n";
        assert_eq!(told(stack, Some(&positions())), "at f (tool.ts:8:3)\nat map (native)");
        assert_eq!(told(stack, None), "at f (tool.js:2:6)\nat map (native)");
        for odd in ["at tool.js:", "at tool.js:x:y", "at (tool.js:99999999999:1)", "", "\n\n"] {
            assert_eq!(told(odd, Some(&positions())), odd.trim());
        }
    }
}
