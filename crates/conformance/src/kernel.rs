//! A kernel for one component: calls in transactions, a journal, and the laws.
//!
//! Every call is held against what holds for all components, whatever a case is about:
//! - a call that is refused changes nothing, and what is undone leaves no trace;
//! - the same call on the same state ends alike;
//! - folding the journal into a fresh component gives the same state;
//! - a call ends in a reply of its own kind, a fault, or a failure that its table lists;
//! - a component sends along the imports of its manifest only;
//! - deciding changes nothing;
//! - a component that took over the state as bytes has the same state, and the call ends alike.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use libos_abi::{
    CapId, Demand, Digest, Error, Event, FsPath, Need, OpId, Pid, Principal, Reply, Request,
    SERVICES, Syscall, event::CapabilityEvent, process::Admission,
};
use libos_port::{Authority, Caller, Component, Context, Decision, Manifest, Query, Stop};

use crate::{Binding, Factory, Seen, Subject, World, binding::Bind, case::law, text};

/// Operations that a case does not number are numbered from here on.
const OPS_FROM: u64 = 1_000_000;

/// Who makes a call, and under which operation; a new one where none is said.
#[derive(Debug, Clone)]
pub struct By {
    principal: Principal,
    op: Option<OpId>,
}

impl By {
    /// The same caller, in this operation: a call that waited is served again in its own.
    #[must_use]
    pub fn op(self, op: u64) -> Self {
        Self { op: Some(OpId(op)), ..self }
    }
}

impl From<Pid> for By {
    fn from(pid: Pid) -> Self {
        Self { principal: Principal::Process(pid), op: None }
    }
}

/// A process.
#[must_use]
pub fn process(pid: u64) -> By {
    Pid(pid).into()
}

/// A generated tool in a process.
#[must_use]
pub fn tool_of(pid: u64, tool: &str) -> By {
    By { principal: Principal::Tool { pid: Pid(pid), tool: tool.into() }, op: None }
}

/// The host's operator, and whoever speaks for the kernel.
#[must_use]
pub fn host() -> By {
    By { principal: Principal::Host("ada".into()), op: None }
}

/// Whether a state is taken over before this call, the first being 1. That takes time in proportion
/// to the state, so it gets rarer the longer a case is.
fn is_loaded_before(call: u64) -> bool {
    call.isqrt().pow(2) == call
}

/// One component with its journal, in a fake of the rest of the system.
pub struct Kernel<P: ?Sized = dyn Component> {
    /// The component.
    pub part: Box<P>,
    /// The rest of the system.
    pub world: World,
    /// Every event that counts.
    pub journal: Vec<Event>,
    /// Whether each call is held against the laws that look at the whole state. They are held once
    /// more when the case is over.
    pub is_strict: bool,
    /// A component that has folded the journal, and nothing else.
    folded: Box<P>,
    /// A component that takes over the state of the other before some calls.
    loaded: Box<P>,
    rehearsed: u64,
    make: Factory<Box<P>>,
    manifest: Manifest,
    /// When the operations that wait began.
    began_ms: BTreeMap<OpId, u64>,
    last_op: u64,
    /// Shared with the kernels made by [`fresh`](Self::fresh).
    seen: Rc<RefCell<Seen>>,
}

impl<P: Component + Default + 'static> Default for Kernel<P> {
    fn default() -> Self {
        Self::new(Rc::new(|| Box::new(P::default())))
    }
}

impl<P: ?Sized + Component> Kernel<P> {
    /// A kernel for the component that `make` makes.
    #[must_use]
    pub fn new(make: Factory<Box<P>>) -> Self {
        let part = make();
        let manifest = part.manifest();
        Self {
            folded: make(),
            loaded: make(),
            rehearsed: 0,
            part,
            make,
            manifest,
            world: World::default(),
            journal: Vec::new(),
            is_strict: true,
            began_ms: BTreeMap::new(),
            last_op: OPS_FROM,
            seen: Rc::default(),
        }
    }

