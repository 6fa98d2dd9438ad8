//! A component that does what a message tells it, and a context for it.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread::{self, JoinHandle, ThreadId},
};

use libos_abi::{
    Denial, Digest, Error, Event, Fault, Few, OpId, Pid, Principal, Reply, Syscall, Text, clock,
    event::HumanEvent, human, process::Wait, process::WaitOn, wire::encode,
};
use libos_bindings::{
    BindingError, RemoteAuthority, RemoteComponent, queued,
    wire::{self, Stream},
};
use libos_port::{
    Authority, BadSnapshot, Caller, Component, Context, Decision, Manifest, Query, Stop,
    load_version, save_version,
};

/// Serves `human.output`: the message says what to do.
#[derive(Default)]
pub(crate) struct Part {
    applied: usize,
    began: usize,
    undone: usize,
    /// What makes its state large.
    ballast: Vec<u8>,
}

impl Part {
    pub(crate) fn with_ballast(bytes: usize) -> Self {
        Self { ballast: (0..bytes).map(|at| (at % 251) as u8).collect(), ..Self::default() }
    }
}

pub(crate) fn output(message: &str) -> Syscall {
    human::Output { message: Text::from(message), human: None }.into()
}

pub(crate) fn said(message: &str) -> Event {
    Event::Human(HumanEvent::Output {
        pid: None,
        human: human::OWNER.into(),
        message: Text::from(message),
    })
}

pub(crate) fn delivered(human: impl Into<String>) -> Reply {
    human::Reply::Output(human::Delivered { human: human.into() }).into()
}

impl Component for Part {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["human"], imports: &["clock", "human"] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        let Syscall::Human(human::Call::Output(human::Output { message, .. })) = call else {
            return Err(Stop::unsupported(call));
        };
        let message = message.as_str().unwrap();
        let (word, rest) = message.split_once(' ').unwrap_or((message, ""));
        let number = || rest.parse::<usize>().unwrap();
        match word {
            "tell" => {
                let pid = cx.caller().pid();
                Ok(delivered(format!("{} {} {pid:?}", cx.now_ms(), cx.started_ms())))
            }
            "ask" => {
                let mut times = 0;
                for _ in 0..number() {
                    times += cx.ask(clock::GetNow {})?.unix_ms;
                }
                Ok(delivered(times.to_string()))
            }
            "send" => Ok(cx.send(output(&"x".repeat(number())))?),
            "emit" => {
                (0..number()).for_each(|number| cx.emit(said(&number.to_string())));
                Ok(delivered(""))
            }
            "emit-large" => {
                cx.emit(said(&"x".repeat(number())));
                Ok(delivered(""))
            }
            "reply" => Ok(delivered("x".repeat(number()))),
            "wait" => Err(Stop::Wait(Wait { on: WaitOn::Time, until_ms: Some(7) })),
            "perform" => Err(Stop::Perform),
            "refuse" => Err(human::FailureKind::NotFound.because("not here").into()),
            "panic" => panic!("as it was told to"),
            other => panic!("nobody knows how to {other}"),
        }
    }

    fn apply(&mut self, _: &Event) {
        self.applied += 1;
    }
    fn begin(&mut self) {
        self.began += 1;
    }
    fn rollback(&mut self) {
        self.undone += 1;
    }
    fn digest(&self) -> Digest {
        let counts = format!("{} {} {}", self.applied, self.began, self.undone);
        Digest::of(&[counts.as_bytes(), &self.ballast].concat())
    }
    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        save_version(1, out);
        out.extend(encode(&(self.applied, self.began, self.undone)));
        out.extend(encode(&self.ballast.len()));
        out.extend(&self.ballast);
        Ok(())
    }
    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        let mut bytes = load_version(1, bytes)?;
        let (applied, began, undone) = bytes.read()?;
        let ballast = bytes.bytes()?.to_vec();
        bytes.end()?;
        *self = Self { applied, began, undone, ballast };
        Ok(())
    }
}

impl Authority for Part {
    /// Allows what the first process asks, by a capability that tells when.
    fn decide(&self, query: &Query<'_>) -> Decision {
        assert_eq!((query.digest)(), query.call.digest());
        match query.subject {
            Pid(1) => Decision::Allow {
                by: Few::from(vec![libos_abi::CapId(query.now_ms)]),
                charges: Vec::new(),
            },
            _ => Decision::Deny(Denial {
                need: query.needs.first().cloned(),
                reason: libos_abi::DenyReason::NoGrant,
            }),
        }
    }
}

