//! Object Memory: typed, versioned, content-addressed objects.

use std::sync::Arc;

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CheckpointId, Digest, Json, ObjectId, Pid, Resource, ViewId,
    call::service,
    checkpoint::{Copied, Kept, ObjectChanges},
    field::opaque,
    process::{Discarded, Merged, OnConflict},
};

record! {
    /// An object without its payload.
    pub struct ObjectInfo {
        /// Its id.
        pub id: ObjectId,
        /// Its type, a word the maker chose.
        pub r#type: Arc<str>,
        /// Its version, from 1.
        pub version: u64,
        /// The digest of its payload's canonical JSON; after an append, of the digest before and
        /// the entry's.
        pub digest: Digest,
        /// The payload's length in bytes, appended entries included.
        pub bytes: u64,
        /// Who owns it.
        pub owner: Pid,
        /// The namespace it is named in.
        pub namespace: Option<Arc<str>>,
        /// Its name there.
        pub name: Option<Arc<str>>,
        /// The objects it was made from.
        pub parents: Arc<[ObjectId]>,
        /// When it was made, in milliseconds since the epoch.
        pub created_at_ms: u64,
        /// When it was last changed.
        pub updated_at_ms: u64,
        /// Words to find it by.
        pub tags: Arc<[String]>,
        /// Whether it never changes.
        pub immutable: bool,
        /// Whether its payload was given up; what it was made from and its digest stay.
        pub released: bool,
    }

    /// An object.
    pub struct Object {
        /// Its id.
        pub id: ObjectId,
        /// Its type.
        pub r#type: Arc<str>,
        /// Its version.
        pub version: u64,
        /// Its payload as it was last written.
        pub payload: Json,
        /// The entries appended to it since, in order.
        pub appended: Vec<Json>,
    }

    /// A handle to an object. It opens nothing: each use is checked.
    #[derive(Copy)]
    pub struct Handle {
        /// The object.
        pub id: ObjectId,
        /// Its version after the call.
        pub version: u64,
        /// The digest of its payload.
        pub digest: Digest,
    }

    /// Some of the entries that were appended to an object.
    pub struct Entries {
        /// The version of the object.
        pub version: u64,
        /// The entries, in order.
        pub entries: Vec<Json>,
        /// How many are before what comes next, where there is more.
        pub next: Option<u32>,
    }

    /// The parts of an object's content.
    pub struct Content {
        /// Its payload, unless that is an empty list, and what was appended to it.
        pub parts: Vec<Json>,
    }

    /// Objects.
    pub struct Objects {
        /// In the order of their ids.
        pub objects: Vec<ObjectInfo>,
        /// The last of them, where there are more behind it.
        pub more_after: Option<ObjectId>,
    }

    /// An object that was removed.
    #[derive(Copy)]
    pub struct Removed {
        /// Its id.
        pub id: ObjectId,
    }

    /// A link between objects.
    #[derive(PartialOrd, Ord)]
    pub struct Link {
        /// Where it begins.
        pub from: ObjectId,
        /// What it says, a word the maker chose.
        pub relation: Arc<str>,
        /// Where it ends.
        pub to: ObjectId,
    }

    /// Links.
    pub struct Links {
        /// In the order of their ends.
        pub links: Vec<Link>,
    }

    /// One object of a view.
    #[derive(Copy)]
    #[serde(deny_unknown_fields)]
    pub struct ViewItem {
        /// The object.
        pub id: ObjectId,
        /// Whether it is in every rendering, whatever the policy.
        #[serde(default)]
        pub pinned: bool,
    }

    /// A view: which objects belong into a context, in which order. It opens nothing.
    pub struct View {
        /// Its id.
        pub id: ViewId,
        /// Whose it is.
        pub owner: Pid,
        /// Its objects.
        pub items: Arc<[ViewItem]>,
        /// The view it was made from: compaction can be undone.
        pub from: Option<ViewId>,
        /// When it was made, in milliseconds since the epoch.
        pub at_ms: u64,
    }

    /// Views.
    pub struct Views {
        /// In the order of their ids.
        pub views: Vec<View>,
    }

    /// One object as it is rendered.
    pub struct Rendered {
        /// The object.
        pub id: ObjectId,
        /// Its type.
        pub r#type: Arc<str>,
        /// Its version.
        pub version: u64,
        /// Its payload.
        pub payload: Json,
        /// The entries appended to it.
        pub appended: Vec<Json>,
    }

