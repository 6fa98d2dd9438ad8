//! Flow: what a call means for the labels of data, and what labels mean for a call.
//!
//! A process has the join of the labels of all that it has taken in, and what it makes has that
//! label at least. So there is one place for every join: before an intent the label goes to what
//! the call writes, and with the outcome to the caller comes the label of what it reads. A call
//! whose data is above the clearance of where it would go takes, besides authority, a human's
//! word on that very call; this is decided with authority, before anything is looked at. While
//! nothing has a label and no rule gives one, all of this is one comparison.

use std::sync::Arc;

use libos_abi::{
    Demand, DenyReason, Digest, Error, Event, Fault, Few, FsPath, Label, Labelled, Need, ObjectId,
    OpId, Outcome, Pid, Reply, Resource, Syscall,
    event::{LabelEvent, OpEvent, ProcessEvent, Verdict},
    fs, human, label, message, namespace, object,
    process::{self, Wait, WaitOn},
    tool,
};
use libos_port::{Stop, mutated};

use crate::{
    kernel::{Kernel, full_arguments},
    labels::join,
    ops::{Op, OpState},
    tx::Tx,
};

/// The mount that is another folder of the host for each task.
const WORKSPACE: &str = "fs:workspace";

/// Data that is above the clearance of where it would go.
#[derive(Debug, Clone)]
pub(crate) struct Exceeding {
    /// The sink.
    pub(crate) need: Need,
    label: Label,
    clearance: Label,
    pub(crate) releasable: bool,
}

impl Exceeding {
    /// Why the call is refused.
    pub(crate) fn reason(&self) -> DenyReason {
        let Self { label, clearance, releasable, .. } = *self;
        DenyReason::Clearance { label, clearance, releasable }
    }
}

/// What bears on the flow of one call.
struct Flow<'a> {
    pid: Pid,
    workspace: Option<&'a Arc<str>>,
    needs: &'a [Need],
    /// The file whose content the call takes elsewhere without its caller's having read it.
    moved: Option<Resource>,
    /// Whether a program of the host runs, which reads and writes files by itself.
    is_program: bool,
}

impl Kernel {
    /// The label of what a process has taken in.
    pub(crate) fn mark(&self, pid: Pid) -> Label {
        self.labels.of(&Labelled::Process(pid))
    }

    // ---- before a call -----------------------------------------------------------------------

    /// The first sink of a call that may not have the data that would go there, unless a human has
    /// released just that.
    pub(crate) fn exceeding(&self, tx: &Tx, op: &Op) -> Option<Exceeding> {
        let is_sink = op.call.info().data.is_out() && !mutated("ignore_clearances");
        if self.labels.is_quiet() || !is_sink {
            return None;
        }
        let (pid, Demand::Rights(needs)) = (op.caller.pid()?, op.call.demand()) else {
            return None;
        };
        let label = self.outgoing(&flow(tx, op, pid, &needs));
        let released = match &op.state {
            OpState::Asking {
                release, decision: Some(human::Decision::Approve { .. }), ..
            } => release.is_some_and(|released| label.is_within(released)),
            _ => false,
        };
        if released || label == Label::BOTTOM {
            return None;
        }
        needs.into_iter().find_map(|need| {
            let sink = self.labels.rules.sink(&need.on)?;
            let (clearance, releasable) = (sink.clearance, sink.releasable);
            let is_over = !label.is_within(clearance);
            is_over.then_some(Exceeding { need, label, clearance, releasable })
        })
    }

