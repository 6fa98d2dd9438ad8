//! Words and tables for people.

use std::io::Write as _;

use agent_libos::{
    abi::{
        CapabilityInfo, Outcome, Syscall,
        process::{BudgetKind, ProcessInfo, ProcessState},
    },
    audit::arguments,
};
use serde_json::Value;

/// Prints to standard output; a reader that has gone away ends the command quietly, as it would
/// any other tool in a pipe.
pub(crate) fn out(text: std::fmt::Arguments<'_>) {
    raw(&plain(&text.to_string()));
}

/// Text as a terminal may show it: what would move the cursor, colour, hide or reorder text is
/// written out. Agents write most of what is shown here.
pub(crate) fn plain(text: &str) -> String {
    let is_active = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_active(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// Prints text as it is: that of this program itself.
pub(crate) fn raw(text: &str) {
    if let Err(error) = std::io::stdout().lock().write_all(text.as_bytes()) {
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 1 };
        std::process::exit(code);
    }
}

/// Prints a line to standard output.
macro_rules! say {
    () => { $crate::show::out(format_args!("\n")) };
    ($format:literal $($rest:tt)*) => {
        $crate::show::out(format_args!("{}\n", format_args!($format $($rest)*)))
    };
}

/// Prints a line to standard error.
macro_rules! tell {
    ($($all:tt)*) => { eprintln!("{}", $crate::show::plain(&format!($($all)*))) };
}

/// Prints to standard output without ending the line.
macro_rules! put {
    ($($all:tt)*) => { $crate::show::out(format_args!($($all)*)) };
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(line) => raw(&(line + "\n")),
        Err(error) => eprintln!("libos: a value does not print as JSON: {error}"),
    }
}

/// A table with aligned columns; the last column is as long as it is.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headers[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        text.trim_end().to_owned() + "\n"
    };
    let mut text = line(&headers.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>());
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

/// The state of a process in a word.
pub(crate) fn state(state: ProcessState) -> &'static str {
    match state {
        ProcessState::Runnable => "runnable",
        ProcessState::Running => "running",
        ProcessState::Waiting => "waiting",
        ProcessState::Paused => "paused",
        ProcessState::Exited => "exited",
        ProcessState::Failed => "failed",
        ProcessState::Killed => "killed",
    }
}

/// A value on one line, cut to `most` characters.
pub(crate) fn brief(value: &Value, most: usize) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name}={}", brief(value, 60)))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    };
    cut(&text, most)
}

/// A text on one line, cut to `most` characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let line = text.replace('\n', "\\n");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A capability as a table row.
pub(crate) fn capability_row(cap: &CapabilityInfo) -> Vec<String> {
    let mut limits = Vec::new();
    limits.extend(cap.uses_left.map(|uses| format!("{uses} uses left")));
    limits.extend(cap.calls_left.map(|calls| format!("{calls} calls left")));
    limits.extend(cap.expires_at_ms.map(|at| format!("until {at}")));
    if cap.delegable > 0 {
        limits.push(format!("delegable {}", cap.delegable));
    }
    if !cap.when.is_empty() {
        limits.push(format!("when {}", serde_json::to_string(&cap.when).unwrap_or_default()));
    }
    if let Some(binding) = &cap.binding {
        limits.push(format!("only for {}", binding.digest.short()));
    }
    vec![
        cap.id.to_string(),
        cap.subject.to_string(),
        cap.effect.to_string(),
        cap.on.to_string(),
        cap.rights.to_string(),
        word(&cap.status),
        limits.join(", "),
    ]
}

/// The headers of [`capability_row`].
pub(crate) const CAPABILITY_HEADERS: [&str; 7] =
    ["CAPABILITY", "SUBJECT", "EFFECT", "ON", "RIGHTS", "STATUS", "LIMITS"];

/// A unit variant's name as documents write it.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// A point in time as `HH:MM:SS.mmm` of its day, UTC.
pub(crate) fn clock(at_ms: u64) -> String {
    let of_day = at_ms % 86_400_000;
    let (h, m, s) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{h:02}:{m:02}:{s:02}.{:03}", of_day % 1000)
}

/// A step that is over: its outcome in a word, the call, and what went wrong.
pub(crate) fn step(call: &Syscall, outcome: &Outcome) -> String {
    let args = brief(&arguments(call), 70);
    let error = outcome.as_ref().err().map(|error| cut(&format!(": {error}"), 300));
    let (word, name) = (outcome_word(outcome), call.info().name);
    format!("{word:<7} {name} {args}{}", error.unwrap_or_default())
}

/// An outcome in a word.
pub(crate) fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome.as_ref().map_err(agent_libos::abi::Error::code) {
        Ok(_) => "ok",
        Err("denied") => "denied",
        Err("unknown_outcome") => "unknown",
        Err(_) => "error",
    }
}

/// Every kind of budget.
const BUDGETS: [BudgetKind; 7] = [
    BudgetKind::Syscalls,
    BudgetKind::ToolCalls,
    BudgetKind::Wall,
    BudgetKind::Children,
    BudgetKind::Bytes,
    BudgetKind::Tokens,
    BudgetKind::Cost,
];

/// What a process and all below it have used, where it has a limit, and what is paid for in any
/// case: the kind, what was used, the limit.
pub(crate) fn spent(process: &ProcessInfo, now_ms: u64) -> Vec<(BudgetKind, u64, Option<u64>)> {
    let until = process.ending.as_ref().map_or(now_ms, |ending| ending.at_ms);
    let used = |kind| match kind {
        BudgetKind::Wall => until.saturating_sub(process.started_at_ms),
        kind => process.usage.of(kind),
    };
    let paid = |kind| process.usage.paid().of(kind) > 0;
    let of = |kind| (kind, used(kind), process.budget.limit(kind));
    BUDGETS.into_iter().map(of).filter(|(kind, _, limit)| limit.is_some() || paid(*kind)).collect()
}

/// The same in words.
pub(crate) fn spent_words(process: &ProcessInfo, now_ms: u64) -> Vec<String> {
    let words = |(kind, used, limit): (BudgetKind, u64, Option<u64>)| match (kind, limit) {
        (BudgetKind::Wall, Some(limit)) => format!("{} of {} s", used / 1_000, limit / 1_000),
        (kind, Some(limit)) => format!("{used} of {limit} {}", kind.unit()),
        (kind, None) => format!("{used} {}", kind.unit()),
    };
    spent(process, now_ms).into_iter().map(words).collect()
}

/// Now, in milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    agent_libos::Clock::now_ms(&agent_libos::SystemClock)
}
