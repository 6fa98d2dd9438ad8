//! Names that are read and never changed: they configure programs that the host's user runs later.
//!
//! A name counts by what some file system or program takes it for, since a folder is copied,
//! shared and mounted elsewhere: letters of either case, what comes before a stream, without dots
//! and spaces at its end, without characters that do not show, and in its short form.

/// Names, their short forms, and who obeys them.
const KEPT: [(&str, &str, &str); 2] =
    [(".git", "git~1", "git"), ("libos.toml", "libos~1.tom", "the operator")];

/// Who obeys what is at a name, if it is kept.
pub(super) fn owner(name: &str) -> Option<&'static str> {
    let shown: String = name.chars().filter(|c| !is_ignored(*c)).collect();
    let file = shown.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    let is = |kept: &str| file.eq_ignore_ascii_case(kept);
    KEPT.iter().find(|(long, short, _)| is(long) || is(short)).map(|(_, _, owner)| *owner)
}

/// Whether a name is that of the folder that git keeps its own in.
pub(super) fn is_git(name: &str) -> bool {
    owner(name) == Some("git")
}

/// Whether a file system of the Mac passes over a character when it compares names.
fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}'
        | '\u{feff}')
}
