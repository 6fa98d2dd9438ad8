//! Secrets of the host, as calls name them. No value of one is ever part of a message.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Few, Need, Resource, Right};

/// The use of a secret in a call. Whoever performs the call puts the value there.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretUse {
    /// The name under which the host registered it.
    pub name: String,
    /// Where it goes: the name of a header, or of a variable of a program's environment.
    pub at: String,
    /// What stands before it there, as in `Bearer `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

crate::field::opaque!(SecretUse);

impl SecretUse {
    /// What authority over it is about: `secret:NAME`.
    #[must_use]
    pub fn resource(&self) -> Resource {
        Resource::named("secret", &self.name)
    }
}

/// What a call needs by itself, and the use of each secret in it.
pub(crate) fn needs(own: Need, secrets: Option<&Vec<SecretUse>>) -> Few<Need> {
    let mut needs = Few::one(own);
    let used = secrets.into_iter().flatten();
    needs.extend(used.map(|secret| Need { right: Right::Use, on: secret.resource() }));
    needs
}