    /// Asks a human to release the data of a call.
    pub(crate) fn ask_release(
        &mut self,
        tx: &mut Tx,
        id: OpId,
        over: Exceeding,
    ) -> Result<(), Error> {
        let (Some(pid), Some(op)) = (tx.caller.pid(), self.ops.get(id)) else {
            return Err(Fault::NoProcess.into());
        };
        let release = human::Release {
            call: op.call.info().name.into(),
            args: full_arguments(&op.call, tx),
            digest: op.call.digest(),
            sink: over.need.on,
            label: over.label,
            clearance: over.clearance,
        };
        let opened = self.ask(tx, human::OpenRelease { op: id, pid, release })?;
        let request = opened.request;
        let verdict = Verdict::Asked { by: Few::new(), request };
        self.emit(tx, OpEvent::Decided { op: id, verdict });
        self.block(tx, id, Wait { on: WaitOn::Human(request), until_ms: None });
        Ok(())
    }

    /// Gives what a call is about to write the label of the data that goes there.
    pub(crate) fn flow_out(&mut self, tx: &mut Tx, id: OpId) {
        if self.labels.is_quiet() {
            return;
        }
        let Some(op) = self.ops.get(id) else { return };
        let info = op.call.info();
        let (Some(pid), Demand::Rights(needs)) = (op.caller.pid(), op.call.demand()) else {
            return;
        };
        if !info.data.is_out() {
            return;
        }
        let flow = flow(tx, op, pid, &needs);
        let mut label = self.outgoing(&flow);
        if info.data.is_in() {
            label = label.join(self.incoming(&flow));
        }
        let mut written: Vec<Labelled> = needs
            .iter()
            .filter(|need| need.on.kind() == "fs")
            .map(|need| flow.file(&need.on))
            .collect();
        if flow.is_program {
            written.push(Labelled::Files { workspace: flow.workspace.cloned() });
            written.push(Labelled::Files { workspace: None });
        }
        written.into_iter().for_each(|what| self.raise(tx, what, label));
    }

    // ---- after a call ------------------------------------------------------------------------

    /// Gives the caller the label of what an outcome tells it, and what the call made that of its
    /// caller.
    pub(crate) fn flow_in(&mut self, tx: &mut Tx, id: OpId, outcome: &Outcome) {
        if self.labels.is_quiet() {
            return;
        }
        let Some(op) = self.ops.get(id) else { return };
        let mut label = Label::BOTTOM;
        if let Some(pid) = op.caller.pid() {
            let is_told = op.state == OpState::Dispatched || outcome.is_ok();
            let is_told = is_told && !mutated("read_without_label");
            if let (true, true, Demand::Rights(needs)) =
                (op.call.info().data.is_in(), is_told, op.call.demand())
            {
                let flow = flow(tx, op, pid, &needs);
                label =
                    label.join(self.incoming(&flow)).join(self.listed(&flow, &op.call, outcome));
            }
            if let Ok(reply) = outcome {
                label = label.join(self.revealed(pid, &op.call, reply));
            }
        }
        let own = op.caller.pid().map(Labelled::Process);
        let mark = own.as_ref().map_or(Label::BOTTOM, |own| self.labels.of(own)).join(label);
        let made = match outcome {
            Ok(reply) => self.made(&op.call, reply, mark),
            Err(_) => Vec::new(),
        };
        own.into_iter().for_each(|own| self.raise(tx, own, label));
        made.into_iter().for_each(|(what, label)| self.raise(tx, what, label));
    }

    /// Gives a process the label of a generated tool that it starts.
    pub(crate) fn flow_from_tool(&mut self, tx: &mut Tx, digest: Digest) {
        let label = self.labels.of(&Labelled::Tool(digest));
        if let Some(pid) = tx.caller.pid() {
            self.raise(tx, Labelled::Process(pid), label);
        }
    }

