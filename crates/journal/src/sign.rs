//! Signed heads: a head can be trusted for its signature instead of the place where it is kept.
//!
//! A signature is Ed25519 (RFC 8032) over the text `libos journal head`, a line feed, the head as
//! it prints, and a line feed. Keys are PEM files (PKCS#8 and SPKI, RFC 8410), so that other tools
//! make, read and check them.
//!
//! ```
//! use libos_journal::{Journal, MemoryJournal, SecretKey};
//!
//! let secret = SecretKey::generate()?;
//! let signed = secret.sign(&MemoryJournal::new().head());
//! secret.public().check(&signed)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use ed25519_dalek::{
    Signature, Signer, SigningKey, VerifyingKey,
    pkcs8::{
        self, DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
        spki::{self, der::pem::LineEnding},
    },
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Head, JournalError, hex};

/// A head, and who vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The head.
    pub head: Head,
    /// The signature over it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<HeadSignature>,
}

/// A signature over a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSignature {
    /// The public key that checks it.
    pub key: Bytes<32>,
    /// The signature.
    pub ed25519: Bytes<64>,
}

/// Bytes that print as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// Signs heads. It never prints.
pub struct SecretKey(SigningKey);

/// Checks signed heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// What is wrong with a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random(#[source] getrandom::Error),
    /// The text is no secret key.
    #[error("it holds no Ed25519 secret key in PEM: make one with `libos audit keygen`")]
    Secret(#[source] pkcs8::Error),
    /// The text is no public key.
    #[error(
        "it holds no Ed25519 public key in PEM: use the file that stands beside the secret key"
    )]
    Public(#[source] spki::Error),
}

/// Why a head is not vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFault {
    /// Nobody signed it.
    #[error("nobody signed it")]
    Unsigned,
    /// Somebody else signed it.
    #[error("it is signed with another key")]
    OtherKey,
    /// The signature is not one of this key over this head.
    #[error("its signature is not over this head")]
    Invalid,
}

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The key in a PEM text.
    ///
    /// # Errors
    /// [`KeyError::Secret`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(text).map(Self).map_err(KeyError::Secret)
    }

    /// The key as PEM text, to be kept from everybody else.
    ///
    /// # Errors
    /// [`KeyError::Secret`] if it cannot be encoded.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        // Without the public key beside it: only this form is read by every other tool.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).map_err(KeyError::Secret)?;
        Ok(pem.as_str().to_owned())
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Vouches for a head.
    #[must_use]
    pub fn sign(&self, head: &Head) -> SignedHead {
        let signature = HeadSignature {
            key: Bytes(self.0.verifying_key().to_bytes()),
            ed25519: Bytes(self.0.sign(&message(head)).to_bytes()),
        };
        SignedHead { head: *head, signature: Some(signature) }
    }
}

impl PublicKey {
    /// The key in a PEM text.
    ///
    /// # Errors
    /// [`KeyError::Public`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        VerifyingKey::from_public_key_pem(text).map(Self).map_err(KeyError::Public)
    }

    /// The key as PEM text.
    ///
    /// # Errors
    /// [`KeyError::Public`] if it cannot be encoded.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(KeyError::Public)
    }

    /// Checks that this key vouches for the head.
    ///
    /// # Errors
    /// [`JournalError::Signature`] if it does not.
    pub fn check(&self, signed: &SignedHead) -> Result<(), JournalError> {
        let fault = match &signed.signature {
            None => SignatureFault::Unsigned,
            Some(signature) if signature.key.0 != self.0.to_bytes() => SignatureFault::OtherKey,
            Some(signature) => {
                let bytes = Signature::from_bytes(&signature.ed25519.0);
                match self.0.verify_strict(&message(&signed.head), &bytes) {
                    Ok(()) => return Ok(()),
                    Err(_) => SignatureFault::Invalid,
                }
            }
        };
        Err(JournalError::Signature { head: signed.head, what: fault })
    }
}

/// What is signed for a head. The first line keeps it apart from anything else a key may sign.
fn message(head: &Head) -> Vec<u8> {
    format!("libos journal head\n{head}\n").into_bytes()
}