    /// What a rendering says of one object.
    #[derive(Copy)]
    pub struct ManifestEntry {
        /// The object.
        pub id: ObjectId,
        /// Its version; 0 where it could not be seen.
        pub version: u64,
        /// What it takes, estimated at four bytes a token.
        pub tokens: u64,
        /// Whether it is in, and why.
        pub reason: Inclusion,
    }

    /// Objects rendered for a context.
    pub struct Materialized {
        /// What is in, in the order of the view.
        pub items: Vec<Rendered>,
        /// Every object of the view: what is in, what is not, and why.
        pub manifest: Vec<ManifestEntry>,
        /// What is in, in estimated tokens.
        pub tokens: u64,
    }
}

/// Which objects come first when not all fit.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy, Default)]
pub enum Choice {
    /// Those that stand first in the view.
    #[default]
    Order,
    /// Those that were changed last.
    Recency,
    /// Those that others in the view were made from or link to, most of them first.
    Evidence,
    /// Plans (type `plan`), then errors (type `error`), then those changed last.
    PlanFirst,
}

/// Whether an object is in a rendering, and why.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy)]
pub enum Inclusion {
    /// In: it is pinned.
    Pinned,
    /// In: it was chosen and fitted.
    Chosen,
    /// Out: the budget was used up by others.
    OverBudget,
    /// Out: the caller may not render it, or there is none.
    Denied,
    /// Out: its payload was given up.
    Released,
}

opaque!(Choice, Inclusion, Link, Links, ViewItem, View, Views, ManifestEntry);
crate::field::carries_texts! {
    Object { payload, appended }
    Entries { entries }
    Content { parts }
    ObjectInfo {}
    Objects {}
    Handle {}
    Removed {}
    Rendered { payload, appended }
    Materialized { items }
}