    /// Another kernel of the same component, in which nothing has happened.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { seen: Rc::clone(&self.seen), ..Self::new(Rc::clone(&self.make)) }
    }

    /// Whether the component serves a service.
    #[must_use]
    pub fn serves(&self, service: &str) -> bool {
        self.manifest.serves.contains(&service)
    }

    /// Serves a call in a transaction of its own.
    ///
    /// # Errors
    /// What the call ends in; then nothing of it counts.
    pub fn serve(&mut self, by: impl Into<By>, call: impl Into<Syscall>) -> Result<Reply, Stop> {
        let (by, call) = (by.into(), call.into());
        if self.is_strict {
            self.rehearse(&by, &call);
        }
        self.transaction(|kernel| kernel.enter(by, call))
    }

    /// Makes a call and undoes it: that leaves no trace, and the call made then ends alike.
    fn rehearse(&mut self, by: &By, call: &Syscall) {
        let (before, world) = (self.state(), self.world.clone());
        let (began_ms, last_op) = (self.began_ms.clone(), self.last_op);
        self.part.begin();
        let first = self.enter(by.clone(), call.clone());
        self.part.rollback();
        law("I-08", self.state() == before, || format!("{} undone left a trace", call.info().name));
        self.world = world.clone();
        (self.began_ms, self.last_op) = (began_ms.clone(), last_op);
        self.part.begin();
        let second = self.enter(by.clone(), call.clone());
        self.part.rollback();
        // Which process a policy picks may change when a pick is undone.
        let alike = match call.info().name {
            "process.next" => code(&first) == code(&second),
            _ => first == second,
        };
        law("I-34", alike, || format!("{first:?} becomes {second:?} on the same state"));
        let events = std::mem::take(&mut self.world.events);
        self.world = world.clone();
        (self.began_ms, self.last_op) = (began_ms.clone(), last_op);
        self.rehearsed += 1;
        if !is_loaded_before(self.rehearsed) {
            (self.world, self.began_ms) = (world, began_ms);
            return;
        }
        self.load();
        std::mem::swap(&mut self.part, &mut self.loaded);
        self.part.begin();
        let third = self.enter(by.clone(), call.clone());
        self.part.rollback();
        law("I-107", self.state() == before, || {
            "what was loaded is undone to another state".into()
        });
        std::mem::swap(&mut self.part, &mut self.loaded);
        // Who is next is told by the queue, which is no state.
        let alike =
            call.info().name == "process.next" || (&first, &events) == (&third, &self.world.events);
        law("I-107", alike, || format!("{first:?} becomes {third:?} once the state was loaded"));
        self.world = world;
        (self.began_ms, self.last_op) = (began_ms, last_op);
    }

    /// Has the other component take over the state.
    #[track_caller]
    fn load(&mut self) {
        let mut bytes = Vec::new();
        let saved = self.part.save(&mut bytes);
        law("I-107", saved.is_ok(), || format!("its state is not saved: {saved:?}"));
        let loaded = self.loaded.load(&bytes);
        law("I-107", loaded.is_ok(), || format!("its own state is not loaded: {loaded:?}"));
        let same = self.loaded.digest() == self.part.digest();
        law("I-107", same, || "its own state is another once it was loaded".into());
        let cut = bytes.len().saturating_sub(1);
        let refused = self.loaded.load(&bytes[..cut]).is_err();
        law("I-107", refused, || "a state that is cut off is loaded".into());
    }

    /// A call with its typed reply.
    ///
    /// # Errors
    /// What the call ends in; then nothing of it counts.
    pub fn call<R: Request>(&mut self, by: impl Into<By>, call: R) -> Result<R::Reply, Stop> {
        self.serve(by, call).map(typed::<R>)
    }

    /// A call that must succeed, with its typed reply.
    #[track_caller]
    pub fn ok<R: Request>(&mut self, by: impl Into<By>, call: R) -> R::Reply {
        match self.call(by, call) {
            Ok(reply) => reply,
            Err(stop) => panic!("{} should succeed: {stop:?}", R::INFO.name),
        }
    }

    /// A call that must be refused, with the code of its error and its text.
    #[track_caller]
    pub fn refused(
        &mut self,
        by: impl Into<By>,
        call: impl Into<Syscall>,
    ) -> (&'static str, String) {
        let call = call.into();
        let name = call.info().name;
        match self.serve(by, call) {
            Err(Stop::Error(error)) => (error.code(), error.to_string()),
            other => panic!("{name} should be refused: {other:?}"),
        }
    }

    /// What comes of a call: `ok`, `wait`, `perform` or the code of its error.
    pub fn code(&mut self, by: impl Into<By>, call: impl Into<Syscall>) -> &'static str {
        code(&self.serve(by, call))
    }

    /// One transaction of several calls, each made with [`enter`](Self::enter).
    ///
    /// # Errors
    /// What the body ends in; an error undoes everything.
    pub fn transaction<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let before = self.state();
        self.world.events.clear();
        self.part.begin();
        let result = body(self);
        if matches!(result, Err(Stop::Error(_))) {
            self.part.rollback();
            self.world.events.clear();
            law("I-08", self.state() == before, || "what was undone left a trace".into());
        } else {
            self.world.events.iter().for_each(|event| self.folded.apply(event));
            self.journal.append(&mut self.world.events);
            if self.is_strict {
                self.check_fold();
            }
        }
        result
    }

    /// One call within the running transaction.
    ///
    /// # Errors
    /// What the call ends in.
    pub fn enter(&mut self, by: impl Into<By>, call: impl Into<Syscall>) -> Result<Reply, Stop> {
        let (By { principal, op }, call) = (by.into(), call.into());
        let info = call.info();
        self.last_op += 1;
        let op = op.unwrap_or(OpId(self.last_op));
        let started_ms = *self.began_ms.entry(op).or_insert(self.world.now_ms);
        let caller =
            Caller { admission: principal.pid().map(|pid| self.admission(pid).into()), principal };
        let (before, events, refused) = (self.state(), self.world.events.len(), self.world.refused);
        self.world.sent.clear();
        let mut cx =
            Cx { world: &mut self.world, caller, op, started_ms, imports: self.manifest.imports };
        let result = self.part.call(&mut cx, &call);
        let is_own = self.world.refused == refused;
        let is_unchanged = self.world.events.len() == events;
        match &result {
            Ok(reply) => {
                law("I-81", is_reply_to(&call, reply), || format!("{} gave {reply:?}", info.name));
            }
            Err(Stop::Wait(_)) => {}
            Err(Stop::Perform | Stop::Run(_)) => {
                law("I-08", is_unchanged, || format!("{} made events and hands on", info.name));
            }
            // Only what another component refuses may come after a change.
            Err(Stop::Error(error)) if is_own => {
                let listed = matches!(error, Error::Fault(_)) || info.fails.contains(&error.code());
                law("I-81", listed, || format!("{} ended in {error:?}", info.name));
                let what = || format!("{} was refused and left events", info.name);
                law("I-08", is_unchanged, what);
                let what = || format!("{} was refused and changed the state", info.name);
                law("I-08", self.state() == before, what);
            }
            Err(Stop::Error(_)) => {}
        }
        if !matches!(result, Err(Stop::Wait(_))) {
            self.began_ms.remove(&op);
        }
        self.seen.borrow_mut().insert((info.name, code(&result)));
        result
    }

    /// Checks that folding the journal gives the state.
    #[track_caller]
    pub fn check_fold(&self) {
        let same = self.folded.digest() == self.part.digest();
        law("I-34", same, || "the journal folds to another state".into());
    }

    /// A component that has folded the journal, as after a crash; it takes the place of the other.
    pub fn recover(&mut self) {
        self.part = (self.make)();
        self.journal.iter().for_each(|event| self.part.apply(event));
        self.check_fold();
    }

    /// The digest of the state, where a law looks at it.
    fn state(&self) -> Option<Digest> {
        self.is_strict.then(|| self.part.digest())
    }

    fn admission(&self, pid: Pid) -> Admission {
        Admission {
            root: self.world.roots.get(&pid.0).map_or(pid, |root| Pid(*root)),
            ancestors: [].into(),
            image: self.world.image.as_str().into(),
            cwd: FsPath::from("workspace"),
            workspace: None,
            quantum: 1,
            tool_groups: self.world.tool_groups.iter().map(|group| group.as_str().into()).collect(),
            interrupted: false,
        }
    }
}

