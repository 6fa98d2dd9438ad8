//! Calls: what the tables in [`crate::services`] generate, and how the union of them is used.
//!
//! One declarative table per service yields request structs, a [`Request`] for typed clients, a
//! server trait with its dispatch, a descriptor ([`CallInfo`]), JSON schemas and the pages of
//! `docs/abi.md`. A call without a demand does not compile, so admission is total.

use schemars::Schema;

use crate::{ArgType, Fault, Few, Need, Resource, Right};

/// What a call demands before anything is done or looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: it is about the caller's own state, or checked grant by grant by its service.
    Own,
    /// That the caller is the host's operator.
    Host,
    /// That the caller is a kernel component.
    Kernel,
    /// That a human approves this very call; the host's operator is one.
    Human,
    /// These rights, all of them.
    Rights(Few<Need>),
}

/// What a demand expression in a table may give.
pub trait IntoDemand {
    /// The demand of `right` over it.
    fn demand(self, right: Right) -> Demand;
}

impl IntoDemand for Resource {
    fn demand(self, right: Right) -> Demand {
        Demand::Rights(Few::one(Need { right, on: self }))
    }
}

/// Several needs that tell their rights themselves.
impl IntoDemand for Few<Need> {
    fn demand(self, _: Right) -> Demand {
        Demand::Rights(self)
    }
}

impl IntoDemand for Vec<Resource> {
    fn demand(self, right: Right) -> Demand {
        Demand::Rights(self.into_iter().map(|on| Need { right, on }).collect())
    }
}

/// Rights that differ: the one that the table names is among them.
impl IntoDemand for Vec<Need> {
    fn demand(self, _: Right) -> Demand {
        Demand::Rights(self.into_iter().collect())
    }
}

impl IntoDemand for Option<Resource> {
    fn demand(self, right: Right) -> Demand {
        self.map_or(Demand::Own, |on| on.demand(right))
    }
}

/// What a call does outside the kernel's own state, and so what a crash means for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EffectClass {
    /// Nothing: it reads or changes kernel state, in one transaction.
    State,
    /// It looks at the outside; it may be repeated.
    Read,
    /// It changes the outside; repeating it under the same operation id changes nothing more.
    Idempotent,
    /// It changes the outside; the provider can be asked whether it happened.
    Reconcilable,
    /// It changes the outside and nobody can tell afterwards; after a crash its outcome is unknown.
    Irreversible,
}

impl EffectClass {
    /// Its name as documents write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Reconcilable => "reconcilable",
            Self::Irreversible => "irreversible",
        }
    }
}

/// Which way data goes in a call between its caller and the resources that it demands, for data
/// labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Neither way: it stays within the kernel, which keeps labels on all there is.
    Inside,
    /// From the resource to the caller.
    In,
    /// From the caller to the resource, which is a sink.
    Out,
    /// Both ways.
    Both,
}

impl Direction {
    /// Whether data comes to the caller.
    #[must_use]
    pub fn is_in(self) -> bool {
        matches!(self, Self::In | Self::Both)
    }

    /// Whether data leaves the caller: the resource is a sink.
    #[must_use]
    pub fn is_out(self) -> bool {
        matches!(self, Self::Out | Self::Both)
    }

    /// Its name as documents write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::In => "in",
            Self::Out => "out",
            Self::Both => "both",
        }
    }
}

/// One argument of a call.
#[derive(Debug, Clone, Copy)]
pub struct ArgInfo {
    /// Its name.
    pub name: &'static str,
    /// Its type in conditions.
    pub arg: ArgType,
    /// What it means.
    pub doc: &'static str,
    /// Its type as written in the table.
    pub rust: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
}

/// The schema of a call's arguments, in which those that may be left out are not required,
/// whatever their type's schema says of itself.
pub(crate) fn args_schema(mut schema: Schema, args: &[ArgInfo]) -> Schema {
    let is_optional =
        |name: &serde_json::Value| args.iter().any(|arg| arg.optional && name == arg.name);
    if let Some(required) = schema.get_mut("required").and_then(|it| it.as_array_mut()) {
        required.retain(|name| !is_optional(name));
    }
    schema
}

