//! Views and their rendering.

use libos_abi::{
    Effect, ObjectId, Resource, Right, ViewId,
    object::{
        Choice, Create, DropView, Inclusion, ListViews, MakeView, Materialize, Materialized,
        Release, ShowView, ViewItem,
    },
};
use libos_objects::{Limits, Objects};
use serde_json::json;

use crate::{
    make::{Memory, append, blob, create, fill, id, link},
    rig::{host, process},
};

fn item(number: u64, pinned: bool) -> ViewItem {
    ViewItem { id: id(1, number), pinned }
}

fn view_of(numbers: &[u64]) -> MakeView {
    MakeView { items: numbers.iter().map(|number| item(*number, false)).collect(), from: None }
}

fn pinning(numbers: &[u64], pinned: &[u64]) -> MakeView {
    let items = numbers.iter().map(|number| item(*number, pinned.contains(number)));
    MakeView { items: items.collect(), from: None }
}

fn materialize(view: ViewId, tokens: u64, choice: Choice) -> Materialize {
    Materialize { view, tokens: Some(tokens), choice: Some(choice) }
}

/// What is in, and why each object is in or out.
fn told(it: &Materialized) -> (Vec<u64>, String) {
    let reasons = it.manifest.iter().map(|entry| match entry.reason {
        Inclusion::Pinned => 'P',
        Inclusion::Chosen => 'C',
        Inclusion::OverBudget => 'o',
        Inclusion::Denied => 'd',
        Inclusion::Released => 'r',
    });
    (it.items.iter().map(|item| item.id.number).collect(), reasons.collect())
}