impl<P: ?Sized + Authority> Kernel<P> {
    /// What is decided on `needs` for a call of a process.
    pub fn weigh(
        &mut self,
        by: impl Into<By>,
        ancestors: &[Pid],
        needs: &[Need],
        call: &Syscall,
    ) -> Decision {
        let By { principal, op } = by.into();
        let before = self.state();
        let decision = self.part.decide(&Query {
            subject: principal.pid().expect("only a process is decided about"),
            ancestors,
            needs,
            call,
            digest: &|| call.digest(),
            op: op.unwrap_or(OpId(1)),
            label: self.world.label,
            now_ms: self.world.now_ms,
        });
        law("I-82", self.state() == before, || "a decision changed the state".into());
        if matches!(decision, Decision::Deny(_)) {
            self.seen.borrow_mut().insert((call.info().name, "denied"));
        }
        decision
    }

    /// What is decided on a call, whose demand must be for rights.
    #[track_caller]
    pub fn decision(&mut self, by: impl Into<By>, ancestors: &[Pid], call: &Syscall) -> Decision {
        let Demand::Rights(needs) = call.demand() else {
            panic!("{} demands no right", call.info().name)
        };
        self.weigh(by, ancestors, &needs, call)
    }

    /// What is decided on a call, both as text: `fs.read {"path":"workspace/a"}`. Capabilities are
    /// named by the order in which they were made, from 1.
    #[track_caller]
    pub fn decide(&mut self, by: impl Into<By>, call: &str) -> String {
        let decision = self.decision(by, &[], &text::call(call));
        self.show(&decision)
    }