/// Everything a table says of one call.
#[derive(Debug, Clone, Copy)]
pub struct CallInfo {
    /// The service's name.
    pub service: &'static str,
    /// The call's name.
    pub method: &'static str,
    /// `service.method`.
    pub name: &'static str,
    /// The service's number.
    pub service_number: u16,
    /// The call's number within the service.
    pub number: u16,
    /// What it does.
    pub doc: &'static str,
    /// The right and the kind of resource it demands, or `own`, `host`, `kernel`, `human`.
    pub demand: DemandInfo,
    /// Its effect class.
    pub effect: EffectClass,
    /// Which way data goes. Where its row does not say it: both ways if it has an effect, else
    /// neither.
    pub data: Direction,
    /// Its arguments.
    pub args: &'static [ArgInfo],
    /// The failures of its service it can end in.
    pub fails: &'static [&'static str],
    /// Its reply's type as written in the table.
    pub reply: &'static str,
    /// The JSON schema of its arguments.
    pub args_schema: fn() -> Schema,
    /// The JSON schema of its reply.
    pub reply_schema: fn() -> Schema,
}

/// What a table says of a call's demand without its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemandInfo {
    /// See [`Demand::Own`].
    Own,
    /// See [`Demand::Host`].
    Host,
    /// See [`Demand::Kernel`].
    Kernel,
    /// See [`Demand::Human`].
    Human,
    /// A right over a resource of this kind.
    Right(Right, &'static str),
}

/// A failure a service can end in.
#[derive(Debug, Clone, Copy)]
pub struct FailureInfo {
    /// Its number within the service.
    pub number: u16,
    /// Its code.
    pub code: &'static str,
    /// When it happens.
    pub doc: &'static str,
}

/// Everything a table says of one service.
#[derive(Debug, Clone, Copy)]
pub struct ServiceInfo {
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub number: u16,
    /// What it is.
    pub doc: &'static str,
    /// Its calls.
    pub calls: &'static [CallInfo],
    /// Its failures.
    pub failures: &'static [FailureInfo],
}

/// A typed call: its reply's type follows from it.
pub trait Request: Into<crate::Syscall> {
    /// What it gives back.
    type Reply;
    /// What the table says of it.
    const INFO: &'static CallInfo;
    /// Takes the typed reply out of the union; `None` if it is another call's.
    fn reply(reply: crate::Reply) -> Option<Self::Reply>;
}

/// A call written as a name and JSON arguments that is no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCall {
    /// No table has a call of this name.
    #[error("there is no call `{0}`; docs/abi.md lists them")]
    UnknownName(String),
    /// The arguments do not fit the call.
    #[error("the arguments of {name} do not fit: {what}")]
    BadArguments {
        /// The call.
        name: &'static str,
        /// What does not fit.
        what: String,
    },
    /// What should be a reply to the call is none.
    #[error("that is no reply to {name}: {what}")]
    BadReply {
        /// The call.
        name: &'static str,
        /// What does not fit.
        what: String,
    },
}

impl From<BadCall> for Fault {
    fn from(error: BadCall) -> Self {
        Self::bad(error.to_string())
    }
}

macro_rules! demand {
    (own, $call:expr) => {{
        let _ = $call;
        $crate::Demand::Own
    }};
    (host, $call:expr) => {{
        let _ = $call;
        $crate::Demand::Host
    }};
    (kernel, $call:expr) => {{
        let _ = $call;
        $crate::Demand::Kernel
    }};
    (human, $call:expr) => {{
        let _ = $call;
        $crate::Demand::Human
    }};
    ($right:ident on $kind:ident by $of:expr, $call:expr) => {{
        fn of<T, R: $crate::call::IntoDemand>(call: &T, f: fn(&T) -> R) -> R {
            f(call)
        }
        $crate::call::IntoDemand::demand(of($call, $of), $crate::Right::$right)
    }};
}
pub(crate) use demand;

macro_rules! direction {
    (State) => {
        $crate::Direction::Inside
    };
    ($effect:ident) => {
        $crate::Direction::Both
    };
    ($effect:ident $data:ident) => {
        $crate::Direction::$data
    };
}
pub(crate) use direction;

