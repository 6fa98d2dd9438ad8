//! What exchanges with models get from this host: its network and its secrets.

use libos_abi::{OpId, SecretUse, Url};
use libos_llm::{Host, NoConnection, NoKey, Stream};
use libos_port::BoxFuture;
use libos_providers::{HttpProvider, Secrets};

/// This host. The addresses are its own choice, so those of its own networks are open too.
pub(crate) struct HostNetwork {
    http: HttpProvider,
    secrets: Secrets,
}

impl HostNetwork {
    pub(crate) fn new(http: HttpProvider, secrets: Secrets) -> Self {
        Self { http, secrets }
    }
}

impl Host for HostNetwork {
    fn connect<'a>(
        &'a self,
        op: OpId,
        url: &'a Url,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, NoConnection>> {
        Box::pin(async move {
            let connected = self.http.connection(op, url).await;
            Ok(Box::new(connected.map_err(|_| NoConnection)?) as Box<dyn Stream>)
        })
    }

    fn key<'a>(
        &'a self,
        secret: &'a str,
        url: &'a Url,
        header: &'a str,
        prefix: &'a str,
    ) -> BoxFuture<'a, Result<String, NoKey>> {
        Box::pin(async move {
            let (name, at) = (secret.to_owned(), header.to_owned());
            let used = [SecretUse { name, at, prefix: Some(prefix.to_owned()) }];
            let resource = url.resource();
            let placed = self.secrets.for_host(resource.body(), &used).await;
            let placed = placed.inspect_err(|error| {
                tracing::error!(%error, "the key of a model cannot be used");
            });
            let (_, key) = placed.ok().and_then(|mut keys| keys.pop()).ok_or(NoKey)?;
            Ok(key)
        })
    }

    fn scrub(&self, text: &str) -> String {
        self.secrets.scrub(text)
    }
}