    /// A decision as text.
    #[must_use]
    pub fn show(&self, decision: &Decision) -> String {
        let made: Vec<CapId> = self.made().collect();
        let place = |id: CapId| made.iter().position(|made| *made == id);
        text::decision(decision, |id| place(id).map_or(id.0, |place| place as u64 + 1))
    }

    /// The capability that was made as the `number`th, from 1.
    #[must_use]
    #[track_caller]
    pub fn nth(&self, number: usize) -> CapId {
        self.made().nth(number - 1).expect("as many were made")
    }

    /// How many capabilities were made.
    #[must_use]
    pub fn granted(&self) -> usize {
        self.made().count()
    }

    fn made(&self) -> impl Iterator<Item = CapId> {
        self.journal.iter().filter_map(|event| match event {
            Event::Capability(CapabilityEvent::Granted(new)) => Some(new.id),
            _ => None,
        })
    }
}

/// The typed reply; [`Kernel::enter`] has checked that it is one.
fn typed<R: Request>(reply: Reply) -> R::Reply {
    R::reply(reply).expect("the reply is of the call's kind")
}

/// What came of a call: `ok`, `wait`, `perform` or the code of its error.
#[must_use]
pub fn code<T>(result: &Result<T, Stop>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Stop::Wait(_)) => "wait",
        Err(Stop::Perform | Stop::Run(_)) => "perform",
        Err(Stop::Error(error)) => error.code(),
    }
}

/// Whether a reply is of the kind of a call: their encodings begin with the same numbers.
pub(crate) fn is_reply_to(call: &Syscall, reply: &Reply) -> bool {
    let info = call.info();
    let numbers = [info.service_number.to_le_bytes(), info.number.to_le_bytes()].concat();
    libos_abi::wire::encode(reply).starts_with(&numbers)
}

struct Cx<'a> {
    world: &'a mut World,
    caller: Caller,
    op: OpId,
    started_ms: u64,
    imports: &'static [&'static str],
}

impl Context for Cx<'_> {
    fn now_ms(&self) -> u64 {
        self.world.now_ms
    }

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn op(&self) -> OpId {
        self.op
    }

    fn started_ms(&self) -> u64 {
        self.started_ms
    }

    fn emit(&mut self, event: Event) {
        self.world.events.push(event);
    }

    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        let info = call.info();
        let is_imported = self.imports.contains(&info.service);
        law("I-80", is_imported, || format!("it sends {} without importing it", info.name));
        self.world.serve(self.caller.pid(), call)
    }
}

impl<P: ?Sized + Component + 'static> Subject for Kernel<P>
where
    Box<P>: Bind,
{
    type Part = Box<P>;

    fn mount(binding: Binding, make: &Factory<Box<P>>) -> Self {
        let make = Rc::clone(make);
        Self::new(Rc::new(move || make().bind(binding)))
    }

    fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    fn finish(&mut self) {
        self.check_fold();
        self.load();
    }
}

/// What every component must do with a call of another's service.
pub(crate) fn refuses_what_it_does_not_serve<P: ?Sized + Component>(kernel: &mut Kernel<P>) {
    let foreign: [Syscall; 2] = [
        libos_abi::audit::List { from: None, pid: None, limit: None }.into(),
        text::call("fs.list"),
    ];
    for call in foreign {
        let before = kernel.part.digest();
        assert_eq!(kernel.refused(host(), call).0, "unsupported");
        assert_eq!(kernel.part.digest(), before);
    }
    let known = |name: &&'static str| SERVICES.iter().any(|info| info.name == *name);
    assert!(kernel.manifest.serves.iter().all(known), "each is a service");
}
