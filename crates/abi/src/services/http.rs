//! The network: requests over HTTP.

use crate::{
    ArgType, ArgView, Digest, Few, Field, KeptContent, Millis, Need, ObjectId, Right, SecretUse,
    Text, Url, call::service,
};

/// How many bytes of a body a reply gives if the call does not say.
pub const BODY_BYTES_DEFAULT: u32 = 262_144;

record! {
    /// A header of a request or of a reply.
    pub struct Header {
        /// Its name.
        pub name: String,
        /// Its value.
        pub value: String,
    }

    /// What a server answered. Secrets of the host in it are replaced.
    pub struct Response {
        /// The status.
        pub status: u16,
        /// The headers, names in lower case.
        pub headers: Vec<Header>,
        /// The body within the limit, as text, or in base64 when it is not UTF-8.
        pub body: Text,
        /// Whether the body is in base64.
        pub base64: bool,
        /// How many bytes of the body are given.
        pub bytes: u64,
        /// The digest of these bytes.
        pub digest: Digest,
        /// Whether the body was cut.
        pub truncated: bool,
        /// Where the server points to. Nothing was asked there: that is a call of its own.
        pub redirect: Option<Url>,
        /// The body, if it is kept as an object; what is given of it is its beginning then.
        pub object: Option<KeptContent>,
    }
}

crate::field::opaque!(Header);
crate::field::carries_texts! { Response { body, object } }

macro_rules! methods {
    ($(
        #[doc = $doc:literal]
        $name:ident { $($(#[doc = $what:literal])* $method:ident $text:literal)* }
    )*) => {$(
        #[doc = $doc]
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum $name {
            $($(#[doc = $what])* #[serde(rename = $text)] $method,)*
        }

        impl $name {
            /// As it is sent.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$method => $text,)* }
            }
        }

        impl Field for $name {
            const TYPE: ArgType = ArgType::Text;
            fn view(&self) -> ArgView<'_> {
                ArgView::Text(self.name())
            }
        }
    )*};
}

methods! {
    /// Methods that change nothing on the server.
    Looking {
        /// Gives what is there.
        Get "GET"
        /// The same without the body.
        Head "HEAD"
    }
    /// Methods that may be repeated and change nothing more.
    Replacing {
        /// Puts the body there.
        Put "PUT"
        /// Removes what is there.
        Delete "DELETE"
    }
    /// Methods of which nobody can tell afterwards what they did.
    Sending {
        /// Hands the body over.
        Post "POST"
        /// Changes what is there as the body says.
        Patch "PATCH"
    }
}

/// What a request needs: the right over the host, and the use of each secret.
fn needs(right: Right, url: &Url, secrets: Option<&Vec<SecretUse>>) -> Few<Need> {
    crate::secret::needs(Need { right, on: url.resource() }, secrets)
}

service! {
    /// Requests over HTTP. A reply that points elsewhere is not followed, nothing is taken from
    /// the host's environment, and the connection is made to an address that was checked.
    service http = 16;
    failures {
        /// A header, a body or a limit is none that may be sent.
        1 "bad_request" BadRequest;
        /// The host's name has no address.
        2 "unresolved" Unresolved;
        /// An address of the host's name is one of a network that the host keeps to itself.
        3 "address_refused" AddressRefused;
        /// No connection was made, or the server did not prove its name.
        4 "not_connected" NotConnected;
        /// There was no whole answer in time.
        5 "timed_out" TimedOut;
        /// The answer broke off, is none, or is encoded though that was not asked for.
        6 "bad_response" BadResponse;
        /// There is no such secret, it may not go there, or it cannot be read.
        7 "secret_refused" SecretRefused;
    }

    /// Asks for what is at an address. It changes nothing on a server that keeps to the standard.
    1 fetch Fetch as Box {
        /// The address.
        url: Url,
        /// The method.
        method: Looking,
        /// Further headers.
        headers: Option<Vec<Header>>,
        /// Secrets, each for the header that it names. Each needs `use` on `secret:NAME` as well.
        secrets: Option<Vec<SecretUse>>,
        /// How many bytes of the body are given; 262,144 if absent, 1 MiB at the most. Of what is
        /// kept as an object 67,108,864, if absent and at the most.
        max_bytes: Option<u32>,
        /// How long all of it may take; 30 s if absent, 5 min at the most.
        timeout_ms: Option<Millis>,
        /// The type of an object in the caller's memory that the body of the answer is kept as,
        /// whatever its bytes.
        into: Option<String>,
    } -> Response as Box
    { demand: [Read on net by |c| needs(Right::Read, &c.url, c.secrets.as_ref())];
      effect: Read;
      fails: [BadRequest Unresolved AddressRefused NotConnected TimedOut BadResponse
              SecretRefused]; }

    /// Puts something at an address, or removes what is there.
    2 replace Replace as Box {
        /// The address.
        url: Url,
        /// The method.
        method: Replacing,
        /// Further headers.
        headers: Option<Vec<Header>>,
        /// Secrets, each for the header that it names. Each needs `use` on `secret:NAME` as well.
        secrets: Option<Vec<SecretUse>>,
        /// The body; none if absent.
        body: Option<Text>,
        /// How many bytes of the body are given; 262,144 if absent, 1 MiB at the most. Of what is
        /// kept as an object 67,108,864, if absent and at the most.
        max_bytes: Option<u32>,
        /// How long all of it may take; 30 s if absent, 5 min at the most.
        timeout_ms: Option<Millis>,
        /// The type of an object in the caller's memory that the body of the answer is kept as,
        /// whatever its bytes.
        into: Option<String>,
        /// An object whose content is sent behind the body: texts, or bytes in base64. It needs
        /// `read` on the object as well.
        from: Option<ObjectId>,
    } -> Response as Box
    { demand: [Write on net by |c| {
        crate::content::needs(needs(Right::Write, &c.url, c.secrets.as_ref()), c.from)
      }];
      effect: Idempotent;
      fails: [BadRequest Unresolved AddressRefused NotConnected TimedOut BadResponse
              SecretRefused]; }

    /// Hands something over to an address.
    3 send Send as Box {
        /// The address.
        url: Url,
        /// The method.
        method: Sending,
        /// Further headers.
        headers: Option<Vec<Header>>,
        /// Secrets, each for the header that it names. Each needs `use` on `secret:NAME` as well.
        secrets: Option<Vec<SecretUse>>,
        /// The body; none if absent.
        body: Option<Text>,
        /// How many bytes of the body are given; 262,144 if absent, 1 MiB at the most. Of what is
        /// kept as an object 67,108,864, if absent and at the most.
        max_bytes: Option<u32>,
        /// How long all of it may take; 30 s if absent, 5 min at the most.
        timeout_ms: Option<Millis>,
        /// The type of an object in the caller's memory that the body of the answer is kept as,
        /// whatever its bytes.
        into: Option<String>,
        /// An object whose content is sent behind the body: texts, or bytes in base64. It needs
        /// `read` on the object as well.
        from: Option<ObjectId>,
    } -> Response as Box
    { demand: [Write on net by |c| {
        crate::content::needs(needs(Right::Write, &c.url, c.secrets.as_ref()), c.from)
      }];
      effect: Irreversible;
      fails: [BadRequest Unresolved AddressRefused NotConnected BadResponse SecretRefused]; }
}
