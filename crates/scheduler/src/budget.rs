//! Budgets: what a call may use is charged before it is made, what it did use is settled after.
//!
//! A limit binds its process and all below it. A charge is counted for the process and everyone
//! above it, or refused with nothing changed; so at every instant what a subtree has used, what is
//! set aside for its calls under way included, is within the budget of everyone above it. An
//! operation that turns out to have used more than was set aside is counted in full.
//!
//! Calls are counted only where some limit counts them; what is paid for always is. A process
//! without any limit above it is admitted without a look at those above it, without an event and
//! without an allocation, unless its call has a price.

use std::sync::Arc;

use libos_abi::{
    Fault, Pid,
    event::ProcessEvent,
    process::{Admission, Admit, Budget, BudgetKind, Extend, FailureKind, Settle, Usage},
};
use libos_port::{Context, Stop, mutated};
use serde::Serialize;

use crate::{
    Scheduler,
    core::{Fixed, Life, MadeOf, Process, Table},
};

/// What calls are counted by.
const COUNTED: [BudgetKind; 5] = [
    BudgetKind::Syscalls,
    BudgetKind::ToolCalls,
    BudgetKind::Bytes,
    BudgetKind::Tokens,
    BudgetKind::Cost,
];

/// What there is to check when a process makes a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Bounds {
    /// It, or one above it, has a limit by which calls are counted.
    counted: bool,
    /// It, or one above it, has a limit of time.
    timed: bool,
}

impl Bounds {
    /// Those of a process with this budget, below one with those bounds.
    pub(crate) fn of(budget: &Budget, above: Option<Self>) -> Self {
        let above = above.unwrap_or_default();
        Self {
            counted: above.counted || COUNTED.iter().any(|kind| budget.limit(*kind).is_some()),
            timed: above.timed || budget.wall.is_some(),
        }
    }
}

/// How long a process has been there.
fn age_ms(process: &Process, now_ms: u64) -> u64 {
    now_ms.saturating_sub(process.fixed.started_at_ms)
}

/// Refuses what a process, or anyone above it, has no budget for.
pub(crate) fn allows(table: &Table, pid: Pid, charge: Usage) -> Result<(), Fault> {
    for (of, process) in table.chain(pid) {
        if of != pid && mutated("ignore_budgets_above") {
            break;
        }
        for kind in COUNTED.into_iter().chain([BudgetKind::Children]) {
            let more = charge.of(kind);
            if more > 0
                && let Some(limit) = process.limit(kind)
                && let used = process.usage().of(kind)
                && used.saturating_add(more) > limit
            {
                return Err(Fault::OverBudget { of, kind, limit, used, more });
            }
        }
    }
    Ok(())
}

/// Refuses a call of a process that, or one above it, has been there for too long.
fn in_time(table: &Table, pid: Pid, now_ms: u64) -> Result<(), Fault> {
    for (of, process) in table.chain(pid) {
        let (kind, used) = (BudgetKind::Wall, age_ms(process, now_ms));
        if let Some(limit) = process.limit(kind)
            && used > limit
        {
            return Err(Fault::OverBudget { of, kind, limit, used, more: 0 });
        }
    }
    Ok(())
}

/// Refuses a child's budget that is more than what its parent has left. Where the parent has no
/// limit any value will do: those above are checked on every call.
pub(crate) fn within(
    budget: &Budget,
    pid: Pid,
    parent: &Process,
    now_ms: u64,
) -> Result<(), Fault> {
    for kind in COUNTED.into_iter().chain([BudgetKind::Wall, BudgetKind::Children]) {
        let used = match kind {
            BudgetKind::Wall => age_ms(parent, now_ms),
            // The child itself is one of them.
            BudgetKind::Children => parent.usage().children.saturating_add(1),
            kind => parent.usage().of(kind),
        };
        if let (Some(given), Some(limit)) = (budget.limit(kind), parent.limit(kind))
            && given > limit.saturating_sub(used)
        {
            return Err(Fault::OverBudget { of: pid, kind, limit, used, more: given });
        }
    }
    Ok(())
}

/// Of the limits of an image, those that fit into what a parent has left. Where one does not, that
/// of the parent is tighter and binds.
pub(crate) fn fitting(of_image: &Budget, pid: Pid, parent: &Process, now_ms: u64) -> Budget {
    let Budget { syscalls, tool_calls, wall, children, bytes, tokens, cost } = *of_image;
    let none = Budget::default;
    let each = [
        Budget { syscalls, ..none() },
        Budget { tool_calls, ..none() },
        Budget { wall, ..none() },
        Budget { children, ..none() },
        Budget { bytes, ..none() },
        Budget { tokens, ..none() },
        Budget { cost, ..none() },
    ];
    let fits = |one: &Budget| within(one, pid, parent, now_ms).is_ok();
    each.iter().filter(|one| fits(one)).fold(none(), Budget::or)
}

