//! The bytes of every message stay what they are, and no bytes do harm.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads its golden file and panics where something is wrong"
)]

#[path = "golden/samples.rs"]
mod samples;

use std::{collections::BTreeMap, fmt::Debug, fmt::Write as _};

use libos_abi::{
    CapId, CheckpointId, Digest, Error, Event, Fault, Json, MessageId, Millis, ObjectId, OpId,
    Outcome, Pattern, Pid, Record, Reply, RequestId, Resource, Rights, SERVICES, Seq, Syscall,
    Text, ViewId, wire,
};
use proptest::prelude::*;
use serde_json::json;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Every sample under its name.
fn encoded() -> BTreeMap<String, Vec<u8>> {
    let mut lines = BTreeMap::new();
    for sample in samples::calls() {
        lines.insert(format!("call {}", sample.name), wire::encode(&sample.call));
        lines.insert(format!("reply {}", sample.name), wire::encode(&sample.reply));
    }
    for fault in samples::faults() {
        lines.insert(format!("fault {}", fault.code()), wire::encode(&Error::Fault(fault)));
    }
    for (name, error) in samples::failures() {
        lines.insert(format!("failure {name}"), wire::encode(&error));
    }
    for event in samples::events() {
        lines.insert(format!("event {}", samples::event_name(&event)), wire::encode(&event));
    }
    for (name, bytes, ..) in samples::enums() {
        lines.insert(format!("enum {name}"), bytes);
    }
    let done: Outcome = Ok(samples::calls().remove(0).reply);
    lines.insert("outcome".into(), wire::encode(&done));
    lines.insert("record".into(), wire::encode(&samples::record()));
    lines
}

#[test]
fn the_bytes_of_every_message_are_those_of_version_two() {
    let text: String =
        encoded().iter().map(|(name, bytes)| format!("{name} = {}\n", hex(bytes))).collect();
    if std::env::var("LIBOS_WRITE_GOLDEN").is_ok_and(|it| it == "1") {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    for (line, (now, then)) in (1..).zip(text.lines().zip(golden.lines())) {
        assert_eq!(
            now, then,
            "{GOLDEN}:{line}: the bytes changed, so older journals do not decode. What is new goes \
             under a number of its own; LIBOS_WRITE_GOLDEN=1 writes lines for it"
        );
    }
    assert_eq!(text.lines().count(), golden.lines().count(), "run with LIBOS_WRITE_GOLDEN=1");
}

#[test]
fn every_call_reply_fault_failure_event_and_variant_has_a_golden_line() {
    let lines = encoded();
    let mut expected = Vec::new();
    for service in SERVICES {
        for call in service.calls {
            expected.extend([format!("call {}", call.name), format!("reply {}", call.name)]);
        }
        let name = service.name;
        expected.extend(service.failures.iter().map(|it| format!("failure {name}.{}", it.code)));
    }
    expected.extend(Fault::TABLE.iter().map(|(_, code, _)| format!("fault {code}")));
    expected.extend(samples::EVENTS.iter().map(|name| format!("event {name}")));
    for (name, _, here, there) in samples::enums() {
        assert_eq!(here, there, "variants of {name}: see tests/golden/samples.rs");
        expected.push(format!("enum {name}"));
    }
    for name in &expected {
        assert!(lines.contains_key(name), "no sample for {name}: see tests/golden/samples.rs");
    }
    assert_eq!(lines.len(), expected.len() + 2, "an outcome and a record besides");
}

#[track_caller]
fn is_exact<T: bincode_traits::Message>(value: &T) {
    let bytes = value.to_bytes();
    assert_eq!(&T::of_bytes(&bytes).unwrap(), value);
    for length in 0..bytes.len() {
        assert!(T::of_bytes(&bytes[..length]).is_err(), "{value:?} cut at {length}");
    }
    for extra in [&[0][..], &[1], &bytes] {
        let longer = [&bytes, extra].concat();
        assert!(T::of_bytes(&longer).is_err(), "{value:?} with {} bytes more", extra.len());
    }
}

/// The messages of the ABI, without naming the codec.
mod bincode_traits {
    use super::*;

    pub(super) trait Message: Debug + PartialEq + Sized {
        fn to_bytes(&self) -> Vec<u8>;
        fn of_bytes(bytes: &[u8]) -> Result<Self, wire::WireError>;
    }

    macro_rules! messages {
        ($($type:ty),*) => {$(
            impl Message for $type {
                fn to_bytes(&self) -> Vec<u8> {
                    wire::encode(self)
                }
                fn of_bytes(bytes: &[u8]) -> Result<Self, wire::WireError> {
                    wire::decode(bytes)
                }
            }
        )*};
    }
    messages!(Syscall, Reply, Error, Event, Record, Outcome);
}

#[test]
fn a_message_decodes_from_exactly_its_bytes() {
    for sample in samples::calls() {
        is_exact(&sample.call);
        is_exact(&sample.reply);
        is_exact::<Outcome>(&Ok(sample.reply));
    }
    for (_, error) in samples::failures() {
        is_exact(&error);
    }
    for fault in samples::faults() {
        is_exact(&Error::Fault(fault));
    }
    for event in samples::events() {
        is_exact(&event);
    }
    is_exact(&samples::record());
}

#[test]
fn a_length_that_is_a_lie_fails_cleanly() {
    let read = SERVICES.iter().find(|service| service.name == "fs").unwrap();
    for length in [u64::MAX, i64::MAX as u64, wire::FRAME_BYTES_MAX as u64 + 1, 1 << 21, 1] {
        let text = wire::encode(&(read.number, 1_u16, length));
        assert!(wire::decode::<Syscall>(&text).is_err(), "a path of {length} bytes");
        let list = wire::encode(&(0_u64, length));
        assert!(wire::decode::<Record>(&list).is_err(), "{length} events");
        let detail = wire::encode(&(read.number, 1_u16, length));
        assert!(wire::decode::<Error>(&detail).is_err(), "a detail of {length} bytes");
    }
}

#[test]
fn unknown_numbers_are_told() {
    let decode =
        |service: u16, number: u16| wire::decode::<Syscall>(&wire::encode(&(service, number)));
    let error = decode(99, 1).unwrap_err().to_string();
    assert!(error.contains("no service with number 99"), "{error}");
    let error = decode(9, 99).unwrap_err().to_string();
    assert!(error.contains("no call of fs with number 99"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&bytes);
    }

    #[test]
    fn bytes_behind_a_true_number_never_panic(
        (service, number) in numbers(),
        rest in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..200),
    ) {
        survive(&[wire::encode(&(service, number)), rest].concat());
    }

    #[test]
    fn a_damaged_message_never_panics(
        (bytes, at, with) in (
            prop::sample::select(encoded().into_values().collect::<Vec<_>>()),
            any::<prop::sample::Index>(),
            any::<u8>(),
        ),
    ) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes[at] = with;
        survive(&bytes);
    }
}

