//! Images and tool tables: what a process is made from and what it is shown.
//!
//! Owns the registered images; three more are built in. An image is a declaration: it fills a
//! tool table, names groups of further tools and a planner, and **nothing in it grants anything**.
//! A tool in the table or in any group goes on to its provider, shown or not, and whatever it does
//! is decided there, call by call; any other is refused here.
//!
//! ```
//! let names: Vec<_> = libos_images::built_in().iter().map(|image| &image.name).collect();
//! assert_eq!(names, ["base-agent", "minimal", "worker"]);
//! ```
#![forbid(unsafe_code)]

mod built_in;
mod core;
mod file;

pub use crate::{
    built_in::built_in,
    core::Limits,
    file::{BadImageFile, IMAGE_FILE_NAME, load_package, parse_image},
};

use std::sync::Arc;

use libos_abi::{
    DenyReason, Digest, Event, Fault, Reply, Syscall,
    image::{self, Image},
    process::Admission,
    tool::{self, Group, Groups, ToolResult, Tools},
};
use libos_port::{Component, Context, Manifest, Stop, Versioned};

use crate::core::Registry;

/// The component behind `image` and `tool`.
#[derive(Debug, Default)]
pub struct Images {
    state: Versioned<Registry>,
    limits: Limits,
}

impl Images {
    /// With the built-in images only, and with other limits than the default ones.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { state: Versioned::default(), limits }
    }

    /// The caller's image, as long as it is registered.
    fn image(&self, admission: &Admission) -> Option<&Image> {
        self.state.get(&admission.image).map(AsRef::as_ref)
    }
}

/// The caller as a process: a host has no image.
fn process(cx: &dyn Context) -> Result<&Admission, Stop> {
    let process = cx.caller().admission.as_deref();
    process.ok_or_else(|| Fault::bad("a process has tools; a host has none").into())
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

    fn register(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &image::Register,
    ) -> Result<Arc<Image>, Stop> {
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
}

impl<'c> tool::Server<dyn Context + 'c, Stop> for Images {
    fn list(&mut self, cx: &mut (dyn Context + 'c), _: &tool::List) -> Result<Tools, Stop> {
        let admission = process(cx)?;
        let Some(image) = self.image(admission) else {
            return Ok(Tools { tools: Vec::new() });
        };
        let active = image.tool_groups.iter().filter(|group| is_active(admission, &group.name));
        let tools = image.tools.iter().chain(active.flat_map(|group| &group.tools));
        Ok(Tools { tools: tools.cloned().collect() })
    }

    fn call(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::CallTool,
    ) -> Result<ToolResult, Stop> {
        let image = self.image(process(cx)?);
        let has = |image: &Image| {
            let mut grouped = image.tool_groups.iter().flat_map(|group| &group.tools);
            image.tools.contains(&call.name) || grouped.any(|tool| *tool == call.name)
        };
        match image.is_some_and(has) {
            true => Err(Stop::Perform),
            false => {
                let reason = DenyReason::NotInToolTable(call.name.clone());
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
}

impl Component for Images {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["image", "tool"], imports: &[] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Image(call) => image::dispatch(self, cx, call),
            Syscall::Tool(call) => tool::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Image(event) = event {
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
