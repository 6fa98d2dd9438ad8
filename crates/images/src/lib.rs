//! Images and tool tables: what a process is made from and what it is shown.
//!
//! Owns the registered images; some more are built in. An image is a declaration: it fills a
//! tool table, names groups of further tools and a planner, and **nothing in it grants anything**.
//! A tool in the table or in any group goes on to its provider, shown or not, and whatever it does
//! is decided there, call by call; any other is refused here.
//!
//! Owns the generated tools of processes as well: what was proposed, what the sandbox found out
//! about it, what is registered. It never compiles or runs one: the provider does, which gets the
//! tool with the call.
//!
//! Owns the registered skills, and which process has taken up which. An active skill takes tools
//! away from its process and never gives one: what can be called is what the image has and every
//! active skill allows.
//!
//! ```
//! let names: Vec<_> = libos_images::built_in().iter().map(|image| &image.name).collect();
//! assert_eq!(names, ["base", "coding", "compressor", "minimal", "review", "toolmaker", "worker"]);
//! ```
#![forbid(unsafe_code)]

mod built_in;
mod core;
mod file;
mod package;
mod skill_file;
mod skills;
mod tool_file;
mod toolbox;

pub use crate::{
    built_in::built_in,
    core::Limits,
    file::{IMAGE_FILE_NAME, Package, check_image, load_package, parse_image, with_context},
    package::{BadPackage, Folder, bytes_of},
    skill_file::{SKILL_FILE_NAME, check_skill, load_skill},
    tool_file::load_tool,
};

use std::sync::Arc;

use libos_abi::{
    DenyReason, Digest, Event, Fault, Pid, Principal, Reply, Syscall,
    checkpoint::Copied,
    event::ToolEvent,
    image::{self, Image},
    process::Admission,
    skill,
    tool::{
        self, Generated, Group, Groups, ToolDetails, ToolReport, ToolResult, ToolStatus, Tools,
    },
    wire,
};
use libos_port::{
    BadSnapshot, Component, Context, Manifest, Stop, Versioned, load_version, save_version,
};

use crate::{core::Registry, toolbox::Toolbox};

/// Raised whenever images or generated tools are written in another way.
const VERSION: u32 = 2;

/// The component behind `image` and `tool`.
#[derive(Debug, Default)]
pub struct Images {
    state: Versioned<Registry>,
    toolbox: Versioned<Toolbox>,
    limits: Limits,
}

impl Images {
    /// With the built-in images only, and with other limits than the default ones.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { state: Versioned::default(), toolbox: Versioned::default(), limits }
    }

    /// The caller's image, as long as it is registered.
    fn image(&self, admission: &Admission) -> Option<&Image> {
        self.state.get(&admission.image).map(AsRef::as_ref)
    }
}

/// The caller as a process: a host has no image.
fn process(cx: &dyn Context) -> Result<&Admission, Stop> {
    let process = cx.caller().admission.as_deref();
    process.ok_or_else(|| Fault::bad("a process has an image and tools; a host has none").into())
}

/// The caller as the maker of generated tools, which no generated tool is.
fn maker(cx: &dyn Context) -> Result<Pid, Stop> {
    match &cx.caller().principal {
        Principal::Process(pid) => Ok(*pid),
        Principal::Tool { .. } => Err(nested()),
        Principal::Host(_) => {
            Err(Fault::bad("a process has generated tools of its own; a host has none").into())
        }
    }
}

fn nested() -> Stop {
    let detail = "a generated tool neither makes nor calls generated tools";
    tool::FailureKind::Nested.because(detail).into()
}

/// Whose tools a call is about: a process's own, or those of the process that the host names.
fn own_or_named(cx: &dyn Context, named: Option<Pid>) -> Result<Option<Pid>, Stop> {
    match (cx.caller().pid(), named) {
        (Some(own), Some(other)) if own != other => {
            Err(Fault::denied(None, DenyReason::NotForProcesses).into())
        }
        (Some(own), _) => Ok(Some(own)),
        (None, named) => Ok(named),
    }
}

fn named(pid: Option<Pid>) -> Result<Pid, Stop> {
    pid.ok_or_else(|| Fault::bad("say whose tool: name the process as `pid`").into())
}

fn is_active(admission: &Admission, group: &str) -> bool {
    admission.tool_groups.iter().any(|active| **active == *group)
}

