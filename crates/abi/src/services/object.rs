//! Object Memory: typed, versioned, content-addressed objects.

use crate::{Digest, Json, ObjectId, Pid, Resource, call::service};

record! {
    /// An object without its payload.
    pub struct ObjectInfo {
        /// Its id.
        pub id: ObjectId,
        /// Its type, a word the maker chose.
        pub r#type: String,
        /// Its version, from 1.
        pub version: u64,
        /// The digest of its payload's canonical JSON.
        pub digest: Digest,
        /// The payload's length in bytes.
        pub bytes: u64,
        /// Who owns it.
        pub owner: Pid,
        /// The namespace it is named in.
        pub namespace: Option<String>,
        /// Its name there.
        pub name: Option<String>,
        /// The objects it was made from.
        pub parents: Vec<ObjectId>,
        /// When it was made, in milliseconds since the epoch.
        pub created_at_ms: u64,
        /// When it was last changed.
        pub updated_at_ms: u64,
    }

    /// An object.
    pub struct Object {
        /// Its id.
        pub id: ObjectId,
        /// Its type.
        pub r#type: String,
        /// Its version.
        pub version: u64,
        /// Its payload.
        pub payload: Json,
    }

    /// A handle to an object. It opens nothing: each use is checked.
    pub struct Handle {
        /// The object.
        pub id: ObjectId,
        /// Its version after the call.
        pub version: u64,
        /// The digest of its payload.
        pub digest: Digest,
    }

    /// Objects.
    pub struct Objects {
        /// In the order of their ids.
        pub objects: Vec<ObjectInfo>,
    }

    /// An object that was removed.
    pub struct Removed {
        /// Its id.
        pub id: ObjectId,
    }
}

crate::field::carries_texts! {
    Object { payload }
    ObjectInfo {}
    Objects {}
    Handle {}
    Removed {}
}

service! {
    /// Object Memory: typed, versioned, content-addressed objects. A denied object cannot be told
    /// from a missing one: authority is decided before the object is looked for.
    service object = 2;
    failures {
        /// The object was removed.
        1 "not_found" NotFound;
        /// The name is taken in its namespace.
        2 "name_taken" NameTaken;
        /// The object has another version than the one expected.
        3 "version_conflict" VersionConflict;
        /// The payload is no list, so nothing can be appended.
        4 "not_a_list" NotAList;
        /// No namespace of this name exists.
        5 "unknown_namespace" UnknownNamespace;
        /// The payload or a name is over its limit.
        6 "too_large" TooLarge;
    }

    /// Makes an object, private to the caller, who gets every right on it.
    1 create Create {
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
    } -> Handle
    { demand: [Write on namespace by |c| c.namespace.as_deref()
        .map(|name| Resource::named("namespace", name))];
      effect: State; fails: [NameTaken UnknownNamespace TooLarge]; }

    /// Reads an object.
    2 read Read {
        /// The object.
        id: ObjectId,
    } -> Object
    { demand: [Read on object by |c| Resource::id("object", c.id)]; effect: State;
      fails: [NotFound]; }

    /// Replaces an object's payload: a new version.
    3 update Update {
        /// The object.
        id: ObjectId,
        /// Its new content.
        payload: Json,
        /// The version it must have now.
        expected_version: Option<u64>,
    } -> Handle
    { demand: [Write on object by |c| Resource::id("object", c.id)]; effect: State;
      fails: [NotFound VersionConflict TooLarge]; }

    /// Lists the objects the caller owns (of the host: every object).
    4 list List {
        /// Only those of this type.
        r#type: Option<String>,
    } -> Objects
    { demand: [own]; effect: State; fails: []; }

    /// Removes an object.
    5 delete Delete {
        /// The object.
        id: ObjectId,
    } -> Removed
    { demand: [Delete on object by |c| Resource::id("object", c.id)]; effect: State;
      fails: [NotFound]; }

    /// Shows an object without its payload.
    6 stat Stat {
        /// The object.
        id: ObjectId,
    } -> ObjectInfo
    { demand: [Read on object by |c| Resource::id("object", c.id)]; effect: State;
      fails: [NotFound]; }
}