    /// What follows for labels from an event of a component.
    pub(crate) fn flow_along(&mut self, tx: &mut Tx, event: &Event) {
        match event {
            // What a child starts from is written by its parent.
            Event::Process(ProcessEvent::Spawned { pid, parent: Some(parent), .. }) => {
                self.raise(tx, Labelled::Process(*pid), self.mark(*parent));
            }
            Event::Process(ProcessEvent::Sent(sent)) => {
                let label = sent.from.map_or(Label::BOTTOM, |from| self.mark(from));
                self.raise(tx, Labelled::Message { to: sent.to, id: sent.id }, label);
            }
            Event::Process(ProcessEvent::Received { pid: to, ids }) => {
                let of = |id: &_| self.labels.of(&Labelled::Message { to: *to, id: *id });
                let label = join(ids.iter().map(of));
                self.raise(tx, Labelled::Process(*to), label);
            }
            _ => {}
        }
        self.labels.apply(event);
    }

    /// Raises the label of something to be no lower than `label`.
    fn raise(&mut self, tx: &mut Tx, what: Labelled, label: Label) {
        let label = self.labels.of(&what).join(label);
        self.set_label(tx, what, label);
    }

    fn set_label(&mut self, tx: &mut Tx, what: Labelled, label: Label) {
        if self.labels.of(&what) != label {
            self.emit_label(tx, LabelEvent::Set { what, label });
        }
    }

    // ---- what has which label ----------------------------------------------------------------

    /// The label of what goes out with a call. A program of the host may read any file.
    fn outgoing(&self, flow: &Flow<'_>) -> Label {
        let moved = flow.moved.as_ref().map(|moved| self.at(flow, moved));
        let files = flow.is_program.then(|| self.all_files(flow));
        join(moved.into_iter().chain(files)).join(self.mark(flow.pid))
    }

    /// The label of what comes in from the resources of a call.
    fn incoming(&self, flow: &Flow<'_>) -> Label {
        let needed = join(flow.needs.iter().map(|need| self.at(flow, &need.on)));
        match flow.is_program {
            true => needed.join(self.all_files(flow)),
            false => needed,
        }
    }

    /// The label of what is read from a resource.
    fn at(&self, flow: &Flow<'_>, on: &Resource) -> Label {
        let ruled = self.labels.rules.label(on);
        if on.kind() != "fs" {
            return ruled;
        }
        let file = flow.file(on);
        let Labelled::File { workspace, .. } = &file else { return ruled };
        let files = Labelled::Files { workspace: workspace.clone() };
        ruled.join(self.labels.of(&file)).join(self.labels.of(&files))
    }

    /// The label of all files that a program could come by.
    fn all_files(&self, flow: &Flow<'_>) -> Label {
        let is_near = |of: &Option<Arc<str>>| of.is_none() || of.as_ref() == flow.workspace;
        let files = self.labels.iter().filter(|(what, _)| match what {
            Labelled::File { workspace, .. } | Labelled::Files { workspace } => is_near(workspace),
            _ => false,
        });
        join(files.map(|(_, label)| label)).join(self.labels.rules.label_of_kind("fs"))
    }

    /// The label of what a listing names and a search found.
    fn listed(&self, flow: &Flow<'_>, call: &Syscall, outcome: &Outcome) -> Label {
        let Ok(Reply::Fs(reply)) = outcome else { return Label::BOTTOM };
        match (call, reply) {
            (Syscall::Fs(fs::Call::List(list)), fs::Reply::List(listing)) => {
                let folder = &list.path.path().0;
                let entry =
                    |entry: &fs::DirEntry| Resource::file(&format!("{folder}/{}", entry.name));
                join(listing.entries.iter().map(|it| self.at(flow, &entry(it))))
            }
            (_, fs::Reply::Search(found)) => {
                join(found.lines.iter().map(|it| self.at(flow, &it.path.resource())))
            }
            (_, fs::Reply::Glob(found)) => {
                join(found.entries.iter().map(|it| self.at(flow, &it.path.resource())))
            }
            _ => Label::BOTTOM,
        }
    }

