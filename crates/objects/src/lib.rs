//! Object Memory: typed, versioned objects and the names for them.
//!
//! Owns every object and namespace. An object belongs to the process that made it, which gets
//! every right on it in the same transaction. A name stands for an id and opens nothing. It never
//! looks into a payload and never decides about authority: the broker has decided before a call
//! comes here, and for the parents of a new object the capability component is asked.
//!
//! ```
//! use libos_objects::Objects;
//! use libos_port::Component;
//!
//! assert_eq!(Objects::default().manifest().serves, ["object", "namespace"]);
//! ```
#![forbid(unsafe_code)]

mod core;

pub use crate::core::Limits;

use libos_abi::{
    DenyReason, Digest, Effect, Event, Fault, GrantSpec, Need, ObjectId, Origin, Pattern, Reply,
    Resource, Right, Syscall, capability,
    event::ObjectEvent,
    namespace::{self, Entry, Namespace},
    object::{self, Handle, Object, ObjectInfo, Removed},
};
use libos_port::{Component, Context, Manifest, Stop, Versioned};

use crate::core::Memory;

/// What the maker of an object may do to it.
const OWNER_RIGHTS: [Right; 7] = [
    Right::Read,
    Right::Write,
    Right::Delete,
    Right::Link,
    Right::Diff,
    Right::Materialize,
    Right::Grant,
];

/// How many times the authority over an own object may be handed on, one below the other.
const OWNER_DELEGABLE: u8 = 4;

/// The component behind `object` and `namespace`.
#[derive(Debug, Default)]
pub struct Objects {
    state: Versioned<Memory>,
    limits: Limits,
}

impl Objects {
    /// An empty memory with other limits than the default ones.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { state: Versioned::default(), limits }
    }

    fn handle(&self, id: ObjectId) -> Result<Handle, Stop> {
        let info = &self.state.get(id)?.info;
        Ok(Handle { id, version: info.version, digest: info.digest })
    }

    /// That the caller can read an object it names as a parent. One that is gone and one that is
    /// denied end in the same error.
    fn check_parent(&self, cx: &mut dyn Context, id: ObjectId) -> Result<(), Stop> {
        let need = Need { right: Right::Read, on: Resource::id("object", id) };
        let explained =
            cx.ask(capability::Explain { pid: None, right: need.right, on: need.on.clone() })?;
        match explained.effect == Effect::Allow && self.state.has(id) {
            true => Ok(()),
            false => Err(Fault::denied(Some(need), DenyReason::NoGrant).into()),
        }
    }
}

impl<'c> object::Server<dyn Context + 'c, Stop> for Objects {
    fn create(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &object::Create,
    ) -> Result<Handle, Stop> {
        let Some(owner) = cx.caller().pid() else {
            return Err(Fault::bad("an object belongs to a process; a host makes none").into());
        };
        let now_ms = cx.now_ms();
        let parents = core::parents(call, &self.limits)?;
        let (id, created) =
            self.state.plan_create(call, parents.clone(), &self.limits, owner, now_ms)?;
        for parent in parents {
            self.check_parent(cx, parent)?;
        }
        self.state.change(cx, created);
        let on = Pattern::exact(&Resource::id("object", id));
        let grant = GrantSpec::allow(on, OWNER_RIGHTS.into_iter().collect());
        cx.ask(capability::Issue {
            to: owner,
            grant: GrantSpec { delegable: OWNER_DELEGABLE, ..grant },
            origin: Origin::Kernel,
            binding: None,
        })?;
        self.handle(id)
    }

    fn read(&mut self, _: &mut (dyn Context + 'c), call: &object::Read) -> Result<Object, Stop> {
        let kept = self.state.get(call.id)?;
        Ok(Object {
            id: call.id,
            r#type: kept.info.r#type.clone(),
            version: kept.info.version,
            payload: kept.payload.clone(),
        })
    }

    fn update(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &object::Update,
    ) -> Result<Handle, Stop> {
        let event = self.state.plan_update(call, &self.limits, cx.now_ms())?;
        self.state.change(cx, event);
        self.handle(call.id)
    }

    fn list(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &object::List,
    ) -> Result<object::Objects, Stop> {
        let objects = self.state.list(cx.caller().pid(), call.r#type.as_deref());
        Ok(object::Objects { objects })
    }

    fn delete(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &object::Delete,
    ) -> Result<Removed, Stop> {
        let id = self.state.get(call.id)?.info.id;
        self.state.change(cx, ObjectEvent::Deleted { id });
        Ok(Removed { id })
    }

    fn stat(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &object::Stat,
    ) -> Result<ObjectInfo, Stop> {
        Ok(self.state.get(call.id)?.info.clone())
    }
}

impl<'c> namespace::Server<dyn Context + 'c, Stop> for Objects {
    fn create(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &namespace::Create,
    ) -> Result<Namespace, Stop> {
        let by = cx.caller().pid();
        let event = self.state.plan_namespace(&call.namespace, &self.limits, by)?;
        self.state.change(cx, event);
        Ok(self.state.namespace(&call.namespace)?)
    }

    fn list(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &namespace::List,
    ) -> Result<Namespace, Stop> {
        Ok(self.state.namespace(&call.namespace)?)
    }

    fn lookup(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &namespace::Lookup,
    ) -> Result<Entry, Stop> {
        Ok(self.state.lookup(&call.namespace, &call.name)?)
    }
}

impl Component for Objects {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["object", "namespace"], imports: &["capability"] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Object(call) => object::dispatch(self, cx, call),
            Syscall::Namespace(call) => namespace::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Object(event) = event {
            self.state.apply(event);
        }
    }

    fn begin(&mut self) {
        self.state.begin();
    }

    fn rollback(&mut self) {
        self.state.rollback();
    }

    fn digest(&self) -> Digest {
        self.state.digest()
    }
}