macro_rules! demand_info {
    (own) => {
        $crate::DemandInfo::Own
    };
    (host) => {
        $crate::DemandInfo::Host
    };
    (kernel) => {
        $crate::DemandInfo::Kernel
    };
    (human) => {
        $crate::DemandInfo::Human
    };
    ($right:ident on $kind:ident by $of:expr) => {
        $crate::DemandInfo::Right($crate::Right::$right, stringify!($kind))
    };
}
pub(crate) use demand_info;

/// The type that the unions hold a call or reply in.
macro_rules! held {
    ($type:ty) => { $type };
    ($type:ty, Box) => { Box<$type> };
    ($type:ty, Arc) => { std::sync::Arc<$type> };
}
pub(crate) use held;

/// The type in which a call or reply is given and taken.
macro_rules! given {
    ($type:ty) => { $type };
    ($type:ty, Box) => { $type };
    ($type:ty, Arc) => { std::sync::Arc<$type> };
}
pub(crate) use given;

/// Puts a call or reply into what the unions hold it in.
macro_rules! hold {
    ($value:expr) => {
        $value
    };
    ($value:expr, Box) => {
        Box::new($value)
    };
    ($value:expr, Arc) => {
        $value
    };
}
pub(crate) use hold;

/// Takes a call or reply out of what the unions hold it in.
macro_rules! take {
    ($value:expr) => {
        $value
    };
    ($value:expr, Box) => {
        *$value
    };
    ($value:expr, Arc) => {
        $value
    };
}
pub(crate) use take;

