//! Tools over views: which objects belong into a context, rendered within a number of tokens.

use libos_abi::{ViewId, object};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MakeView {
    /// The objects, in order, each once. A pinned one is in every rendering.
    items: Vec<object::ViewItem>,
    /// The view it is made from: its pinned objects stay pinned.
    from: Option<ViewId>,
}

pub(crate) async fn make_view(port: &dyn Port, args: MakeView) -> Ended {
    let MakeView { items, from } = args;
    json(port.call(object::MakeView { items, from }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaterializeView {
    /// The view.
    view: ViewId,
    /// How many tokens at most; 8,000 if absent.
    tokens: Option<u64>,
    /// Which objects come first when not all fit; `order` if absent.
    choice: Option<object::Choice>,
}

pub(crate) async fn materialize_view(port: &dyn Port, args: MaterializeView) -> Ended {
    let MaterializeView { view, tokens, choice } = args;
    json(port.call(object::Materialize { view, tokens, choice }).await?)
}