/// What the last admission told, and of what it was made. A process makes many calls in a row.
#[derive(Debug)]
pub(crate) struct Admitted {
    fixed: Arc<Fixed>,
    made_of: Arc<MadeOf>,
    admission: Arc<Admission>,
}

/// What a process is told with each of its calls.
fn told(process: &Process) -> Admission {
    let (fixed, made_of) = (&process.fixed, &process.made_of);
    Admission {
        root: process.standing.root,
        ancestors: Arc::clone(&fixed.ancestors),
        image: Arc::clone(&made_of.image),
        cwd: fixed.cwd.clone(),
        workspace: made_of.workspace.clone(),
        quantum: process.turn.quantum,
        tool_groups: Arc::clone(&fixed.tool_groups),
        interrupted: process.interrupts > 0,
    }
}

impl Admitted {
    fn of(process: &Process) -> Self {
        let (fixed, made_of) = (Arc::clone(&process.fixed), Arc::clone(&process.made_of));
        Self { fixed, made_of, admission: Arc::new(told(process)) }
    }

    /// Tells this process from now on, in the same place where nobody looks at it any more.
    fn turn_to(&mut self, process: &Process) {
        match Arc::get_mut(&mut self.admission) {
            Some(place) => *place = told(process),
            None => self.admission = Arc::new(told(process)),
        }
        self.fixed = Arc::clone(&process.fixed);
        self.made_of = Arc::clone(&process.made_of);
    }

    /// Whether it is what this process is told now. What it was made of is held on to, so that
    /// what stands in the same place is the same, and of the same process.
    fn is_told(&self, process: &Process) -> bool {
        Arc::ptr_eq(&self.fixed, &process.fixed)
            && Arc::ptr_eq(&self.made_of, &process.made_of)
            && self.admission.quantum == process.turn.quantum
            && self.admission.interrupted == (process.interrupts > 0)
    }
}

impl Scheduler {
    pub(crate) fn admit_call(
        &mut self,
        cx: &mut dyn Context,
        call: &Admit,
    ) -> Result<Arc<Admission>, Stop> {
        let Admit { pid, run, charge } = *call;
        let process = self.state.live(pid).ok_or(Fault::NoProcess)?;
        let is_new = run != 0;
        if is_new
            && !mutated("accept_stale_run")
            && (process.turn.run != run || !matches!(process.turn.life, Life::Running))
        {
            return Err(Fault::StaleRun.into());
        }
        let fixed = &process.fixed;
        if fixed.bounds.timed && is_new {
            in_time(&self.state, pid, cx.now_ms())?;
        }
        let charge = if fixed.bounds.counted { charge } else { charge.paid() };
        let is_counted = !charge.is_nothing();
        if is_counted {
            allows(&self.state, pid, charge)?;
        }
        let last = self.admitted.get_or_insert_with(|| Admitted::of(process));
        if !last.is_told(process) {
            last.turn_to(process);
        }
        let admission = Arc::clone(&last.admission);
        if is_counted && !mutated("charge_nothing") {
            let op = cx.op();
            self.state.change(cx, ProcessEvent::Charged { pid, op, usage: charge });
            if mutated("charge_twice") {
                self.state.change(cx, ProcessEvent::Charged { pid, op, usage: charge });
            }
        }
        Ok(admission)
    }

    pub(crate) fn settle_call(&mut self, cx: &mut dyn Context, call: &Settle) {
        let op = call.op;
        if let Some(set_aside) = self.state.set_aside(op) {
            let used = call.used.map_or(set_aside, Usage::estimated);
            self.state.change(cx, ProcessEvent::Settled { op, used });
        }
    }

    pub(crate) fn extend_limit(&mut self, cx: &mut dyn Context, call: &Extend) -> Result<(), Stop> {
        let Extend { pid, kind, by } = *call;
        let limit = self.state.get(pid).and_then(|process| process.limit(kind));
        if limit.is_none() {
            let detail = format!("{pid} has no limit of {}", kind.unit());
            return Err(FailureKind::NotFound.because(detail).into());
        }
        self.state.change(cx, ProcessEvent::Extended { pid, kind, by });
        Ok(())
    }
}