service! {
    /// Object Memory: typed, versioned, content-addressed objects. Every process has a space of its
    /// own, `object:p7/*`, over which it holds every right once it has made an object. A denied
    /// object cannot be told from a missing one: authority is decided before the object is looked
    /// for.
    service object = 2;
    failures {
        /// The object was removed.
        1 "not_found" NotFound;
        /// The name is taken in its namespace.
        2 "name_taken" NameTaken;
        /// The object has another version than the one expected.
        3 "version_conflict" VersionConflict;
        /// The payload is no list that is kept inline, so nothing can be appended.
        4 "not_a_list" NotAList;
        /// No namespace of this name exists.
        5 "unknown_namespace" UnknownNamespace;
        /// The payload, a name or a list is over its limit.
        6 "too_large" TooLarge;
        /// The object never changes.
        7 "immutable" Immutable;
        /// The object's payload was given up.
        8 "released" Released;
        /// The caller has no view of this id.
        9 "no_view" NoView;
        /// The pinned objects alone are over the budget of tokens.
        10 "pinned_over_budget" PinnedOverBudget;
        /// The process to receive it has ended, or never was.
        11 "receiver_ended" ReceiverEnded;
    }

    /// Makes an object, private to the caller, who holds every right over its own memory.
    1 create Create as Box {
        /// A word for what it is.
        r#type: String,
        /// Its content.
        payload: Json,
        /// A name; needs a namespace.
        name: Option<String>,
        /// Where to name it; the caller needs write on it.
        namespace: Option<String>,
        /// The objects it was made from; the caller must be able to read them.
        parents: Option<Vec<ObjectId>>,
        /// Words to find it by.
        tags: Option<Vec<String>>,
        /// Whether it never changes; false if absent.
        immutable: Option<bool>,
    } -> Handle
    { demand: [Write on namespace by |c| c.namespace.as_deref()
        .map(|name| Resource::named("namespace", name))];
      effect: State; fails: [NameTaken UnknownNamespace TooLarge]; }

    /// Reads an object of at most 1 MiB.
    2 read Read {
        /// The object.
        id: ObjectId,
    } -> Object
    { demand: [Read on object by |c| Resource::object(c.id)]; effect: State;
      fails: [NotFound TooLarge Released]; }

    /// Replaces an object's payload: a new version.
    3 update Update {
        /// The object.
        id: ObjectId,
        /// Its new content.
        payload: Json,
        /// The version it must have now.
        expected_version: Option<u64>,
    } -> Handle
    { demand: [Write on object by |c| Resource::object(c.id)]; effect: State;
      fails: [NotFound VersionConflict TooLarge Immutable Released]; }

    /// Lists the objects the caller owns (of the host: every object), a part at a time.
    4 list List {
        /// Only those of this type.
        r#type: Option<String>,
        /// Behind this one, to go on.
        after: Option<ObjectId>,
        /// How many at most; 256 if absent and at the most.
        limit: Option<u32>,
    } -> Objects
    { demand: [own]; effect: State; fails: []; }

    /// Removes an object. Background tasks that it owns end.
    5 delete Delete {
        /// The object.
        id: ObjectId,
    } -> Removed
    { demand: [Delete on object by |c| Resource::object(c.id)]; effect: State;
      fails: [NotFound]; }

    /// Shows an object without its payload.
    6 stat Stat {
        /// The object.
        id: ObjectId,
    } -> ObjectInfo
    { demand: [Read on object by |c| Resource::object(c.id)]; effect: State;
      fails: [NotFound]; }

    /// Adds an entry to an object whose payload is a list of less than 4 KiB: a new version that
    /// costs what the entry costs.
    7 append Append {
        /// The object.
        id: ObjectId,
        /// The entry.
        entry: Json,
        /// The version it must have now.
        expected_version: Option<u64>,
    } -> Handle
    { demand: [Write on object by |c| Resource::object(c.id)]; effect: State;
      fails: [NotFound NotAList VersionConflict TooLarge Immutable Released]; }

    /// Connects two objects. Doing so again changes nothing.
    8 link MakeLink {
        /// Where the link begins.
        from: ObjectId,
        /// A word for what it says.
        relation: String,
        /// Where it ends.
        to: ObjectId,
    } -> Links
    { demand: [Link on object by |c| vec![Resource::object(c.from), Resource::object(c.to)]];
      effect: State; fails: [NotFound TooLarge]; }

    /// Removes a link.
    9 unlink Unlink {
        /// Where it begins.
        from: ObjectId,
        /// What it says.
        relation: String,
        /// Where it ends.
        to: ObjectId,
    } -> Links
    { demand: [Link on object by |c| Resource::object(c.from)]; effect: State;
      fails: [NotFound]; }

    /// Lists the links of an object, both ways.
    10 links ListLinks {
        /// The object.
        id: ObjectId,
    } -> Links
    { demand: [Read on object by |c| Resource::object(c.id)]; effect: State; fails: [NotFound]; }

    /// Finds objects in the memory of one process. Everything given must fit.
    11 query Query as Box {
        /// Whose memory; the caller's if absent.
        space: Option<Pid>,
        /// Of this type.
        r#type: Option<String>,
        /// With this tag.
        tag: Option<String>,
        /// Whose name begins so.
        name_prefix: Option<String>,
        /// Made from this object.
        parent: Option<ObjectId>,
        /// Changed since then, in milliseconds since the epoch.
        since_ms: Option<u64>,
        /// After this one, to go on.
        after: Option<ObjectId>,
        /// How many at most; 100 if absent, 1,000 at the most.
        limit: Option<u32>,
    } -> Objects
    { demand: [Read on object by |c| c.space.map(Resource::space)]; effect: State; fails: []; }

    /// Hands an object over: it moves into the memory of a child or the parent, under a new id,
    /// and the caller's authority over it ends.
    12 transfer Transfer {
        /// The object.
        id: ObjectId,
        /// To whom; the caller needs write on it.
        to: Pid,
    } -> Handle
    { demand: [Grant on object by |c| Resource::object(c.id)]; effect: State;
      fails: [NotFound ReceiverEnded]; }

    /// Gives up an object's payload. What it was made from, its links and its digest stay.
    13 release Release {
        /// The object.
        id: ObjectId,
    } -> Handle
    { demand: [Delete on object by |c| Resource::object(c.id)]; effect: State;
      fails: [NotFound Released]; }

    /// Makes a view, private to the caller.
    14 make_view MakeView {
        /// Its objects, in order, each once.
        items: Vec<ViewItem>,
        /// The view it is made from; its pinned objects stay pinned in the new one.
        from: Option<ViewId>,
    } -> View
    { demand: [own]; effect: State; fails: [NoView TooLarge]; }

    /// Shows a view of the caller (of the host: any).
    15 view ShowView {
        /// The view.
        view: ViewId,
    } -> View
    { demand: [own]; effect: State; fails: [NoView]; }

    /// Lists the views of the caller (of the host: all).
    16 views ListViews {} -> Views
    { demand: [own]; effect: State; fails: []; }

    /// Drops a view of the caller.
    17 drop_view DropView {
        /// The view.
        view: ViewId,
    } -> Views
    { demand: [own]; effect: State; fails: [NoView]; }

    /// Renders the objects of a view within a budget of tokens. Each needs `materialize`; what may
    /// not be rendered is left out and named.
    18 materialize Materialize {
        /// The view.
        view: ViewId,
        /// How many tokens at most; 8,000 if absent.
        tokens: Option<u64>,
        /// Which come first when not all fit; `order` if absent.
        choice: Option<Choice>,
    } -> Materialized
    { demand: [own]; effect: State; fails: [NoView PinnedOverBudget]; }

    /// Reads entries that were appended to an object, as many as fit 1 MiB: so a content that was
    /// kept as an object is read in parts.
    19 entries ListEntries {
        /// The object.
        id: ObjectId,
        /// How many to pass over; none if absent.
        skip: Option<u32>,
    } -> Entries
    { demand: [Read on object by |c| Resource::object(c.id)]; effect: State;
      fails: [NotFound Released]; }

    /// Copies the memory of a process for a forked child: costs the same for any size.
    32 fork_space ForkSpace {
        /// Whose memory.
        from: Pid,
        /// For whom.
        to: Pid,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Brings the memory of an ended child into that of its parent.
    33 merge_space MergeSpace {
        /// The child.
        from: Pid,
        /// The parent.
        into: Pid,
        /// What to do with what both have changed.
        on_conflict: OnConflict,
    } -> Merged
    { demand: [kernel]; effect: State; fails: [VersionConflict]; }

    /// Drops the memory of an ended child.
    34 drop_space DropSpace {
        /// The child.
        space: Pid,
    } -> Discarded
    { demand: [kernel]; effect: State; fails: []; }

    /// Keeps memories as they are for a checkpoint: costs the same for any size. Tells how many
    /// objects are in them.
    35 save_spaces SaveSpaces {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whose memories.
        spaces: Vec<Pid>,
        /// Processes that have ended: their memories as far as there are any.
        ended: Vec<Pid>,
    } -> Kept
    { demand: [kernel]; effect: State; fails: []; }

    /// Tells which objects are not as they were kept: costs what has changed. Everything is new in
    /// a memory of which nothing was kept.
    36 compare_spaces CompareSpaces {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The memories of these besides those kept.
        spaces: Vec<Pid>,
    } -> ObjectChanges
    { demand: [kernel]; effect: State; fails: []; }

    /// Drops what was kept for a checkpoint.
    37 forget_spaces ForgetSpaces {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Has memories be as they were kept. Tells how many objects that changed: costs what has.
    38 restore_spaces RestoreSpaces {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The memories to drop: those of processes made since.
        dropped: Vec<Pid>,
    } -> Kept
    { demand: [kernel]; effect: State; fails: []; }

    /// Copies memories as they were kept for new processes: costs the same for any size.
    39 copy_spaces CopySpaces {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// For whom.
        processes: Vec<Copied>,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Makes an object of the parts of a content that a provider has kept.
    40 collect Collect {
        /// In whose memory.
        owner: Pid,
        /// A word for what it is.
        r#type: String,
        /// Its parts.
        parts: Vec<Json>,
    } -> Handle
    { demand: [kernel]; effect: State; fails: [TooLarge]; }

    /// Gives the content of an object, in parts as it is stored.
    41 content GetContent {
        /// The object.
        id: ObjectId,
    } -> Content
    { demand: [kernel]; effect: State; fails: [NotFound Released]; }
}

impl Create {
    /// An object of a type with a payload, and nothing else said of it.
    #[must_use]
    pub fn of(r#type: impl Into<String>, payload: Json) -> Self {
        Self {
            r#type: r#type.into(),
            payload,
            name: None,
            namespace: None,
            parents: None,
            tags: None,
            immutable: None,
        }
    }
}
