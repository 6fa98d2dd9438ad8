//! The provider of the service `tool`: the built-in tools, and the sandbox of generated ones.

use std::path::PathBuf;

use libos_port::{BoxFuture, EffectOutcome, Order, Provider};
use libos_sandbox::{GeneratedTools, Limits};
use libos_tools::ToolProvider;

/// Both kinds of tools: an order for a generated one brings it.
pub(crate) struct Tools {
    built_in: ToolProvider,
    generated: GeneratedTools,
}

impl Tools {
    /// With the folder of compiled code, if one was chosen.
    pub(crate) fn new(cache: Option<PathBuf>) -> Self {
        let cache = cache.unwrap_or_else(users_cache);
        let generated = GeneratedTools::new(Limits::STANDARD, cache);
        Self { built_in: ToolProvider, generated }
    }
}

impl Provider for Tools {
    fn serves(&self) -> &'static [&'static str] {
        &["tool"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        match order.program {
            Some(_) => self.generated.perform(order),
            None => self.built_in.perform(order),
        }
    }
}

/// Where the user keeps caches: in the folder of the XDG base directories.
fn users_cache() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("agent-libos").join("tools")
}
