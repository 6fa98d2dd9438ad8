//! What a permission would newly make reachable, for the card of the request for it.
//!
//! Nothing is granted to find out: the process's own authority is asked about each file as it is
//! now, and what a denial goes on to refuse is said as such.

use std::path::Path;

use agent_libos::{
    abi::{
        DenyReason, Effect, Error, Labelled, Pattern, Pid, Resource, Rights, capability, label,
        process,
    },
    port::Port,
};

/// How many files are looked at: a card is drawn while somebody waits for it.
const FILES_MAX: usize = 2_000;

/// How many files are named.
const NAMED: usize = 5;

/// What the process has taken in, if that has a label.
pub(crate) async fn taken_in(port: &dyn Port, pid: Pid) -> Option<String> {
    let labels = port.call(label::List {}).await.ok()?;
    let own = labels.entries.into_iter().find(|it| it.what == Labelled::Process(pid))?;
    Some(own.label.to_string())
}

/// What `rights` on `on` would let the process reach that it does not reach by itself now, a line
/// each. Nothing where only the pattern can say it.
pub(crate) async fn newly(
    port: &dyn Port,
    pid: Pid,
    on: &Pattern,
    rights: Rights,
) -> Result<Vec<String>, Error> {
    let info = port.call(process::Inspect { pid }).await?;
    let (true, Some(folder)) = (on.kind() == "fs", info.workspace) else { return Ok(Vec::new()) };
    let (files, is_all) = files(Path::new(&folder), on);
    let mut lines = Vec::new();
    for right in rights.iter() {
        let mut now = Reach::default();
        for file in &files {
            let call = capability::Explain { pid: Some(pid), right, on: file.clone() };
            let why = port.call(call).await?;
            let side = match (why.effect, why.reason) {
                (Effect::Allow, _) => &mut now.had,
                (_, Some(DenyReason::DenyRule(_) | DenyReason::Manifest(_))) => &mut now.denied,
                _ => &mut now.newly,
            };
            side.push(file.body().to_owned());
        }
        lines.push(format!("{right}: {}", now.words(files.len(), is_all)));
    }
    Ok(lines)
}

/// The files of a pattern, by what the process may do with them now.
#[derive(Default)]
struct Reach {
    newly: Vec<String>,
    had: Vec<String>,
    denied: Vec<String>,
}

impl Reach {
    fn words(&self, all: usize, is_all: bool) -> String {
        if all == 0 {
            return "no file that is there now".into();
        }
        let mut words = vec![match self.newly.len() {
            0 => "no file that it does not reach now".to_owned(),
            1 => format!("1 file more: {}", self.newly[0]),
            many => format!("{many} files more: {}", named(&self.newly)),
        }];
        if !self.had.is_empty() {
            words.push(format!("{} it reaches already", self.had.len()));
        }
        if !self.denied.is_empty() {
            words.push(format!("{} stay denied: {}", self.denied.len(), named(&self.denied)));
        }
        if !is_all {
            words.push(format!("more than {FILES_MAX} were not looked at"));
        }
        words.join("; ")
    }
}

fn named(files: &[String]) -> String {
    let names = files.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match files.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{names} and {more} more"),
        _ => names,
    }
}

/// The files of a workspace that a pattern covers, in order, and whether those are all. Links are
/// not followed: no call follows them.
fn files(folder: &Path, on: &Pattern) -> (Vec<Resource>, bool) {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), "workspace".to_owned())];
    let mut seen = 0;
    while let Some((folder, name)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > FILES_MAX {
                found.sort();
                return (found, false);
            }
            let Ok(kind) = entry.file_type() else { continue };
            let path = format!("{name}/{}", entry.file_name().to_string_lossy());
            let resource = Resource::file(&path);
            if kind.is_dir() {
                open.push((entry.path(), path));
            } else if kind.is_file() && on.matches(&resource) {
                found.push(resource);
            }
        }
    }
    found.sort();
    (found, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_counted_and_some_are_named() {
        let names = |n: usize| (0..n).map(|at| format!("f{at}")).collect::<Vec<_>>();
        let reach = Reach { newly: names(7), had: names(1), denied: names(2) };
        assert_eq!(
            reach.words(10, false),
            "7 files more: f0, f1, f2, f3, f4 and 2 more; 1 it reaches already; 2 stay denied: \
             f0, f1; more than 2000 were not looked at"
        );
        assert_eq!(Reach::default().words(0, true), "no file that is there now");
    }
}
