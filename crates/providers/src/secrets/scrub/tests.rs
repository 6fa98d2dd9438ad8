//! Every form of a secret is found, wherever a stream is cut.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::*;

const SECRET: &str = "s3cr3t/+\"&\\ T0ken~>>??";

fn scrubber() -> Scrubber {
    Scrubber::of([("key", SECRET), ("other", "another-one-0123")].into_iter())
}

fn percent(text: &str, is_kept: impl Fn(u8) -> bool) -> String {
    let one = |byte: u8| match is_kept(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

fn forms() -> Vec<String> {
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let spaced: Vec<String> = SECRET.bytes().map(|byte| format!("{byte:02X}")).collect();
    let unicode: String = SECRET.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let html = SECRET.replace('&', "&amp;").replace('"', "&quot;").replace('>', "&gt;");
    let numbers: String = SECRET.bytes().map(|byte| format!("&#{byte};")).collect();
    let json = serde_json::Value::from(SECRET).to_string();
    let mut forms = vec![
        SECRET.to_owned(),
        SECRET.to_lowercase(),
        percent(SECRET, |byte| byte.is_ascii_alphanumeric()),
        percent(SECRET, |byte| byte.is_ascii_alphanumeric()).to_lowercase(),
        percent(SECRET, |byte| byte.is_ascii_graphic() && byte != b'%').replace("%20", "+"),
        percent(SECRET, |_| false),
        json.trim_matches('"').to_owned(),
        json.trim_matches('"').replace('/', "\\/"),
        hex.to_uppercase(),
        spaced.join(" "),
        spaced.join(":"),
        unicode,
        html,
        numbers,
        hex,
    ];
    for around in ["", "u", "us", "use:"] {
        let text = format!("{around}{SECRET}{around}");
        for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
            let folded: Vec<&str> = encoded
                .as_bytes()
                .chunks(7)
                .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
                .collect();
            forms.push(folded.join("\n"));
            forms.push(folded.join("\r\n"));
            forms.push(folded.join("\\n"));
            forms.push(percent(&encoded, |byte| byte.is_ascii_alphanumeric()));
            forms.push(encoded);
        }
    }
    forms
}

/// What is left of a form holds no twelve characters of it on end.
fn is_gone(form: &str, left: &str) -> bool {
    form.as_bytes().windows(12).all(|part| !left.as_bytes().windows(12).any(|it| it == part))
}

#[test]
fn every_form_of_a_secret_is_replaced() {
    let scrubber = scrubber();
    for form in forms() {
        let left = scrubber.text(&format!("before: {form} :behind")).into_owned();
        assert!(left.contains("[secret:key]") && is_gone(&form, &left), "{form}\n{left}");
        assert!(left.starts_with("before: ") && left.ends_with(" :behind"), "{left}");
    }
}

#[test]
fn a_secret_is_found_wherever_the_stream_is_cut() {
    let scrubber = scrubber();
    for form in forms() {
        let text = format!("{}{form}{}", "x".repeat(40_000), "y".repeat(40_000));
        for size in [1, 7, 4_096, 20_011] {
            let mut stream = Stream::new(&scrubber);
            text.as_bytes().chunks(size).for_each(|piece| stream.take(piece));
            let left = stream.finish();
            let whole = scrubber.text(&text);
            assert!(left == whole.as_bytes(), "{form} in pieces of {size}");
            assert!(whole.contains("[secret:key]"), "{form}");
        }
    }
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    let scrubber = scrubber();
    let (cut, _) = SECRET.split_at(SECRET.len() - 1);
    for text in ["", "é % %4 \\u00 &#; &amp; \\", cut, "another-one-012", "s3cr3t"] {
        assert_eq!(scrubber.text(text), text);
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let mut stream = Stream::new(&scrubber);
    bytes.chunks(977).for_each(|piece| stream.take(piece));
    assert!(stream.finish() == bytes);
    assert_eq!(Scrubber::default().text(SECRET), SECRET);
}

#[test]
fn secrets_side_by_side_are_each_replaced() {
    let text = format!("{SECRET}another-one-0123{SECRET}");
    assert_eq!(scrubber().text(&text), "[secret:key][secret:other][secret:key]");
}