    /// The label of what of the kernel's own state a reply shows to a process.
    fn revealed(&self, pid: Pid, call: &Syscall, reply: &Reply) -> Label {
        let object = |id| self.labels.of(&Labelled::Object(id));
        match reply {
            Reply::Process(reply) => self.revealed_of_processes(call, reply),
            Reply::Object(reply) => match (reply, call) {
                (object::Reply::List(found) | object::Reply::Query(found), _) => {
                    join(found.objects.iter().map(|it| object(it.id)))
                }
                (object::Reply::Materialize(all), _) => {
                    join(all.items.iter().map(|it| object(it.id)))
                }
                (_, Syscall::Object(object::Call::Read(read))) => object(read.id),
                (_, Syscall::Object(object::Call::Stat(stat))) => object(stat.id),
                (_, Syscall::Object(object::Call::ListLinks(links))) => object(links.id),
                _ => Label::BOTTOM,
            },
            Reply::Namespace(namespace::Reply::List(list)) => {
                join(list.entries.iter().map(|it| object(it.id)))
            }
            Reply::Namespace(namespace::Reply::Lookup(entry)) => object(entry.id),
            Reply::Message(message::Reply::Peek(mail)) => {
                let of = |id| self.labels.of(&Labelled::Message { to: pid, id });
                join(mail.messages.iter().map(|it| of(it.id)))
            }
            Reply::Tool(tool::Reply::Inspect(details)) => {
                self.labels.of(&Labelled::Tool(details.status.digest))
            }
            Reply::Tool(tool::Reply::ListGenerated(all)) => {
                join(all.tools.iter().map(|it| self.labels.of(&Labelled::Tool(it.digest))))
            }
            // The record has what everybody wrote.
            Reply::Audit(_) => join(self.labels.iter().map(|(_, label)| label)),
            _ => Label::BOTTOM,
        }
    }

    fn revealed_of_processes(&self, call: &Syscall, reply: &process::Reply) -> Label {
        match (reply, call) {
            (process::Reply::Inspect(info), _) => self.mark(info.pid),
            (process::Reply::List(all) | process::Reply::ListTasks(all), _) => {
                join(all.processes.iter().map(|it| self.mark(it.pid)))
            }
            (_, Syscall::Process(process::Call::WaitChild(wait))) => self.mark(wait.pid),
            _ => Label::BOTTOM,
        }
    }

    /// What a call made, each with the label it has at least.
    fn made(&self, call: &Syscall, reply: &Reply, mark: Label) -> Vec<(Labelled, Label)> {
        let of = |id| self.labels.of(&Labelled::Object(id));
        match (call, reply) {
            (Syscall::Object(call), Reply::Object(reply)) => match (call, reply) {
                (object::Call::Create(create), object::Reply::Create(made)) => {
                    let parents = create.parents.iter().flatten().map(|parent| of(*parent));
                    vec![(Labelled::Object(made.id), join(parents).join(mark))]
                }
                (object::Call::Update(object::Update { id, .. }), _)
                | (object::Call::Append(object::Append { id, .. }), _) => {
                    vec![(Labelled::Object(*id), mark)]
                }
                (object::Call::MakeLink(object::MakeLink { from, to, .. }), _)
                | (object::Call::Unlink(object::Unlink { from, to, .. }), _) => {
                    vec![(Labelled::Object(*from), mark), (Labelled::Object(*to), mark)]
                }
                _ => Vec::new(),
            },
            (Syscall::Tool(_), Reply::Tool(tool::Reply::Propose(status))) => {
                vec![(Labelled::Tool(status.digest), mark)]
            }
            (Syscall::Process(process::Call::Merge(merge)), Reply::Process(reply)) => {
                let process::Reply::Merge(merged) = reply else { return Vec::new() };
                let child = |id: &ObjectId| ObjectId { space: merge.pid, ..*id };
                let adopted = merged.adopted.iter().map(|it| (it.to, of(it.from)));
                let updated = merged.updated.iter().map(|id| (*id, of(child(id))));
                adopted.chain(updated).map(|(id, label)| (Labelled::Object(id), label)).collect()
            }
            _ => Vec::new(),
        }
    }

