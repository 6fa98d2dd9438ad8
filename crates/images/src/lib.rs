//! Images and tool tables: what a process is made from and what it is shown.
//!
//! Owns the registered images; three more are built in. An image is a declaration: it fills a
//! tool table and names a planner, and **nothing in it grants anything**. A tool that is not in
//! the table is refused here; a tool that is in it goes on to its provider, and whatever it does
//! is decided there, call by call.
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
    file::{BadImageFile, parse_image},
};

use libos_abi::{
    DenyReason, Digest, Event, Fault, Reply, Syscall,
    image::{self, FailureKind, Image},
    tool::{self, ToolResult, Tools},
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

    /// The tool table of the caller.
    fn table(&self, cx: &dyn Context) -> Result<&[String], Stop> {
        let Some(admission) = &cx.caller().admission else {
            return Err(Fault::bad("a process has a tool table; a host has none").into());
        };
        match self.state.get(&admission.image) {
            Some(image) => Ok(&image.tools),
            None => {
                let what = format!("the image `{}` is not registered", admission.image);
                Err(Fault::bad(what).into())
            }
        }
    }
}

impl<'c> image::Server<dyn Context + 'c, Stop> for Images {
    fn list(&mut self, _: &mut (dyn Context + 'c), _: &image::List) -> Result<image::Images, Stop> {
        Ok(image::Images { images: self.state.list() })
    }

    fn inspect(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &image::Inspect,
    ) -> Result<Image, Stop> {
        self.state.get(&call.image).cloned().ok_or_else(|| {
            let detail = format!("there is no image `{}`; see image.list", call.image);
            FailureKind::NotFound.because(detail).into()
        })
    }

    fn register(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &image::Register,
    ) -> Result<Image, Stop> {
        let replace = call.replace.unwrap_or(false);
        let event = self.state.plan_register(&call.image, replace, &self.limits)?;
        self.state.change(cx, event);
        Ok(call.image.clone())
    }
}

impl<'c> tool::Server<dyn Context + 'c, Stop> for Images {
    fn list(&mut self, cx: &mut (dyn Context + 'c), _: &tool::List) -> Result<Tools, Stop> {
        let tools = self.table(cx)?.to_vec();
        Ok(Tools { tools })
    }

    fn call(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &tool::CallTool,
    ) -> Result<ToolResult, Stop> {
        match self.table(cx)?.contains(&call.name) {
            true => Err(Stop::Perform),
            false => {
                let reason = DenyReason::NotInToolTable(call.name.clone());
                Err(Fault::denied(None, reason).into())
            }
        }
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
