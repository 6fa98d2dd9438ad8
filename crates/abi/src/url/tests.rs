//! What is a URL and what is none.

use super::*;

fn url(text: &str) -> Url {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_url_is_brought_into_its_one_form() {
    for (written, canonical) in [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/a", "https://example.com/a"),
        ("http://example.com:80?q", "http://example.com/?q"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("https://a.b/%7euser/%41%2f%c3%a9", "https://a.b/~user/A%2F%C3%A9"),
        ("https://a.b/@scope%2fname", "https://a.b/@scope%2Fname"),
        ("https://a.b/x?next=https://c.d/../e", "https://a.b/x?next=https://c.d/../e"),
        ("https://a.b/a/...", "https://a.b/a/..."),
        ("https://[2001:DB8:0::1]:8443/", "https://[2001:db8::1]:8443/"),
        ("https://192.0.2.1/", "https://192.0.2.1/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ] {
        assert_eq!(url(written).as_str(), canonical, "{written}");
        assert_eq!(url(canonical).as_str(), canonical, "{written}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_no_url() {
    for text in [
        "",
        "example.com",
        "//example.com/",
        "https:/example.com",
        "https:example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://a.b/",
        "ws://a.b/",
        "data:,x",
        "https://user@example.com/",
        "https://user:pw@example.com/",
        "https://a.b@c.d/",
        "https://a.b\\@c.d/",
        "https://a.b\\c",
        "https:\\\\a.b\\",
        "https://a.b#@c.d/",
        "https://a.b/#f",
        "https:///path",
        "https://",
        "https://.",
        "https://a.b./",
        "https://a..b/",
        "https://-a.b/",
        "https://a_b.c/",
        "https://a b/",
        "https://a\tb/",
        "https://a.b/\r\nx: y",
        "https://b\u{fc}cher.example/",
        "https://\u{ff41}.example/",
        "https://a%2eb/",
        "https://a.b:/",
        "https://a.b:0/",
        "https://a.b:080/",
        "https://a.b:65536/",
        "https://a.b:+80/",
        "https://a.b:80:80/",
        "https://a.b:80a/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.01/",
        "https://1.2.3.4.5/",
        "https://a.0x1/",
        "https://a.1/",
        "https://[::1/",
        "https://[::1]x/",
        "https://[::1%25eth0]/",
        "https://[127.0.0.1]/",
        "https://[v1.a]/",
        "https://::1/",
        "https://a.b/../c",
        "https://a.b/c/./d",
        "https://a.b/%2e%2e/c",
        "https://a.b/.%2E/c",
        "https://a.b/%252e%252e/c",
        "https://a.b/c%2f..%2fd",
        "https://a.b/%25252e./c",
        "https://a.b/..;x/c",
        "https://a.b/..%3bx/c",
        "https://a.b/c%5c..%5cd",
        "https://a.b//c",
        "https://a.b/c//",
        "https://a.b/%00",
        "https://a.b/%0d%0a",
        "https://a.b/%",
        "https://a.b/%g1",
        "https://a.b/?%1",
        "https://a.b/%25252525252e",
        "https://a.b/a|b",
        "https://a.b/{x}",
    ] {
        assert!(text.parse::<Url>().is_err(), "{text}");
    }
    let long = format!("https://a.b/{}", "x".repeat(URL_BYTES_MAX));
    assert!(long.parse::<Url>().is_err());
    let label = format!("https://{}.b/", "x".repeat(64));
    assert!(label.parse::<Url>().is_err());
}

#[test]
fn its_parts_are_those_of_its_text() {
    let all = url("https://[::1]:8443/a/b?c=d");
    assert_eq!((all.host(), all.port(), all.target()), ("::1", 8443, "/a/b?c=d"));
    assert_eq!((all.authority(), all.is_https()), ("[::1]:8443", true));
    let plain = url("http://example.com");
    assert_eq!((plain.host(), plain.port(), plain.target()), ("example.com", 80, "/"));
    for (text, resource) in [
        ("https://example.com/a", "net:example.com"),
        ("http://example.com/a", "net:example.com:80"),
        ("http://example.com:443/a", "net:example.com"),
        ("https://example.com:8443/", "net:example.com:8443"),
        ("https://[::1]:8443/", "net:%5B::1%5D:8443"),
    ] {
        assert_eq!(url(text).resource().as_str(), resource, "{text}");
    }
    let written: crate::Pattern = "net:[::1]:8443".parse().expect("a pattern");
    assert!(written.matches(&all.resource()));
}

#[test]
fn a_reference_means_an_address_or_nothing() {
    let base = url("https://a.b:81/x/y?z");
    for (reference, meant) in [
        ("/n", Some("https://a.b:81/n")),
        ("n?q", Some("https://a.b:81/x/n?q")),
        ("?q", Some("https://a.b:81/x/y?q")),
        ("", Some("https://a.b:81/x/y")),
        ("//c.d/n#f", Some("https://c.d/n")),
        ("http://c.d/", Some("http://c.d/")),
        ("../n", None),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("https://u@c.d/", None),
        ("\\\\c.d/", None),
    ] {
        let joined = base.join(reference).ok();
        assert_eq!(joined.as_ref().map(Url::as_str), meant, "{reference}");
    }
}

#[test]
fn only_the_canonical_form_is_decoded() {
    let url = url("https://a.b/c");
    let bytes = crate::wire::encode(&url);
    assert_eq!(crate::wire::decode::<Url>(&bytes).expect("canonical"), url);
    for text in ["https://A.b/c", "https://a.b", "ftp://a.b/"] {
        let bytes = crate::wire::encode(&text.to_owned());
        assert!(crate::wire::decode::<Url>(&bytes).is_err(), "{text}");
    }
}