impl<'c> image::Server<dyn Context + 'c, Stop> for Images {
    fn list(&mut self, _: &mut (dyn Context + 'c), _: &image::List) -> Result<image::Images, Stop> {
        Ok(image::Images { images: self.state.list() })
    }

    fn inspect(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &image::Inspect,
    ) -> Result<Arc<Image>, Stop> {
        let image = self.state.get(&call.image).cloned();
        image.ok_or_else(|| core::not_found(&call.image).into())
    }

    fn own(&mut self, cx: &mut (dyn Context + 'c), _: &image::Own) -> Result<Arc<Image>, Stop> {
        let name = &process(cx)?.image;
        self.state.get(name).cloned().ok_or_else(|| core::not_found(name).into())
    }

    fn register(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &image::Register,
    ) -> Result<Arc<Image>, Stop> {
        let Image { generated, seed, .. } = &call.image;
        let is_plain = generated.is_empty() && seed.is_empty();
        if !is_plain && !matches!(cx.caller().principal, Principal::Host(_)) {
            return Err(Fault::denied(None, DenyReason::NotForProcesses).into());
        }
        let replace = call.replace.unwrap_or(false);
        let event = self.state.plan_register(&call.image, replace, &self.limits)?;
        self.state.change(cx, event);
        Ok(Arc::new(call.image.clone()))
    }

    fn unregister(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &image::Unregister,
    ) -> Result<Arc<Image>, Stop> {
        let (event, image) = self.state.plan_unregister(&call.image)?;
        self.state.change(cx, event);
        Ok(image)
    }

    fn commit(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &image::CommitImage,
    ) -> Result<Arc<Image>, Stop> {
        let own = self.toolbox.registered_at(call.checkpoint, call.of);
        let (event, image) = self.state.plan_commit(call, &own, &self.limits)?;
        self.state.change(cx, event);
        Ok(image)
    }
}

impl<'c> tool::Server<dyn Context + 'c, Stop> for Images {
    fn list(&mut self, cx: &mut (dyn Context + 'c), _: &tool::List) -> Result<Tools, Stop> {
        let admission = process(cx)?;
        let image = self.image(admission);
        let groups = image.into_iter().flat_map(|image| &image.tool_groups);
        let active = groups.filter(|group| is_active(admission, &group.name));
        let of_image = image.into_iter().flat_map(|image| &image.tools);
        let tools = of_image.chain(active.flat_map(|group| &group.tools));
        let own = cx.caller().pid().into_iter().flat_map(|pid| self.toolbox.registered(pid));
        let active = cx.caller().pid().map(|pid| self.toolbox.active(pid)).unwrap_or_default();
        let is_allowed = |tool: &&String| active.iter().all(|skill| skill.allows(tool));
        Ok(Tools { tools: tools.chain(own).filter(is_allowed).cloned().collect() })
    }

    fn call(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::CallTool,
    ) -> Result<ToolResult, Stop> {
        let name = &call.name;
        let principal = &cx.caller().principal;
        let pid = principal.pid().unwrap_or_default();
        if let Some(skill) = self.toolbox.narrowing(pid, name) {
            let reason = DenyReason::NotInSkill(skill.name.clone());
            return Err(Fault::denied(None, reason).into());
        }
        let generated = match self.image(process(cx)?).filter(|image| image.has_tool(name)) {
            Some(image) => match core::callable(image, name, pid) {
                None => return Err(Stop::Perform),
                generated => generated,
            },
            None => self.toolbox.callable(pid, name),
        };
        match generated {
            Some(_) if principal.tool().is_some() => Err(nested()),
            Some(program) => Err(Stop::Run(program)),
            None => {
                let reason = DenyReason::NotInToolTable(name.clone());
                Err(Fault::denied(None, reason).into())
            }
        }
    }

    fn groups(
        &mut self,
        cx: &mut (dyn Context + 'c),
        _: &tool::ListGroups,
    ) -> Result<Groups, Stop> {
        let admission = process(cx)?;
        let groups = self.image(admission).into_iter().flat_map(|image| &image.tool_groups);
        let groups = groups.cloned().map(|group| Group {
            active: is_active(admission, &group.name),
            name: group.name,
            description: group.description,
            tools: group.tools,
        });
        Ok(Groups { groups: groups.collect() })
    }

    fn propose(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::Propose,
    ) -> Result<ToolStatus, Stop> {
        let pid = maker(cx)?;
        self.refuse_clash(cx, &call.tool.name)?;
        let (event, status) = self.toolbox.plan_propose(pid, &call.tool, &self.limits)?;
        self.toolbox.change(cx, event);
        Ok(status)
    }

    fn validate(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::Validate,
    ) -> Result<ToolReport, Stop> {
        if cx.caller().principal.tool().is_some() {
            return Err(nested());
        }
        let pid = named(own_or_named(cx, call.pid)?)?;
        Err(Stop::Run(self.toolbox.testable(pid, &call.name)?))
    }

    fn register(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::Register,
    ) -> Result<ToolStatus, Stop> {
        let pid = maker(cx)?;
        self.refuse_clash(cx, &call.name)?;
        let (event, status) = self.toolbox.plan_register(pid, &call.name)?;
        self.toolbox.change(cx, event);
        Ok(status)
    }

    fn unregister(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::Unregister,
    ) -> Result<ToolStatus, Stop> {
        let pid = maker(cx)?;
        let (event, status) = self.toolbox.plan_unregister(pid, &call.name)?;
        self.toolbox.change(cx, event);
        Ok(status)
    }

    fn inspect(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::Inspect,
    ) -> Result<ToolDetails, Stop> {
        let pid = named(own_or_named(cx, call.pid)?)?;
        Ok(self.toolbox.inspect(pid, &call.name)?)
    }

    fn generated(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::ListGenerated,
    ) -> Result<Generated, Stop> {
        let pid = own_or_named(cx, call.pid)?;
        Ok(Generated { tools: self.toolbox.list(pid) })
    }

    fn promote(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::Promote,
    ) -> Result<Arc<Image>, Stop> {
        let pid = maker(cx)?;
        let tool = self.toolbox.promotable(pid, &call.name, call.digest)?;
        let own = self.image(process(cx)?);
        let own = own.ok_or_else(|| {
            tool::FailureKind::BadTool.because("the caller's image is not registered any more")
        })?;
        let (event, image) = self.state.plan_promote(own, call, &tool, &self.limits)?;
        self.state.change(cx, event);
        Ok(image)
    }

    fn conclude(&mut self, cx: &mut (dyn Context + 'c), call: &tool::Conclude) -> Result<(), Stop> {
        if let Some(event) = self.toolbox.plan_conclude(call.pid, &call.report) {
            self.toolbox.change(cx, event);
        }
        Ok(())
    }

    fn carry(&mut self, cx: &mut (dyn Context + 'c), call: &tool::Carry) -> Result<(), Stop> {
        if let Some(event) = self.toolbox.plan_carry(call.from, call.to) {
            self.toolbox.change(cx, event);
        }
        Ok(())
    }

    fn end(&mut self, cx: &mut (dyn Context + 'c), call: &tool::End) -> Result<(), Stop> {
        if let Some(event) = self.toolbox.plan_end(call.pid) {
            self.toolbox.change(cx, event);
        }
        Ok(())
    }

    fn save(&mut self, cx: &mut (dyn Context + 'c), call: &tool::SaveTools) -> Result<(), Stop> {
        let (checkpoint, processes) = (call.checkpoint, call.processes.clone());
        self.toolbox.change(cx, ToolEvent::Saved { checkpoint, processes });
        Ok(())
    }

    fn forget(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::ForgetTools,
    ) -> Result<(), Stop> {
        self.toolbox.change(cx, ToolEvent::Forgotten { checkpoint: call.checkpoint });
        Ok(())
    }

    fn restore(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::RestoreTools,
    ) -> Result<(), Stop> {
        self.toolbox.change(cx, ToolEvent::Restored { checkpoint: call.checkpoint });
        Ok(())
    }

    fn copy(&mut self, cx: &mut (dyn Context + 'c), call: &tool::CopyTools) -> Result<(), Stop> {
        let checkpoint = call.checkpoint;
        for &Copied { from, to, .. } in &call.processes {
            if self.toolbox.has_saved(checkpoint, from) {
                self.toolbox.change(cx, ToolEvent::Copied { checkpoint, from, to });
            }
        }
        Ok(())
    }
}

/// The lifecycle of generated tools.
impl Images {
    fn refuse_clash(&self, cx: &dyn Context, name: &str) -> Result<(), Stop> {
        match self.image(process(cx)?) {
            Some(image) if image.has_tool(name) => {
                let detail = format!("`{name}` is a tool of the image `{}`", image.name);
                Err(tool::FailureKind::Exists.because(detail).into())
            }
            _ => Ok(()),
        }
    }
}

impl Component for Images {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["image", "tool", "skill"], imports: &[] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Image(call) => image::dispatch(self, cx, call),
            Syscall::Tool(call) => tool::dispatch(self, cx, call),
            Syscall::Skill(call) => skill::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Image(event) => self.state.apply(event),
            Event::Tool(event) => self.toolbox.apply(event),
            _ => {}
        }
    }

    fn begin(&mut self) {
        self.state.begin();
        self.toolbox.begin();
    }

    fn rollback(&mut self) {
        self.state.rollback();
        self.toolbox.rollback();
    }

    fn digest(&self) -> Digest {
        Digest::of(&wire::encode(&(self.state.digest(), self.toolbox.digest())))
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        save_version(VERSION, out);
        self.state.save(out);
        self.toolbox.save(out);
        Ok(())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        let mut bytes = load_version(VERSION, bytes)?;
        let (state, toolbox) = (Registry::load(&mut bytes)?, Toolbox::load(&mut bytes)?);
        bytes.end()?;
        (self.state, self.toolbox) = (Versioned::of(state), Versioned::of(toolbox));
        Ok(())
    }
}