/// Makes an object of a type that takes `tokens`.
fn sized(k: &mut Memory, r#type: &str, tokens: u64) -> ObjectId {
    k.ok(process(1), Create { payload: blob(tokens * 4), ..create(r#type, &json!(1)) }).id
}

#[test]
fn a_view_is_private_to_its_maker() {
    let mut k = Memory::default();
    k.world.now_ms = 3;
    let view = k.ok(process(1), view_of(&[2, 1]));
    assert_eq!((view.id, view.from, view.at_ms), (ViewId(1), None, 3));
    assert_eq!(k.ok(process(1), ShowView { view: view.id }), view);
    assert_eq!(k.ok(host(), ShowView { view: view.id }), view);
    let other = k.ok(process(2), view_of(&[]));
    assert_eq!(k.ok(process(1), ListViews {}).views, std::slice::from_ref(&view));
    assert_eq!(k.ok(host(), ListViews {}).views, [view.clone(), other.clone()]);
    // One of somebody else is none.
    for calls in [other.id, ViewId(9)] {
        assert_eq!(k.refused(process(1), ShowView { view: calls }).0, "no_view");
        assert_eq!(k.refused(process(1), DropView { view: calls }).0, "no_view");
        assert_eq!(k.refused(process(1), materialize(calls, 1, Choice::Order)).0, "no_view");
        let from = MakeView { from: Some(calls), ..view_of(&[]) };
        assert_eq!(k.refused(process(1), from).0, "no_view");
    }
    assert_eq!(k.refused(host(), ShowView { view: ViewId(9) }).0, "no_view");
    assert!(k.ok(process(1), DropView { view: view.id }).views.is_empty());
    assert_eq!(k.refused(process(1), ShowView { view: view.id }).0, "no_view");
    assert_eq!(k.ok(process(1), view_of(&[])).id, ViewId(3), "ids are never given twice");
    for call in [view_of(&[]).into(), libos_abi::Syscall::from(DropView { view: other.id })] {
        assert_eq!(k.refused(host(), call).0, "bad_message");
    }
    assert_eq!(k.refused(host(), materialize(other.id, 1, Choice::Order)).0, "bad_message");
}

#[test]
fn a_view_made_from_another_keeps_what_is_pinned() {
    let mut k = Memory::default();
    let first = k.ok(process(1), pinning(&[1, 2, 3, 4], &[2, 4]));
    let second = k.ok(process(1), MakeView { from: Some(first.id), ..view_of(&[5, 4]) });
    assert_eq!(*second.items, [item(2, true), item(5, false), item(4, true)]);
    assert_eq!(second.from, Some(first.id));
    assert_eq!(k.ok(process(1), ShowView { view: first.id }), first, "it can be undone");
}

#[test]
fn a_view_is_refused() {
    let limits = Limits { views_max: 2, view_items_max: 3, ..Limits::default() };
    let mut k = Memory { part: Objects::with_limits(limits), ..Memory::default() };
    assert_eq!(k.refused(process(1), view_of(&[1, 2, 1])).0, "bad_message");
    assert_eq!(k.refused(process(1), view_of(&[1, 2, 3, 4])).0, "too_large");
    let first = k.ok(process(1), pinning(&[1, 2], &[1, 2]));
    let from = MakeView { from: Some(first.id), ..view_of(&[3, 4]) };
    assert_eq!(k.refused(process(1), from).0, "too_large", "with what is pinned");
    k.ok(process(1), view_of(&[]));
    assert_eq!(k.refused(process(1), view_of(&[])).0, "too_large");
    k.ok(process(2), view_of(&[]));
}

#[test]
fn what_fits_is_in_and_everything_is_accounted_for() {
    let mut k = Memory::open();
    for tokens in [10, 30, 20, 5] {
        sized(&mut k, "t", tokens);
    }
    let view = k.ok(process(1), view_of(&[1, 2, 3, 4])).id;
    let it = k.ok(process(1), materialize(view, 36, Choice::Order));
    // 30 do not fit after 10; what follows still may.
    assert_eq!(told(&it), (vec![1, 3, 4], "CoCC".into()));
    assert_eq!(it.tokens, 35);
    let tokens: Vec<u64> = it.manifest.iter().map(|entry| entry.tokens).collect();
    assert_eq!(tokens, [10, 30, 20, 5]);
    assert!(it.manifest.iter().all(|entry| entry.version == 1));
    let all = k.ok(process(1), Materialize { view, tokens: None, choice: None });
    assert_eq!(told(&all), (vec![1, 2, 3, 4], "CCCC".into()));
    let none = k.ok(process(1), materialize(view, 0, Choice::Order));
    assert_eq!((told(&none), none.tokens), ((vec![], "oooo".into()), 0));
}

#[test]
fn a_token_is_four_bytes_rounded_up_and_entries_count() {
    let mut k = Memory::open();
    let list = k.ok(process(1), create("log", &json!([]))).id;
    k.ok(process(1), append(list, &json!("xy")));
    let view = k.ok(process(1), view_of(&[1])).id;
    let it = k.ok(process(1), materialize(view, 2, Choice::Order));
    assert_eq!((it.tokens, it.items[0].version), (2, 2), "2 bytes and 4");
    assert_eq!(it.items[0].appended.len(), 1);
    assert_eq!(told(&k.ok(process(1), materialize(view, 1, Choice::Order))).1, "o");
}

#[test]
fn what_is_pinned_is_always_in() {
    let mut k = Memory::open();
    for tokens in [10, 10, 10] {
        sized(&mut k, "t", tokens);
    }
    let view = k.ok(process(1), pinning(&[1, 2, 3], &[3])).id;
    let it = k.ok(process(1), materialize(view, 20, Choice::Order));
    assert_eq!(told(&it), (vec![1, 3], "CoP".into()));
    let (code, text) = k.refused(process(1), materialize(view, 9, Choice::Order));
    assert_eq!(code, "pinned_over_budget");
    assert_eq!(text, "the pinned objects take 10 tokens of 9");
}

#[test]
fn what_may_not_be_seen_is_named_and_nothing_else() {
    let mut k = Memory::default();
    fill(&mut k, 1, 4);
    k.ok(process(1), Release { id: id(1, 4) });
    for (number, effect) in [(1, Effect::Allow), (2, Effect::Ask), (4, Effect::Allow)] {
        k.says(1, Right::Materialize, Resource::object(id(1, number)), effect);
    }
    k.says(1, Right::Materialize, Resource::object(id(1, 8)), Effect::Allow);
    // 2 asks, 3 is denied, 8 never was: they look alike, pinned or not.
    let view = k.ok(process(1), pinning(&[1, 2, 3, 8, 4], &[3, 8, 4])).id;
    let it = k.ok(process(1), materialize(view, 100, Choice::Order));
    assert_eq!(told(&it), (vec![1], "Cdddr".into()));
    for entry in &it.manifest[1..4] {
        assert_eq!((entry.version, entry.tokens), (0, 0));
    }
    assert_eq!(k.world.sent.len(), 5, "each is asked about once");
}

#[test]
fn policies_say_what_comes_first() {
    let mut k = Memory::open();
    for (n, r#type) in [(1, "note"), (2, "error"), (3, "plan"), (4, "note"), (5, "note")] {
        k.world.now_ms = 10 - n;
        sized(&mut k, r#type, 1);
    }
    // 3 is what 4 and 5 rest on, 1 what 5 does; 9 is not in the view.
    k.ok(process(1), link(id(1, 4), "cites", id(1, 3)));
    k.ok(process(1), link(id(1, 5), "cites", id(1, 3)));
    k.ok(process(1), link(id(1, 5), "extends", id(1, 3)));
    k.ok(process(1), link(id(1, 5), "cites", id(1, 1)));
    let view = k.ok(process(1), view_of(&[5, 4, 3, 2, 1])).id;
    let mut first = |choice| {
        let order = (1..=5).map(|tokens| k.ok(process(1), materialize(view, tokens, choice)));
        let grown: Vec<Vec<u64>> = order.map(|it| told(&it).0).collect();
        let mut before: Vec<u64> = Vec::new();
        let mut first: Vec<u64> = Vec::new();
        for now in grown {
            first.extend(now.iter().filter(|number| !before.contains(number)));
            before = now;
        }
        first
    };
    assert_eq!(first(Choice::Order), [5, 4, 3, 2, 1]);
    assert_eq!(first(Choice::Recency), [1, 2, 3, 4, 5]);
    assert_eq!(first(Choice::Evidence), [3, 1, 5, 4, 2]);
    assert_eq!(first(Choice::PlanFirst), [3, 2, 1, 4, 5]);
}

#[test]
fn evidence_counts_parents_and_nothing_that_is_hidden() {
    let mut k = Memory::open();
    fill(&mut k, 1, 3);
    let made = |parent| Create { parents: Some(vec![id(1, parent)]), ..create("t", &json!(1)) };
    k.ok(process(1), made(2));
    k.ok(process(1), made(3));
    k.ok(process(1), made(3));
    let view = k.ok(process(1), view_of(&[1, 2, 3, 4, 5, 6])).id;
    let first = |k: &mut Memory| told(&k.ok(process(1), materialize(view, 1, Choice::Evidence))).0;
    assert_eq!(first(&mut k), [3]);
    for hidden in [5, 6] {
        let on = Resource::object(id(1, hidden));
        k.says(1, Right::Materialize, on, Effect::Deny);
    }
    assert_eq!(first(&mut k), [2], "what 5 and 6 were made from shows no longer");
}

#[test]
fn a_rendering_over_the_limit_is_refused() {
    let mut k = Memory::open();
    let view = k.ok(process(1), view_of(&[])).id;
    let max = Limits::default().tokens_max;
    assert_eq!(k.refused(process(1), materialize(view, max + 1, Choice::Order)).0, "limit");
    k.ok(process(1), materialize(view, max, Choice::Order));
}