impl From<Head> for SignedHead {
    fn from(head: Head) -> Self {
        Self { head, signature: None }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let bytes = hex::decode(&String::deserialize(d)?);
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).map(Self);
        bytes.ok_or_else(|| D::Error::custom(format!("{} hexadecimal digits are needed", N * 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TreeHash;

    fn fault(key: &PublicKey, signed: &SignedHead) -> SignatureFault {
        match key.check(signed) {
            Err(JournalError::Signature { head, what }) if head == signed.head => what,
            other => panic!("no fault found: {other:?}"),
        }
    }

    fn head(size: u64) -> Head {
        Head { size, root: TreeHash([7; 32]) }
    }

    #[test]
    fn a_key_vouches_for_what_it_signed_and_nothing_else() {
        let (secret, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let signed = secret.sign(&head(12));
        secret.public().check(&signed).unwrap();
        assert_eq!(fault(&other.public(), &signed), SignatureFault::OtherKey);
        assert_eq!(fault(&secret.public(), &head(12).into()), SignatureFault::Unsigned);
        for head in [head(13), Head { size: 12, root: TreeHash([8; 32]) }] {
            let moved = SignedHead { head, ..signed };
            assert_eq!(fault(&secret.public(), &moved), SignatureFault::Invalid);
        }
        let mut forged = other.sign(&head(12));
        forged.signature.as_mut().unwrap().key = signed.signature.unwrap().key;
        assert_eq!(fault(&secret.public(), &forged), SignatureFault::Invalid);
        for bit in 0..512 {
            let mut bad = signed;
            bad.signature.as_mut().unwrap().ed25519.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(fault(&secret.public(), &bad), SignatureFault::Invalid, "bit {bit}");
        }
    }

    #[test]
    fn keys_and_signatures_are_read_back_from_their_text() {
        let secret = SecretKey::generate().unwrap();
        let pem = secret.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let again = SecretKey::from_pem(&pem).unwrap();
        let public = PublicKey::from_pem(&secret.public().to_pem().unwrap()).unwrap();
        assert_eq!(public, again.public());
        let signed = again.sign(&head(3));
        let json = serde_json::to_string(&signed).unwrap();
        public.check(&serde_json::from_str(&json).unwrap()).unwrap();
        let unsigned = serde_json::to_string(&SignedHead::from(head(3))).unwrap();
        assert_eq!(
            unsigned,
            format!("{{\"head\":{{\"size\":3,\"root\":\"{}\"}}}}", "07".repeat(32))
        );
        for bad in
            ["", "-----BEGIN PRIVATE KEY-----", &unsigned, &secret.public().to_pem().unwrap()]
        {
            assert!(matches!(SecretKey::from_pem(bad), Err(KeyError::Secret(_))), "{bad}");
        }
        assert!(matches!(PublicKey::from_pem(&pem), Err(KeyError::Public(_))));
        assert_eq!(format!("{secret:?}"), "SecretKey(..)");
    }

    /// The key made with `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`, the
    /// signature with `openssl pkeyutl -sign -rawin` over the text that the module's head names.
    #[test]
    fn keys_and_signatures_of_other_tools_are_understood() {
        let pem = "-----BEGIN PUBLIC KEY-----\n\
                   MCowBQYDK2VwAyEAAkk0S9gX9ddkYEcqbHAcecV7eHeTpoYHdEVEvotDSZk=\n\
                   -----END PUBLIC KEY-----\n";
        let signature = "bb72542947c13857636cf9c7044abf025dec63ede8803fec8a949979ab1c9170\
                         559a6cda79521dbe7579ce1e3b99af80dbce0c279f335d0f875132bd90463e08";
        let line = format!(
            "{{\"head\":{{\"size\":12,\"root\":\"{}\"}},\"signature\":{{\"key\":\"{}\",\
             \"ed25519\":\"{signature}\"}}}}",
            "07".repeat(32),
            "0249344bd817f5d76460472a6c701c79c57b787793a68607744544be8b434999",
        );
        let public = PublicKey::from_pem(pem).unwrap();
        public.check(&serde_json::from_str(&line).unwrap()).unwrap();
        assert_eq!(public.to_pem().unwrap(), pem);
    }
}
