//! Data labels: looked at and lowered.

use crate::{FsPath, Label, Labelled, ObjectId, Pid, Resource, call::service, field::opaque};

record! {
    /// A label.
    #[derive(Copy)]
    pub struct LabelShown {
        /// The label.
        pub label: Label,
    }

    /// Something that has a label of its own.
    pub struct LabelEntry {
        /// What.
        pub what: Labelled,
        /// Its label.
        pub label: Label,
    }

    /// Everything that has a label of its own; what is not there has the lowest.
    pub struct LabelList {
        /// In order.
        pub entries: Vec<LabelEntry>,
    }
}

opaque!(Label, LabelShown, LabelEntry, LabelList);

service! {
    /// Data labels. The kernel joins them on everything that is made from something else; these
    /// calls look at them, and lower them where the host lets somebody do so.
    service label = 20;
    failures {
        /// The label to be set is not below the one that is there.
        1 "not_lower" NotLower;
    }

    /// Shows the label of an object, or the caller's own.
    1 show Show {
        /// The object; the caller itself if absent.
        id: Option<ObjectId>,
    } -> LabelShown
    { demand: [Read on object by |c| c.id.map(Resource::object)]; effect: State; fails: []; }

    /// Lowers the label of an object, of files, of a process, or the caller's own, on the word of
    /// whoever was given the right to. The label of a file is not below what the host's rules
    /// give its path.
    2 declassify Declassify as Box {
        /// The object.
        id: Option<ObjectId>,
        /// The file, or the folder with all that is in it.
        path: Option<FsPath>,
        /// The process.
        pid: Option<Pid>,
        /// The label from now on.
        to: Label,
    } -> LabelShown
    { demand: [Admin on label by |c| c.targets()]; effect: State; fails: [NotLower]; }

    /// Lists everything that has a label of its own.
    3 list List {} -> LabelList
    { demand: [host]; effect: State; fails: []; }
}

impl Declassify {
    /// What is declassified, as resources: `label:object:p7/12`, `label:fs:workspace/a`,
    /// `label:process:p7`, and `label:own` where nothing is named.
    fn targets(&self) -> Vec<Resource> {
        let object = self.id.map(Resource::object);
        let file = self.path.as_ref().map(FsPath::resource);
        let process = self.pid.map(|pid| Resource::id("process", pid));
        let mut named: Vec<Resource> = [object, file, process]
            .into_iter()
            .flatten()
            .map(|on| Resource::id("label", on.as_str()))
            .collect();
        if named.is_empty() {
            named.push(Resource::named("label", "own"));
        }
        named
    }
}