/// The table of one service. See `services/fs.rs` for its form. `as Box` behind a call or reply
/// has the unions hold it in a box: what is large would otherwise make every message as large.
/// `as Arc` behind a reply has it shared by all who see it.
macro_rules! service {
    (
        $(#[doc = $sdoc:literal])* service $service:ident = $snumber:literal;
        failures { $($(#[doc = $edoc:literal])* $enumber:literal $ecode:literal $error:ident;)* }
        $(
            $(#[doc = $doc:literal])*
            $number:literal $method:ident $Call:ident $(as $CallBox:ident)? {
                $($(#[doc = $adoc:literal])* $arg:ident: $type:ty,)*
            } -> $reply:ty $(as $ReplyBox:ident)?
            {
                demand: [$($demand:tt)*]; effect: $effect:ident; fails: [$($fails:ident)*];
                $(data: $data:ident;)?
            }
        )*
    ) => {
        $(
            $(#[doc = $doc])*
            #[derive(
                Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode,
                serde::Serialize, serde::Deserialize, schemars::JsonSchema,
            )]
            #[serde(deny_unknown_fields)]
            pub struct $Call { $($(#[doc = $adoc])* pub $arg: $type,)* }

            impl From<$Call> for $crate::Syscall {
                fn from(call: $Call) -> Self {
                    Call::$Call($crate::call::hold!(call $(, $CallBox)?)).into()
                }
            }

            impl $crate::Request for $Call {
                type Reply = $crate::call::given!($reply $(, $ReplyBox)?);
                const INFO: &'static $crate::CallInfo = &$crate::CallInfo {
                    service: stringify!($service),
                    method: stringify!($method),
                    name: concat!(stringify!($service), ".", stringify!($method)),
                    service_number: $snumber,
                    number: $number,
                    doc: concat!($($doc, "\n"),*),
                    demand: $crate::call::demand_info!($($demand)*),
                    effect: $crate::EffectClass::$effect,
                    data: $crate::call::direction!($effect $($data)?),
                    args: &[$($crate::ArgInfo {
                        name: stringify!($arg),
                        arg: <$type as $crate::Field>::TYPE,
                        doc: concat!($($adoc, "\n"),*),
                        rust: stringify!($type),
                        optional: <$type as $crate::Field>::OPTIONAL,
                    }),*],
                    fails: &[$(Failure::code_of(FailureKind::$fails)),*],
                    reply: stringify!($reply),
                    args_schema: || $crate::call::args_schema(
                        schemars::schema_for!($Call),
                        <$Call as $crate::Request>::INFO.args,
                    ),
                    reply_schema: || schemars::schema_for!($reply),
                };
                fn reply(reply: $crate::Reply) -> Option<Self::Reply> {
                    match Reply::try_from(reply) {
                        Ok(Reply::$Call(reply)) => {
                            Some($crate::call::take!(reply $(, $ReplyBox)?))
                        }
                        _ => None,
                    }
                }
            }
        )*

        /// A call of this service.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Call {
            $($(#[doc = $doc])* $Call($crate::call::held!($Call $(, $CallBox)?)),)*
        }

        /// A reply of this service, named after its call.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reply {
            $($(#[doc = $doc])* $Call($crate::call::held!($reply $(, $ReplyBox)?)),)*
        }

        /// The kinds of failure of this service.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FailureKind { $($(#[doc = $edoc])* $error,)* }

        /// A failure of this service, with what exactly was wrong.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Failure {
            /// Its kind.
            pub kind: FailureKind,
            /// What exactly was wrong; safe to show to the caller.
            pub detail: String,
        }

        impl FailureKind {
            /// A failure of this kind.
            #[must_use]
            pub fn because(self, detail: impl Into<String>) -> $crate::Error {
                Failure { kind: self, detail: detail.into() }.into()
            }
        }

        impl Failure {
            /// The code of a kind.
            #[must_use]
            pub const fn code_of(kind: FailureKind) -> &'static str {
                match kind { $(FailureKind::$error => $ecode,)* }
            }
            pub(crate) fn number(&self) -> u16 {
                match self.kind { $(FailureKind::$error => $enumber,)* }
            }
            /// The failure of a code.
            pub(crate) fn coded(code: &str, detail: &str) -> Option<Self> {
                let known: &[(&str, FailureKind)] = &[$(($ecode, FailureKind::$error)),*];
                let (_, kind) = known.iter().find(|(known, _)| *known == code)?;
                Some(Self { kind: *kind, detail: detail.to_owned() })
            }
            #[allow(unreachable_code, unused_variables, reason = "a service may have no failure")]
            pub(crate) fn numbered(number: u16, detail: String) -> Option<Self> {
                let kind = match number { $($enumber => FailureKind::$error,)* _ => return None };
                Some(Self { kind, detail })
            }
        }

        /// What serves this service. `X` is what a server may ask of the kernel during a call,
        /// `E` what a call can end in besides a reply.
        pub trait Server<X: ?Sized, E> {
            $($(#[doc = $doc])*
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = concat!("The failures that the table lists for `", stringify!($method), "`.")]
            fn $method(
                &mut self,
                cx: &mut X,
                call: &$Call,
            ) -> Result<$crate::call::given!($reply $(, $ReplyBox)?), E>;)*
        }

        /// Calls the method of `server` that `call` names.
        ///
        /// # Errors
        /// What the method ends in.
        pub fn dispatch<X: ?Sized, E>(
            server: &mut dyn Server<X, E>,
            cx: &mut X,
            call: &Call,
        ) -> Result<$crate::Reply, E> {
            match call {
                $(Call::$Call(call) => server
                    .$method(cx, call)
                    .map(|r| Reply::$Call($crate::call::hold!(r $(, $ReplyBox)?)).into()),)*
            }
        }

        /// The table.
        pub const INFO: $crate::ServiceInfo = $crate::ServiceInfo {
            name: stringify!($service),
            number: $snumber,
            doc: concat!($($sdoc, "\n"),*),
            calls: &[$(*<$Call as $crate::Request>::INFO),*],
            failures: &[$($crate::FailureInfo {
                number: $enumber, code: $ecode, doc: concat!($($edoc, "\n"),*),
            }),*],
        };

        impl Call {
            pub(crate) fn info(&self) -> &'static $crate::CallInfo {
                match self { $(Self::$Call(_) => <$Call as $crate::Request>::INFO,)* }
            }
            pub(crate) fn demand(&self) -> $crate::Demand {
                match self { $(Self::$Call(call) => $crate::call::demand!($($demand)*, call),)* }
            }
            pub(crate) fn arg(&self, name: &str) -> $crate::ArgView<'_> {
                match self { $(Self::$Call(_call) => match name {
                    $(stringify!($arg) => $crate::Field::view(&_call.$arg),)*
                    _ => $crate::ArgView::None,
                },)* }
            }
            pub(crate) fn texts(&mut self, _visit: &mut dyn FnMut(&mut $crate::Text)) {
                match self { $(Self::$Call(_call) => {
                    $($crate::Field::texts(&mut _call.$arg, _visit);)*
                })* }
            }
            pub(crate) fn paths(&mut self, _visit: &mut dyn FnMut(&mut $crate::FsPath)) {
                match self { $(Self::$Call(_call) => {
                    $($crate::Field::paths(&mut _call.$arg, _visit);)*
                })* }
            }
            pub(crate) fn args_json(&self) -> serde_json::Result<serde_json::Value> {
                match self { $(Self::$Call(call) => serde_json::to_value(call),)* }
            }
            pub(crate) fn from_json(
                method: &str,
                args: serde_json::Value,
            ) -> Result<Self, $crate::BadCall> {
                match method {
                    $(stringify!($method) => serde_json::from_value(args).map(Self::$Call).map_err(
                        |error| $crate::BadCall::BadArguments {
                            name: <$Call as $crate::Request>::INFO.name,
                            what: error.to_string(),
                        },
                    ),)*
                    _ => Err($crate::BadCall::UnknownName(
                        format!(concat!(stringify!($service), ".{}"), method),
                    )),
                }
            }
            pub(crate) fn encode_args<E: bincode::enc::Encoder>(
                &self,
                e: &mut E,
            ) -> Result<(), bincode::error::EncodeError> {
                match self { $(Self::$Call(call) => bincode::Encode::encode(call, e),)* }
            }
            pub(crate) fn decode_args<C, D: bincode::de::Decoder<Context = C>>(
                number: u16,
                d: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                match number {
                    $($number => Ok(Self::$Call(bincode::Decode::decode(d)?)),)*
                    _ => Err($crate::call::unknown(
                        concat!("call of ", stringify!($service)),
                        number,
                    )),
                }
            }
        }

        impl Reply {
            pub(crate) fn number(&self) -> u16 {
                match self { $(Self::$Call(_) => $number,)* }
            }
            pub(crate) fn texts(&mut self, visit: &mut dyn FnMut(&mut $crate::Text)) {
                match self {
                    $(Self::$Call(reply) => {
                        type Given = $crate::call::given!($reply $(, $ReplyBox)?);
                        <Given as $crate::Field>::texts(reply, visit);
                    })*
                }
            }
            pub(crate) fn json(&self) -> serde_json::Result<serde_json::Value> {
                match self { $(Self::$Call(reply) => serde_json::to_value(reply),)* }
            }
            pub(crate) fn from_json(
                method: &str,
                reply: serde_json::Value,
            ) -> Result<Self, $crate::BadCall> {
                match method {
                    $(stringify!($method) => {
                        serde_json::from_value(reply).map(Self::$Call).map_err(|error| {
                            $crate::BadCall::BadReply {
                                name: <$Call as $crate::Request>::INFO.name,
                                what: error.to_string(),
                            }
                        })
                    })*
                    _ => Err($crate::BadCall::UnknownName(
                        format!(concat!(stringify!($service), ".{}"), method),
                    )),
                }
            }
            pub(crate) fn encode_reply<E: bincode::enc::Encoder>(
                &self,
                e: &mut E,
            ) -> Result<(), bincode::error::EncodeError> {
                match self { $(Self::$Call(reply) => bincode::Encode::encode(reply, e),)* }
            }
            pub(crate) fn decode_reply<C, D: bincode::de::Decoder<Context = C>>(
                number: u16,
                d: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                match number {
                    $($number => Ok(Self::$Call(bincode::Decode::decode(d)?)),)*
                    _ => Err($crate::call::unknown(
                        concat!("reply of ", stringify!($service)),
                        number,
                    )),
                }
            }
        }
    };
}
pub(crate) use service;

pub(crate) fn unknown(what: &str, number: u16) -> bincode::error::DecodeError {
    bincode::error::DecodeError::OtherString(format!("there is no {what} with number {number}"))
}

/// The union of all services.
macro_rules! syscalls {
    ($($(#[$doc:meta])* $Service:ident $service:ident;)*) => {
        /// One system call: everything protected that an agent, a tool or a guest can ask for.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Syscall { $($(#[$doc])* $Service($service::Call),)* }

        /// The reply to a system call.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reply { $($(#[$doc])* $Service($service::Reply),)* }

        /// What a system call ends in when it has no reply.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Error {
            /// The kernel refused it or could not do it.
            Fault($crate::Fault),
            $($(#[$doc])* $Service($service::Failure),)*
        }

        /// Every table.
        pub const SERVICES: &[&$crate::ServiceInfo] = &[$(&$service::INFO),*];

        $(
            impl From<$service::Call> for Syscall {
                fn from(call: $service::Call) -> Self { Self::$Service(call) }
            }
            impl From<$service::Reply> for Reply {
                fn from(reply: $service::Reply) -> Self { Self::$Service(reply) }
            }
            impl TryFrom<Reply> for $service::Reply {
                type Error = Reply;
                fn try_from(reply: Reply) -> Result<Self, Reply> {
                    match reply { Reply::$Service(reply) => Ok(reply), other => Err(other) }
                }
            }
            impl From<$service::Failure> for Error {
                fn from(failure: $service::Failure) -> Self { Self::$Service(failure) }
            }
        )*

        impl Syscall {
            /// What its table says of it.
            #[must_use]
            pub fn info(&self) -> &'static $crate::CallInfo {
                match self { $(Self::$Service(call) => call.info(),)* }
            }

            /// What it demands. The call must be canonical.
            #[must_use]
            pub fn demand(&self) -> $crate::Demand {
                match self { $(Self::$Service(call) => call.demand(),)* }
            }

            /// An argument by name, for conditions.
            #[must_use]
            pub fn arg(&self, name: &str) -> $crate::ArgView<'_> {
                match self { $(Self::$Service(call) => call.arg(name),)* }
            }

            /// Visits every text among the arguments.
            pub fn texts(&mut self, visit: &mut dyn FnMut(&mut $crate::Text)) {
                match self { $(Self::$Service(call) => call.texts(visit),)* }
            }

            /// Visits every path among the arguments.
            pub fn paths(&mut self, visit: &mut dyn FnMut(&mut $crate::FsPath)) {
                match self { $(Self::$Service(call) => call.paths(visit),)* }
            }

            /// Its arguments as a JSON object.
            ///
            /// # Errors
            /// When an argument that is JSON is malformed.
            pub fn args_json(&self) -> serde_json::Result<serde_json::Value> {
                match self { $(Self::$Service(call) => call.args_json(),)* }
            }

            /// The call named `service.method` with JSON arguments.
            ///
            /// # Errors
            /// [`BadCall`](crate::BadCall) for an unknown name, an unknown argument, a missing one
            /// or one of the wrong type.
            pub fn from_json(
                name: &str,
                args: serde_json::Value,
            ) -> Result<Self, $crate::BadCall> {
                let unknown = || $crate::BadCall::UnknownName(name.to_owned());
                let (service, method) = name.split_once('.').ok_or_else(unknown)?;
                match service {
                    $(stringify!($service) =>
                        $service::Call::from_json(method, args).map(Self::$Service),)*
                    _ => Err(unknown()),
                }
            }
        }

        impl Reply {
            /// Visits every text in it.
            pub fn texts(&mut self, visit: &mut dyn FnMut(&mut $crate::Text)) {
                match self { $(Self::$Service(reply) => reply.texts(visit),)* }
            }

            /// The reply to the call named `service.method`, from its JSON.
            ///
            /// # Errors
            /// [`BadCall`](crate::BadCall) for an unknown name, or JSON that is no such reply.
            pub fn from_json(
                name: &str,
                reply: serde_json::Value,
            ) -> Result<Self, $crate::BadCall> {
                let unknown = || $crate::BadCall::UnknownName(name.to_owned());
                let (service, method) = name.split_once('.').ok_or_else(unknown)?;
                match service {
                    $(stringify!($service) =>
                        $service::Reply::from_json(method, reply).map(Self::$Service),)*
                    _ => Err(unknown()),
                }
            }

            /// It as JSON.
            ///
            /// # Errors
            /// When a part that is JSON is malformed.
            pub fn json(&self) -> serde_json::Result<serde_json::Value> {
                match self { $(Self::$Service(reply) => reply.json(),)* }
            }
        }

        impl bincode::Encode for Syscall {
            fn encode<E: bincode::enc::Encoder>(
                &self,
                e: &mut E,
            ) -> Result<(), bincode::error::EncodeError> {
                let info = self.info();
                bincode::Encode::encode(&(info.service_number, info.number), e)?;
                match self { $(Self::$Service(call) => call.encode_args(e),)* }
            }
        }

        bincode::impl_borrow_decode!(Syscall);

        impl<C> bincode::Decode<C> for Syscall {
            fn decode<D: bincode::de::Decoder<Context = C>>(
                d: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                let (service, number): (u16, u16) = bincode::Decode::decode(d)?;
                $(if service == $service::INFO.number {
                    return $service::Call::decode_args(number, d).map(Self::$Service);
                })*
                Err($crate::call::unknown("service", service))
            }
        }

        impl bincode::Encode for Reply {
            fn encode<E: bincode::enc::Encoder>(
                &self,
                e: &mut E,
            ) -> Result<(), bincode::error::EncodeError> {
                match self { $(Self::$Service(reply) => {
                    bincode::Encode::encode(&($service::INFO.number, reply.number()), e)?;
                    reply.encode_reply(e)
                })* }
            }
        }

        bincode::impl_borrow_decode!(Reply);

        impl<C> bincode::Decode<C> for Reply {
            fn decode<D: bincode::de::Decoder<Context = C>>(
                d: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                let (service, number): (u16, u16) = bincode::Decode::decode(d)?;
                $(if service == $service::INFO.number {
                    return $service::Reply::decode_reply(number, d).map(Self::$Service);
                })*
                Err($crate::call::unknown("service", service))
            }
        }

        impl Error {
            /// The error of a code that a call of the service may end in, as a test of a tool
            /// scripts it.
            #[must_use]
            pub fn scripted(service: &str, code: &str, what: &str) -> Option<Self> {
                let failure = match service {
                    $(stringify!($service) =>
                        $service::Failure::coded(code, what).map(Self::$Service),)*
                    _ => None,
                };
                failure.or_else(|| $crate::Fault::scripted(code, what).map(Self::Fault))
            }

            /// Its code in snake case.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self {
                    Self::Fault(fault) => fault.code(),
                    $(Self::$Service(failure) => $service::Failure::code_of(failure.kind),)*
                }
            }
        }

        impl std::fmt::Display for Error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    Self::Fault(fault) => fault.fmt(f),
                    $(Self::$Service(failure) => f.write_str(&failure.detail),)*
                }
            }
        }

        impl bincode::Encode for Error {
            fn encode<E: bincode::enc::Encoder>(
                &self,
                e: &mut E,
            ) -> Result<(), bincode::error::EncodeError> {
                match self {
                    Self::Fault(fault) => {
                        bincode::Encode::encode(&0_u16, e)?;
                        bincode::Encode::encode(fault, e)
                    }
                    $(Self::$Service(failure) => {
                        bincode::Encode::encode(&($service::INFO.number, failure.number()), e)?;
                        bincode::Encode::encode(&failure.detail, e)
                    })*
                }
            }
        }

        bincode::impl_borrow_decode!(Error);

        impl<C> bincode::Decode<C> for Error {
            fn decode<D: bincode::de::Decoder<Context = C>>(
                d: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                let service: u16 = bincode::Decode::decode(d)?;
                if service == 0 {
                    return Ok(Self::Fault(bincode::Decode::decode(d)?));
                }
                let (number, detail): (u16, String) = bincode::Decode::decode(d)?;
                $(if service == $service::INFO.number {
                    return $service::Failure::numbered(number, detail)
                        .map(Self::$Service)
                        .ok_or_else(|| $crate::call::unknown("failure", number));
                })*
                Err($crate::call::unknown("service", service))
            }
        }
    };
}
pub(crate) use syscalls;