/// What a caller gives a call, and what the part did with it.
pub(crate) struct Cx {
    caller: Caller,
    pub(crate) emitted: Vec<Event>,
    /// The threads on which calls of the part were served.
    pub(crate) served_on: Vec<ThreadId>,
    /// What a call of the part ends in; the time for `clock.now`.
    pub(crate) answer: Option<Result<Reply, Error>>,
}

impl Cx {
    pub(crate) fn new() -> Self {
        Self {
            caller: Caller { principal: Principal::Process(Pid(3)), admission: None },
            emitted: Vec::new(),
            served_on: Vec::new(),
            answer: None,
        }
    }
}

impl Context for Cx {
    fn now_ms(&self) -> u64 {
        11
    }
    fn caller(&self) -> &Caller {
        &self.caller
    }
    fn op(&self) -> OpId {
        OpId(5)
    }
    fn started_ms(&self) -> u64 {
        9
    }
    fn emit(&mut self, event: Event) {
        self.emitted.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        self.served_on.push(thread::current().id());
        match (&self.answer, call) {
            (Some(answer), _) => answer.clone(),
            (None, Syscall::Clock(clock::Call::GetNow(_))) => {
                Ok(clock::Reply::GetNow(clock::Now {
                    unix_ms: 2,
                    iso8601: libos_abi::Iso8601::of(0),
                })
                .into())
            }
            (None, call) => Err(Fault::Unsupported { call: call.info().name.into() }.into()),
        }
    }
}

/// Makes a call that says this, in a context of its own.
pub(crate) fn call(part: &mut dyn Component, message: &str) -> Result<Reply, Stop> {
    part.call(&mut Cx::new(), &output(message))
}

/// The kind of the fault that a call ends in.
#[track_caller]
pub(crate) fn fault(result: Result<Reply, Stop>) -> String {
    match result {
        Err(Stop::Error(Error::Fault(Fault::ProviderFailed { kind, op: OpId(5) }))) => kind,
        Err(Stop::Error(Error::Fault(fault @ Fault::Limit { .. }))) => fault.to_string(),
        other => panic!("a fault was expected: {other:?}"),
    }
}

/// A component behind each binding that leads elsewhere.
pub(crate) fn both() -> [(&'static str, RemoteComponent); 2] {
    let (near, _) = far(|stream| wire::serve_component(stream, &mut Part::default()));
    let queued = queued::component(Box::new(Part::default())).unwrap();
    [("queued", queued), ("wire", wire::component(near).unwrap())]
}

/// The same for an authority.
pub(crate) fn both_authorities() -> [(&'static str, RemoteAuthority); 2] {
    let (near, _) = far(|stream| wire::serve_authority(stream, &mut Part::default()));
    let queued = queued::authority(Box::new(Part::default())).unwrap();
    [("queued", queued), ("wire", wire::authority(near).unwrap())]
}

pub(crate) type Served = JoinHandle<Result<(), BindingError>>;

/// The near end of a socket whose far end is served on a thread.
pub(crate) fn far(
    serve: impl FnOnce(Stream) -> Result<(), BindingError> + Send + 'static,
) -> (Stream, Served) {
    let (near, far) = UnixStream::pair().unwrap();
    let far = Stream::unix(far).unwrap();
    (Stream::unix(near).unwrap(), thread::spawn(move || serve(far)))
}

/// A far end that says these bytes after the greeting of a [`Part`], and then hangs up.
pub(crate) fn saying(bytes: &[u8]) -> Stream {
    Stream::new(std::io::Cursor::new([greeting(), bytes.to_vec()].concat()), std::io::sink())
}

/// The bytes with which a far end says what it is.
pub(crate) fn greeting() -> Vec<u8> {
    recorded(&[], |stream| wire::serve_component(stream, &mut Part::default()))
}

/// What a far end says to these bytes.
pub(crate) fn recorded(
    bytes: &[u8],
    serve: impl FnOnce(Stream) -> Result<(), BindingError>,
) -> Vec<u8> {
    struct Sink(mpsc::Sender<Vec<u8>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (sender, said) = mpsc::channel();
    let bytes: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(bytes.to_vec()));
    serve(Stream::new(bytes, Sink(sender))).unwrap();
    said.iter().flatten().collect()
}