    // ---- calls of the service ----------------------------------------------------------------

    /// Serves a call of the service `label`, whose state is the broker's own.
    pub(crate) fn serve_label(&mut self, tx: &mut Tx, id: OpId) -> Result<Reply, Stop> {
        let Some(Syscall::Label(call)) = self.ops.get(id).map(|op| op.call.clone()) else {
            return Err(Fault::NoProcess.into());
        };
        let own = tx.caller.pid().map(Labelled::Process);
        Ok(match call {
            label::Call::Show(label::Show { id }) => {
                let what = id.map(Labelled::Object).or(own);
                let label = what.map_or(Label::BOTTOM, |what| self.labels.of(&what));
                label::Reply::Show(label::LabelShown { label })
            }
            label::Call::List(_) => {
                let entry = |(what, label): (&Labelled, Label)| label::LabelEntry {
                    what: what.clone(),
                    label,
                };
                let entries = self.labels.iter().map(entry).collect();
                label::Reply::List(label::LabelList { entries })
            }
            label::Call::Declassify(call) => {
                self.declassify(tx, &call, own)?;
                label::Reply::Declassify(label::LabelShown { label: call.to })
            }
        }
        .into())
    }

    fn declassify(
        &mut self,
        tx: &mut Tx,
        call: &label::Declassify,
        own: Option<Labelled>,
    ) -> Result<(), Stop> {
        let label::Declassify { id, path, pid, to } = call;
        let mut named: Vec<Labelled> =
            id.map(Labelled::Object).into_iter().chain(pid.map(Labelled::Process)).collect();
        named.extend(path.iter().flat_map(|path| self.files_at(tx, path)));
        if (id, path, pid) == (&None, &None, &None) {
            named.extend(own);
        }
        let label = join(named.iter().map(|what| self.labels.of(what)));
        if !to.is_within(label) {
            let why = format!("what is there is {label}, and {to} is not below it");
            return Err(label::FailureKind::NotLower.because(why).into());
        }
        for what in named {
            let lowered = self.labels.of(&what).meet(*to);
            self.set_label(tx, what, lowered);
        }
        Ok(())
    }

    /// The files at a path and below it that have a label: of the caller's workspace, and for the
    /// host of all.
    fn files_at(&self, tx: &Tx, path: &FsPath) -> Vec<Labelled> {
        let (base, mine) = (path.resource(), tx.caller.admission.as_ref());
        let is_mine = |of: &Option<Arc<str>>| match mine {
            Some(admission) => of.is_none() || *of == admission.workspace,
            None => true,
        };
        let is_below = |on: &Resource| {
            let rest = on.as_str().strip_prefix(base.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_root = base.as_str() == WORKSPACE;
        let all = self.labels.iter().filter(|(what, _)| match what {
            Labelled::File { workspace, on } => is_mine(workspace) && is_below(on),
            Labelled::Files { workspace } => is_root && is_mine(workspace),
            _ => false,
        });
        all.map(|(what, _)| what.clone()).collect()
    }
}

impl Flow<'_> {
    /// A file as it is known to labels.
    fn file(&self, on: &Resource) -> Labelled {
        let rest = on.as_str().strip_prefix(WORKSPACE);
        let is_here = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let workspace = is_here.then(|| self.workspace.cloned()).flatten();
        Labelled::File { workspace, on: on.clone() }
    }
}

fn flow<'a>(tx: &'a Tx, op: &Op, pid: Pid, needs: &'a [Need]) -> Flow<'a> {
    let workspace = tx.caller.admission.as_ref().and_then(|admission| admission.workspace.as_ref());
    let moved = match &op.call {
        Syscall::Fs(fs::Call::Rename(rename)) => Some(rename.from.resource()),
        _ => None,
    };
    Flow { pid, workspace, needs, moved, is_program: op.call.info().service == "shell" }
}