fn numbers() -> impl Strategy<Value = (u16, u16)> {
    let calls = SERVICES.iter().flat_map(|service| service.calls);
    prop::sample::select(calls.map(|call| (call.service_number, call.number)).collect::<Vec<_>>())
}

/// Decodes as everything; what decodes is a value like any other.
fn survive(bytes: &[u8]) {
    fn one<T: bincode_traits::Message>(bytes: &[u8]) {
        if let Ok(value) = T::of_bytes(bytes) {
            assert_eq!(T::of_bytes(&value.to_bytes()).unwrap(), value);
        }
    }
    one::<Syscall>(bytes);
    one::<Reply>(bytes);
    one::<Error>(bytes);
    one::<Event>(bytes);
    one::<Record>(bytes);
    assert_eq!(wire::decode_record(bytes).ok(), wire::decode::<Record>(bytes).ok());
    if let Ok(call) = wire::decode::<Syscall>(bytes) {
        // A caller from outside gets as far as this before anything looks at its rights.
        let _: (&str, libos_abi::Demand) = (call.info().name, call.demand());
    }
}

#[test]
fn only_canonical_patterns_rights_and_resources_decode() {
    let pattern = |text: &str| wire::decode::<Pattern>(&wire::encode(&text.to_owned()));
    let resource = |text: &str| wire::decode::<Resource>(&wire::encode(&text.to_owned()));
    for text in ["fs:workspace/*", "process:*", "fs:workspace/a%20b", "a:b:c:*", "object:p7/12"] {
        assert_eq!(wire::encode(&pattern(text).unwrap()), wire::encode(&text.to_owned()));
    }
    for text in
        ["", "*", "fs", "fs:a*", "fs:*/a", "fs:a b", "fs:a%2", "fs:%41", "fs:%2f", "Fs:a", "fs:é"]
    {
        assert!(pattern(text).is_err(), "{text}");
        assert!(resource(text).is_err(), "{text}");
    }
    for text in ["fs://*", "fs:a//*", "fs:../*", ":*", "fs:/*"] {
        assert!(pattern(text).is_err(), "{text}");
    }
    assert!(resource("process:*").is_err());
    // What a demand makes of arguments, even of odd ones; the exact patterns of approvals too.
    let long = "é".repeat(9000);
    let made = [
        Resource::named("shell", ""),
        Resource::named("shell", "../x y*%"),
        Resource::named("image", ".."),
        Resource::named("shell", &long),
        Resource::object(ObjectId::new(7, 12)),
        Resource::space(Pid(7)),
        Resource::file(""),
        Resource::file("workspace/a b/..é:*"),
    ];
    for made in made {
        assert_eq!(wire::decode::<Resource>(&wire::encode(&made)).unwrap(), made);
        let exact = Pattern::exact(&made);
        assert_eq!(wire::decode::<Pattern>(&wire::encode(&exact)).unwrap(), exact);
    }
    let all = wire::encode(&Rights::all());
    assert_eq!(wire::decode::<Rights>(&all).unwrap(), Rights::all());
    assert!(wire::decode::<Rights>(&wire::encode(&u16::MAX)).is_err());
}

