//! Where secrets go, and which are refused.

use super::*;

const VALUE: &str = "a-Token/of+16=ch";

fn spec(source: SecretSource) -> SecretSpec {
    SecretSpec {
        source,
        hosts: vec!["api.example.com".into()],
        headers: vec!["authorization".into()],
        variables: vec!["TOKEN".into()],
    }
}

fn one(source: SecretSource) -> Secrets {
    Secrets::new(BTreeMap::from([("key".to_owned(), spec(source))]))
}

fn used(at: &str) -> Vec<SecretUse> {
    vec![SecretUse { name: "key".into(), at: at.into(), prefix: Some("Bearer ".into()) }]
}

fn file(text: &str) -> (tempfile::TempDir, SecretSource) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, text).unwrap();
    (dir, SecretSource::File(path))
}

fn printed(text: &str) -> SecretSource {
    SecretSource::Command(vec!["printf".into(), "%s".into(), text.into()])
}

#[tokio::test]
async fn a_secret_goes_where_the_host_lets_it_and_nowhere_else() {
    let (_dir, source) = file(&format!("{VALUE}\r\n"));
    let secrets = one(source);
    let placed = secrets.for_host("api.example.com", &used("Authorization")).await.unwrap();
    assert_eq!(placed, [("Authorization".to_owned(), format!("Bearer {VALUE}"))]);
    let placed = secrets.for_program(&used("TOKEN")).await.unwrap();
    assert_eq!(placed, [("TOKEN".to_owned(), format!("Bearer {VALUE}"))]);
    for (host, at) in [
        ("api.example.com:80", "authorization"),
        ("example.com", "authorization"),
        ("api.example.com", "x-other"),
    ] {
        let refused = secrets.for_host(host, &used(at)).await.unwrap_err();
        assert!(matches!(refused, SecretError::Place { .. }), "{host} {at}");
    }
    for at in ["PATH", "LD_PRELOAD", "token"] {
        let refused = secrets.for_program(&used(at)).await.unwrap_err();
        assert!(matches!(refused, SecretError::Place { .. }), "{at}");
    }
    let unknown = vec![SecretUse { name: "none".into(), at: "TOKEN".into(), prefix: None }];
    let refused = secrets.for_program(&unknown).await.unwrap_err();
    assert_eq!(refused, SecretError::Unknown("none".into()));
    let many = vec![used("TOKEN").remove(0); SECRET_USES_MAX + 1];
    assert_eq!(secrets.for_program(&many).await.unwrap_err(), SecretError::TooMany);
}

#[tokio::test]
async fn a_value_that_could_not_be_found_again_is_refused() {
    for text in ["", "short", "aaaaaaaaaaaa", "abcabcabcabc", "pässwörd-lang", "nul\0l-long-1"] {
        let (_dir, source) = file(text);
        let refused = one(source).check("key").await.unwrap_err();
        assert_eq!(refused, SecretError::Unfit("key".into()), "{text}");
    }
    let long = "0123456789".repeat(SECRET_BYTES_MAX);
    assert!(one(printed(&long[..9_000])).check("key").await.is_err());
    for source in [
        SecretSource::File("/no/such/file".into()),
        SecretSource::Variable("LIBOS_NO_SUCH_VARIABLE".into()),
        SecretSource::Command(vec!["false".into()]),
        SecretSource::Command(vec!["/no/such/program".into()]),
        SecretSource::Command(Vec::new()),
    ] {
        let refused = one(source.clone()).check("key").await.unwrap_err();
        assert_eq!(refused, SecretError::Unreadable("key".into()), "{source:?}");
    }
}

#[tokio::test]
async fn what_is_at_hand_is_found_before_it_is_used_and_a_command_after() {
    let (_dir, source) = file(VALUE);
    let secrets = one(source);
    assert_eq!(secrets.scrubber().text(&format!("<{VALUE}>")), "<[secret:key]>");
    let secrets = one(printed(VALUE));
    assert_eq!(secrets.scrubber().text(VALUE), VALUE);
    secrets.for_program(&used("TOKEN")).await.unwrap();
    assert_eq!(secrets.scrubber().text(VALUE), "[secret:key]");
}

#[tokio::test]
async fn a_value_that_was_replaced_is_still_found() {
    let (dir, source) = file(VALUE);
    let secrets = one(source);
    secrets.check("key").await.unwrap();
    std::fs::write(dir.path().join("secret"), "the-new-Value-1").unwrap();
    let placed = secrets.for_program(&used("TOKEN")).await.unwrap();
    assert!(placed[0].1.ends_with("the-new-Value-1"));
    let text = secrets.scrubber().text(&format!("{VALUE} the-new-Value-1")).into_owned();
    assert_eq!(text, "[secret:key] [secret:key]");
}

#[test]
fn what_is_printed_of_secrets_is_their_names() {
    let (_dir, source) = file(VALUE);
    let secrets = one(source);
    drop(secrets.scrubber());
    assert_eq!(format!("{secrets:?}"), "{\"key\"}");
}
