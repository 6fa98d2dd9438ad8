//! Parts: the components, who serves what, and calls between them.
//!
//! A component is taken out of its place while it serves, so the borrow checker itself rules out
//! that it is entered twice; that the imports have no cycle is checked once, at composition.

use libos_abi::{Error, Event, Fault, OpId, Pid, Reply, SERVICES, Syscall};
use libos_port::{Authority, Caller, Component, Context, Decision, Manifest, Query, Reach, Stop};

/// What is wrong with a composition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// Two components serve the same service.
    #[error("two components serve `{0}`; compose exactly one in")]
    ServedTwice(&'static str),
    /// A name in a manifest is no service.
    #[error("a manifest names the service `{0}`, which no table defines")]
    UnknownService(&'static str),
    /// A component imports what nobody serves.
    #[error("`{importer}` imports `{service}`, which no component serves")]
    MissingImport {
        /// The importer's first service.
        importer: &'static str,
        /// The service.
        service: &'static str,
    },
    /// The imports run in a circle.
    #[error("the imports of `{0}` lead back to it; component imports must have no cycle")]
    Cycle(&'static str),
    /// A service the broker itself needs has no component.
    #[error("no component serves `{0}`, which the broker needs")]
    Missing(&'static str),
}

enum Part {
    Plain(Box<dyn Component>),
    Authority(Box<dyn Authority>),
}

impl Part {
    fn component(&mut self) -> &mut dyn Component {
        match self {
            Self::Plain(part) => part.as_mut(),
            Self::Authority(part) => part.as_mut(),
        }
    }

    fn component_ref(&self) -> &dyn Component {
        match self {
            Self::Plain(part) => part.as_ref(),
            Self::Authority(part) => part.as_ref(),
        }
    }
}

struct Slot {
    /// Taken out while it serves.
    part: Option<Part>,
    manifest: Manifest,
    /// Whether the running transaction has marked it.
    begun: bool,
}

impl Slot {
    /// The name of its first service.
    fn name(&self) -> &'static str {
        self.manifest.serves.first().copied().unwrap_or("nothing")
    }
}

const SERVICE_NUMBERS: usize = 64;

/// The composed components.
pub struct Parts {
    slots: Vec<Slot>,
    /// The slot of each service, by the service's number.
    routes: [Option<u8>; SERVICE_NUMBERS],
    authority: usize,
}

impl Parts {
    /// Composes components: the one that decides, and the others.
    ///
    /// # Errors
    /// [`ComposeError`].
    pub fn new(
        authority: Box<dyn Authority>,
        others: Vec<Box<dyn Component>>,
    ) -> Result<Self, ComposeError> {
        let mut slots = vec![Slot {
            manifest: authority.manifest(),
            part: Some(Part::Authority(authority)),
            begun: false,
        }];
        slots.extend(others.into_iter().map(|part| Slot {
            manifest: part.manifest(),
            part: Some(Part::Plain(part)),
            begun: false,
        }));
        let mut parts = Self { slots, routes: [None; SERVICE_NUMBERS], authority: 0 };
        parts.route()?;
        for needed in ["process", "capability", "human"] {
            if parts.slot_of(needed).is_none() {
                return Err(ComposeError::Missing(needed));
            }
        }
        parts.check_imports()?;
        Ok(parts)
    }

    fn route(&mut self) -> Result<(), ComposeError> {
        for (index, slot) in self.slots.iter().enumerate() {
            for name in slot.manifest.serves {
                let number = number_of(name).ok_or(ComposeError::UnknownService(name))?;
                let route = &mut self.routes[number];
                if route.is_some() {
                    return Err(ComposeError::ServedTwice(name));
                }
                *route = u8::try_from(index).ok();
            }
        }
        Ok(())
    }

    fn check_imports(&self) -> Result<(), ComposeError> {
        for (index, slot) in self.slots.iter().enumerate() {
            let importer = slot.name();
            for service in slot.manifest.imports {
                if self.slot_of(service).is_none() {
                    return Err(ComposeError::MissingImport { importer, service });
                }
            }
            let mut reached = vec![false; self.slots.len()];
            let mut open = vec![index];
            while let Some(at) = open.pop() {
                for service in self.slots[at].manifest.imports {
                    let Some(next) = self.slot_of(service) else {
                        continue;
                    };
                    if next == index {
                        return Err(ComposeError::Cycle(importer));
                    }
                    if !std::mem::replace(&mut reached[next], true) {
                        open.push(next);
                    }
                }
            }
        }
        Ok(())
    }

    fn slot_of(&self, service: &str) -> Option<usize> {
        number_of(service).and_then(|number| self.routes[number]).map(usize::from)
    }

    /// Whether a component serves a service.
    pub(crate) fn has(&self, service: &str) -> bool {
        self.slot_of(service).is_some()
    }

    /// Whether a component serves the call.
    pub(crate) fn serves(&self, call: &Syscall) -> bool {
        self.routes[usize::from(call.info().service_number)].is_some()
    }

    pub(crate) fn decide(&self, query: &Query<'_>) -> Decision {
        match &self.slots[self.authority].part {
            Some(Part::Authority(authority)) => authority.decide(query),
            _ => unreachable!("the authority is in its place between calls"),
        }
    }

    pub(crate) fn reach(&self, subject: Pid, kinds: &[&str], now_ms: u64) -> Reach {
        match &self.slots[self.authority].part {
            Some(Part::Authority(authority)) => authority.reach(subject, kinds, now_ms),
            _ => unreachable!("the authority is in its place between calls"),
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        for slot in &mut self.slots {
            if let Some(part) = &mut slot.part {
                part.component().apply(event);
            }
        }
    }

    /// Begins a transaction: components are marked when they are first called in it.
    pub(crate) fn begin(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.begun = false);
    }

    pub(crate) fn rollback(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.begun) {
            if let Some(part) = &mut slot.part {
                part.component().rollback();
            }
        }
    }

    /// Each component under the name of its first service; all are in their places between calls.
    pub(crate) fn components(&self) -> impl Iterator<Item = (&'static str, &dyn Component)> {
        self.slots
            .iter()
            .filter_map(|slot| Some((slot.name(), slot.part.as_ref().map(Part::component_ref)?)))
    }

    /// The same, to be changed as a whole.
    pub(crate) fn components_mut(
        &mut self,
    ) -> impl Iterator<Item = (&'static str, &mut dyn Component)> {
        self.slots.iter_mut().filter_map(|slot| {
            let name = slot.name();
            Some((name, slot.part.as_mut().map(Part::component)?))
        })
    }

    pub(crate) fn digests(&self) -> Vec<libos_abi::Digest> {
        self.components().map(|(_, part)| part.digest()).collect()
    }

    /// Serves a call within a transaction. `from` is the slot of the component that sends it; the
    /// broker itself sends with `None`.
    pub(crate) fn call(
        &mut self,
        frame: &Frame<'_>,
        events: &mut Vec<Event>,
        from: Option<usize>,
        call: &Syscall,
    ) -> Result<Reply, Stop> {
        let info = call.info();
        let Some(index) = self.routes[usize::from(info.service_number)].map(usize::from) else {
            return Err(Stop::unsupported(call));
        };
        if let Some(from) = from {
            let manifest = &self.slots[from].manifest;
            assert!(
                manifest.imports.contains(&info.service),
                "the component that serves {:?} sends {} without importing `{}`",
                manifest.serves,
                info.name,
                info.service
            );
        }
        let slot = &mut self.slots[index];
        let mut part =
            slot.part.take().expect("imports have no cycle, so no part is entered twice");
        if !std::mem::replace(&mut slot.begun, true) {
            part.component().begin();
        }
        let mut cx = Cx { parts: self, frame, events, from: index };
        let result = part.component().call(&mut cx, call);
        self.slots[index].part = Some(part);
        result
    }
}

fn number_of(service: &str) -> Option<usize> {
    SERVICES.iter().find(|info| info.name == service).map(|info| usize::from(info.number))
}

/// What stays the same through one transaction.
pub(crate) struct Frame<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) op: OpId,
    pub(crate) started_ms: u64,
    pub(crate) now_ms: u64,
}

/// What a component sees of the kernel while it serves.
struct Cx<'a> {
    parts: &'a mut Parts,
    frame: &'a Frame<'a>,
    events: &'a mut Vec<Event>,
    from: usize,
}

impl Context for Cx<'_> {
    fn now_ms(&self) -> u64 {
        self.frame.now_ms
    }
    fn caller(&self) -> &Caller {
        self.frame.caller
    }
    fn op(&self) -> OpId {
        self.frame.op
    }
    fn started_ms(&self) -> u64 {
        self.frame.started_ms
    }
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        self.parts.call(self.frame, self.events, Some(self.from), &call).map_err(
            |stop| match stop {
                Stop::Error(error) => error,
                // Only a call of a process can wait or reach a provider.
                Stop::Wait(_) | Stop::Perform | Stop::Run(_) => {
                    Fault::Unsupported { call: call.info().name.into() }.into()
                }
            },
        )
    }
}
