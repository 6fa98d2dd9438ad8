//! Views: which objects belong into a context, and what is rendered of them.

use libos_abi::{
    Effect, ObjectId, Resource, Right, ViewId,
    object::{self, Inclusion},
};
use serde_json::{Value, json};

use super::{Memory, create};
use crate::{host, process, text};

fn make_view(items: Value) -> object::MakeView {
    text::from(json!({ "items": items }))
}

fn materialize(view: ViewId, tokens: u64) -> object::Materialize {
    text::from(json!({ "view": view, "tokens": tokens }))
}

pub(super) fn a_view_is_the_maker_s_own(k: &mut Memory) {
    let [a, b] = [1, 2].map(|n| k.ok(process(1), create("part", json!(n))).id);
    let first = k.ok(process(1), make_view(json!([{ "id": a, "pinned": true }, { "id": b }])));
    let ids: Vec<ObjectId> = first.items.iter().map(|item| item.id).collect();
    assert_eq!(ids, [a, b]);
    // Made from another, it keeps what is pinned there, and the other stays.
    let compact = object::MakeView { from: Some(first.id), ..make_view(json!([{ "id": b }])) };
    let compact = k.ok(process(1), compact);
    assert_eq!(compact.from, Some(first.id));
    assert!(compact.items.iter().any(|item| item.id == a && item.pinned));
    let views = |k: &mut Memory, pid| k.ok(process(pid), object::ListViews {}).views;
    assert_eq!(views(k, 1), [first.clone(), compact.clone()]);

    // Nobody else has them, but the host.
    assert!(views(k, 2).is_empty());
    let show = object::ShowView { view: first.id };
    assert_eq!(k.refused(process(2), show.clone()).0, "no_view");
    assert_eq!(k.ok(process(1), show.clone()), first);
    assert_eq!(k.ok(host(), show), first);
    let stolen = object::MakeView { from: Some(first.id), ..make_view(json!([])) };
    assert_eq!(k.refused(process(2), stolen).0, "no_view");
    let drop = object::DropView { view: first.id };
    assert_eq!(k.refused(process(2), drop.clone()).0, "no_view");
    assert_eq!(k.ok(process(1), drop.clone()).views, [compact]);
    assert_eq!(k.refused(process(1), drop).0, "no_view");
    let many: Vec<Value> = (1..=100_000).map(|n| json!({ "id": ObjectId::new(1, n) })).collect();
    assert_eq!(k.refused(process(1), make_view(many.into())).0, "too_large");
}

pub(super) fn a_rendering_shows_what_fits_and_may_be_seen(k: &mut Memory) {
    let long = "x".repeat(400);
    let made = [json!("a"), json!(long), json!("c"), json!("d")]
        .map(|payload| k.ok(process(1), create("part", payload)).id);
    let [pinned, large, denied, released] = made;
    for id in [pinned, large, released] {
        k.world.says(1, Right::Materialize, Resource::object(id), Effect::Allow);
    }
    k.ok(process(1), object::Release { id: released });
    let items = json!([
        { "id": large }, { "id": denied }, { "id": released }, { "id": pinned, "pinned": true },
    ]);
    let view = k.ok(process(1), make_view(items)).id;
    let seen = |rendering: &object::Materialized| {
        let ids: Vec<ObjectId> = rendering.items.iter().map(|item| item.id).collect();
        let why: Vec<Inclusion> = rendering.manifest.iter().map(|it| it.reason).collect();
        (ids, why)
    };
    use Inclusion::{Chosen, Denied, OverBudget, Pinned, Released};
    let all = k.ok(process(1), materialize(view, 1_000));
    assert_eq!(seen(&all), (vec![large, pinned], vec![Chosen, Denied, Released, Pinned]));
    assert!(all.tokens > 100 && all.tokens <= 1_000);
    let few = k.ok(process(1), materialize(view, 50));
    assert_eq!(seen(&few), (vec![pinned], vec![OverBudget, Denied, Released, Pinned]));
    assert!(few.tokens <= 50);
    assert_eq!(k.refused(process(1), materialize(view, 0)).0, "pinned_over_budget");
    assert_eq!(k.refused(process(2), materialize(view, 50)).0, "no_view");
}
