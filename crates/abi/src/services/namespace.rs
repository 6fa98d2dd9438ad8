//! Namespaces: names for objects. A name is no authority.

use crate::{ObjectId, Resource, call::service};

record! {
    /// A name and what it stands for.
    pub struct Entry {
        /// The name.
        pub name: String,
        /// The object.
        pub id: ObjectId,
    }

    /// A namespace.
    pub struct Namespace {
        /// Its name.
        pub namespace: String,
        /// The names in it, in order.
        pub entries: Vec<Entry>,
    }
}

crate::field::opaque!(Entry, Namespace);

service! {
    /// Namespaces: names for objects. A name is no authority: reading what it stands for is checked
    /// on the object.
    service namespace = 3;
    failures {
        /// A namespace of this name exists.
        1 "exists" Exists;
        /// No namespace of this name exists, or no such name in it.
        2 "not_found" NotFound;
        /// A name is empty, too long or holds control characters.
        3 "bad_name" BadName;
    }

    /// Makes a namespace.
    1 create Create {
        /// Its name.
        namespace: String,
    } -> Namespace
    { demand: [Write on namespace by |c| Resource::named("namespace", &c.namespace)];
      effect: State; fails: [Exists BadName]; }

    /// Lists the names in a namespace.
    2 list List {
        /// The namespace.
        namespace: String,
    } -> Namespace
    { demand: [Read on namespace by |c| Resource::named("namespace", &c.namespace)];
      effect: State; fails: [NotFound]; }

    /// Finds what a name stands for.
    3 lookup Lookup {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    } -> Entry
    { demand: [Read on namespace by |c| Resource::named("namespace", &c.namespace)];
      effect: State; fails: [NotFound]; }
}