#[test]
fn values_read_back_from_their_json() {
    #[track_caller]
    fn check<T>(value: &T, written: &serde_json::Value)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
    {
        assert_eq!(&serde_json::to_value(value).unwrap(), written);
        assert_eq!(&serde_json::from_value::<T>(written.clone()).unwrap(), value);
    }
    check(&Text::from("é\n"), &json!("é\n"));
    check(&Json::from(&json!({ "b": 1, "a": [null] })), &json!({ "a": [null], "b": 1 }));
    check(&Json::from(&json!("x")), &json!("x"));
    check(&Millis(90_000), &json!(90_000));
    assert_eq!(serde_json::from_value::<Millis>(json!("90s")).unwrap(), Millis(90_000));
    for (text, ms) in [("250ms", 250), ("10m", 600_000), ("1h", 3_600_000), ("2d", 172_800_000)] {
        assert_eq!(text.parse::<Millis>().unwrap(), Millis(ms));
        assert_eq!(Millis(ms).to_string(), text);
    }
    for bad in [json!("1.5s"), json!("s"), json!(-1), json!("18446744073709551615d"), json!(null)] {
        assert!(serde_json::from_value::<Millis>(bad.clone()).is_err(), "{bad}");
    }
    check(&Pid(7), &json!("p7"));
    check(&CapId(7), &json!("cap-7"));
    check(&ObjectId::new(7, 12), &json!("obj-7.12"));
    check(&ViewId(7), &json!("view-7"));
    check(&CheckpointId::new(7, 2), &json!("ckpt-7.2"));
    check(&RequestId(7), &json!("req-7"));
    check(&OpId(7), &json!("op-7"));
    check(&MessageId(7), &json!("msg-7"));
    check(&Seq(7), &json!("#7"));
    for bad in ["7", "p", "p-7", "p+7", "cap-7", "p18446744073709551616", "p7 "] {
        assert!(serde_json::from_value::<Pid>(json!(bad)).is_err(), "{bad}");
    }
    for bad in ["obj-7", "obj-.7", "obj-7.", "obj-7.1.2", "obj-+7.1", "obj-7.-1", "p7.1", "obj-7/1"]
    {
        assert!(serde_json::from_value::<ObjectId>(json!(bad)).is_err(), "{bad}");
    }
    let digest = Digest::of(b"x");
    check(&digest, &json!(digest.to_string()));
    check(&Rights::all(), &serde_json::to_value(libos_abi::Right::ALL).unwrap());
}

#[test]
fn a_text_from_outside_is_never_a_reference() {
    let blob = Text::Blob { digest: Digest::of(b"x"), bytes: 5000 };
    let written = serde_json::to_value(&blob).unwrap();
    assert!(serde_json::from_value::<Text>(written.clone()).is_err());
    let json: Json = serde_json::from_value(written).unwrap();
    assert!(json.0.as_str().is_some(), "it is an object like any other");
}

#[test]
fn calls_read_back_from_their_json_and_refuse_what_they_do_not_know() {
    for sample in samples::calls() {
        let name = sample.name;
        let args = sample.call.args_json().unwrap();
        assert_eq!(Syscall::from_json(name, args.clone()).unwrap(), sample.call);
        let mut unknown = args.clone();
        unknown["no_such_argument"] = json!(1);
        let mut wrong = vec![unknown, json!([]), json!(7)];
        let info = sample.call.info();
        let schema = (info.args_schema)().to_value();
        for field in schema["required"].as_array().into_iter().flatten() {
            let mut missing = args.clone();
            missing.as_object_mut().unwrap().remove(field.as_str().unwrap());
            wrong.push(missing);
        }
        // A call without arguments reads an empty list as none.
        wrong.retain(|wrong| !(info.args.is_empty() && wrong == &json!([])));
        for wrong in wrong {
            let error = Syscall::from_json(name, wrong.clone()).unwrap_err().to_string();
            let head = format!("the arguments of {name} do not fit: ");
            assert!(error.starts_with(&head), "{wrong}: {error}");
        }
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let mut least = sample.args.clone();
        least.as_object_mut().unwrap().retain(|name, _| required.contains(&json!(name)));
        let least = Syscall::from_json(name, least);
        assert!(least.is_ok(), "{name} without what is optional: {least:?}");
    }
    for name in ["fs.no", "no.read", "fs", "", "fs.read.x"] {
        let error = Syscall::from_json(name, json!({})).unwrap_err().to_string();
        assert!(error.contains(&format!("there is no call `{name}`")), "{error}");
    }
}
